"""The batched simulator as a stable-baselines3 `VecEnv`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from synergai.envs import batch as batches
from synergai.envs.candidates import MAX_CANDIDATES, N_ACTIONS
from synergai.envs.features import N_GLOBAL, N_ROW
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.tape import Setting, make_tape

OBSERVATION_SPACE = spaces.Dict(
    {
        "rows": spaces.Box(-1.0, 1.0, (MAX_CANDIDATES, N_ROW), np.float32),
        "job": spaces.Box(0, np.iinfo(np.int32).max, (MAX_CANDIDATES,), np.int32),
        "klass": spaces.Box(0, np.iinfo(np.int32).max, (MAX_CANDIDATES,), np.int32),
        "shared": spaces.Box(-1.0, 1.0, (N_GLOBAL,), np.float32),
        "count": spaces.Box(0, MAX_CANDIDATES, (1,), np.int32),
    }
)
EMPTY_START = 0.2
FIRST_TAPE = 1_000_000
"""Training tapes start here; selection and test tapes are below."""
EPISODE_TAUS = 1e6


class BatchVecEnv(VecEnv):
    """`size` clusters in families of `siblings`, one setting per family in turn.

    An episode is a tape, truncated at its end and never terminated. Siblings go through the same tapes from the same
    starts, so what happens to one tells how much of the other's fortune was luck.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        size: int,
        arrivals: int,
        warm_start: int,
        seed: int,
        scale: float,
        siblings: int = 1,
    ) -> None:
        self.render_mode = None
        super().__init__(size, OBSERVATION_SPACE, spaces.Discrete(N_ACTIONS))
        if size % siblings:
            raise ValueError(f"{size} environments cannot be split into families of {siblings}")
        if size // siblings < len(settings):
            raise ValueError(
                f"{size // siblings} families of environments cannot cover {len(settings)} settings"
            )
        self.siblings = siblings
        self.settings = [settings[b // siblings % len(settings)] for b in range(size)]
        self.arrivals = arrivals
        self.warm_start = warm_start
        self.scale = scale
        self.rules = [FALLBACK] * size
        """What leads up to each cluster's episodes."""
        self.taus_us = np.array([setting.capacity.tau_s * 1e6 for setting in self.settings])
        self.batch = batches.new_batch(settings, size, arrivals)
        self.violations = 0
        self.jobs = 0
        self.episodes = np.full(size, -1, np.int64)
        self._seed = seed
        self._actions = np.zeros(size, np.int64)
        self._last_dt = np.zeros(size)

    def reset(self) -> dict[str, np.ndarray]:
        for b in range(self.num_envs):
            self._restart(b)
        return self.observe()

    def _restart(self, b: int) -> None:
        family = b // self.siblings
        while True:
            self.episodes[b] += 1
            rng = np.random.default_rng([self._seed, family, self.episodes[b]])
            number = FIRST_TAPE + int(rng.integers(2**40))
            tape = make_tape(self.settings[b], number, self.arrivals, tail=0.0)
            empty = rng.random() < EMPTY_START or self.warm_start == 0
            until = 0 if empty else int(rng.integers(1, self.warm_start + 1))
            batches.load(self.batch, b, self.settings[b], tape, RULE_NUMBER[self.rules[b]], until)
            if self.batch.alive[b]:
                return

    def observe(self) -> dict[str, np.ndarray]:
        """Views of the current candidate lists; copy what must outlive the next step."""
        shown = self.batch.shown
        return {
            "rows": shown.rows,
            "job": shown.job,
            "klass": shown.klass,
            "shared": shown.shared,
            "count": shown.n,
        }

    def masks(self) -> np.ndarray:
        """Legal actions, (size, 129) bool; a view."""
        return self.batch.shown.mask

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = np.asarray(actions, np.int64)

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """One decision each. The last action of a tape ends the episode; its successor is the next tape's start."""
        batches.step(self.batch, self._actions)
        self._last_dt = self.batch.dt_us / self.taus_us
        dones = ~self.batch.alive
        rewards = (self.batch.rewards.sum(axis=1) * self.scale).astype(np.float32)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(dones):
            outcomes = self.batch.sims.outcomes[b]
            self.violations += int((outcomes["violated"] == 1).sum())
            self.jobs += int(self.batch.sims.progress[b, 0]["next_arrival"])
            infos[b] = {"TimeLimit.truncated": True}
            self._restart(int(b))
        return self.observe(), rewards, dones, infos

    def time_taus(self) -> np.ndarray:
        """Time that the last step took, in mean run times. (size,)"""
        return self._last_dt

    def clock_taus(self) -> np.ndarray:
        """When the decisions now shown are taken: episodes apart by more than any lasts, in mean run times. (size,)"""
        now_us = self.batch.sims.state.clock["now_us"][:, 0]
        return self.episodes * EPISODE_TAUS + now_us / self.taus_us

    def potentials(self) -> np.ndarray:
        """The critic's starting point at the decisions now shown, in scaled reward. (size,)"""
        return self.batch.potentials * self.scale

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("settings of a running batch do not change")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Only `action_masks`, which sb3-contrib asks for."""
        if method_name != "action_masks":
            raise AttributeError(f"the batch has no method {method_name!r}")
        return [self.masks()[b].copy() for b in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))
