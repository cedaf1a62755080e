"""The actor learns from sampled futures what each move would have been worth.

On the states that the current policy visits, every rule's pick, DONE and some other STARTs are tried in the same
futures (`training.labels`), and the actor is fitted to pay the least for its moves, with some entropy kept: the logits
come to be what moves cost, LOGIT_COST each. Labels are noisy, and the network averages over states; it pays a little
for every nat by which it departs from the rule, and takes moves that were not tried for bad ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from synergai.agents.learned import LOGIT_COST
from synergai.training.clone import soft_targets
from synergai.training.labels import Labels
from synergai.training.memory import Labelled, Memory
from synergai.training.network import Packed
from synergai.training.policy import ScorerPolicy, masked_log_softmax, sample
from synergai.training.stage import Update

MOST = 0.3
"""What a move may cost more than the rule's, in violations: worse is only bad."""
LEAST = -1.0
"""And less."""
UNTRIED = 0.05
"""What a move is taken to cost of which nothing is known."""
SCALE = 10.0
"""Of the loss, for the optimizer."""


@dataclass(frozen=True)
class Terms:
    """How the actor learns from labelled states."""

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
    labels: Labels,
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
    seen = labels.env.num_envs * _steps(labels, terms)
    if done < decisions:
        memory.restore(terms.turn * -(-decisions // seen) * seen + done)
    while done < decisions:
        fresh = _gather(policy, labels, terms)
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
    cost = away = 0.0
    for epoch in range(terms.epochs):
        batches = memory.minibatches(terms.minibatch, rng)
        figures = []
        for k, states in enumerate(batches):
            progress = (epoch + k / len(batches)) / terms.epochs
            for group in optimizer.param_groups:
                group["lr"] = terms.learning_rate * (1.0 - 0.95 * progress)
            figures.append(_update(policy, states, optimizer))
        cost, away = np.mean(figures, axis=0)
    return {"improve/cost": float(cost), "improve/kl_to_rule": float(away)}


def _update(policy: ScorerPolicy, states: Labelled, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
    """One step of the optimizer; what the policy's moves cost and its distance from the rule before it."""
    log_probs = masked_log_softmax(policy.actor(Packed(states.lists)), states.masks)
    cost = expected_costs(log_probs, states.costs, states.masks).mean()
    entropy = -(log_probs.exp() * log_probs.masked_fill(~states.masks, 0.0)).sum(dim=1).mean()
    targets = soft_targets(states.lists["rows"].float(), states.masks, states.rule)
    away = distances(log_probs, targets)
    optimizer.zero_grad()
    (SCALE * (cost - LOGIT_COST * entropy) + (states.price * away).mean()).backward()
    torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
    optimizer.step()
    return float(cost.detach()), float(away.detach().mean())


def expected_costs(log_probs: torch.Tensor, costs: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """What a policy's moves cost more than the rule's in the mean, state by state. All (states, 129); costs are inf
    where a move was not tried."""
    known = torch.where(torch.isfinite(costs), costs.clamp(LEAST, MOST), torch.full_like(costs, UNTRIED))
    return (log_probs.exp() * known.masked_fill(~masks, 0.0)).sum(dim=1)


def distances(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """KL(policy, targets) of each state. Both (states, 129); actions without a target count for nothing."""
    legal = targets > 0.0
    ratios = torch.where(legal, log_probs - targets.clamp(min=1e-12).log(), torch.zeros_like(log_probs))
    return (log_probs.exp() * ratios).sum(dim=1)


def _steps(labels: Labels, terms: Terms) -> int:
    """Steps of the batch between two parts of the memory."""
    return max(terms.minibatch // labels.env.num_envs, 1)


def _gather(policy: ScorerPolicy, labels: Labels, terms: Terms) -> Labelled:
    """States that the policy visits, and what its moves would cost there."""
    env = labels.env
    every = np.arange(env.num_envs)
    lists: list[dict[str, np.ndarray]] = []
    masks, costs, picks = [], [], []
    steps = _steps(labels, terms)
    for _ in range(steps):
        lists.append({name: value.copy() for name, value in env.observe().items()})
        masks.append(env.masks().copy())
        picks.append(env.batch.shown.picks[every, labels.rules].copy())
        costs.append(labels.costs())
        with torch.no_grad():
            packed = Packed({name: torch.as_tensor(value) for name, value in lists[-1].items()})
            actions = sample(masked_log_softmax(policy.actor(packed), masks[-1]))
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
