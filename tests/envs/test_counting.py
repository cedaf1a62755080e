"""What is counted does not depend on anything being started."""

import pytest

from synergai.envs import scenario as scenarios
from synergai.envs.candidates import scratch_for
from synergai.envs.metrics import measure
from synergai.envs.tape import make_tape, setting_of
from synergai.envs.world import new_sim, step_events, take_reward


@pytest.mark.parametrize("name", ["kiosk", "demo", "edge", "datacenter", "clinic", "rough"])
def test_who_starts_nothing_misses_every_deadline(name: str) -> None:
    setting = setting_of(scenarios.load(name))
    sim = new_sim(setting, make_tape(setting, 3, 400))
    scratch = scratch_for(sim.state)
    while step_events(sim, scratch):
        sim.progress[0]["in_round"] = 0  # over before anything was decided: no action does that
    measures = measure(setting, sim)
    assert measures.jobs > 200
    assert measures.violation_rate == 1.0
    assert measures.unfinished == measures.jobs
    assert take_reward(sim)[2] == 0.0  # no energy either
