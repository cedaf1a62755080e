"""Stage two: the actor learns from branches of the simulator what one other move would have been worth.

On the states that the current policy visits, every rule's pick, DONE and a few other STARTs are tried on copies of the
cluster that then go on under a rule and meet the same arrivals and noise. One future a state is a noisy label but not
a biased one, and the network averages over states. The actor lowers its expected cost over the moves that were tried,
and pays for every nat by which it departs from the teacher: without that price it follows the noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from synergai.envs.rules import RULE_NUMBER
from synergai.training.branches import Branches
from synergai.training.clone import soft_targets
from synergai.training.memory import Labelled, Memory
from synergai.training.network import Packed
from synergai.training.policy import ScorerPolicy, masked_log_softmax, sample
from synergai.training.stage import Update

UNTRIED_COST = 0.05
"""What probability on moves that were not tried costs, in violations."""


@dataclass(frozen=True)
class Terms:
    """How the actor learns from branches."""

    teacher: str
    minibatch: int
    epochs: int
    """Passes over the gathered states."""
    temperature: float
    """What a nat of distance from the teacher costs, in violations."""
    learning_rate: float
    """At first; it falls to a tenth."""


def improve(
    policy: ScorerPolicy,
    branches: Branches,
    memory: Memory,
    terms: Terms,
    decisions: int,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
    done: int = 0,
) -> Iterator[Update]:
    """Gather states that the policy visits as it is, then learn from all of them; from `done` on.

    Learning while gathering does not work: the first few hundred states decide, and a policy that is sure of itself
    has no gradient left.
    """
    if done < decisions:
        memory.restore(done)
    while done < decisions:
        fresh = _gather(policy, branches, terms)
        memory.add(fresh)
        done += len(fresh.masks)
        figures = _fit(policy, memory, terms, rng, optimizer) if done >= decisions else {}
        yield Update(len(fresh.masks), figures)
    memory.forget()


def _fit(
    policy: ScorerPolicy,
    memory: Memory,
    terms: Terms,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    """Some passes over the memory, with a learning rate that falls to a tenth."""
    cost = away = 0.0
    for epoch in range(terms.epochs):
        batches = memory.minibatches(terms.minibatch, rng)
        figures = []
        for k, states in enumerate(batches):
            progress = (epoch + k / len(batches)) / terms.epochs
            for group in optimizer.param_groups:
                group["lr"] = terms.learning_rate * (1.0 - 0.9 * progress)
            figures.append(_update(policy, states, terms.temperature, optimizer))
        cost, away = np.mean(figures, axis=0)
    return {"improve/cost": float(cost), "improve/kl_to_teacher": float(away)}


def _update(
    policy: ScorerPolicy, states: Labelled, temperature: float, optimizer: torch.optim.Optimizer
) -> tuple[float, float]:
    """One step of the optimizer; the expected cost and the distance from the teacher before it."""
    log_probs = masked_log_softmax(policy.actor(Packed(states.lists)), states.masks)
    cost = expected_cost(log_probs, states.costs)
    targets = soft_targets(states.lists["rows"].float(), states.masks, states.teacher)
    away = distance(log_probs, targets)
    optimizer.zero_grad()
    (cost + temperature * away).backward()
    torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
    optimizer.step()
    return float(cost.detach()), float(away.detach())


def expected_cost(log_probs: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """Mean over states of the policy's expected cost over the tried moves, above the mean of these."""
    tried = torch.isfinite(costs)
    count = tried.sum(dim=1, keepdim=True).clamp(min=1)
    known = torch.where(tried, costs, torch.zeros_like(costs))
    relative = torch.where(
        tried, known - known.sum(dim=1, keepdim=True) / count, torch.full_like(costs, UNTRIED_COST)
    )
    return (log_probs.exp() * relative).sum(dim=1).mean()


def distance(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over states of KL(policy, targets); both (states, 129), actions without a target count for nothing."""
    legal = targets > 0.0
    ratios = torch.where(legal, log_probs - targets.clamp(min=1e-12).log(), torch.zeros_like(log_probs))
    return (log_probs.exp() * ratios).sum(dim=1).mean()


def _gather(policy: ScorerPolicy, branches: Branches, terms: Terms) -> Labelled:
    """States that the policy visits, and what its moves would cost there."""
    env = branches.env
    lists: list[dict[str, np.ndarray]] = []
    masks, costs, picks = [], [], []
    for _ in range(max(terms.minibatch // env.num_envs, 1)):
        lists.append({name: value.copy() for name, value in env.observe().items()})
        masks.append(env.masks().copy())
        picks.append(env.batch.shown.picks[:, RULE_NUMBER[terms.teacher]].copy())
        costs.append(branches.costs())
        with torch.no_grad():
            packed = Packed({name: torch.as_tensor(value) for name, value in lists[-1].items()})
            actions = sample(masked_log_softmax(policy.actor(packed), masks[-1]))
        env.step(actions.numpy())
    joined = {name: torch.as_tensor(np.concatenate([part[name] for part in lists])) for name in lists[0]}
    return Labelled(
        joined,
        torch.as_tensor(np.concatenate(masks)),
        torch.as_tensor(np.concatenate(costs)).float(),
        torch.as_tensor(np.concatenate(picks)).long(),
    )
