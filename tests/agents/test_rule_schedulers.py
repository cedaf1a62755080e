"""Rules as schedulers, and schedulers by name."""

import numpy as np
import pytest

from synergai.agents.heuristics import Rule, as_decision
from synergai.agents.planner import Planner
from synergai.agents.registry import make, names
from synergai.envs.candidates import DONE, N_RULES, empty_candidates
from synergai.envs.rules import RULE_NUMBER, RULES
from synergai.envs.state import empty_state
from synergai.envs.types import Action

STATE = empty_state(1, 1, 1, 1, 1, 1, 1)


def shown():
    """Three candidates: 0 and 2 have room, 1 does not."""
    out = empty_candidates()
    out.n[0] = 3
    out.mask[[0, 1, 2, DONE]] = True
    out.rows[[0, 2], 5] = 1.0
    return out


@pytest.mark.parametrize("name", RULES)
def test_a_rule_decides_for_its_own_pick(name: str) -> None:
    out = shown()
    out.picks[:] = DONE
    out.picks[RULE_NUMBER[name]] = 2
    decision = Rule(name).decide(STATE, out)
    assert (decision.action, decision.candidate) == (Action.START, 2)
    assert (decision.decided_by, decision.reason) == ("rule", name)


@pytest.mark.parametrize("name", ["random", "round_robin", "mael", "slo_mael"])
def test_a_rule_without_a_bit_asks_for_its_pick_and_takes_it(name: str) -> None:
    out = shown()
    out.picks[N_RULES] = 1
    rule = Rule(name)
    assert rule.extra_rule == RULE_NUMBER[name]
    assert rule.decide(STATE, out).candidate == 1


@pytest.mark.parametrize("name", RULES)
def test_a_rule_with_a_bit_asks_for_no_more(name: str) -> None:
    assert Rule(name).extra_rule == -1


CASES = [(0, Action.START, 0), (1, Action.HOLD, 1), (DONE, Action.DONE, -1)]


@pytest.mark.parametrize(("action", "kind", "candidate"), CASES)
def test_an_action_number_as_a_decision(action: int, kind: Action, candidate: int) -> None:
    decision = as_decision(action, shown(), "rule", "why")
    assert (decision.action, decision.candidate) == (kind, candidate)


def test_the_column_that_tells_start_from_hold_is_room() -> None:
    from synergai.agents.heuristics import ROOM
    from synergai.envs.features import CANDIDATE

    assert CANDIDATE[ROOM].name == "room"


@pytest.mark.parametrize("name", RULE_NUMBER)
def test_every_rule_is_in_the_registry(name: str) -> None:
    assert name in names()
    assert make(name).name == name


def test_a_rule_with_switches_goes_by_its_whole_name() -> None:
    rule = make("synergai:order=edf:hold=off")
    assert isinstance(rule, Rule)
    assert rule.name == "synergai:order=edf:hold=off"
    assert rule.extra_rule == rule.number >= N_RULES


def test_a_planner_may_have_a_base_with_switches() -> None:
    planner = make("rollout:8:synergai:order=edf")
    assert isinstance(planner, Planner)
    assert (planner.terms.futures, planner.terms.base) == (8, "synergai:order=edf")


def test_a_wrong_switch_of_a_planners_base_is_named() -> None:
    with pytest.raises(ValueError, match="order is 'lifo'; there are slack, edf, fifo"):
        make("rollout:8:synergai:order=lifo")


@pytest.mark.parametrize("make_one", [Rule, make])
def test_an_unknown_name_is_answered_with_those_known(make_one) -> None:
    with pytest.raises(ValueError, match=r"'sjf'.*sjf_feasible.*synergai"):
        make_one("sjf")


def test_a_rule_leaves_the_list_as_it_is() -> None:
    out = shown()
    before = [array.copy() for array in out]
    Rule("fcfs").decide(STATE, out)
    assert all(np.array_equal(a, b) for a, b in zip(out, before))
