"""The claims about the released policy, in small."""

import pytest

from synergai.agents.learned import load, released
from synergai.envs import scenario as scenarios
from synergai.envs.tape import setting_of
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate

TAPES = {0.7: 32, 0.9: 3, 1.1: 2}
"""The lighter the load, the smaller the difference and the cheaper a tape."""


def test_the_demo_policy_is_released() -> None:
    assert "demo" in released()


@pytest.mark.slow
@pytest.mark.parametrize("rho", TAPES)
@pytest.mark.parametrize("scenario", ["demo", "edge", "datacenter"])
def test_the_released_policy_violates_less_than_the_heuristic_it_was_cloned_from(
    scenario: str, rho: float
) -> None:
    setting = setting_of(scenarios.load(scenario).model_copy(update={"load": rho}))
    rows = evaluate(setting, [load("demo"), RuleRunner("synergai")], range(TAPES[rho]))
    ours, teacher = (column(rows, name, "violation_rate").mean() for name in ("demo", "synergai"))
    assert ours < teacher
