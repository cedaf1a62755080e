"""A replayed stretch of the shipped trace on a real API server, on nodes labelled as Jetsons, CPUs and GPUs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from synergai.envs import scenario
from synergai.envs.tape import Setting, setting_of
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.quantities import count, cpu_milli, memory_mib
from synergai.k8s_bridge.admission.requests import pod_requests
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.demo.measure import termination
from tests.e2e.ground import Json
from tests.e2e.replay import JOBS, Plan, Replay, has_ended, replay

pytestmark = pytest.mark.e2e
Runs = Callable[[str], Replay]

PLANS = {
    "rule": Plan(("--scheduler", "sjf_feasible")),
    "learned": Plan(("--checkpoint", "demo")),
    "killed": Plan(("--checkpoint", "demo"), kill_after=(15, 35)),
    "replaced": Plan(("--checkpoint", "demo"), kill_after=(15,), standby=True),
}


@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(scenario.load(Path(__file__).with_name("replayed.yaml")))


@pytest.fixture(scope="module")
def runs(real_kubeconfig: str, setting: Setting, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Each plan is carried out once, when it is first asked for."""

    @cache
    def run(name: str) -> Replay:
        return asyncio.run(replay(real_kubeconfig, setting, PLANS[name], tmp_path_factory.mktemp(name)))

    return run


@pytest.fixture(params=PLANS)
def run(request: pytest.FixtureRequest, runs: Runs) -> Replay:
    """What takes it is true of every plan."""
    return runs(request.param)


def decision(pod: Json) -> DecisionRecord:
    record = read_decision(pod["metadata"]["annotations"])
    assert record is not None, pod["metadata"]["name"]
    return record


def test_every_pod_runs_to_its_end(run: Replay) -> None:
    assert [pod["status"]["phase"] for pod in run.pods] == ["Succeeded"] * JOBS


def test_no_kubelet_refuses_a_pod(run: Replay) -> None:
    assert [pod["status"] for pod in run.history if pod["status"].get("phase") == "Failed"] == []


def test_no_pod_is_bound_twice(run: Replay) -> None:
    bound = [pod for pod in run.history if pod["spec"].get("nodeName")]
    binds = {(pod["metadata"]["uid"], pod["spec"]["nodeName"], decision(pod).id) for pod in bound}
    assert len(binds) == JOBS


def test_a_bound_pod_has_exactly_what_was_decided(run: Replay) -> None:
    for pod in run.history:
        if pod["spec"].get("nodeName"):
            requests, record = pod_requests(pod["spec"]), decision(pod)
            has = (requests.cpu_milli, requests.memory_mib, record.resized)
            assert has == (record.cpu_milli, record.memory_mib, True), pod["metadata"]["name"]


def test_no_node_ever_holds_more_than_it_has(run: Replay) -> None:
    room = {node["metadata"]["name"]: capacity(node) for node in run.nodes}
    used: dict[str, Counter[str]] = {name: Counter() for name in room}
    taken: dict[str, Counter[str]] = {}
    for pod in run.history:
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        if node and has_ended(pod):
            used[node].subtract(taken.pop(uid, Counter()))
        elif node and uid not in taken:
            taken[uid] = wanted(pod)
            used[node].update(taken[uid])
            assert used[node] <= room[node], (pod["metadata"]["name"], used[node], room[node])


def capacity(node: Json) -> Counter[str]:
    """What a node has, of what decisions ask for."""
    room = node["status"]["allocatable"]
    labels = node["metadata"]["labels"]
    devices = {
        key.removeprefix(keys.LABEL_HARDWARE_PREFIX): int(value)
        for key, value in labels.items()
        if key.startswith(keys.LABEL_HARDWARE_PREFIX)
    }
    return Counter(
        cpu=cpu_milli(room["cpu"]), memory=memory_mib(room["memory"]), pods=count(room["pods"]), **devices
    )


def wanted(pod: Json) -> Counter[str]:
    """What a decision takes of its node, and the pod's own requests where they are more."""
    record, own = decision(pod), pod_requests(pod["spec"])
    return Counter(
        {
            "cpu": max(record.cpu_milli, own.cpu_milli),
            "memory": max(record.memory_mib, own.memory_mib),
            "pods": 1,
            record.hardware: record.device_units,
        }
    )


def test_jobs_share_nodes(run: Replay) -> None:
    """Else the fact above would say little."""
    running: dict[str, set[str]] = {node["metadata"]["name"]: set() for node in run.nodes}
    most = 0
    for pod in run.history:
        if node := pod["spec"].get("nodeName"):
            (running[node].discard if has_ended(pod) else running[node].add)(pod["metadata"]["uid"])
            most = max(most, len(running[node]))
    assert most > 1


def test_a_pod_that_names_hardware_gets_it(run: Replay) -> None:
    allowed = {request.name: request.hardware for request in run.requests if request.hardware}
    chosen = {pod["metadata"]["name"]: decision(pod).hardware for pod in run.pods}
    assert allowed
    assert {name for name, hardware in allowed.items() if chosen[name] not in hardware} == set()


def test_the_decision_is_of_hardware_that_its_node_has(run: Replay) -> None:
    labels = {node["metadata"]["name"]: node["metadata"]["labels"] for node in run.nodes}
    for pod in run.pods:
        assert keys.LABEL_HARDWARE_PREFIX + decision(pod).hardware in labels[pod["spec"]["nodeName"]]


def test_the_decision_is_a_configuration_that_was_measured_and_what_it_takes(
    run: Replay, setting: Setting
) -> None:
    for pod in run.pods:
        record = decision(pod)
        profile = setting.table.find(
            pod["metadata"]["annotations"][keys.ANNOTATION_MODEL], record.hardware, record.configuration
        )
        taken = record.device_units, record.cpu_milli, record.memory_mib
        assert taken == (profile.device_units, profile.cpu_milli, profile.memory_mib)


def test_what_ran_is_what_was_decided(run: Replay) -> None:
    for pod in run.pods:
        record, message = decision(pod), termination(pod)
        assert message is not None
        assert (message["hardware"], message["configuration"]) == (record.hardware, record.configuration)


def test_jetsons_cpus_and_gpus_all_serve(run: Replay, setting: Setting) -> None:
    kinds = {setting.table.hardware[decision(pod).hardware].kind for pod in run.pods}
    assert kinds == {"jetson", "cpu", "gpu"}


def test_every_pod_has_the_event_that_it_was_scheduled(run: Replay) -> None:
    told = {event["involvedObject"]["name"] for event in run.events if event["reason"] == "Scheduled"}
    missing = {request.name for request in run.requests} - told
    assert not missing or run.kills, missing  # a kill takes unwritten events along


def test_the_released_policy_decides(runs: Runs) -> None:
    by = Counter(decision(pod).decided_by for pod in runs("learned").pods)
    assert by["policy"] > JOBS / 2, by


def test_at_every_kill_pods_run_and_pods_wait(runs: Runs) -> None:
    """Else a restart would have nothing to lose."""
    kills = runs("killed").kills
    assert len(kills) == 2
    assert min(kill.running for kill in kills) > 0
    assert min(kill.waiting for kill in kills) > 0


@pytest.mark.parametrize("name", ["killed", "replaced"])
def test_after_every_kill_decisions_go_on(runs: Runs, name: str) -> None:
    run = runs(name)
    assert max(kill.at_us for kill in run.kills) < max(decision(pod).decided_us for pod in run.pods)


def test_a_standby_decides_nothing_before_the_lease_has_run_out(runs: Runs) -> None:
    """Six seconds after a renewal that was sent in the last second before the kill, and one more."""
    run = runs("replaced")
    (kill,) = run.kills
    later_us = [decision(pod).decided_us for pod in run.pods if decision(pod).decided_us > kill.at_us + 10**6]
    assert later_us
    assert min(later_us) > kill.at_us + 5 * 10**6
