"""What a run shows while it goes on: rates beside the rules' in TensorBoard, evaluation lines, the best weights."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from synergai.agents.learned import Checkpoint, Learned
from synergai.agents.scorer import Weights
from synergai.envs.tape import Setting
from synergai.training.config import TrainConfig
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate
from synergai.training.evaluation.tapes import SELECTION
from synergai.training.policy import ScorerPolicy
from synergai.training.vec_env import BatchVecEnv

YARDSTICKS = ("synergai", "sjf_feasible")
"""Rules whose violation rates are drawn beside the policy's."""


class Watcher(BaseCallback):
    """Progress, the rates of finished episodes, and evaluations on selection tapes."""

    def __init__(
        self, config: TrainConfig, settings: list[Setting], env: BatchVecEnv, tick: Callable[[int, str], None]
    ) -> None:
        """`tick(decisions, note)` is called after every rollout."""
        super().__init__()
        self.config = config
        self.settings = settings
        self.env = env
        self.tick = tick
        self.best: tuple[float, dict[str, Any]] | None = None
        self.last = ""
        self.tell: Callable[[str], None] = lambda line: None
        self._next = config.evaluate_every
        self._rules: dict[tuple[int, str], float] = {}
        self._began = time.monotonic()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.env.jobs:
            self.logger.record("train_tapes/violation_rate", self.env.violations / self.env.jobs)
        self.logger.record(
            "time/decisions_per_s", self.num_timesteps / max(time.monotonic() - self._began, 1e-9)
        )
        self.env.violations = self.env.jobs = 0
        self.tick(self.num_timesteps, self.last)
        if self.config.evaluate_every and self.num_timesteps >= self._next:
            self._next += self.config.evaluate_every
            self.evaluate()

    def evaluate(self, stage: str = "") -> float:
        """Mean violation rate over the settings on selection tapes; the best policy so far is kept."""
        rates = []
        policy = policy_runner(self.model.policy, self.config)
        seeds = SELECTION[: self.config.evaluation_tapes]
        for i, setting in enumerate(self.settings):
            tag = f"{setting.scenario.name}-rho{setting.scenario.load:g}"
            ours = evaluate(setting, [policy], seeds, self.config.evaluation_arrivals)
            rates.append(float(column(ours, policy.name, "violation_rate").mean()))
            self.logger.record(f"violation_rate/{tag}", rates[-1])
            for rule in YARDSTICKS:
                self.logger.record(f"fewer_than_{rule}/{tag}", self._rule_rate(i, rule) - rates[-1])
        mean = float(np.mean(rates))
        rules = {rule: np.mean([self._rule_rate(i, rule) for i in range(len(rates))]) for rule in YARDSTICKS}
        self.logger.record("violation_rate/mean", mean)
        self.logger.dump(self.num_timesteps)
        self.last = f"violations {100 * mean:.2f} %"
        beside = ", ".join(f"{rule} {100 * rate:.2f} %" for rule, rate in rules.items())
        when = stage or f"ppo, {self.num_timesteps:,} decisions"
        self.tell(f"{when}: {self.last} on selection tapes ({beside})")
        if self.best is None or mean < self.best[0]:
            weights = {name: value.clone() for name, value in self.model.policy.state_dict().items()}
            self.best = (mean, weights)
        return mean

    def _rule_rate(self, i: int, rule: str) -> float:
        if (i, rule) not in self._rules:
            seeds = SELECTION[: self.config.evaluation_tapes]
            rows = evaluate(self.settings[i], [RuleRunner(rule)], seeds, self.config.evaluation_arrivals)
            self._rules[i, rule] = float(column(rows, rule, "violation_rate").mean())
        return self._rules[i, rule]


def policy_runner(policy: Any, config: TrainConfig) -> Learned:
    """The policy as it is now, in compiled code."""
    assert isinstance(policy, ScorerPolicy)
    tensors = {name: np.ascontiguousarray(value.numpy()) for name, value in policy.actor.weights().items()}
    return Learned(Checkpoint(config.name, Weights(**tensors), {}))
