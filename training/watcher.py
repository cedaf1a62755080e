"""How good a policy is while it is trained: rates beside the rules' in TensorBoard, a line, the best weights."""

from collections.abc import Callable, Sequence

import numpy as np
from stable_baselines3.common.logger import Figure, Logger

from synergai.agents.learned import Checkpoint, Learned
from synergai.agents.scorer import Weights
from synergai.envs.candidates import scratch_for
from synergai.envs.tape import Setting, make_tape
from synergai.envs.world import new_sim
from synergai.training.config import TrainConfig
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate
from synergai.training.evaluation.gantt import MOST_NODES, figure_of
from synergai.training.evaluation.tapes import SELECTION
from synergai.training.policy import ScorerPolicy
from synergai.training.snapshot import Tensors

YARDSTICKS = ("synergai", "edf_feasible", "edf_likely")
"""Rules whose violation rates are drawn beside the policy's."""
PICTURED_ARRIVALS = 120
"""Of the episode that is drawn after each evaluation: always the same one."""


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
            self.logger.record(
                f"excess_mean_s/{tag}", float(column(ours, policy.name, "excess_mean_s").mean())
            )
            for rule in YARDSTICKS:
                self.logger.record(f"fewer_than_{rule}/{tag}", self._rule_rate(i, rule) - rates[-1])
        mean = float(np.mean(rates))
        rules = {rule: np.mean([self._rule_rate(i, rule) for i in range(len(rates))]) for rule in YARDSTICKS}
        self.logger.record("violation_rate/mean", mean)
        self._draw(policy)
        self.last = f"violations {100 * mean:.2f} %"
        beside = ", ".join(f"{rule} {100 * rate:.2f} %" for rule, rate in rules.items())
        self.tell(f"{when}: {self.last} on selection tapes ({beside})")
        if mean < self.best_rate:
            self.best_rate = mean
            self.best = {name: value.clone() for name, value in self.policy.state_dict().items()}
        return mean

    def _draw(self, policy: Learned) -> None:
        """What runs where and when in one short episode of the first setting."""
        setting = self.settings[0]
        if len(setting.catalog.nodes) > MOST_NODES:
            return
        sim = new_sim(setting, make_tape(setting, SELECTION[0], PICTURED_ARRIVALS))
        policy.run(sim, scratch_for(sim.state))
        title = f"{setting.scenario.name}, load {setting.scenario.load:g}, tape {SELECTION[0]}"
        figure = Figure(figure_of(setting, sim, title), close=True)
        self.logger.record("episode", figure, exclude=("stdout", "log", "json", "csv"))

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
