"""How good a policy is while it is trained: rates beside the rules' in TensorBoard, a line, the best weights."""

from collections.abc import Callable, Sequence

import numpy as np
from stable_baselines3.common.logger import Logger

from synergai.agents.learned import Checkpoint, Learned
from synergai.agents.scorer import Weights
from synergai.envs.tape import Setting
from synergai.training.config import TrainConfig
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate
from synergai.training.evaluation.tapes import SELECTION
from synergai.training.policy import ScorerPolicy
from synergai.training.snapshot import Tensors

YARDSTICKS = ("synergai", "edf_feasible")
"""Rules whose violation rates are drawn beside the policy's."""


class Watcher:
    """Evaluations on selection tapes, and the best policy among them."""

    def __init__(
        self,
        config: TrainConfig,
        settings: Sequence[Setting],
        policy: ScorerPolicy,
        logger: Logger,
        tell: Callable[[str], None],
    ) -> None:
        self.config = config
        self.settings = settings
        self.policy = policy
        self.logger = logger
        self.tell = tell
        self.best_rate = float("inf")
        self.best: Tensors = {}
        self.last = ""
        self._rules: dict[tuple[int, str], float] = {}

    def evaluate(self, when: str) -> float:
        """Mean violation rate over the settings on selection tapes; the best policy so far is kept."""
        rates = []
        policy = policy_runner(self.policy, self.config)
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
        self.last = f"violations {100 * mean:.2f} %"
        beside = ", ".join(f"{rule} {100 * rate:.2f} %" for rule, rate in rules.items())
        self.tell(f"{when}: {self.last} on selection tapes ({beside})")
        if mean < self.best_rate:
            self.best_rate = mean
            self.best = {name: value.clone() for name, value in self.policy.state_dict().items()}
        return mean

    def _rule_rate(self, i: int, rule: str) -> float:
        if (i, rule) not in self._rules:
            seeds = SELECTION[: self.config.evaluation_tapes]
            rows = evaluate(self.settings[i], [RuleRunner(rule)], seeds, self.config.evaluation_arrivals)
            self._rules[i, rule] = float(column(rows, rule, "violation_rate").mean())
        return self._rules[i, rule]


def policy_runner(policy: ScorerPolicy, config: TrainConfig) -> Learned:
    """The policy as it is now, in compiled code."""
    tensors = {name: np.ascontiguousarray(value.numpy()) for name, value in policy.actor.weights().items()}
    return Learned(Checkpoint(config.name, Weights(**tensors), {}))
