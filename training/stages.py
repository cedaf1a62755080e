"""The stages of training, in order: clone, match, improve in passes, critic, ppo."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch

from synergai.envs.rules import RULES
from synergai.training.clone import agreement, clone
from synergai.training.config import TrainConfig
from synergai.training.improve import Terms, improve
from synergai.training.labels import BEST, Labels, rules_of
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
    for key, known in (("teacher", RULES), ("rule", (BEST, *RULES))):
        if getattr(config, key) not in known:
            raise ValueError(f"{key} is {getattr(config, key)!r}; it must be one of {', '.join(known)}")
    policy = model.policy
    assert isinstance(policy, ScorerPolicy)
    if len(config.improve_prices) not in (1, len(config.loads)):
        raise ValueError(
            f"improve_prices has {len(config.improve_prices)} values for {len(config.loads)} loads"
        )
    rules = cache(lambda: rules_of(env, config.rule))  # finding them takes a while
    labels = cache(lambda: labels_of(config, env, rules()))
    memory = Memory(folder)
    stages = [
        clone_stage(config, policy, env, rng),
        match_stage(config, policy, env, rules, rng),
        *(improve_stage(config, policy, labels, memory, rng, turn) for turn in range(config.improve_passes)),
        critic_stage(config, policy, model),
        ppo_stage(config, policy, model),
    ]
    return [stage for stage in stages if stage.total]


def clone_stage(
    config: TrainConfig, policy: ScorerPolicy, env: BatchVecEnv, rng: np.random.Generator
) -> Stage:
    """The actor learns to do what the teacher does."""
    total, size = config.clone_decisions, config.clone_minibatch
    teachers = [config.teacher] * env.num_envs
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=config.clone_learning_rate)
    return Stage(
        "clone",
        total,
        optimizer,
        lambda done: clone(policy, env, teachers, total, size, rng, optimizer, done),
        facts=lambda: {"agreement": agreement(policy, env, teachers, AGREEMENT_DECISIONS, rng)},
    )


def match_stage(
    config: TrainConfig,
    policy: ScorerPolicy,
    env: BatchVecEnv,
    rules: Callable[[], list[str]],
    rng: np.random.Generator,
) -> Stage:
    """The actor learns to do what the best rule of each setting does, and so to tell where that is."""
    total, size = config.match_decisions, config.clone_minibatch
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=config.clone_learning_rate)

    def updates(done: int) -> Iterator[Update]:
        lead_up(env, rules())
        yield from clone(policy, env, rules(), total, size, rng, optimizer, done, "match")

    return Stage(
        "match",
        total,
        optimizer,
        updates,
        facts=lambda: {"agreement": agreement(policy, env, rules(), AGREEMENT_DECISIONS, rng)},
    )


def lead_up(env: BatchVecEnv, rules: list[str]) -> None:
    """From now on episodes begin where these rules have led."""
    if env.rules != rules:
        env.rules = rules
        env.reset()


def labels_of(config: TrainConfig, env: BatchVecEnv, rules: list[str]) -> Labels:
    """What all passes learn from."""
    lead_up(env, rules)
    return Labels(env, rules, config.improve_futures, config.improve_taus, config.threads)


def prices_of(config: TrainConfig, env: BatchVecEnv) -> np.ndarray:
    """By cluster, what leaving the rule costs at its load."""
    prices = config.improve_prices * (len(config.loads) if len(config.improve_prices) == 1 else 1)
    loads, prices = zip(*sorted(zip(config.loads, prices)))
    return np.interp([setting.scenario.load for setting in env.settings], loads, prices)


def improve_stage(
    config: TrainConfig,
    policy: ScorerPolicy,
    labels: Callable[[], Labels],
    memory: Memory,
    rng: np.random.Generator,
    turn: int,
) -> Stage:
    """One of the parts; each learns from the states of all so far."""
    total = config.improve_decisions // config.improve_passes
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=config.improve_learning_rate)

    def updates(done: int) -> Iterator[Update]:
        terms = Terms(
            config.improve_minibatch,
            config.improve_epochs,
            config.improve_learning_rate,
            prices_of(config, labels().env),
            turn,
            last=turn + 1 == config.improve_passes,
        )
        yield from improve(policy, labels(), memory, terms, total, rng, optimizer, done)

    return Stage(f"improve {turn + 1}", total, optimizer, updates)


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
