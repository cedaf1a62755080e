"""The loop, on a real (embedded) API server and a cluster that decides first come."""

import asyncio
import json
import time

import aiohttp
import pytest
from bridge_bench import Bench, api_object, bench, until
from bridge_fakes import FakeCluster, raw_node

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.embedded import errors
from synergai.k8s_bridge.embedded.server import Call
from synergai.k8s_bridge.http import PortError
from synergai.k8s_bridge.parts import wait_for_bell
from synergai.k8s_bridge.reports.journal import Journal


async def test_a_pod_that_waits_at_the_start_is_bound():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start()
        await until(lambda: bound(b, "a"))


async def bound(b: Bench, name: str) -> bool:
    return await b.node_of(name) != ""


async def test_a_pod_that_arrives_later_is_bound():
    async with bench() as b:
        await b.node()
        await b.start()
        await b.daemon.synced.wait()
        await b.pod("a")
        await until(lambda: bound(b, "a"))


async def test_a_pod_waits_for_its_node():
    async with bench() as b:
        await b.start()
        await b.pod("a")
        await b.node()
        await until(lambda: bound(b, "a"))


async def test_the_decision_is_on_the_bound_pod():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start()
        await until(lambda: bound(b, "a"))
        decision = json.loads((await b.pods())["a"]["metadata"]["annotations"][keys.ANNOTATION_DECISION])
    assert (decision["hardware"], decision["configuration"], decision["deviceUnits"]) == (
        "gpu-a",
        "ort-b8",
        1,
    )


async def test_a_bound_pod_has_its_event():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start()
        await until(lambda: has_event(b, "Scheduled"))


async def has_event(b: Bench, reason: str) -> bool:
    return reason in await b.reasons()


@pytest.mark.parametrize(
    ("annotations", "spec", "reason"),
    [
        ({}, {}, "InvalidAnnotation"),
        ({keys.ANNOTATION_MODEL: "nope", keys.ANNOTATION_SAMPLES: "1"}, {}, "UnknownModel"),
        (
            None,
            {"volumes": [{"name": "disk", "iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.a", "lun": 0}}]},
            "UnsupportedSpec",
        ),
        (None, {"nodeSelector": {"zone": "x"}}, "FailedScheduling"),
    ],
)
async def test_bad_input_is_told_by_an_event(annotations, spec, reason):
    async with bench() as b:
        await b.node()
        await b.pod("a", annotations, **spec)
        await b.start()
        await until(lambda: has_event(b, reason))


async def test_a_node_without_a_hardware_label_is_told_by_an_event():
    async with bench() as b:
        raw = raw_node("n0")
        raw["metadata"]["labels"] = {keys.LABEL_DEDICATED: "true"}
        await b.client.post("/api/v1/nodes", api_object("Node", raw))
        await b.start()
        await until(lambda: has_event(b, "NodeNotUsable"))


async def test_room_of_a_finished_pod_is_used_again():
    async with bench() as b:
        b.cluster.slots = 1
        await b.node()
        await b.pod("a")
        await b.start()
        await until(lambda: bound(b, "a"))
        await b.pod("b")
        await b.patch_status("a", {"phase": "Succeeded"})
        await until(lambda: bound(b, "b"))


async def test_a_bind_that_fails_is_tried_again():
    async with bench() as b:
        left = [2]

        async def fail_twice(call: Call) -> None:
            if call.target.subresource == "binding" and left[0]:
                left[0] -= 1
                raise errors.internal("injected")

        b.server.before = fail_twice
        await b.node()
        await b.pod("a")
        await b.start()
        await until(lambda: bound(b, "a"), 10)


async def test_a_bind_that_is_forbidden_is_told_and_does_not_stop_the_rest():
    async with bench() as b:

        async def forbid_a(call: Call) -> None:
            if call.target.subresource == "binding" and call.target.name == "a":
                raise errors.ApiError(403, "Forbidden", "no binding for a")

        b.server.before = forbid_a
        await b.node()
        await b.pod("a")
        await b.pod("b")
        await b.start()
        await until(lambda: bound(b, "b"))
        await until(lambda: has_event(b, "FailedScheduling"))


async def test_once_is_one_round():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start(once=True)
        await asyncio.wait_for(b.task, 5)
        assert await b.node_of("a") == "n0"


async def test_a_dry_run_writes_nothing():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.pod("odd", {})
        await b.start(once=True, dry_run=True)
        await asyncio.wait_for(b.task, 5)
        assert (await b.node_of("a"), await b.reasons()) == ("", set())


async def test_a_dry_run_counts_what_it_would_bind():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start(once=True, dry_run=True)
        await asyncio.wait_for(b.task, 5)
        assert b'synergai_binds_total{result="dry_run"} 1.0' in b.daemon.render_metrics()


async def test_a_stop_takes_less_than_two_seconds():
    async with bench() as b:

        async def hang(call: Call) -> None:
            if call.target.subresource == "binding":
                await asyncio.sleep(60)

        b.server.before = hang
        await b.node()
        await b.pod("a")
        await b.start(bind_timeout_s=30, lease="off")
        await b.daemon.synced.wait()
        began_s = time.monotonic()
        await b.end()
        assert time.monotonic() - began_s < 2


async def test_a_restart_books_what_runs_and_binds_nothing_twice():
    async with bench() as b:
        b.cluster.slots = 1
        await b.node()
        await b.pod("a")
        await b.pod("b")
        await b.start(once=True)
        await asyncio.wait_for(b.task, 5)
        b.cluster = FakeCluster(slots=1)
        await b.start()
        await b.daemon.synced.wait()
        assert list(b.cluster.placed) == ["default/a"]
        assert list(b.cluster.waiting) == ["default/b"]


async def test_a_forbidden_list_ends_the_run():
    async with bench() as b:

        async def forbid(call: Call) -> None:
            if call.verb == "list" and call.target.resource.plural == "nodes":
                raise errors.ApiError(403, "Forbidden", "cannot list nodes")

        b.server.before = forbid
        await b.start()
        with pytest.raises(ApiError, match="cannot list nodes"):
            await asyncio.wait_for(b.task, 5)


async def test_the_loop_sleeps_until_the_next_epoch():
    pauses: list[float] = []
    async with bench() as b:

        async def pause(bell: asyncio.Event, timeout_s: float) -> None:
            pauses.append(timeout_s)
            if b.daemon.synced.is_set() and len(pauses) > 3:
                b.stop.set()
            await wait_for_bell(bell, min(timeout_s, 0.01))

        b.cluster.next_epoch_us = lambda now_us: now_us + 3_000_000  # type: ignore[method-assign]
        await b.start(pause=pause, speed=2)
        await asyncio.wait_for(b.task, 5)
    assert 1.3 < pauses[-1] <= 1.5


async def test_a_round_starts_when_its_epoch_has_come():
    async with bench() as b:
        rounds: list[int] = []
        b.cluster.round = lambda now_us, scheduler: iter(rounds.append(now_us) or ())  # type: ignore[method-assign]
        b.cluster.next_epoch_us = lambda now_us: now_us + 20_000  # type: ignore[method-assign]
        await b.start()
        await b.daemon.synced.wait()
        await asyncio.sleep(0.3)
        assert len(rounds) > 3


async def test_metrics_and_probes_are_served_on_ports_of_their_own():
    paths = ("/metrics", "/healthz", "/readyz")

    async def pages(port: int | None) -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            replies = [await session.get(path) for path in paths]
            return [(reply.status, await reply.text()) for reply in replies]

    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start(metrics_port=0, probe_port=0)
        await until(lambda: has_event(b, "Scheduled"))
        metrics, probes = await pages(b.daemon.metrics_port), await pages(b.daemon.probe_port)
    assert 'synergai_binds_total{result="bound"} 1.0' in metrics[0][1]
    assert [status for status, _ in metrics] == [200, 404, 404]
    assert [status for status, _ in probes] == [404, 200, 200]
    assert probes[1:] == [(200, "ok\n")] * 2


async def test_no_port_is_opened_for_probes_unless_one_is_set():
    async with bench() as b:
        await b.start()
        await b.daemon.synced.wait()
        assert b.daemon.probe_port is None


async def test_decisions_and_outcomes_are_logged_as_json_lines(tmp_path):
    path = tmp_path / "decisions.jsonl"
    report = {
        "model": "net",
        "samples": 100,
        "hardware": "gpu-a",
        "configuration": "ort-b8",
        "runSeconds": 1.5,
    }
    terminated = {"exitCode": 0, "message": json.dumps(report)}
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start(journal=Journal(path))
        await until(lambda: bound(b, "a"))
        status = {"name": "runner", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
        container = status | {"state": {"terminated": terminated}}
        await b.patch_status("a", {"phase": "Succeeded", "containerStatuses": [container]})
        await until(lambda: finished(b))
    *before, decision, outcome = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in before] == ["start", "learnt", "node", "arrival", "arrival"]
    assert (decision["kind"], outcome["kind"]) == ("decision", "outcome")
    assert outcome["id"] == decision["id"]
    assert outcome["report"]["run_s"] == 1.5
    assert (outcome["observedS"], outcome["predictedS"]) == (1.5, 2.0)
    assert decision["nowUs"] <= outcome["seenUs"]
    assert outcome["endedUs"] <= outcome["seenUs"]


async def finished(b: Bench) -> bool:
    return b"synergai_pods_finished_total" in b.daemon.render_metrics() and not b.cluster.placed


@pytest.mark.parametrize("what", ["metrics", "probe"])
async def test_a_port_that_is_taken_ends_the_run_in_one_line(what):
    async with bench() as b:
        taken = int(b.server.url.rsplit(":", 1)[1])
        await b.start(**{f"{what}_port": taken})
        with pytest.raises(PortError, match=rf"serve {what}s? on \S+:{taken}"):
            await asyncio.wait_for(b.task, 5)


@pytest.mark.parametrize("turns", range(4))
async def test_who_waits_for_the_bell_can_be_cancelled_at_the_moment_it_rings(turns: int) -> None:
    bell = asyncio.Event()

    async def forever() -> None:
        while True:
            await wait_for_bell(bell, 60.0)
            bell.clear()

    waiting = asyncio.create_task(forever())
    await asyncio.sleep(0.01)
    bell.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=1.0)
    assert waiting.cancelled()
