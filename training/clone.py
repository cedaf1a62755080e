"""The actor learns to do what a rule does, on the states that the rule meets."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from synergai.agents.heuristics import ROOM
from synergai.envs.features import FIRST_PICK, N_CANDIDATE
from synergai.envs.rules import RULE_NUMBER, RULES
from synergai.training.network import Packed
from synergai.training.policy import ScorerPolicy, masked_log_softmax
from synergai.training.stage import Update
from synergai.training.vec_env import BatchVecEnv

STRAY = 0.1
"""Share of moves taken from another rule, so that the clone also knows states the teacher would not get into."""
RULE_PICK, OTHER_START, OTHER = 0.15, 0.05, 0.005
"""What the clone leaves to actions that the teacher did not pick, relative to its pick: a START that another rule
picks, any other START, any other HOLD or DONE. Without it PPO has nothing to explore."""


def clone(
    policy: ScorerPolicy,
    env: BatchVecEnv,
    teachers: Sequence[str],
    decisions: int,
    minibatch: int,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
    done: int = 0,
    name: str = "clone",
) -> Iterator[Update]:
    """Behaviour cloning on fresh states, each used once; from `done` on. `teachers` names each cluster's rule, and
    `name` the curves."""
    numbers = np.array([RULE_NUMBER[teacher] for teacher in teachers])
    steps = max(minibatch // env.num_envs, 1)
    while done < decisions:
        lists, masks, labels = _gather(env, numbers, steps, rng)
        log_probs = masked_log_softmax(policy.actor(Packed(lists)), masks)
        loss = -(soft_targets(lists["rows"], masks, labels) * log_probs).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
        optimizer.step()
        done += len(labels)
        agreed = (log_probs.argmax(dim=1) == labels).float().mean()
        yield Update(len(labels), {f"{name}/loss": float(loss.detach()), f"{name}/agreement": float(agreed)})


@torch.no_grad()
def agreement(
    policy: ScorerPolicy,
    env: BatchVecEnv,
    teachers: Sequence[str],
    decisions: int,
    rng: np.random.Generator,
) -> float:
    """Share of fresh states on which the actor's likeliest action is the teacher's pick."""
    numbers = np.array([RULE_NUMBER[teacher] for teacher in teachers])
    steps = -(-decisions // env.num_envs)
    lists, masks, labels = _gather(env, numbers, steps, rng)
    actions = masked_log_softmax(policy.actor(Packed(lists)), masks).argmax(dim=1)
    return float((actions == labels).float().mean())


def soft_targets(rows: torch.Tensor, masks: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mostly the teacher's pick, a little of every other legal action. (lists, 129)"""
    picked = rows[:, :, FIRST_PICK:N_CANDIDATE].amax(dim=2) > 0.5
    starts = torch.where(picked, RULE_PICK, OTHER_START)
    weights = torch.where(rows[:, :, ROOM] > 0.5, starts, OTHER)
    weights = torch.cat([weights, torch.full((len(rows), 1), OTHER)], dim=1) * masks
    weights.scatter_(1, labels[:, None], 1.0)
    return weights / weights.sum(dim=1, keepdim=True)


def _gather(
    env: BatchVecEnv, teachers: np.ndarray, steps: int, rng: np.random.Generator
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """States under (mostly) the teacher, their masks, and what it would do."""
    lists: list[dict[str, np.ndarray]] = []
    masks, labels = [], []
    every = np.arange(env.num_envs)
    for _ in range(steps):
        picks = env.batch.shown.picks
        own = picks[every, teachers]
        lists.append({name: value.copy() for name, value in env.observe().items()})
        masks.append(env.masks().copy())
        labels.append(own)
        strays = rng.random(env.num_envs) < STRAY
        other = picks[every, rng.integers(len(RULES), size=env.num_envs)]
        env.step(np.where(strays, other, own))
    joined = {name: torch.as_tensor(np.concatenate([part[name] for part in lists])) for name in lists[0]}
    return joined, torch.as_tensor(np.concatenate(masks)), torch.as_tensor(np.concatenate(labels)).long()
