"""The decision log: whole lines, bounded, of use by itself, and in nobody's way."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from bridge_bench import bench, until
from bridge_e2e import SPEED, TABLE, requests, world
from bridge_e2e import until as until_real
from bridge_fakes import raw_pod
from bridge_world import World

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.envs.decision_log import read_logs
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.reports.journal import MIB, Journal
from synergai.k8s_bridge.submit import submit

KIB = 1024 / MIB


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_an_object_of_its_kind(tmp_path: Path) -> None:
    with Journal(tmp_path / "log") as journal:
        journal.write("node", {"name": "n\n0", "sets": frozenset({"b", "a"})})
    assert lines(tmp_path / "log") == [{"kind": "node", "name": "n\n0", "sets": ["a", "b"]}]


def test_lines_are_appended_behind_a_preface_that_is_told_once(tmp_path: Path) -> None:
    for run in range(2):
        with Journal(tmp_path / "log") as journal:
            journal.preface = lambda: [("start", {"schema": "1"})]
            journal.write("a", {"n": run})
            journal.write("b", {"n": run})
    assert [line["kind"] for line in lines(tmp_path / "log")] == ["start", "a", "b"] * 2


def test_who_begins_to_decide_again_tells_the_preface_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "log") as journal:
        journal.preface = lambda: [("start", {})]
        journal.write("a", {})
        journal.begin()
        journal.write("a", {})
    assert [line["kind"] for line in lines(tmp_path / "log")] == ["start", "a"] * 2


def test_a_line_that_was_cut_short_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"kind":"a"}\n{"kind":"b","x":')
    with Journal(path) as journal:
        journal.write("c", {})
    assert path.read_text().splitlines() == ['{"kind":"a"}', '{"kind":"b","x":', '{"kind":"c"}']


def test_both_files_together_stay_within_the_bound(tmp_path: Path) -> None:
    with Journal(tmp_path / "log", max_mb=8 * KIB) as journal:
        journal.preface = lambda: [("start", {})]
        for n in range(1000):
            journal.write("a", {"n": n})
            assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 8 * 1024 + 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1"]
    before, now = lines(tmp_path / "log.1"), lines(tmp_path / "log")
    assert before[0]["kind"] == now[0]["kind"] == "start"
    told = [line["n"] for line in before + now if line["kind"] == "a"]
    assert told == list(range(told[0], 1000))


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Journal(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a disk that is always full")
def test_a_full_disk_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    with Journal("/dev/full", on_lost=lambda: lost.append(1)) as journal:
        for _ in range(5):
            journal.write("a", {})
    assert len(lost) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "/dev/full is not written: No space left on device; pods are bound all the same"
    ]


def test_a_disk_with_room_for_half_a_line_keeps_the_others_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, lost = os.write, []
    journal = Journal(tmp_path / "log", on_lost=lambda: lost.append(1))
    journal.write("a", {})
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        journal.write("b", {})
    journal.write("c", {})
    journal.close()
    assert len(lost) == 1
    assert (tmp_path / "log").read_text().splitlines() == ['{"kind":"a"}', '{"kin', '{"kind":"c"}']


def test_a_folder_that_is_gone_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    lost: list[int] = []
    folder = tmp_path / "logs"
    folder.mkdir()
    with Journal(folder / "log", max_mb=0.1 * KIB, on_lost=lambda: lost.append(1)) as journal:
        journal.write("a", {"text": "x" * 100})
        (folder / "log").unlink()
        folder.rmdir()
        journal.write("b", {})
        folder.mkdir()
        (folder / "log").touch()
        journal.write("c", {})
    assert len(lost) == 1
    assert [line["kind"] for line in lines(folder / "log")] == ["c"]


# what is in it --------------------------------------------------------------------------------------------------------
def test_a_pod_that_is_gone_before_it_was_bound_is_withdrawn(tmp_path: Path) -> None:
    with Journal(tmp_path / "log") as journal:
        made = World(slots=0, journal=journal)
        made.pod(raw_pod("a"))
        made.pod(raw_pod("a"), "DELETED")
    told = lines(tmp_path / "log")[-1]
    assert (told["kind"], told["pod"]) == ("withdrawn", "default/a")


def test_decisions_do_not_repeat_which_nodes_admit_a_job(tmp_path: Path) -> None:
    with Journal(tmp_path / "log") as journal:
        made = World(nodes=2, journal=journal)
        made.pod(raw_pod("a", nodeName=""))
        made.round()
    (decision,) = lines(tmp_path / "log")
    assert "nodes" not in decision["job"]


async def test_a_daemon_on_a_full_disk_binds(tmp_path: Path) -> None:
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start(journal=Journal("/dev/full"))
        await until(lambda: bound(b))
        assert b"synergai_decision_log_lines_lost_total 0.0" not in b.daemon.render_metrics()


async def bound(b: Any) -> bool:
    return await b.node_of("a") != ""


@pytest.mark.e2e
async def test_a_log_of_a_daemon_holds_all_that_happened(tmp_path: Path) -> None:
    settings = Settings(speed=SPEED, metrics_port=None)
    async with world() as w:
        journal = Journal(tmp_path / "log")
        cluster, stop = Cluster(TABLE), asyncio.Event()
        daemon = Daemon(settings, w.client, make("sjf_feasible"), cluster, journal=journal)
        task = asyncio.create_task(daemon.run(stop))
        await submit(w.client, requests(32), speed=SPEED)
        await until_real(w.all_done, 60)
        await until_real(lambda: idle(cluster), 10)
        stop.set()
        await task
        journal.close()
    log = read_logs([tmp_path / "log"])
    assert log.problems == []
    assert len(log.jobs) == len(log.ended) == len(log.started_us) == 32
    assert {change.name for change in log.nodes} == {"t4-0", "orin-0", "orin-1", "xeon-0"}
    assert all(ended.observed_s and ended.predicted_s for ended in log.ended.values())


async def idle(cluster: Cluster) -> bool:
    return cluster.running() == 0
