"""Where very many jobs wait, lists are of the dictionary's options alone, and nothing else changes."""

import numpy as np
import pytest

from synergai.benchmarks.decision import queued_cluster
from synergai.envs import rules, scenario
from synergai.envs.candidates import (
    MAX_CANDIDATES,
    Candidates,
    candidates,
    empty_candidates,
    list_candidates,
    list_surveyed,
    scratch_for,
)
from synergai.envs.cluster import Cluster
from synergai.envs.state import NONE, ClusterState
from synergai.envs.survey import MANY, take_full_survey
from synergai.envs.tape import setting_of
from synergai.envs.types import Action, Decision


def waiting(jobs: int) -> Cluster:
    return queued_cluster(setting_of(scenario.load("demo")), jobs, seed=3)


@pytest.mark.parametrize(("jobs", "narrow"), [(MANY, False), (MANY + 1, True)])
def test_beyond_many_jobs_only_the_dictionary_is_listed(jobs: int, narrow: bool) -> None:
    state = waiting(jobs).state
    out = candidates(state)
    n = int(out.n[0])
    assert 0 < n < MAX_CANDIDATES
    assert bool((state.options["dictionary"][out.option[:n]] == 1).all()) == narrow


def test_rules_pick_the_same_as_of_all_options() -> None:
    state = waiting(2 * MANY).state
    scratch, out, full = scratch_for(state), empty_candidates(), empty_candidates()
    list_candidates(state, scratch, out, NONE)
    take_full_survey(state, scratch.survey)
    list_surveyed(state, scratch, full, NONE)
    picked = 0
    for rule in range(len(rules.RULES)):
        a, b = int(out.picks[rule]), int(full.picks[rule])
        picked += a < MAX_CANDIDATES
        assert (a < MAX_CANDIDATES) == (b < MAX_CANDIDATES)
        if a < MAX_CANDIDATES:
            assert (out.job[a], out.option[a]) == (full.job[b], full.option[b]), rules.RULES[rule]
    assert picked > 0


def test_a_round_that_crosses_the_bound_shows_what_new_lists_would() -> None:
    seen: list[int] = []

    class Starts:
        """Starts the first candidate that it may, and compares each list with a new one."""

        def decide(self, state: ClusterState, shown: Candidates) -> Decision:
            fresh = empty_candidates()
            list_candidates(state, scratch_for(state), fresh, NONE)
            for name in ("rows", "job", "option", "klass", "shared", "mask", "picks", "n"):
                np.testing.assert_array_equal(getattr(shown, name), getattr(fresh, name), err_msg=name)
            seen.append(int(state.clock["n_queued"][0]))
            room = np.flatnonzero(shown.rows[:, 5] > 0.5)
            if len(room) == 0:
                return Decision(Action.DONE, NONE, "rule", "")
            return Decision(Action.START, int(room[0]), "rule", "")

    cluster = waiting(MANY + 3)
    for _ in cluster.round(0, Starts()):
        pass
    assert max(seen) > MANY >= min(seen)
