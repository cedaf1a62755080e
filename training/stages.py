"""The stages of training, in order: clone, improve in passes, critic, ppo."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch

from synergai.envs.rules import RULES
from synergai.training.branches import BEST, Branches, continuations
from synergai.training.clone import agreement, clone
from synergai.training.config import TrainConfig
from synergai.training.improve import Terms, improve
from synergai.training.memory import Memory
from synergai.training.policy import ScorerPolicy
from synergai.training.ppo import TimedMaskablePPO
from synergai.training.stage import Stage, Update
from synergai.training.vec_env import BatchVecEnv

AGREEMENT_DECISIONS = 4096
"""States on which the finished clone is compared with its teacher."""


def stages_of(
    config: TrainConfig,
    model: TimedMaskablePPO,
    env: BatchVecEnv,
    rng: np.random.Generator,
    folder: Path,
) -> list[Stage]:
    """What the settings ask for; labelled states are kept in `folder`. ValueError names a rule that does not exist."""
    for key, known in (("teacher", RULES), ("improve_rule", (BEST, *RULES))):
        if getattr(config, key) not in known:
            raise ValueError(f"{key} is {getattr(config, key)!r}; it must be one of {', '.join(known)}")
    policy = model.policy
    assert isinstance(policy, ScorerPolicy)
    part = config.improve_decisions // config.improve_passes
    branches = cache(lambda: branches_of(config, env))
    stages = [
        clone_stage(config, policy, env, rng),
        *(
            improve_stage(config, policy, branches, folder, rng, turn, part)
            for turn in range(config.improve_passes)
        ),
        critic_stage(config, policy, model),
        ppo_stage(config, policy, model),
    ]
    return [stage for stage in stages if stage.total]


def clone_stage(
    config: TrainConfig, policy: ScorerPolicy, env: BatchVecEnv, rng: np.random.Generator
) -> Stage:
    """The actor learns to do what the teacher does."""
    total, size = config.clone_decisions, config.clone_minibatch
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=config.clone_learning_rate)
    return Stage(
        "clone",
        total,
        optimizer,
        lambda done: clone(policy, env, config.teacher, total, size, rng, optimizer, done),
        facts=lambda: {"agreement": agreement(policy, env, config.teacher, AGREEMENT_DECISIONS, rng)},
    )


def branches_of(config: TrainConfig, env: BatchVecEnv) -> Branches:
    """The teacher of all passes; choosing its rules takes a while."""
    rules = continuations(env, config.improve_rule)
    return Branches(env, rules, config.improve_taus, config.threads)


def improve_stage(
    config: TrainConfig,
    policy: ScorerPolicy,
    branches: Callable[[], Branches],
    folder: Path,
    rng: np.random.Generator,
    turn: int,
    total: int,
) -> Stage:
    """One of the parts, each in smaller steps and freer of the teacher than the one before."""
    terms = Terms(
        config.teacher,
        config.improve_minibatch,
        config.improve_epochs,
        config.improve_temperature / (1 + turn),
        config.improve_learning_rate / (1 + turn),
    )
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=terms.learning_rate)
    name = f"improve {turn + 1}"
    memory = Memory(folder, name)
    return Stage(
        name,
        total,
        optimizer,
        lambda done: improve(policy, branches(), memory, terms, total, rng, optimizer, done),
    )


def critic_stage(config: TrainConfig, policy: ScorerPolicy, model: TimedMaskablePPO) -> Stage:
    """PPO with an actor that stays as it is."""

    def updates(done: int) -> Iterator[Update]:
        policy.actor.requires_grad_(False)
        yield from model.updates(config.critic_decisions, done)
        policy.actor.requires_grad_(True)

    return Stage("critic", config.critic_decisions, policy.optimizer, updates, changes_actor=False)


def ppo_stage(config: TrainConfig, policy: ScorerPolicy, model: TimedMaskablePPO) -> Stage:
    """PPO of both."""
    return Stage(
        "ppo",
        config.decisions,
        policy.optimizer,
        lambda done: model.updates(config.decisions, done),
        evaluate_every=config.evaluate_every,
    )
