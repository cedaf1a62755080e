"""Stage two: the actor learns from branches of the simulator what one other move would have been worth.

On the states that the current policy visits, every rule's pick, DONE and a few other STARTs are tried on copies of the
cluster that then go on under a rule and meet the same arrivals and noise. The actor lowers its expected cost over the
moves that were tried. One future a state is a noisy label but not a biased one, and the network averages over states.
"""

from collections.abc import Iterator

import numpy as np
import torch

from synergai.training.branches import Branches
from synergai.training.network import Packed
from synergai.training.policy import ScorerPolicy, masked_log_softmax, sample
from synergai.training.stage import Update

UNTRIED_COST = 0.05
"""What probability on moves that were not tried costs, in violations."""


def improve(
    policy: ScorerPolicy,
    branches: Branches,
    decisions: int,
    minibatch: int,
    learning_rate: float,
    optimizer: torch.optim.Optimizer,
    done: int = 0,
) -> Iterator[Update]:
    """One pass over fresh states, each used once, with a learning rate that falls to a tenth; from `done` on."""
    steps = max(minibatch // branches.env.num_envs, 1)
    while done < decisions:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1.0 - 0.9 * done / decisions)
        lists, masks, costs = _gather(policy, branches, steps)
        loss = expected_cost(masked_log_softmax(policy.actor(Packed(lists)), masks), costs)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
        optimizer.step()
        done += len(costs)
        yield Update(len(costs), {"improve/cost": float(loss.detach())})


def expected_cost(log_probs: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """Mean over states of the policy's expected cost over the tried moves, above the mean of these."""
    tried = torch.isfinite(costs)
    count = tried.sum(dim=1, keepdim=True).clamp(min=1)
    known = torch.where(tried, costs, torch.zeros_like(costs))
    relative = torch.where(
        tried, known - known.sum(dim=1, keepdim=True) / count, torch.full_like(costs, UNTRIED_COST)
    )
    return (log_probs.exp() * relative).sum(dim=1).mean()


def _gather(
    policy: ScorerPolicy, branches: Branches, steps: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """States that the policy visits, and what its moves would cost there."""
    env = branches.env
    lists: list[dict[str, np.ndarray]] = []
    masks, costs = [], []
    for _ in range(steps):
        lists.append({name: value.copy() for name, value in env.observe().items()})
        masks.append(env.masks().copy())
        costs.append(branches.costs())
        with torch.no_grad():
            packed = Packed({name: torch.as_tensor(value) for name, value in lists[-1].items()})
            actions = sample(masked_log_softmax(policy.actor(packed), masks[-1]))
        env.step(actions.numpy())
    joined = {name: torch.as_tensor(np.concatenate([part[name] for part in lists])) for name in lists[0]}
    return joined, torch.as_tensor(np.concatenate(masks)), torch.as_tensor(np.concatenate(costs)).float()
