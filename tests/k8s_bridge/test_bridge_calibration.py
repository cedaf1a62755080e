"""What runs have taught is kept over restarts, by the bridge that decides, and never at the price of what was kept."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from bridge_bench import Bench, bench, until
from bridge_e2e import SPEED, TABLE, requests, world
from bridge_e2e import until as until_real
from bridge_fakes import FakeClient, FakeCluster, profile, raw_pod, table
from bridge_world import World, bound, ended
from hypothesis import given
from hypothesis import strategies as st

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.envs.learnt import WIDEST_LOG, Learnt, OptionName
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.calibration import MAX_BYTES, MOST_RUNS, Calibration, ratios, read_text, to_text
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.outcomes import observed_run_s, read_report
from synergai.k8s_bridge.pods import read_pod
from synergai.k8s_bridge.submit import submit
from synergai.offline_profiles.table import ProfileTable

PATH = "/api/v1/namespaces/synergai-bridge/configmaps"
GET, PUT, POST = (
    ("GET", f"{PATH}/synergai-calibration"),
    ("PUT", f"{PATH}/synergai-calibration"),
    ("POST", PATH),
)
MISSING = ApiError(404, "NotFound", 'configmaps "synergai-calibration" not found')
NAME = OptionName("net", "gpu-a", "ort-b8", "plant-3")
LEARNT = {NAME: Learnt(3.0, math.log(1.5))}


def kept(text: str, **others: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "synergai-calibration", "resourceVersion": "7"},
        "data": {"calibration": text, **others},
    }


def calibration(client: FakeClient, cluster: Cluster | None = None, **options: Any) -> Calibration:
    return Calibration(client, cluster or FakeCluster(), **options)  # type: ignore[arg-type]


# as text --------------------------------------------------------------------------------------------------------------
def test_what_was_written_is_read() -> None:
    learnt, dropped = read_text(to_text(LEARNT, table()), table())
    assert (list(learnt), dropped) == ([NAME], 0)
    assert learnt[NAME] == (3.0, pytest.approx(math.log(1.5)))


def test_it_can_be_read_by_people() -> None:
    (line,) = json.loads(to_text(LEARNT, table()))["options"]
    assert (line["hardware"], line["runs"], line["ratio"]) == ("gpu-a", 3.0, 1.5)


def test_an_option_counts_as_seen_so_often_at_most() -> None:
    learnt, _ = read_text(to_text({NAME: Learnt(1e6, 0.1)}, table()), table())
    assert learnt[NAME].runs == MOST_RUNS


def test_an_option_of_no_profile_is_not_written() -> None:
    assert json.loads(to_text({NAME._replace(model="gone"): Learnt(3.0, 0.1)}, table()))["options"] == []


@pytest.mark.parametrize("changed", ["other", "gone"])
def test_what_was_learnt_of_a_profile_that_changed_or_is_gone_is_dropped(changed: str) -> None:
    text = to_text(LEARNT | {NAME._replace(hardware="xeon"): Learnt(2.0, 0.0)}, table())
    rows = [p for p in table().profiles if p.hardware != "gpu-a"]
    if changed == "other":
        rows.append(replace(profile("net", "gpu-a"), throughput_sps=50.0))
    now = ProfileTable(tuple(rows), table().hardware, ())
    learnt, dropped = read_text(text, now)
    assert ([name.hardware for name in learnt], dropped) == (["xeon"], 1)


def test_there_is_no_more_of_it_than_fits_and_what_ran_most_stays() -> None:
    learnt = {NAME._replace(site=f"plant-{n:060}"): Learnt(1.0 + (n == 1234), 0.1) for n in range(3000)}
    text = to_text(learnt, table())
    assert len(text) <= MAX_BYTES
    assert NAME._replace(site=f"plant-{1234:060}") in read_text(text, table())[0]


BAD = {
    "no JSON": "{",
    "a list": "[]",
    "a number": "3",
    "nothing": "",
    "another schema": json.dumps({"schema": "2", "options": []}),
    "no options": json.dumps({"schema": "1"}),
    "nested": "[" * 100_000,
}
GOOD = json.loads(to_text(LEARNT, table()))["options"][0]
BAD |= {
    f"{key} is {value!r}": json.dumps({"schema": "1", "options": [GOOD | {key: value}]})
    for key, value in {
        "runs": -1, "ratio": 0, "model": None, "site": 3, "row": [], "hardware": {},
    }.items()
}  # fmt: skip
BAD |= {
    f"{key} is {value}": json.dumps({"schema": "1", "options": [GOOD | {key: float(value)}]})
    for key in ("runs", "ratio")
    for value in ("nan", "inf")
}
BAD["huge"] = json.dumps({"schema": "1", "options": [GOOD | {"runs": 10**400}]})


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_calibration_is_refused_as_a_whole(what: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_text(BAD[what], table())


@given(st.text() | st.binary().map(lambda raw: raw.decode(errors="replace")))
def test_no_text_ends_in_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_text(text, table())


@given(st.floats(1e-300, 1e300))
def test_a_ratio_is_bounded_when_it_is_read(ratio: float) -> None:
    text = json.dumps({"schema": "1", "options": [GOOD | {"ratio": ratio}]})
    assert abs(read_text(text, table())[0][NAME].log_ratio) <= WIDEST_LOG


def test_ratios_are_told_by_model_and_hardware_weighted_by_runs() -> None:
    learnt = {NAME: Learnt(3.0, 0.0), NAME._replace(site=""): Learnt(1.0, math.log(16.0))}
    assert list(ratios(learnt)) == [("net", "gpu-a", 4.0, pytest.approx(2.0))]


# on the API server ----------------------------------------------------------------------------------------------------
async def test_what_was_kept_is_taken_over() -> None:
    cluster = FakeCluster()
    await calibration(FakeClient({GET: [kept(to_text(LEARNT, table()))]}), cluster).read()
    assert list(cluster.seen) == [NAME]


async def test_it_is_made_where_it_is_not_there() -> None:
    client, cluster = FakeClient({GET: [MISSING]}), FakeCluster()
    cluster.seen = LEARNT
    assert await calibration(client, cluster).write()
    assert [sent[:2] for sent in client.sent] == [GET, POST]


async def test_nothing_is_made_before_anything_was_learnt() -> None:
    client = FakeClient({GET: [MISSING]})
    assert not await calibration(client).write()
    assert [sent[:2] for sent in client.sent] == [GET]


async def test_it_is_written_only_where_it_has_changed_and_over_what_was_read() -> None:
    client, cluster = FakeClient({GET: [kept(to_text(LEARNT, table()), mine="x")]}), FakeCluster()
    made = calibration(client, cluster)
    await made.read()
    assert await made.write()
    assert [sent[:2] for sent in client.sent] == [GET]
    cluster.seen = {NAME: Learnt(4.0, 0.0)}
    assert await made.write()
    _, _, body = client.sent[-1]
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["data"]["mine"] == "x"
    assert json.loads(body["data"]["calibration"])["options"][0]["runs"] == 4.0


@pytest.mark.parametrize("what", BAD)
async def test_what_cannot_be_used_is_told_and_not_lost(what: str, caplog: pytest.LogCaptureFixture) -> None:
    client, cluster = FakeClient({GET: [kept(BAD[what])]}), FakeCluster()
    made = calibration(client, cluster)
    await made.read()
    assert cluster.seen == {}
    assert "synergai-bridge/synergai-calibration is not used" in caplog.text
    cluster.seen = LEARNT
    assert await made.write()
    data = client.sent[-1][2]["data"]
    assert data["refused"] == BAD[what]
    assert read_text(data["calibration"], table())[0].keys() == {NAME}


async def test_what_cannot_be_read_is_not_written_over(caplog: pytest.LogCaptureFixture) -> None:
    client, cluster = FakeClient({GET: [ApiError(503, "ServiceUnavailable", "later")]}), FakeCluster()
    cluster.seen = LEARNT
    made = calibration(client, cluster)
    await made.read()
    assert not await made.write()
    assert not await made.write()
    assert {sent[0] for sent in client.sent} == {"GET"}
    assert len(caplog.records) == 1


async def test_what_another_wrote_meanwhile_is_read_before_the_next_attempt() -> None:
    more = to_text({NAME: Learnt(9.0, 0.2)}, table())
    conflict = ApiError(409, "Conflict", "the object has been modified")
    client = FakeClient({GET: [kept(to_text({}, table())), kept(more)], PUT: [conflict, {}]})
    cluster, results = FakeCluster(), []
    made = calibration(client, cluster, on_write=results.append)
    await made.read()
    cluster.seen = {NAME._replace(site=""): Learnt(1.0, 0.0)}
    assert not await made.write()
    assert await made.write()
    assert results == ["failed", "written"]
    options = json.loads(client.sent[-1][2]["data"]["calibration"])["options"]
    assert [(line["site"], line["runs"]) for line in options] == [("", 1.0), ("plant-3", 9.0)]


async def test_a_bridge_that_does_not_decide_writes_nothing() -> None:
    client, cluster = FakeClient({GET: [MISSING]}), FakeCluster()
    cluster.seen = LEARNT
    assert not await calibration(client, cluster, active=lambda: False).write()
    assert client.sent == []


async def test_whatever_goes_wrong_is_counted_and_raises_nothing() -> None:
    results: list[str] = []
    cluster = FakeCluster()
    cluster.learnt = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    assert not await calibration(FakeClient({GET: [MISSING]}), cluster, on_write=results.append).write()
    assert results == ["failed"]


# what is learnt -------------------------------------------------------------------------------------------------------
RAN = {"model": "net", "samples": 100, "hardware": "gpu-a", "configuration": "ort-b8", "runSeconds": 2.5}


def learnt_of(world: World, order: Any, pod: dict[str, Any]) -> object:
    world.pod(bound(raw_pod("a") | {"status": pod["status"]}, order.node, order.record), "MODIFIED")
    (call,) = [call for call in world.cluster.calls if call[0] == "release"]
    return call[2]


def started() -> tuple[World, Any]:
    made = World()
    made.pod(raw_pod("a"))
    (order,) = made.round()
    made.settle(order, Outcome.BOUND)
    return made, order


def timed(started_at: str, finished_at: str, **more: str) -> dict[str, Any]:
    end = {"terminated": {"startedAt": started_at, "finishedAt": finished_at, **more}}
    return {"status": {"phase": "Succeeded", "containerStatuses": [{"state": end}]}}


def test_a_run_is_as_long_as_its_runner_says() -> None:
    made, order = started()
    assert learnt_of(made, order, ended(raw_pod("a"), **RAN)) == 2.5
    assert 'synergai_run_seconds_ratio_sum{hardware="gpu-a",model="net"} 1.25' in page(made)


def page(world: World) -> str:
    return world.pods._report.metrics.render().decode()


def test_the_time_that_a_pod_takes_to_start_is_predicted_and_so_counts() -> None:
    made, order = started()
    made.cluster.pod_start_s = 4.0
    assert learnt_of(made, order, ended(raw_pod("a"), **RAN)) == 6.5


@pytest.mark.parametrize(
    "other", [{"configuration": "trt"}, {"hardware": "xeon"}, {"samples": 99}], ids=lambda o: next(iter(o))
)
def test_a_run_of_something_else_teaches_nothing(other: dict[str, object]) -> None:
    made, order = started()
    assert learnt_of(made, order, ended(raw_pod("a"), **(RAN | other))) is None
    assert "synergai_run_seconds_ratio_sum" not in page(made)


def test_without_a_message_a_long_run_is_measured_by_its_container() -> None:
    made, order = started()
    assert learnt_of(made, order, timed("2026-11-18T11:07:00Z", "2026-11-18T11:07:31Z")) == 31.0


@pytest.mark.parametrize(
    "pod",
    [
        timed("2026-11-18T11:07:00Z", "2026-11-18T11:07:30Z"),
        timed("2026-11-18T11:07:00Z", "nonsense"),
        timed("2026-11-18T11:09:00Z", "2026-11-18T11:07:30Z"),
        {"status": {"phase": "Succeeded"}},
        {"status": {"phase": "Succeeded", "containerStatuses": [{"state": None}]}},
    ],
)
def test_without_a_message_a_short_run_or_one_without_times_teaches_nothing(pod: dict[str, Any]) -> None:
    made, order = started()
    assert learnt_of(made, order, pod) is None


def test_a_message_that_is_none_leaves_it_to_the_container() -> None:
    made, order = started()
    pod = timed("2026-11-18T11:07:00Z", "2026-11-18T11:08:00Z", message="done")
    assert learnt_of(made, order, pod) == 60.0


def test_container_times_are_the_servers_and_what_is_learnt_is_the_scenarios() -> None:
    made, order = started()
    pod = read_pod(raw_pod("a") | timed("2026-11-18T11:07:00Z", "2026-11-18T11:08:00Z"))
    job = made.pods.entries["default/a"].ask.job  # type: ignore[union-attr]
    assert observed_run_s(pod, read_report(pod), order.record, job, speed=10.0) == 600.0


def test_a_pod_that_failed_teaches_nothing() -> None:
    made, order = started()
    assert learnt_of(made, order, ended(raw_pod("a"), "Failed", **RAN)) is None


# in the daemon --------------------------------------------------------------------------------------------------------
@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.client.post("/api/v1/namespaces", {"metadata": {"name": "synergai-bridge"}})
        yield made


async def options(b: Bench) -> list[dict[str, Any]]:
    try:
        found = await b.client.get(GET[1])
    except ApiError:
        return []
    return json.loads(found["data"]["calibration"])["options"]


async def test_the_daemon_reads_it_before_it_decides(b: Bench) -> None:
    body = {"metadata": {"name": "synergai-calibration"}, "data": {"calibration": to_text(LEARNT, table())}}
    await b.client.post(PATH, body)
    await b.start(once=True)
    await b.task
    assert list(b.cluster.seen) == [NAME]


async def test_the_daemon_writes_it_now_and_then(b: Bench) -> None:
    b.cluster.seen = LEARNT
    await b.start(calibration_every_s=0.01)
    await until(lambda: options(b))  # type: ignore[arg-type]
    assert b'synergai_calibration_writes_total{result="written"} 1.0' in b.daemon.render_metrics()
    assert b'synergai_calibration_runs{hardware="gpu-a",model="net"} 3.0' in b.daemon.render_metrics()


async def test_a_stop_writes_it(b: Bench) -> None:
    await b.start()
    await b.daemon.synced.wait()
    b.cluster.seen = LEARNT
    await b.end()
    assert len(await options(b)) == 1


@pytest.mark.parametrize("settings", [{"dry_run": True}, {"calibration_every_s": 0}])
async def test_none_is_written_by(b: Bench, settings: dict[str, Any]) -> None:
    await b.start(**settings)
    await b.daemon.synced.wait()
    b.cluster.seen = LEARNT
    await b.end()
    assert await options(b) == []


async def test_a_damaged_one_stops_no_daemon(b: Bench) -> None:
    body = {"metadata": {"name": "synergai-calibration"}, "data": {"calibration": "damaged"}}
    await b.client.post(PATH, body)
    await b.node()
    await b.pod("a")
    await b.start()
    await until(lambda: node_of_a(b))
    await b.end()
    assert (await b.client.get(GET[1]))["data"]["refused"] == "damaged"


async def node_of_a(b: Bench) -> bool:
    return await b.node_of("a") != ""


@pytest.mark.e2e
async def test_a_bridge_that_is_restarted_predicts_as_the_one_before() -> None:
    async with world() as w:
        await w.client.post("/api/v1/namespaces", {"metadata": {"name": "synergai-bridge"}})
        states = []
        for jobs in (24, 0):
            cluster, stop = Cluster(TABLE), asyncio.Event()
            daemon = Daemon(Settings(speed=SPEED, metrics_port=None), w.client, make("sjf_feasible"), cluster)
            task = asyncio.create_task(daemon.run(stop))
            await submit(w.client, requests(jobs), speed=SPEED)
            await until_real(w.all_done, 60)
            await daemon.synced.wait()
            await asyncio.sleep(0.2)
            stop.set()
            await task
            states.append(cluster.state.history.copy())
        first, second = states
        assert first["count"].sum() == 24
        assert second["count"].tolist() == first["count"].clip(max=MOST_RUNS).tolist()
        assert second["log_ratio"] == pytest.approx(first["log_ratio"], abs=1e-5)
