"""MaskablePPO in continuous time: discount and trace by elapsed time, and a critic that starts from the potential.

Stock PPO discounts per step; here a step may take a microsecond or a minute. discount = exp(-dt / (20 tau)), trace =
exp(-dt / (5 tau)). Episodes are truncated, never terminated. With V = potential + v, gradients are those of
potential-based shaping for any discount, and rewards stay counted violations.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import njit
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from synergai.training.stage import Update
from synergai.training.vec_env import BatchVecEnv


@njit(cache=True)
def timed_advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    last_values: np.ndarray,
    ends: np.ndarray,
    end_values: np.ndarray,
    dt_taus: np.ndarray,
    discount_taus: float,
    trace_taus: float,
) -> np.ndarray:
    """Generalised advantage with per-step discount and trace. All (steps, environments) but last_values.

    `dt_taus[t]` is the time from decision t to the next one, `ends[t]` says that the episode was truncated after it,
    and then `end_values[t]` stands for the value of what would have followed.
    """
    steps, size = rewards.shape
    advantages = np.zeros((steps, size))
    for b in range(size):
        carried = 0.0
        following = last_values[b]
        for t in range(steps - 1, -1, -1):
            if ends[t, b]:
                following = end_values[t, b]
                carried = 0.0
            discount = np.exp(-dt_taus[t, b] / discount_taus)
            trace = np.exp(-dt_taus[t, b] / trace_taus)
            delta = rewards[t, b] + discount * following - values[t, b]
            carried = delta + discount * trace * carried
            advantages[t, b] = carried
            following = values[t, b]
    return advantages


@njit(cache=True)
def less_luck(advantages: np.ndarray, clock: np.ndarray, siblings: int) -> np.ndarray:
    """Advantages minus the mean of the siblings' at the same time: arrivals and job noise, which they share, cancel.

    Both (steps, environments). A sibling is looked up at its first decision at or after that time; one that has none
    in this rollout counts 0. Siblings do not know each other's actions, so this biases nothing.
    """
    steps, size = advantages.shape
    result = advantages.copy()
    for b in range(size):
        first = b - b % siblings
        for other in range(first, first + siblings):
            if other == b:
                continue
            s = 0
            for t in range(steps):
                while s < steps and clock[s, other] < clock[t, b]:
                    s += 1
                if s < steps:
                    result[t, b] -= advantages[s, other] / (siblings - 1)
    return result


class TimedRolloutBuffer(MaskableDictRolloutBuffer):
    """Keeps elapsed times and potentials beside what the stock buffer keeps."""

    discount_taus = 20.0
    trace_taus = 5.0
    siblings = 1

    def reset(self) -> None:
        super().reset()
        shape = (self.buffer_size, self.n_envs)
        self.dt_taus = np.zeros(shape)
        self.potentials = np.zeros(shape)
        self.clock_taus = np.zeros(shape)
        self.ends = np.zeros(shape, np.bool_)
        self.end_values = np.zeros(shape)

    def finish(self, last_values: np.ndarray) -> None:
        """Advantages and the critic's targets; `last_values` (environments,) are full values, potential included."""
        full = self.values + self.potentials
        advantages = timed_advantages(
            self.rewards, full, last_values, self.ends, self.end_values, self.dt_taus, self.discount_taus,
            self.trace_taus,
        )  # fmt: skip
        fair = less_luck(advantages, self.clock_taus, self.siblings) if self.siblings > 1 else advantages
        self.advantages = fair.astype(np.float32)
        self.returns = (advantages + self.values).astype(np.float32)


class TimedMaskablePPO(MaskablePPO):
    """`MaskablePPO` whose rollouts come from the batched simulator."""

    def __init__(
        self, *args: Any, discount_taus: float = 20.0, trace_taus: float = 5.0, **kwargs: Any
    ) -> None:
        self.discount_taus = discount_taus
        self.trace_taus = trace_taus
        self.timed = True
        """Discount and trace by elapsed time, not by decisions."""
        self.shaped = True
        """The critic starts from the potential, not from zero."""
        self.collect_threads = 1
        self.update_threads = 2
        super().__init__(*args, rollout_buffer_class=TimedRolloutBuffer, **kwargs)

    def updates(self, decisions: int, done: int = 0) -> Iterator[Update]:
        """Rollouts and what is learned from them, until so many decisions are taken; from `done` on."""
        env, callback = self.env, CallbackList([])
        assert isinstance(env, BatchVecEnv)
        callback.init_callback(self)
        env.violations = env.jobs = 0
        while done < decisions:
            self.collect_rollouts(env, callback, self.rollout_buffer, self.n_steps)
            self.train()
            figures: dict[str, float] = {}
            if env.jobs:
                figures["train_tapes/violation_rate"] = env.violations / env.jobs
            env.violations = env.jobs = 0
            done += self.n_steps * env.num_envs
            yield Update(self.n_steps * env.num_envs, figures)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
        use_masking: bool = True,
    ) -> bool:
        """Fill the buffer; what stock SB3 does per environment in Python is done for the whole batch."""
        assert isinstance(env, BatchVecEnv)
        assert isinstance(rollout_buffer, TimedRolloutBuffer)
        rollout_buffer.discount_taus, rollout_buffer.trace_taus = self.discount_taus, self.trace_taus
        rollout_buffer.siblings = env.siblings
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        torch.set_num_threads(self.collect_threads)
        for t in range(n_rollout_steps):
            observation = {name: value.copy() for name, value in env.observe().items()}
            masks = env.masks().copy()
            potentials = self._potentials(env)
            rollout_buffer.clock_taus[t] = env.clock_taus()
            with torch.no_grad():
                tensors = {name: torch.as_tensor(value) for name, value in observation.items()}
                actions, values, log_probs = self.policy(tensors, action_masks=masks)
            _, rewards, dones, _ = env.step(actions.numpy())
            rollout_buffer.potentials[t] = potentials
            rollout_buffer.dt_taus[t] = env.time_taus()
            rollout_buffer.ends[t] = dones
            # a truncated tape goes on as it was: its last value is the best guess of what would have followed
            rollout_buffer.end_values[t] = np.where(dones, values.numpy()[:, 0] + potentials, 0.0)
            rollout_buffer.add(
                observation,
                actions.numpy(),
                rewards,
                dones.astype(np.float32),
                values,
                log_probs,
                action_masks=masks,
            )
            self.num_timesteps += env.num_envs
            if not callback.on_step():
                return False
        with torch.no_grad():
            tensors = {name: torch.as_tensor(value) for name, value in env.observe().items()}
            last = self.policy.predict_values(tensors).numpy()[:, 0] + self._potentials(env)
        if not self.timed:
            rollout_buffer.dt_taus[:] = rollout_buffer.dt_taus.mean()
        rollout_buffer.finish(last)
        torch.set_num_threads(self.update_threads)
        callback.on_rollout_end()
        return True

    def _potentials(self, env: BatchVecEnv) -> np.ndarray:
        """What the critic starts from. (environments,)"""
        return env.potentials() if self.shaped else np.zeros(env.num_envs)
