"""Dashboard and alerts ask for what a bridge serves, and each alert says what to do."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.metrics import Metrics
from synergai.k8s_bridge.submit import submit
from tests.deploy.rendered import DEPLOY, ROOT, kustomize, objects
from tests.k8s_bridge.bridge_e2e import SPEED, TABLE, requests, until, world

DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
QUERIES = {f"alert {rule['alert']}": (rule["expr"], "") for rule in RULES} | {
    f"panel {panel['title']} {target['refId']}": (target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}


@dataclass
class Asked:
    """Of one query: series, with the labels that are matched, and the labels that it groups by."""

    matched: dict[str, dict[str, str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)


def read(query: str) -> Asked:
    """ValueError where it is no PromQL."""
    asked = Asked()

    def look(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            look(node.vector_selector)
        if isinstance(node, promql_parser.VectorSelector):
            labels = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            asked.matched[node.name or ""] = asked.matched.get(node.name or "", {}) | labels
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            asked.grouped |= set(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(query.replace("$__rate_interval", "5m")), look)
    return asked


@pytest.fixture(scope="module")
def served() -> dict[str, set[str]]:
    """Of each series on /metrics after a short run: its labels; where nothing was counted, those it was made with."""
    series = asyncio.run(_served())
    for collector, names in Metrics().registry._collector_to_names.items():
        for name in names:
            series.setdefault(name, set()).update(getattr(collector, "_labelnames", ()))
    return series


async def _served() -> dict[str, set[str]]:
    async with world() as w, aiohttp.ClientSession() as session:
        settings = Settings(speed=SPEED, metrics_port=0)
        daemon, stop = Daemon(settings, w.client, make("sjf_feasible"), Cluster(TABLE)), asyncio.Event()
        task = asyncio.create_task(daemon.run(stop))
        await submit(w.client, requests(8), speed=SPEED)
        await until(w.all_done, 30)
        async with session.get(f"http://127.0.0.1:{daemon.metrics_port}/metrics") as reply:
            text = await reply.text()
        stop.set()
        await task
    families = list(text_string_to_metric_families(text))
    return {sample.name: set(sample.labels) for one in families for sample in one.samples}


@pytest.mark.parametrize("name", QUERIES)
def test_query_asks_for_series_and_labels_that_are_served(name: str, served: dict[str, set[str]]) -> None:
    query, legend = QUERIES[name]
    asked = read(query)
    assert asked.matched
    assert set(asked.matched) <= set(served)
    for series, labels in asked.matched.items():
        assert set(labels) | asked.grouped <= served[series], series
    assert set(re.findall(r"{{(\w+)}}", legend)) <= asked.grouped


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every string in the code that counts."""
    files = [
        *(ROOT / "k8s_bridge").glob("*.py"),
        *(ROOT / "envs").glob("*.py"),
        *(ROOT / "agents").glob("*.py"),
    ]
    return set(re.findall(r'"(\w+)"', "".join(file.read_text(encoding="utf-8") for file in files)))


def values() -> Iterator[tuple[str, str]]:
    for query, _ in QUERIES.values():
        for labels in read(query).matched.values():
            yield from (
                (label, value) for label, one in labels.items() if label != "code" for value in one.split("|")
            )


@pytest.mark.parametrize(("label", "value"), sorted(set(values())))
def test_value_of_a_label_is_a_word_of_the_code(label: str, value: str, words: set[str]) -> None:
    assert value in words


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_has_a_section_that_says_what_to_do(rule: dict) -> None:
    assert f"\n### {rule['alert']}\n" in RUNBOOK
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]


def test_every_section_has_its_alert() -> None:
    assert re.findall(r"\n### (Synergai\w+)\n", RUNBOOK) == [rule["alert"] for rule in RULES]


def test_both_are_config_maps_as_they_are() -> None:
    data = {name: text for item in objects(kustomize("monitoring")) for name, text in item["data"].items()}
    assert json.loads(data["dashboard.json"]) == DASHBOARD
    assert yaml.safe_load(data["alerts.yaml"]) == ALERTS
