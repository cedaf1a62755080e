"""`synergai explain pod` and `synergai queue`, on an embedded API server."""

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from bridge_bench import api_object
from bridge_fakes import raw_pod
from test_bridge_explanations import SAID
from typer.testing import CliRunner, Result

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.binder import BindOrder
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.embedded import kubeconfig
from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.server import Server, Settings
from synergai.k8s_bridge.explain.cli import app, queue
from synergai.k8s_bridge.reports.explanations import to_json
from synergai.k8s_bridge.reports.lines import Line

APP = typer.Typer()
APP.add_typer(app, name="explain")
APP.command()(queue)
ANYTHING = Rule(frozenset({"*"}), frozenset({"*"}))
NOT_QUEUES = Rule(frozenset({"get", "list"}), frozenset({"pods", "events"}))
RECORD = DecisionRecord(
    "id", "gpu-a", "ort-b8", 1, 1000, 1024, "policy", 1_795_000_000_000_000, 1_795_000_002_000_000
)


class Api:
    """A server in a thread, and what is done to it."""

    def __init__(self, folder: Path) -> None:
        users = {"admin": User("admin", (ANYTHING,)), "reader": User("reader", (NOT_QUEUES,))}
        self.server = Server(Settings(access=Access(users)))
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self._do(self.server.start())
        self.kubeconfig, self.readers = folder / "admin", folder / "reader"
        kubeconfig.write(self.kubeconfig, self.server.url, "admin")
        kubeconfig.write(self.readers, self.server.url, "reader")
        self.post("/api/v1/namespaces", {"metadata": {"name": "synergai-bridge"}})

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def post(self, path: str, body: Any) -> None:
        async def send() -> None:
            credentials = Credentials(self.server.url, token_source=lambda: "Bearer admin")
            async with ApiClient(credentials) as client:
                await client.post(path, body)

        self._do(send())

    def pod(self, name: str, **spec: Any) -> None:
        self.post("/api/v1/namespaces/default/pods", api_object("Pod", raw_pod(name, **spec)))

    def bound(self, name: str, explanation: str = to_json(SAID), decision: str = "") -> None:
        self.pod(name)
        body = BindOrder("default", name, "", "n0", RECORD, explanation).body()
        if decision:
            body["metadata"]["annotations"][keys.ANNOTATION_DECISION] = decision
        del body["metadata"]["uid"]
        self.post(f"/api/v1/namespaces/default/pods/{name}/binding", body)

    def board(self, *lines: Line, age_s: float = 0.0, **more: Any) -> None:
        value = {
            "updatedAt": format_time_us(round((time.time() - age_s) * 1e6)),
            "totals": {"queued": len(lines)} if lines else {},
            "pods": [line.fields() for line in lines],
        }
        data = {"queue": json.dumps(value | more)}
        self.post(
            "/api/v1/namespaces/synergai-bridge/configmaps",
            {"metadata": {"name": "synergai-queue"}, "data": data},
        )

    def run(self, *words: str, reader: bool = False) -> Result:
        config = self.readers if reader else self.kubeconfig
        return CliRunner().invoke(APP, [*words, "--kubeconfig", str(config)])

    def stop(self) -> None:
        self._do(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path)
    yield made
    made.stop()


def assert_one_line(result: Result, *named: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    for name in named:
        assert name in line


def now_us(in_s: float = 0.0) -> int:
    return round((time.time() + in_s) * 1e6)


# a bound pod ----------------------------------------------------------------------------------------------------------
def test_a_bound_pod_says_who_decided_what_else_there_was_and_what_was_closed(api: Api) -> None:
    api.bound("a")
    result = api.run("explain", "pod", "a")
    assert result.exit_code == 0, result.output
    for part in (
        "default/a is on n0",
        "by net demo (demo p=0.50)",
        "1 x gpu-a, 1000 m cpu, 1024 MiB, as ort-b8",
        "3.0 s before the deadline",
        "p 0.500  start it on gpu-a as ort-b8, to end 2.0 s later  <- taken",
        "p 0.250  hold another pod for jetson",
        "p 0.125  wait",
        "edf_likely would hold another pod for jetson",
        "no room now: xeon; ageing share: a100, t4",
        "3 other pods were on hold",
    ):
        assert part in result.stdout


def test_a_bound_pod_needs_no_bridge(api: Api) -> None:
    api.bound("a")
    assert api.run("explain", "pod", "a", reader=True).exit_code == 0


def test_a_damaged_decision_is_an_error_that_names_the_annotation(api: Api) -> None:
    api.bound("a", decision="{")
    assert_one_line(
        api.run("explain", "pod", "a"), "default/a is on n0", keys.ANNOTATION_DECISION, "cannot be read"
    )


def test_a_damaged_explanation_leaves_what_was_decided(api: Api) -> None:
    api.bound("a", explanation="{")
    result = api.run("explain", "pod", "a")
    assert result.exit_code == 0
    assert "1 x gpu-a" in result.stdout
    assert f"annotation {keys.ANNOTATION_EXPLANATION} cannot be read" in result.stdout


def test_a_pod_without_an_explanation_says_so(api: Api) -> None:
    api.bound("a", explanation="")
    assert "no explanation was written" in api.run("explain", "pod", "a").stdout


def test_an_annotation_cannot_move_the_cursor(api: Api) -> None:
    api.bound("a", explanation=to_json(SAID).replace("demo p=0.50", "\\u001b[2Jgone\\n"))
    stdout = api.run("explain", "pod", "a").stdout
    assert "\x1b" not in stdout
    assert "?[2Jgone?" in stdout


# a pending pod --------------------------------------------------------------------------------------------------------
def test_a_pending_pod_says_where_it_stands_and_what_it_is_held_for(api: Api) -> None:
    api.pod("a")
    held = {"held_for": "gpu-a", "configuration": "ort-b8", "until_us": now_us(50)}
    api.board(
        Line("default/b", "queued"), Line("default/a", "queued", "net", now_us(100), now_us(90), **held)
    )
    result = api.run("explain", "pod", "a")
    assert result.exit_code == 0, result.output
    for part in (
        "default/a waits",
        "net, 100 samples",
        "number 2 of 2",
        "until it must start",
        "held for gpu-a until in",
    ):
        assert part in result.stdout


def test_a_pending_pod_that_is_too_late_says_so(api: Api) -> None:
    api.pod("a")
    api.board(Line("default/a", "queued", "net", now_us(5), now_us(-20)))
    assert "it should have started" in api.run("explain", "pod", "a").stdout


def test_a_pod_outside_the_queue_says_why(api: Api) -> None:
    api.pod("a")
    api.board(Line("default/a", "unschedulable", why="0/1 nodes are available: 1 Insufficient cpu."))
    assert "unschedulable: 0/1 nodes are available" in api.run("explain", "pod", "a").stdout


def test_a_pod_beyond_the_end_of_the_board_says_so(api: Api) -> None:
    api.pod("a")
    api.board(Line("default/b", "queued"), totals={"queued": 900})
    assert "beyond the first 1" in api.run("explain", "pod", "a").stdout


def test_a_pod_that_the_bridge_has_not_seen_says_so(api: Api) -> None:
    api.pod("a")
    api.board()
    assert "not seen by the bridge yet" in api.run("explain", "pod", "a").stdout


def test_what_the_bridge_said_of_a_pending_pod_is_shown(api: Api) -> None:
    api.pod("a")
    uid = api._do(api_pod(api, "a"))["metadata"]["uid"]
    api.post(
        "/api/v1/namespaces/default/events",
        {
            "metadata": {"name": "e", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a", "uid": uid},
            "reason": "Held",
            "message": "held for gpu-a",
            "type": "Normal",
            "reportingComponent": keys.SCHEDULER_NAME,
            "reportingInstance": "x",
            "action": "Scheduling",
            "eventTime": format_time_us(now_us(-30)),
        },
    )
    api.board()
    assert "Held: held for gpu-a (3" in api.run("explain", "pod", "a").stdout


async def api_pod(api: Api, name: str) -> Any:
    async with ApiClient(Credentials(api.server.url, token_source=lambda: "Bearer admin")) as client:
        return await client.get(f"/api/v1/namespaces/default/pods/{name}")


def test_a_pending_pod_without_a_bridge_is_told_as_far_as_it_goes(api: Api) -> None:
    api.pod("a")
    result = api.run("explain", "pod", "a")
    assert_one_line(result, "no bridge has written its queue")
    assert "net, 100 samples" in result.stdout


# problems -------------------------------------------------------------------------------------------------------------
def test_an_unknown_pod(api: Api) -> None:
    assert_one_line(api.run("explain", "pod", "ghost"), "there is no pod ghost in namespace default")


def test_a_pod_of_another_scheduler(api: Api) -> None:
    api.pod("a", schedulerName="default-scheduler")
    assert_one_line(api.run("explain", "pod", "a"), "scheduled by default-scheduler, not by synergai")


def test_a_name_that_is_a_path(api: Api) -> None:
    assert_one_line(api.run("explain", "pod", "../../nodes"), "no pod")


def test_no_kubeconfig(tmp_path: Path) -> None:
    result = CliRunner().invoke(APP, ["queue", "--kubeconfig", str(tmp_path / "none")])
    assert_one_line(result, "synergai queue", "none")


def test_a_queue_that_may_not_be_read(api: Api) -> None:
    api.board()
    assert_one_line(api.run("queue", reader=True), "no permission", "configmaps")


def test_a_queue_without_a_bridge(api: Api) -> None:
    assert_one_line(api.run("queue"), "no bridge has written its queue", "synergai-bridge/synergai-queue")


def test_a_queue_of_a_bridge_that_has_stopped(api: Api) -> None:
    api.board(age_s=600)
    assert_one_line(api.run("queue"), "no bridge is running", "was written 60")


@pytest.mark.parametrize("damage", [{"pods": 3}, {"totals": []}, {"updatedAt": "soon"}, {"pods": [{}]}])
def test_a_damaged_queue(api: Api, damage: dict[str, Any]) -> None:
    api.board(**damage)
    assert_one_line(api.run("queue"), "cannot be read")


# the queue ------------------------------------------------------------------------------------------------------------
def test_the_queue_is_shown_in_the_order_of_the_bridge(api: Api) -> None:
    api.board(
        Line("default/z", "queued", "net", now_us(100), now_us(90.5), "gpu-a", "ort-b8", now_us(20.5)),
        Line("default/a", "queued", "edge"),
        Line("default/m", "unschedulable", why="0/1 nodes are available"),
    )
    result = api.run("queue")
    assert result.exit_code == 0, result.output
    head, _, *rows = result.stdout.splitlines()
    assert head.startswith("3 pods wait, as of ")
    assert [row.split()[1] for row in rows] == ["default/z", "default/a", "default/m"]
    assert "held for gpu-a until in " in rows[0]
    assert [row.split()[0] for row in rows] == ["1", "2", "-"]
    assert rows[1].split()[2:] == ["edge", "-", "-", "queued"]


def test_an_empty_queue_is_one_line(api: Api) -> None:
    api.board()
    (line,) = api.run("queue").stdout.splitlines()
    assert line.startswith("0 pods wait, as of ")


def test_what_has_no_line_is_counted(api: Api) -> None:
    api.board(Line("default/a", "queued"), totals={"queued": 250})
    assert api.run("queue").stdout.splitlines()[-1] == "and 249 more"
