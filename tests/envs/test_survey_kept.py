"""A survey that is kept across a HOLD shows what a new one would."""

import numpy as np
import pytest
from worlds import at_random, play, random_world

from synergai.envs.candidates import empty_candidates, list_candidates, scratch_for
from synergai.envs.state import NONE


@pytest.mark.parametrize("number", range(12))
def test_what_is_shown_does_not_depend_on_how_the_survey_came_about(number: int) -> None:
    setting, tape = random_world(number, count=30)
    kept = 0
    for sim, scratch, out in play(setting, tape, at_random(number)):
        if sim.progress[0]["in_round"] == 0:
            continue
        own, fresh = scratch_for(sim.state), empty_candidates()
        list_candidates(sim.state, own, fresh, NONE)
        kept += int(scratch.survey.counts[0]["n_open"] != scratch.survey.counts[0]["n_pairs"])
        for name in ("rows", "job", "option", "klass", "shared", "mask", "picks", "n"):
            np.testing.assert_array_equal(getattr(out, name), getattr(fresh, name), err_msg=name)
    assert kept > 0  # else nothing was compared
