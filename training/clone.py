"""Stage one: the actor learns to do what the teacher, a rule, does on the states the rule meets."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from synergai.envs.rules import RULE_NUMBER, RULES
from synergai.training.network import Packed
from synergai.training.policy import ScorerPolicy, masked_log_softmax
from synergai.training.vec_env import BatchVecEnv

STRAY = 0.1
"""Share of moves taken from another rule, so that the clone also knows states the teacher would not get into."""


def clone(
    policy: ScorerPolicy,
    env: BatchVecEnv,
    teacher: str,
    decisions: int,
    minibatch: int,
    learning_rate: float,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> float:
    """Behaviour cloning on fresh states, each used once. Returns the agreement on the last tenth of them."""
    if teacher not in RULES:
        raise ValueError(f"teacher is {teacher!r}; it must be one of {', '.join(RULES)}")
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=learning_rate)
    rng = np.random.default_rng([seed, 0x434C])
    steps = max(minibatch // env.num_envs, 1)
    env.reset()
    agreed: list[float] = []
    done = 0
    while done < decisions:
        lists, masks, labels = _gather(env, RULE_NUMBER[teacher], steps, rng)
        log_probs = masked_log_softmax(policy.actor(Packed(lists)), masks)
        loss = functional.nll_loss(log_probs, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
        optimizer.step()
        agreed.append(float((log_probs.argmax(dim=1) == labels).float().mean()))
        done += len(labels)
        progress(min(done, decisions))
    return float(np.mean(agreed[-max(len(agreed) // 10, 1) :]))


def _gather(
    env: BatchVecEnv, teacher: int, steps: int, rng: np.random.Generator
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """States under (mostly) the teacher, their masks, and what it would do."""
    lists: list[dict[str, np.ndarray]] = []
    masks, labels = [], []
    for _ in range(steps):
        picks = env.batch.shown.picks
        lists.append({name: value.copy() for name, value in env.observe().items()})
        masks.append(env.masks().copy())
        labels.append(picks[:, teacher].copy())
        strays = rng.random(env.num_envs) < STRAY
        other = picks[np.arange(env.num_envs), rng.integers(len(RULES), size=env.num_envs)]
        env.step(np.where(strays, other, picks[:, teacher]))
    joined = {name: torch.as_tensor(np.concatenate([part[name] for part in lists])) for name in lists[0]}
    return joined, torch.as_tensor(np.concatenate(masks)), torch.as_tensor(np.concatenate(labels)).long()
