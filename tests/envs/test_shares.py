"""Who is in the candidate list where more waits than it holds."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from synergai.agents.heuristics import Rule, as_decision
from synergai.envs.candidates import DONE, MAX_CANDIDATES, Candidates
from synergai.envs.cluster import Cluster
from synergai.envs.features import FIRST_PICK
from synergai.envs.shares import THIRD
from synergai.envs.state import ClusterState
from synergai.envs.types import Decision, Device, Job, Node
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
HARDWARE = ("nvidia-t4", "jetson-agx-orin-maxn", "intel-xeon-platinum-8380-2s")
MODEL = "resnet50"


def cluster(devices: int = 1) -> Cluster:
    made = Cluster(TABLE)
    made.set_nodes(
        Node(name, (Device(name, 0 if TABLE.hardware[name].kind == "cpu" else devices),), 80_000, 256_000)
        for name in HARDWARE
    )
    return made


def jobs(
    namespace: str, count: int, priority: int = 0, deadline_us: int = 10**9, samples: int = 1000
) -> list[Job]:
    """Each a microsecond behind the one before."""
    return [
        Job(f"{namespace}/{priority}-{n}", MODEL, samples, n, deadline_us + n, priority, namespace)
        for n in range(count)
    ]


class Look:
    """Notes who is in the first list, and ends the round."""

    name = "look"

    def __init__(self) -> None:
        self.seen: list[Job] = []
        self.lists = 0

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        self.lists += 1
        self.state, self.out = state, candidates
        self.rows = [int(j) for j in candidates.job[: candidates.n[0]]]
        return as_decision(DONE, candidates, "rule", "enough")


def listed(waiting: Iterable[Job], made: Cluster | None = None) -> list[Job]:
    """The job of each candidate of the first list."""
    made = made or cluster()
    for job in waiting:
        made.enqueue(job)
    look = Look()
    for _ in made.round(2_000_000, look):
        pass
    assert look.lists == 1
    return [made.job_at(j) for j in look.rows]


def owners(found: list[Job]) -> Counter[str]:
    return Counter(job.namespace for job in found)


def test_one_of_another_namespace_is_in_the_list_beside_ten_thousand():
    found = owners(listed([*jobs("flood", 10_000), *jobs("one", 1, deadline_us=10**12, samples=10**6)]))
    assert found["one"] >= 1
    assert found["flood"] > THIRD


def test_no_namespace_has_more_than_a_third_while_others_wait_for_a_place():
    found = owners(listed([*jobs("a", 400), *jobs("b", 400), *jobs("c", 400), *jobs("d", 400)]))
    assert sum(found.values()) == MAX_CANDIDATES
    assert (
        max(found.values()) <= THIRD + 1
    )  # a place or two may be left when nobody else has more of his best


def test_however_urgent_a_namespace_says_that_it_is_the_others_have_their_places():
    found = owners(listed([*jobs("urgent", 3000, deadline_us=2_100_000), *jobs("b", 200), *jobs("c", 200)]))
    assert min(found["b"], found["c"]) >= THIRD - 12  # the rules' picks are of whoever is most urgent


def test_the_highest_priority_has_the_places_first():
    found = listed([*jobs("a", 500), *jobs("b", 500), *jobs("a", 50, priority=9), *jobs("b", 50, priority=9)])
    high = {job.key for job in found if job.priority == 9}
    ranks = [job.priority for job in found]
    assert len(high) > 20
    assert Counter(ranks)[9] > Counter(ranks)[0]


def test_where_priority_alone_differs_it_still_comes_first():
    found = listed([*jobs("a", 2000, deadline_us=3_000_000), *jobs("a", 5, priority=1, deadline_us=10**12)])
    assert sum(job.priority == 1 for job in found) >= 5


def test_a_queue_of_one_namespace_and_priority_has_the_list_that_the_simulator_makes(
    monkeypatch: pytest.MonkeyPatch,
):
    shared = [job.key for job in listed(jobs("a", 2000))]
    monkeypatch.setattr("synergai.envs.cluster.share_out", lambda *_: None)
    assert [job.key for job in listed(jobs("a", 2000))] == shared


def test_what_fits_is_listed_whole():
    found = owners(listed([*jobs("a", 20), *jobs("b", 1)]))
    assert found["a"] > found["b"] > 0


def lists_of(waiting: list[Job], monkeypatch: pytest.MonkeyPatch, fair: bool) -> tuple[Look, Cluster]:
    made = cluster()
    if not fair:
        monkeypatch.setattr("synergai.envs.cluster.share_out", lambda *_: None)
    for job in waiting:
        made.enqueue(job)
    look = Look()
    for _ in made.round(2_000_000, look):
        pass
    return look, made


def test_rules_pick_what_they_would_have_picked(monkeypatch: pytest.MonkeyPatch):
    waiting = [*jobs("a", 900), *jobs("b", 300, deadline_us=5_000_000)]
    fair, _ = lists_of(waiting, monkeypatch, fair=True)
    plain, _ = lists_of(waiting, monkeypatch, fair=False)
    assert [int(fair.out.pair[i]) for i in fair.out.picks if i != DONE] == [
        int(plain.out.pair[i]) for i in plain.out.picks if i != DONE
    ]


def test_a_candidate_has_the_features_that_it_has_in_the_simulators_list(monkeypatch: pytest.MonkeyPatch):
    waiting = [*jobs("a", 900), *jobs("b", 300, deadline_us=5_000_000)]
    fair, _ = lists_of(waiting, monkeypatch, fair=True)
    plain, _ = lists_of(waiting, monkeypatch, fair=False)
    rows = {int(p): row for p, row in zip(plain.out.pair[: plain.out.n[0]], plain.out.rows)}
    both = [i for i in range(fair.out.n[0]) if int(fair.out.pair[i]) in rows]
    assert len(both) > 10
    for i in both:
        np.testing.assert_array_equal(fair.out.rows[i], rows[int(fair.out.pair[i])])
    np.testing.assert_array_equal(fair.out.shared, plain.out.shared)
    assert fair.out.rows[: fair.out.n[0], FIRST_PICK:].any()


def test_no_pair_is_listed_twice_and_what_is_beyond_is_empty(monkeypatch: pytest.MonkeyPatch):
    look, _ = lists_of([*jobs("a", 900), *jobs("b", 2)], monkeypatch, fair=True)
    n, out = int(look.out.n[0]), look.out
    assert len(set(out.pair[:n].tolist())) == n
    assert not out.rows[n:].any()
    assert not out.mask[n:DONE].any()


def test_a_job_is_started_by_its_deadline_however_many_more_urgent_ones_another_namespace_sends():
    made, ends_us = cluster(4), 60_000_000
    made.enqueue(Job("one/a", MODEL, 1000, 0, ends_us, 0, "one"))
    for step in range(60):
        now_us = step * 1_000_000
        for n in range(20):
            made.enqueue(Job(f"flood/{step}-{n}", MODEL, 1000, now_us, now_us + 5_000_000, 0, "flood"))
        started = [d.job for d in made.round(now_us, Rule("edf_likely")) if d.until_us < 0]
        if "one/a" in started:
            return
        for job in started:
            made.release(job, now_us + 900_000)
    pytest.fail("it was not started")
