"""The actor learns from branches of the simulator what each move would have been worth.

On the states that the current policy visits, every rule's pick, DONE and a few other STARTs are tried on copies of the
cluster that then go on alone (`envs.continuation`) and meet the same arrivals and noise. One future a state is a
noisy label but not a biased one, and the network averages over states: its logits are fitted to the costs of the moves
that were tried, and it pays for every nat by which it departs from the rule. Where the look-ahead is too short to see
what a move costs, in overload, that price keeps the actor from following its labels blindly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import smooth_l1_loss

from synergai.agents.learned import LOGIT_COST
from synergai.training.branches import Branches
from synergai.training.clone import soft_targets
from synergai.training.memory import Labelled, Memory
from synergai.training.network import Packed
from synergai.training.policy import ScorerPolicy, masked_log_softmax, sample
from synergai.training.stage import Update

SPREAD = 0.5
"""Of the costs of one state's moves, in violations: beyond it an error counts linearly. Measured 0.34 to 0.69."""
SHARPNESS = 3.0
"""By which the policy is surer of itself while it gathers states than its logits say."""
UNTRIED_GAP = 1.0
"""By how much the logit of a move that was not tried must stay behind the best of those that were."""
UNTRIED_WEIGHT = 0.02


@dataclass(frozen=True)
class Terms:
    """How the actor learns from branches."""

    minibatch: int
    epochs: int
    """Passes over the gathered states."""
    learning_rate: float
    """At first; it falls to a twentieth."""
    prices: np.ndarray
    """What a nat of distance from the rule costs, by cluster of the batch."""
    turn: int
    """How many parts of the stage came before; their states are learned from again."""
    last: bool


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
    """Gather states that the policy visits as it is, then learn from all that there are; from `done` on.

    Learning while gathering does not work: the first few hundred states decide, and a policy that is sure of itself
    has no gradient left.
    """
    seen = branches.env.num_envs * _steps(branches, terms)
    if done < decisions:
        memory.restore(terms.turn * -(-decisions // seen) * seen + done)
    while done < decisions:
        fresh = _gather(policy, branches, terms)
        memory.add(fresh, seen)
        done += seen
        figures = _fit(policy, memory, terms, rng, optimizer) if done >= decisions else {}
        yield Update(seen, figures)
    if terms.last:
        memory.forget()


def _fit(
    policy: ScorerPolicy,
    memory: Memory,
    terms: Terms,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    """Some passes over the memory, with a learning rate that falls to a twentieth."""
    error = away = 0.0
    for epoch in range(terms.epochs):
        batches = memory.minibatches(terms.minibatch, rng)
        figures = []
        for k, states in enumerate(batches):
            progress = (epoch + k / len(batches)) / terms.epochs
            for group in optimizer.param_groups:
                group["lr"] = terms.learning_rate * (1.0 - 0.95 * progress)
            figures.append(_update(policy, states, optimizer))
        error, away = np.mean(figures, axis=0)
    return {"improve/error": float(error), "improve/kl_to_rule": float(away)}


def _update(policy: ScorerPolicy, states: Labelled, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
    """One step of the optimizer; the error of the costs and the distance from the rule before it."""
    logits = policy.actor(Packed(states.lists))
    error = cost_error(logits, states.costs)
    behind = untried_excess(logits, states.costs, states.masks)
    targets = soft_targets(states.lists["rows"].float(), states.masks, states.rule)
    away = distances(masked_log_softmax(logits, states.masks), targets)
    optimizer.zero_grad()
    (error + UNTRIED_WEIGHT * behind + (states.price * away).mean()).backward()
    torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
    optimizer.step()
    return float(error.detach()), float(away.detach().mean())


def cost_error(logits: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """Mean Huber error, over all moves that were tried, of what the logits say that they cost above the mean of these.
    Both (states, 129)."""
    tried = torch.isfinite(costs)
    error = smooth_l1_loss(
        _above_mean(-LOGIT_COST * logits, tried) / SPREAD,
        _above_mean(costs, tried) / SPREAD,
        reduction="none",
    )
    return torch.where(tried, error, torch.zeros_like(error)).sum() / tried.sum().clamp(min=1)


def _above_mean(values: torch.Tensor, tried: torch.Tensor) -> torch.Tensor:
    """Values less the mean of those that were tried in the same state; 0 for the others."""
    known = torch.where(tried, values, torch.zeros_like(values))
    mean = known.sum(dim=1, keepdim=True) / tried.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(tried, known - mean, torch.zeros_like(values))


def untried_excess(logits: torch.Tensor, costs: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean over states of the mean square by which legal moves that were not tried come too near to the best of those
    that were: nothing is known of them."""
    tried = torch.isfinite(costs)
    untried = masks & ~tried & tried.any(dim=1, keepdim=True)
    best = logits.masked_fill(~tried, -1e9).amax(dim=1, keepdim=True).detach()
    near = torch.where(untried, torch.relu(logits - best + UNTRIED_GAP), torch.zeros_like(logits))
    return (near.pow(2).sum(dim=1) / untried.sum(dim=1).clamp(min=1)).mean()


def distances(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """KL(policy, targets) of each state. Both (states, 129); actions without a target count for nothing."""
    legal = targets > 0.0
    ratios = torch.where(legal, log_probs - targets.clamp(min=1e-12).log(), torch.zeros_like(log_probs))
    return (log_probs.exp() * ratios).sum(dim=1)


def _steps(branches: Branches, terms: Terms) -> int:
    """Steps of the batch between two parts of the memory."""
    return max(terms.minibatch // branches.env.num_envs, 1)


def _gather(policy: ScorerPolicy, branches: Branches, terms: Terms) -> Labelled:
    """States that the policy visits, and what its moves would cost there."""
    env = branches.env
    every = np.arange(env.num_envs)
    lists: list[dict[str, np.ndarray]] = []
    masks, costs, picks = [], [], []
    steps = _steps(branches, terms)
    for _ in range(steps):
        lists.append({name: value.copy() for name, value in env.observe().items()})
        masks.append(env.masks().copy())
        picks.append(env.batch.shown.picks[every, branches.rules].copy())
        costs.append(branches.costs())
        with torch.no_grad():
            packed = Packed({name: torch.as_tensor(value) for name, value in lists[-1].items()})
            actions = sample(masked_log_softmax(SHARPNESS * policy.actor(packed), masks[-1]))
        env.step(actions.numpy())
    joined = {name: torch.as_tensor(np.concatenate([part[name] for part in lists])) for name in lists[0]}
    labelled = torch.as_tensor(np.isfinite(np.concatenate(costs)).any(axis=1))
    gathered = Labelled(
        joined,
        torch.as_tensor(np.concatenate(masks)),
        torch.as_tensor(np.concatenate(costs)).float(),
        torch.as_tensor(np.concatenate(picks)).long(),
        torch.as_tensor(np.tile(terms.prices, steps)).float(),
    )
    return gathered.at(torch.nonzero(labelled)[:, 0])
