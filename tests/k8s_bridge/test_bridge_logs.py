"""The log as text, or as one JSON object per line that says which pod, node and decision it is about."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, raw_node, raw_pod, table
from bridge_world import World
from hypothesis import given
from hypothesis import strategies as st

from synergai.agents.explainer import Explainer
from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.reports.logs import DECISIONS, JsonFormatter, about, set_up


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, made = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    yield made
    root.handlers[:] = handlers
    root.setLevel(level)
    DECISIONS.setLevel(logging.NOTSET)


def log_to(stream: io.StringIO, form: Any, level: str = "info") -> None:
    logging.getLogger().handlers.clear()  # pytest's own
    set_up(level, form, stream)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def played(world: World) -> World:
    """A pod is started, one is held behind it, and the bind of the first is done."""
    world.pod(raw_pod("a", ANNOTATIONS | {keys.ANNOTATION_DEADLINE: "60s", keys.ANNOTATION_SAMPLES: "5000"}))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    world.pod(raw_pod("b", ANNOTATIONS | {keys.ANNOTATION_DEADLINE: "600s"}))
    world.round()
    return world


def busy() -> World:
    cluster = Cluster(table())
    rule = make("sjf_feasible")
    world = World(nodes=0, cluster=cluster, explain=Explainer(cluster, rule))
    world.scheduler = rule
    world.node(raw_node("n0", {"gpu-a": "1"}))
    return played(world)


def test_each_decision_is_one_line_that_has_all_of_it(stream: io.StringIO) -> None:
    log_to(stream, "json")
    busy()
    start, hold = (line for line in lines(stream) if line["logger"] == DECISIONS.name)
    assert (start["action"], start["pod"], start["node"], start["decision"]) == (
        "START",
        "default/a",
        "n0",
        "id-0",
    )
    assert (start["hardware"], start["configuration"], start["by"]) == ("gpu-a", "ort-b8", "forced")
    assert parse_time_us(start["predictedFinish"])
    assert start["explanation"]["rule"]["name"] == "edf_likely"
    assert (hold["action"], hold["pod"], hold["hardware"]) == ("HOLD", "default/b", "gpu-a")
    assert parse_time_us(hold["until"])
    assert "node" not in hold


def test_what_is_said_of_a_pod_names_it_and_its_decision(stream: io.StringIO) -> None:
    log_to(stream, "json")
    busy()
    (scheduled,) = (line for line in lines(stream) if line.get("reason") == "Scheduled")
    assert (scheduled["level"], scheduled["pod"], scheduled["decision"]) == ("info", "default/a", "id-0")
    assert scheduled["msg"].startswith("pod default/a: Scheduled: assigned default/a to n0")


def test_as_text_a_decision_is_told_once(stream: io.StringIO) -> None:
    log_to(stream, "text")
    busy()
    told = [line for line in stream.getvalue().splitlines() if "default/a" in line]
    assert len(told) == 1
    assert "INFO synergai.k8s_bridge.reports.report: pod default/a: Scheduled" in told[0]


@pytest.mark.parametrize("level", ["warning", "error"])
def test_decisions_are_not_told_below_their_level(stream: io.StringIO, level: str) -> None:
    log_to(stream, "json", level)
    busy()
    assert stream.getvalue() == ""


def formatted(message: str, *args: object, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord("a.b", logging.WARNING, "f.py", 1, message, args, more.pop("exc_info", None))
    record.__dict__.update(more)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


@given(st.text(), st.text())
def test_whatever_is_said_is_one_line(message: str, pod: str) -> None:
    line = formatted("%s", message, **about(pod=pod))
    assert line["msg"] == message
    assert line.get("pod", "") == pod


def test_a_traceback_is_in_the_line() -> None:
    try:
        raise ZeroDivisionError("injected")
    except ZeroDivisionError as error:
        line = formatted("failed", exc_info=(type(error), error, error.__traceback__))
    assert "ZeroDivisionError: injected" in line["error"]


def test_a_field_takes_no_place_of_another() -> None:
    line = formatted("said", **about(msg="another", level="none", pod="default/a"))
    assert (line["msg"], line["level"], line["pod"]) == ("said", "warning", "default/a")


def test_what_is_no_json_is_said_in_words() -> None:
    assert formatted("said", **about(node=object()))["node"].startswith("<object")
