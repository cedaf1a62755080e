"""The guard: whatever the primary says, the cluster gets a legal answer, and the cause is counted."""

from collections.abc import Callable

import pytest

from synergai.agents.guard import AGE, BUSY, P_ONTIME, Guarded
from synergai.agents.heuristics import ROOM, Rule
from synergai.agents.trial import Certificate, Trial
from synergai.envs.candidates import DONE, Candidates, empty_candidates
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.state import ClusterState, empty_state
from synergai.envs.types import Action, Decision

STATE = empty_state(1, 1, 1, 1, 1, 1, 1)


class Primary:
    """Says whatever it is told to."""

    name = "primary"

    def __init__(self, answer: Callable[[], object]) -> None:
        self.answer = answer

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        return self.answer()  # type: ignore[return-value] - that is the point


def shown(done: bool = True) -> Candidates:
    """Three candidates with room, the last masked; the fallback picks 1."""
    out = empty_candidates()
    out.n[0] = 3
    out.rows[:3, 5] = 1.0
    out.mask[[0, 1]] = True
    out.mask[DONE] = done
    out.picks[:] = DONE
    out.picks[RULE_NUMBER[FALLBACK]] = 1
    return out


def fails() -> Decision:
    raise RuntimeError("no network")


CAUSES: dict[str, tuple[Callable[[], object], bool, str]] = {
    "raises": (fails, True, "error: RuntimeError"),
    "divides by zero": (lambda: 1 // 0, True, "error: ZeroDivisionError"),
    "nothing": (lambda: None, True, "no decision"),
    "a number": (lambda: 0, True, "no decision"),
    "a masked candidate": (lambda: Decision(Action.START, 2), True, "illegal action"),
    "a row beyond the count": (lambda: Decision(Action.START, 7), True, "illegal action"),
    "done where it is illegal": (lambda: Decision(Action.DONE), False, "illegal action"),
    "a negative candidate": (lambda: Decision(Action.START, -1), True, "no such candidate"),
    "a candidate beyond all": (lambda: Decision(Action.START, 129), True, "no such candidate"),
    "a start of DONE's number": (lambda: Decision(Action.START, DONE), True, "no such candidate"),
    "half a candidate": (lambda: Decision(Action.HOLD, 0.5), True, "no such candidate"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_bad_answer_is_replaced_by_the_fallbacks(name: str) -> None:
    answer, done, cause = CAUSES[name]
    decision = Guarded(Primary(answer)).decide(STATE, shown(done))
    assert (decision.action, decision.candidate, decision.decided_by) == (Action.START, 1, "fallback")
    assert decision.reason == f"{cause}; {FALLBACK}"


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_counted(name: str) -> None:
    answer, done, cause = CAUSES[name]
    guarded = Guarded(Primary(answer))
    guarded.decide(STATE, shown(done))
    guarded.decide(STATE, shown(done))
    assert guarded.causes == {cause: 2}


GOOD = [
    Decision(Action.START, 0, "policy", "why"),
    Decision(Action.DONE, wake_at_us=5),
    Decision(Action.HOLD, 1),
]


@pytest.mark.parametrize("answer", GOOD, ids=lambda decision: decision.action.name)
def test_a_valid_answer_passes_unchanged_and_uncounted(answer: Decision) -> None:
    guarded = Guarded(Primary(lambda: answer))
    assert guarded.decide(STATE, shown()) is answer
    assert not guarded.causes


@pytest.mark.parametrize(("took_s", "by"), [(0.9, "policy"), (1.1, "fallback")])
def test_an_answer_that_took_too_long_is_replaced(took_s: float, by: str) -> None:
    clock = iter((5.0, 5.0 + took_s))
    guarded = Guarded(Primary(lambda: GOOD[0]), late_s=1.0, clock=lambda: next(clock))
    assert guarded.decide(STATE, shown()).decided_by == by
    assert guarded.causes == ({"late": 1} if by == "fallback" else {})


def test_another_fallback_can_be_named() -> None:
    out = shown()
    out.picks[RULE_NUMBER["fcfs"]] = 0
    decision = Guarded(Primary(fails), Rule("fcfs")).decide(STATE, out)
    assert (decision.candidate, decision.reason) == (0, "error: RuntimeError; fcfs")


def test_the_fallback_may_be_done() -> None:
    out = shown()
    out.picks[RULE_NUMBER[FALLBACK]] = DONE
    assert Guarded(Primary(fails)).decide(STATE, out).action == Action.DONE


def test_it_goes_by_the_primarys_name() -> None:
    assert Guarded(Primary(fails)).name == "primary"


def test_it_asks_for_the_extra_pick_that_the_primary_needs() -> None:
    assert Guarded(Rule("round_robin")).extra_rule == RULE_NUMBER["round_robin"]


def waiting(age: float = 0.6, chance: float = 0.9, busy: float = 0.2, room: float = 1.0) -> Candidates:
    """The fallback would start candidate 1, whose job has waited, on a cluster of this use."""
    out = shown()
    out.rows[1, [ROOM, AGE, P_ONTIME]] = room, age, chance
    out.shared[BUSY] = busy
    return out


def test_a_job_that_has_waited_for_long_is_started_on_an_idle_cluster() -> None:
    guarded = Guarded(Primary(lambda: Decision(Action.DONE)))
    decision = guarded.decide(STATE, waiting())
    assert (decision.action, decision.candidate, decision.decided_by) == (Action.START, 1, "fallback")
    assert guarded.causes == {"idle": 1}


NOT_IDLE = {
    "it has not waited for long": waiting(age=0.4),
    "it would be late": waiting(chance=0.3),
    "the cluster is busy": waiting(busy=0.6),
    "the fallback would hold it too": waiting(room=0.0),
}


@pytest.mark.parametrize("why", NOT_IDLE)
def test_a_policy_may_let_a_job_wait_where(why: str) -> None:
    guarded = Guarded(Primary(lambda: Decision(Action.DONE)))
    assert guarded.decide(STATE, NOT_IDLE[why]).action == Action.DONE
    assert not guarded.causes


def test_a_policy_that_starts_another_job_is_not_idle() -> None:
    decision = Guarded(Primary(lambda: Decision(Action.START, 0))).decide(STATE, waiting())
    assert (decision.action, decision.candidate) == (Action.START, 0)


class Broken(Trial):
    """A trial that cannot be held."""

    def __init__(self) -> None:
        super().__init__(Certificate())

    def refuses(self, *_: object) -> str | None:
        raise MemoryError


def test_a_trial_that_fails_leaves_the_fallbacks_answer() -> None:
    guarded = Guarded(Primary(lambda: Decision(Action.START, 0)), trial=Broken())
    decision = guarded.decide(STATE, shown())
    assert (decision.candidate, decision.decided_by) == (1, "fallback")
    assert guarded.causes == {"error: MemoryError": 1}
