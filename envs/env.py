"""The Gymnasium view of the simulator: one cluster, one decision per step.

Importing this module registers `synergai/Cluster-v0`; Gymnasium does so itself for
`gymnasium.make("synergai.envs.env:synergai/Cluster-v0")`. It is not done in the package: the bridge needs no Gymnasium.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from synergai.envs import scenario as scenarios
from synergai.envs.candidates import MAX_CANDIDATES, N_ACTIONS, empty_candidates, scratch_for
from synergai.envs.features import N_GLOBAL, N_ROW
from synergai.envs.reward import TERMS
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.simulator import act, advance
from synergai.envs.state import NONE
from synergai.envs.tape import make_tape, setting_of
from synergai.envs.world import new_sim, take_reward


class SynergaiEnv(gym.Env):
    """Schedule inference jobs on unlike machines.

    Observation: a dict of `rows` (128, features) float32 in [-1, 1], one per candidate, zero beyond `count`; `job` and
    `klass` (128,) int32, which candidates share a job or a hardware class; `shared` (global features,) float32;
    `count` (1,) int32. Columns: `synergai.envs.features`.

    Action: i < 128 is candidate i (START if its `room` is 1, else HOLD), 128 is DONE. `action_masks()` and
    `info["action_mask"]` say which are legal; in place of an illegal one the fallback rule's pick is carried out and
    `info["replaced"]` is true.

    Reward: minus one per deadline passed, minus a little per late second, minus energy where the scenario weighs it,
    all discounted inside the step by time (20 mean run times); the terms are in `info["reward_terms"]`, the seconds
    that passed in `info["dt_s"]`.

    An episode is truncated when the jobs of the counted window have finished; it never terminates.

    >>> env = gymnasium.make("synergai.envs.env:synergai/Cluster-v0", scenario="demo")
    >>> observation, info = env.reset(seed=1)
    >>> observation, reward, terminated, truncated, info = env.step(info["action_mask"].argmax())
    """

    def __init__(
        self, scenario: str = "demo", arrivals: int | None = None, load: float | None = None
    ) -> None:
        loaded = scenarios.load(scenario)
        self.setting = setting_of(loaded if load is None else loaded.model_copy(update={"load": load}))
        self.arrivals = arrivals
        self._out = empty_candidates()
        self.action_space = spaces.Discrete(N_ACTIONS)
        self.observation_space = spaces.Dict(
            {
                "rows": spaces.Box(-1.0, 1.0, (MAX_CANDIDATES, N_ROW), np.float32),
                "job": spaces.Box(0, np.iinfo(np.int32).max, (MAX_CANDIDATES,), np.int32),
                "klass": spaces.Box(0, np.iinfo(np.int32).max, (MAX_CANDIDATES,), np.int32),
                "shared": spaces.Box(-1.0, 1.0, (N_GLOBAL,), np.float32),
                "count": spaces.Box(0, MAX_CANDIDATES, (1,), np.int32),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new tape: that of `options["tape"]`, else one drawn from the seed."""
        super().reset(seed=seed)
        tape_seed = (options or {}).get("tape")
        if tape_seed is None:
            tape_seed = int(self.np_random.integers(2**31))
        self.sim = new_sim(self.setting, make_tape(self.setting, tape_seed, self.arrivals))
        self._scratch = scratch_for(self.sim.state)
        advance(self.sim, self._scratch, self._out, NONE)
        take_reward(self.sim)
        return self._observe(), self._info((0.0, 0.0, 0.0), 0)

    def step(self, action: np.int64) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Carry out one action and go on to the next decision."""
        if not 0 <= action < N_ACTIONS:
            raise ValueError(f"action {action} does not exist; they are 0 to {N_ACTIONS - 1}")
        replaced = not self._out.mask[action]
        taken = self._out.picks[RULE_NUMBER[FALLBACK]] if replaced else action
        alive, dt_us, terms = act(self.sim, self._scratch, self._out, int(taken))
        info = self._info(terms, dt_us)
        info["replaced"] = replaced
        return self._observe(), float(sum(terms)), False, not alive, info

    def action_masks(self) -> np.ndarray:
        """Which actions are legal. Shape (129,) bool."""
        return self._out.mask.copy()

    def _observe(self) -> dict[str, np.ndarray]:
        out = self._out
        return {
            "rows": out.rows.copy(),
            "job": out.job.copy(),
            "klass": out.klass.copy(),
            "shared": out.shared.copy(),
            "count": out.n.copy(),
        }

    def _info(self, terms: tuple[float, float, float], dt_us: int) -> dict[str, Any]:
        return {
            "action_mask": self.action_masks(),
            "reward_terms": dict(zip(TERMS, terms)),
            "dt_s": dt_us * 1e-6,
        }


gym.register(id="synergai/Cluster-v0", entry_point="synergai.envs.env:SynergaiEnv")
