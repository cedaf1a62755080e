"""When the circuit breaker trips, and by which pods."""

import pytest
from bridge_fakes import NOW_US, FakeCluster, raw_pod

from synergai.agents.heuristics import Rule
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.control.breaker import LAST, Breaker
from synergai.k8s_bridge.control.rollout import Rollout
from synergai.k8s_bridge.pods import read_pod
from synergai.k8s_bridge.reports.metrics import Metrics


def trips(breaker: Breaker, ends: list[tuple[str, bool]]) -> str | None:
    """Why it trips within these ends of pods, if it does."""
    return next((why for hardware, failed in ends if (why := breaker.take(hardware, failed))), None)


@pytest.mark.parametrize(
    ("share", "failures", "tripped"),
    [(0.2, 10, False), (0.2, 11, True), (0.0, 1, True), (1.0, 50, False), (0.5, 25, False), (0.5, 26, True)],
)
def test_more_than_the_share_of_the_last_fifty_must_fail(share: float, failures: int, tripped: bool):
    ends = [("t4", False)] * (LAST - failures) + [("t4", True)] * failures
    assert (trips(Breaker(share), ends) is not None) == tripped


def test_what_is_more_than_fifty_ends_ago_is_forgotten():
    ends = ([("t4", True)] * 10 + [("t4", False)] * 40) * 3
    assert trips(Breaker(0.2), ends) is None


def test_it_does_not_wait_for_fifty_where_enough_have_failed():
    assert trips(Breaker(0.2), [("t4", True)] * 11) is not None


def test_one_bad_hardware_class_among_many_good_pods_trips_and_is_named():
    ends = ([("t4", True)] + [("xeon", False)] * 9) * 11
    assert "on t4 11 failed" in (trips(Breaker(0.2), ends) or "")


def test_pods_without_a_profile_count_overall():
    why = trips(Breaker(0.2), [("", True)] * 11)
    assert why == "of the last 11 placed pods 11 failed or were rejected"


def rollout(**settings: object) -> Rollout:
    chosen = Settings.model_validate(settings)
    return Rollout(chosen, Rule("edf"), FakeCluster(), dict, Metrics(), lambda: NOW_US + 100)


def end(made: Rollout, cause: str, decided_us: int = NOW_US + 200) -> None:
    record = DecisionRecord("id", "t4", "c", 1, 1, 1, "policy", decided_us)
    made.ended(read_pod(raw_pod("a")), record, cause, None)


@pytest.mark.parametrize("cause", ["failed", "rejected"])
def test_a_pod_that_failed_or_was_rejected_counts(cause: str):
    made = rollout()
    for _ in range(11):
        end(made, cause)
    assert made.modes.now == "heuristic"


@pytest.mark.parametrize("cause", ["done", "deleted"])
def test_a_pod_that_ran_or_was_deleted_is_no_failure(cause: str):
    made = rollout()
    for _ in range(100):
        end(made, cause)
    assert made.modes.now == "active"


def test_deleted_pods_do_not_push_failures_out_of_the_window():
    made = rollout()
    for _ in range(10):
        end(made, "failed")
    for _ in range(100):
        end(made, "deleted")
    end(made, "failed")
    assert made.modes.now == "heuristic"


def test_pods_that_were_decided_before_a_step_are_not_held_against_what_came_after():
    made = rollout()
    for _ in range(100):
        end(made, "failed", decided_us=NOW_US)
    assert made.modes.now == "heuristic"


def test_a_pod_that_was_not_placed_by_a_bridge_does_not_count():
    made = rollout()
    for _ in range(100):
        made.ended(read_pod(raw_pod("a")), None, "failed", None)
    assert made.modes.now == "active"
