"""The claims about the released policy, in small."""

import pytest

from synergai.agents.learned import load, released
from synergai.envs import scenario as scenarios
from synergai.envs.tape import setting_of
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate


def test_the_demo_policy_is_released() -> None:
    assert "demo" in released()


@pytest.mark.slow
def test_the_released_policy_violates_less_than_the_heuristic_it_was_cloned_from() -> None:
    setting = setting_of(scenarios.load("demo"))
    rows = evaluate(setting, [load("demo"), RuleRunner("synergai")], range(8))
    ours, teacher = (column(rows, name, "violation_rate").mean() for name in ("demo", "synergai"))
    assert ours < teacher
