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
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.submit import submit
from tests.deploy.rendered import DEPLOY, ROOT, kustomize, objects
from tests.k8s_bridge.bridge_e2e import SPEED, TABLE, requests, until, world

DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DOCS = (ROOT / "docs" / "bridge.md").read_text(encoding="utf-8")
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


TROUBLES = {
    "synergai_node_problems_total", "synergai_pod_problems_total", "synergai_events_dropped_total",
    "synergai_guard_switches_total", "synergai_lease_renewals_total", "synergai_leader_transitions_total",
    "synergai_replays_total", "synergai_replay_violations", "synergai_watch_restarts_total",
    "synergai_fallbacks_total", "synergai_breaker_trips_total", "synergai_reloads_total",
    "synergai_shadow_agreement_total", "synergai_shadow_deadlines_total",
    "synergai_job_problems_total", "synergai_runtime_problems_total", "synergai_job_write_failures_total",
    "synergai_jobs_ended_total", "synergai_shadow_gain_seconds_sum", "synergai_shadow_gain_seconds_count",
}  # fmt: skip
"""What a short run of one bridge with a rule has no samples of, or only zeros."""


@pytest.fixture(scope="module")
def page() -> dict[str, set[str]]:
    """Of each series on /metrics after a short run: its labels."""
    return asyncio.run(_served())


@pytest.fixture(scope="module")
def served(page: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same, and of what nothing was counted of, the labels it was made with."""
    series = {name: set(labels) for name, labels in page.items()}
    for collector, names in Metrics().registry._collector_to_names.items():
        for name in names:
            series.setdefault(name, set()).update(getattr(collector, "_labelnames", ()))
    return series


async def _served() -> dict[str, set[str]]:
    metrics = Metrics()
    counted = metrics.api_requests
    async with (
        world() as w,
        ApiClient(
            Credentials(w.server.url), on_request=lambda method, code: counted.labels(method, str(code)).inc()
        ) as client,
        aiohttp.ClientSession() as session,
    ):
        await w.client.post("/api/v1/namespaces", {"metadata": {"name": "synergai-bridge"}})
        settings = Settings(speed=SPEED, metrics_port=0, calibration_every_s=0.1)
        daemon = Daemon(settings, client, make("sjf_feasible"), Cluster(TABLE), metrics=metrics)
        stop = asyncio.Event()
        task = asyncio.create_task(daemon.run(stop))
        await submit(w.client, requests(8), speed=SPEED)
        await until(w.all_done, 30)
        await until(lambda: kept(daemon), 10)
        async with session.get(f"http://127.0.0.1:{daemon.metrics_port}/metrics") as reply:
            text = await reply.text()
        stop.set()
        await task
    parsed = list(text_string_to_metric_families(text))
    return {sample.name: set(sample.labels) for one in parsed for sample in one.samples}


async def kept(daemon: Daemon) -> bool:
    return b"synergai_calibration_writes_total{" in daemon.render_metrics()


@pytest.mark.parametrize("name", QUERIES)
def test_query_asks_for_series_and_labels_that_are_served(name: str, served: dict[str, set[str]]) -> None:
    query, legend = QUERIES[name]
    asked = read(query)
    assert asked.matched
    assert set(asked.matched) <= set(served)
    for series, labels in asked.matched.items():
        assert set(labels) | asked.grouped <= served[series], series
    assert set(re.findall(r"{{(\w+)}}", legend)) <= asked.grouped


@pytest.mark.parametrize("name", QUERIES)
def test_after_a_run_there_is_something_to_see(name: str, page: dict[str, set[str]]) -> None:
    for series in set(read(QUERIES[name][0]).matched) - TROUBLES:
        assert series in page


def families() -> set[str]:
    """What a bridge counts, as the documentation calls it."""
    found = Metrics().registry.collect()
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in found}


def test_everything_that_is_served_is_on_the_dashboard() -> None:
    shown = {series for query, _ in QUERIES.values() for series in read(query).matched}
    assert {re.sub("_(bucket|sum|count)$", "", series) for series in shown} == families()


def test_every_metric_is_in_the_docs_and_none_else() -> None:
    section = DOCS.split("\n## Metrics\n")[1].split("\n## ")[0]
    table = "".join(line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"synergai_[a-z_]+", table)) == families()


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every string in the code that counts."""
    files = [
        *(ROOT / "k8s_bridge").rglob("*.py"),
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
