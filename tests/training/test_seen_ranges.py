"""What training has met lies within the ranges that the card keeps, and another world without."""

import numpy as np
import pytest

from synergai.agents.learned import Learned, load
from synergai.agents.ranges import FAR, ranges_of
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import DONE, empty_candidates, scratch_for
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE
from synergai.envs.tape import make_tape, setting_of
from synergai.envs.types import Action
from synergai.envs.world import new_sim

DECISIONS = 400


def far(policy: Learned, name: str, load_: float) -> float:
    """Share of the decisions of a test tape that the guard would call foreign."""
    ranges, found = ranges_of(policy.checkpoint.card), []
    assert ranges is not None
    setting = setting_of(scenarios.load(name).model_copy(update={"load": load_}))
    sim = new_sim(setting, make_tape(setting, 7, 300))
    scratch, out = scratch_for(sim.state), empty_candidates()
    while len(found) < DECISIONS and advance(sim, scratch, out, NONE):
        found.append(ranges.outside(out) > FAR)
        decision = policy.decide(sim.state, out)
        apply_action(sim, scratch, out, DONE if decision.action == Action.DONE else decision.candidate)
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("name", "load_"), [("demo", 0.7), ("edge", 0.9), ("datacenter", 0.5), ("clinic", 0.9)]
)
def test_what_the_released_policy_was_trained_on_is_not_foreign_to_it(name: str, load_: float) -> None:
    assert far(load("demo"), name, load_) < 0.01


def test_a_day_of_deaths_cold_images_and_neighbours_is() -> None:
    assert far(load("demo"), "rough", 0.8) > 0.3
