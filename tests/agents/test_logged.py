"""A log is played on the nodes that it had, with the run times that it saw, and compared with what happened."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from synergai.agents.heuristics import Rule
from synergai.agents.logged import (
    Logged,
    as_it_happened,
    load_of,
    logged,
    mean_of,
    node_changes,
    observed,
    play_logged,
    tape_of_log,
)
from synergai.envs.decision_log import DecisionLog, Ended, LogError, NodeChange
from synergai.envs.disturbances import CLOSES, OPENS
from synergai.envs.learnt import Learnt, OptionName
from synergai.envs.types import Device, Job, Node
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
T4 = Node("t4-0", (Device("nvidia-t4", 2),), 16_000, 65_536)
SECOND = 1_000_000
FROM = 1_795_000_000 * SECOND
PROFILE = TABLE.of("resnet50", "nvidia-t4")[0]


def job(n: int, at_s: float, deadline_s: float | None = 60.0, **more: Any) -> Job:
    at_us = FROM + int(at_s * SECOND)
    deadline_us = None if deadline_s is None else at_us + int(deadline_s * SECOND)
    return replace(Job(f"default/{n}", "resnet50", 2000, at_us, deadline_us), **more)


def log_of(
    jobs: list[Job], *nodes: tuple[float, Node | None], ended: dict[str, Ended] | None = None
) -> DecisionLog:
    changes = [NodeChange(FROM + int(at_s * SECOND), "t4-0", node) for at_s, node in nodes or [(0.0, T4)]]
    last_us = max(job.arrival_us for job in jobs) + 100 * SECOND
    return DecisionLog({}, jobs, changes, {}, {}, ended or {}, FROM, last_us)


def made(*nodes: tuple[float, Node | None], count: int = 40, **more: Any) -> Logged:
    return logged(log_of([job(n, 2.0 * n) for n in range(count)], *nodes, **more), TABLE)


def test_a_log_that_is_played_serves_its_jobs() -> None:
    found = play_logged(made(), Rule("edf"), 0)
    assert (found.jobs, found.unfinished, found.violations) == (40, 0, 0)


def test_the_same_seed_is_the_same_luck_and_another_is_another() -> None:
    what = made()
    assert asdict(play_logged(what, Rule("edf"), 3)) == asdict(play_logged(what, Rule("edf"), 3))
    assert play_logged(what, Rule("edf"), 3).flow_mean_s != play_logged(what, Rule("edf"), 4).flow_mean_s


def test_a_busier_log_has_a_higher_load() -> None:
    quick = logged(log_of([job(n, 0.5 * n) for n in range(40)]), TABLE)
    assert load_of(quick) == pytest.approx(4 * load_of(made()), rel=0.05)


def ends(times_as_long: float, count: int = 40) -> dict[str, Ended]:
    seen = ("nvidia-t4", PROFILE.configuration, times_as_long, 1.0)
    return {f"default/{n}": Ended(FROM + int((2.0 * n + 5) * SECOND), "done", *seen) for n in range(count)}


def test_runs_take_as_long_as_they_took() -> None:
    name = OptionName("resnet50", "nvidia-t4", PROFILE.configuration)
    what = made(ended=ends(3.0))
    assert observed(what.log) == {name: Learnt(40.0, pytest.approx(np.log(3.0)))}
    factors = np.log(tape_of_log(what, 0).truth["factor"][: len(what.known.catalog.profiles)])
    (option,) = (o for o, p in enumerate(what.known.catalog.profiles) if p is PROFILE)
    assert factors[option] == pytest.approx(np.log(3.0) * 40 / 41, abs=0.15)


def test_a_scheduler_begins_with_what_was_known_then() -> None:
    what = made(ended=ends(3.0))
    assert what.known.state.history["count"].sum() == 0
    assert what.real.state.history["count"].sum() == 40


def test_a_node_is_closed_while_it_was_not_there_or_not_ready() -> None:
    changes, _ = node_changes(made((0.0, T4), (10.0, replace(T4, ready=False)), (20.0, T4), (30.0, None)))
    assert changes.tolist() == [(10 * SECOND, 0, CLOSES), (20 * SECOND, 0, OPENS), (30 * SECOND, 0, CLOSES)]


def test_a_node_that_came_later_is_closed_until_then() -> None:
    changes, _ = node_changes(made((25.0, T4)))
    assert changes.tolist() == [(0, 0, CLOSES), (25 * SECOND, 0, OPENS)]


def test_what_others_used_is_taken_by_pods_of_theirs() -> None:
    less = replace(T4, cpu_milli=6_000, memory_mib=60_000)
    what = made((0.0, T4), (10.0, less), (20.0, T4))
    changes, pods = node_changes(what)
    assert len(changes) == 0
    assert pods.tolist() == [(10 * SECOND, 20 * SECOND, 10_000, 5_536, 0)]
    assert play_logged(what, Rule("edf"), 0).unfinished == 0


def test_what_happened_is_told_in_the_same_measures() -> None:
    jobs = [job(0, 0), job(1, 1), job(2, 2), job(3, 3, deadline_s=None), job(4, 4, deadline_s=3600)]
    ran = ("nvidia-t4", PROFILE.configuration, 2.0, 1.0)
    ended = {
        "default/0": Ended(FROM + 10 * SECOND, "done", *ran),
        "default/1": Ended(FROM + 71 * SECOND, "done", *ran),
    }
    found = log_of(jobs, ended=ended)
    found.started_us = {"default/0": FROM + 4 * SECOND}
    real = as_it_happened(logged(found, TABLE))
    assert (real.jobs, real.violations, real.unfinished) == (3, 2, 1)
    assert real.excess_mean_s == pytest.approx((0 + 10 + 42) / 3)
    assert real.energy_j_per_job == pytest.approx(2 * 2.0 * (PROFILE.active_w - PROFILE.idle_w) / 3)


def test_a_pod_that_failed_in_time_is_a_violation() -> None:
    what = made(count=1, ended={"default/0": Ended(FROM + 5 * SECOND, "failed")})
    assert as_it_happened(what).violations == 1


def test_jobs_that_have_not_ended_yet_do_not_count() -> None:
    jobs = [job(0, 0), job(1, 1, deadline_s=3600)]
    what = logged(log_of(jobs), TABLE)
    assert what.counted.tolist() == [True, False]
    assert play_logged(what, Rule("edf"), 0).jobs == 1


def test_what_profiles_do_not_know_is_left_out_and_told() -> None:
    jobs = [job(0, 0), job(1, 1, model="another")]
    odd = replace(T4, devices=(*T4.devices, Device("gpu-z", 1)))
    what = logged(log_of(jobs, (0.0, odd)), TABLE)
    assert len(what.jobs) == 1
    assert what.left_out == (
        "no profile of model 'another': its jobs are left out",
        "no profile of hardware 'gpu-z'",
    )


@pytest.mark.parametrize(
    ("jobs", "node", "why"),
    [
        ([job(0, 0, model="another")], T4, "no job of the log is of a model"),
        ([job(0, 0)], replace(T4, devices=(Device("gpu-z", 1),)), "no node of the log has hardware"),
        ([job(0, 0, deadline_s=None)], T4, "no job of the log has a deadline"),
    ],
)
def test_a_log_of_nothing_that_can_be_played_says_so(jobs: list[Job], node: Node, why: str) -> None:
    with pytest.raises(LogError, match=why):
        logged(log_of(jobs, (0.0, node)), TABLE)


def test_the_mean_of_several_lucks() -> None:
    one = play_logged(made(), Rule("edf"), 0)
    both = mean_of([replace(one, violations=1, unfinished=0), replace(one, violations=2, unfinished=1)])
    assert (both.violations, both.unfinished, both.jobs) == (1.5, 0, 40)


def test_jobs_run_where_they_were_admitted() -> None:
    other = replace(T4, name="t4-1")
    found = log_of([job(n, 2.0 * n, nodes=frozenset({"t4-1"})) for n in range(20)])
    found.nodes.append(NodeChange(FROM, "t4-1", other))
    what = logged(found, TABLE)
    assert play_logged(what, Rule("edf"), 0).unfinished == 0
