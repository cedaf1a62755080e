"""`synergai bench`: every figure is one JSON line that says what was measured; nothing here looks at how fast."""

import json

import pytest
from typer.testing import CliRunner, Result

from synergai.benchmarks.decision import queued_cluster
from synergai.benchmarks.figure import FIGURES
from synergai.benchmarks.worlds import enlarged, resized
from synergai.cli import app
from synergai.envs import scenario as scenarios
from synergai.envs.tape import setting_of
from synergai.offline_profiles.table import ProfileTable

SMALL = {
    "sim_decisions_per_s": "--seconds 0.05 --load 0.9",
    "sim_rule_decisions_per_s": "--seconds 0.05 --scenario edge",
    "gym_steps_per_s": "--seconds 0.05",
    "decision_us": "--nodes 12 --jobs 15 --repeats 2",
    "plan_us": "--nodes 6 --futures 4 --repeats 1",
    "train_steps_per_s": "--seconds 0.01 --config training/configs/fast.yaml",
    "train_over_stock": "--seconds 0.01 --config training/configs/fast.yaml",
    "bridge_pods_per_s": "--pods 12 --nodes 6",
    "peers": "--seconds 0.05 --repeats 1",
}
ELSEWHERE = {"beside_kube_scheduler", "jobs_beside_kubernetes"}
"""They take a real API server: tests/e2e/test_beside.py."""
SLOW = {
    "train_steps_per_s": pytest.mark.slow,
    "train_over_stock": pytest.mark.slow,
    "bridge_pods_per_s": pytest.mark.e2e,
}
SAID = {
    "sim_decisions_per_s": {"load": 0.9, "scenario": "demo", "nodes": 11, "features": 63, "cores_used": 1},
    "sim_rule_decisions_per_s": {"scenario": "edge", "cores_used": 1},
    "gym_steps_per_s": {"scenario": "demo", "seed": 0},
    "decision_us": {"nodes": 12, "jobs": 15, "busy_nodes": 6, "unit": "us"},
    "plan_us": {"nodes": 6, "futures": 4, "load": 0.9, "unit": "us"},
    "train_steps_per_s": {"config": "fast", "epochs": 1, "loads": [0.8]},
    "train_over_stock": {"scenario": "demo", "load": 0.8, "environments": 8, "epochs": 1},
    "bridge_pods_per_s": {"cluster": "embedded", "pods": 12, "nodes": 6},
    "peers": {"scenario": "demo", "nodes": 11, "instance": "ta01", "repeats": 1},
}
EXTRA = {"peers": ("gpu_choochoo", "JSSEnv", "simpy")}


def run(*args: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}).invoke(app, ["bench", *args])


def test_without_a_name_the_figures_are_listed() -> None:
    assert [line.split(":")[0] for line in run().stdout.splitlines()] == list(FIGURES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW.get(name, ())) for name in FIGURES if name not in ELSEWHERE]
)
def test_a_figure_is_one_json_line_that_says_what_was_measured(
    name: str, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    for module in EXTRA.get(name, ()):
        pytest.importorskip(module)
    monkeypatch.chdir(pytestconfig.rootpath)
    result = run(name, *SMALL[name].split())
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    figure = json.loads(line)
    assert figure["name"] == name
    assert figure["value"] > 0
    assert {"unit", "cpu", "cores", "versions", "commit"} <= set(figure)
    assert {key: figure[key] for key in SAID[name]} == SAID[name]


MISTAKES = {
    "an unknown figure": ("fps", ("'fps'", "decision_us")),
    "an option of another figure": ("decision_us --pods 3", ("decision_us", "--pods", "--nodes")),
    "an unknown scenario": ("sim_decisions_per_s --scenario nowhere", ("'nowhere'", "demo")),
    "a missing checkpoint": ("decision_us --checkpoint nothing", ("'nothing'", "demo")),
    "a missing config": ("train_steps_per_s --config no.yaml", ("no.yaml",)),
    "too few nodes for the mix": ("decision_us --nodes 1", ("no hardware of this cluster",)),
    "too many pods for the nodes": ("bridge_pods_per_s --pods 9999 --nodes 12", ("9999 pods", "12 nodes")),
    "no cluster to be beside on": ("beside_kube_scheduler --pods 2", ("KUBECONFIG",)),
    "a real cluster that is not named": ("bridge_pods_per_s --cluster real --pods 2", ("KUBECONFIG",)),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_every_mistake_is_one_clear_line(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    command, named = MISTAKES[case]
    result = run(*command.split())
    assert result.exit_code == 2, result.output
    for line in result.stderr.splitlines():
        assert line.startswith("synergai bench: ")
        assert [part for part in named if part not in line] == []


@pytest.mark.parametrize(
    "command", ["decision_us --nodes 0", "decision_us --jobs -1", "bridge_pods_per_s --pods 1"]
)
def test_an_impossible_size_is_refused_by_its_option(command: str) -> None:
    result = run(*command.split())
    assert result.exit_code == 2
    assert command.split()[1] in result.stderr


@pytest.mark.parametrize("nodes", [3, 12, 100])
def test_a_resized_scenario_has_so_many_nodes_of_its_kinds_in_turn(nodes: int) -> None:
    made = resized(scenarios.load("demo"), nodes)
    counts = [kind.count for kind in made.machines]
    assert sum(counts) == nodes
    assert max(counts) - min(counts) <= 1


def test_an_enlarged_node_holds_so_many_times_as_much() -> None:
    table, demo = ProfileTable.default(), scenarios.load("demo")
    for small, large in zip(demo.nodes(table), enlarged(demo, 5).nodes(table)):
        assert (large.cpu_milli, large.memory_mib) == (5 * small.cpu_milli, 5 * small.memory_mib)
        assert [d.units for d in large.devices] == [5 * d.units for d in small.devices]


def test_half_of_the_nodes_of_a_queued_cluster_are_busy() -> None:
    cluster = queued_cluster(setting_of(resized(scenarios.load("demo"), 24)), 30, seed=0)
    busy = {booked.node for booked in cluster._booked.values()}
    assert (cluster.queued(), len(busy)) == (30, 12)
