"""`synergai`: every verb says what it does, and a mistake is one clear line and exit code 2."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from synergai.cli import app
from synergai.envs import scenario as scenarios

VERBS = {
    (): (
        "simulate",
        "evaluate",
        "train",
        "export",
        "cluster",
        "bridge",
        "bench",
        "demo",
        "profiles",
        "scenario",
    ),
    ("demo",): ("embedded cluster", "--jobs", "--speed"),
    ("simulate",): ("One tape", "--scheduler", "--events"),
    ("evaluate",): ("common tapes", "--checkpoint", "--tapes"),
    ("train",): ("clone", "PPO", "--config", "--out", "--resume"),
    ("export",): ("ONNX", "--checkpoint", "--out"),
    ("cluster",): ("API server", "--kubeconfig", "--port"),
    ("bridge",): ("Schedule the pods", "--dry-run", "--once"),
    ("uninstall",): ("InferenceJobs left behind", "--delete-crds", "--yes"),
    ("run",): ("SYNERGAI_*", "--models", "--report", "runtimes"),
    ("run", "runtimes"): ("InferenceRuntimes", "--profiles", "--image"),
    ("bench",): ("JSON line", "--nodes", "--cluster"),
    ("node",): ("label",),
    ("node", "label"): ("hardware.synergai.dev/nvidia-t4", "--from-dir", "--dry-run", "--map", "--print"),
    ("profiles",): ("build", "show"),
    ("profiles", "build"): ("CSV files", "--sources"),
    ("profiles", "show"): ("fastest", "--model"),
    ("scenario",): ("list", "check", "capacity"),
    ("scenario", "check"): ("can be run",),
    ("scenario", "list"): ("scenarios that ship",),
    ("scenario", "capacity"): ("lambda*", "--json"),
}


def run(*args: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}).invoke(app, list(args))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb) or "synergai")
def test_help_names_what_a_verb_does(verb: tuple[str, ...]) -> None:
    result = run(*verb, "--help")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert [part for part in VERBS[verb] if part not in said] == []


@pytest.mark.parametrize(
    "verb", [(), ("node",), ("profiles",), ("scenario",)], ids=lambda verb: " ".join(verb) or "-"
)
def test_without_a_verb_the_help_is_shown(verb: tuple[str, ...]) -> None:
    assert "Usage:" in run(*verb).output


# mistakes -----------------------------------------------------------------------------------------------
MISTAKES: dict[str, tuple[str, tuple[str, ...]]] = {
    "an unknown scenario to simulate": ("simulate --scenario nowhere", ("simulate", "'nowhere'", "demo")),
    "a rule that is not there among others": ("simulate --scheduler edf,best", ("simulate", "'best'", "synergai")),
    "no scheduler": ("simulate --scheduler ,", ("simulate", "--scheduler names none")),
    "a picture of several schedulers": ("simulate --scheduler all --gantt x.png", ("--gantt", "one scheduler")),
    "a picture of another kind": ("simulate --gantt x.pdf", ("x.pdf", ".png, .svg, .html")),
    "a picture of too many nodes": ("simulate --scenario openb --gantt x.png", ("1213 nodes", "300")),
    "a picture in no folder": ("simulate --gantt {tmp}/no/x.png", ("{tmp}/no/x.png",)),
    "an unknown rule to simulate": ("simulate --scheduler best", ("simulate", "'best'", "synergai")),
    "a missing checkpoint to simulate": ("simulate --checkpoint {tmp}/no", ("simulate", "{tmp}/no", "released")),
    "a scenario file that is not there": ("simulate --scenario {tmp}/no.yaml", ("simulate", "{tmp}/no.yaml")),
    "a scenario with an unknown key": ("simulate --scenario {tmp}/bad.yaml", ("bad.yaml:2", "shape", "unknown")),
    "an unknown scenario to evaluate": ("evaluate --scenario nowhere", ("evaluate", "'nowhere'", "demo")),
    "an unknown rule to evaluate": ("evaluate --schedulers edf,best", ("evaluate", "'best'", "edf")),
    "a missing checkpoint to evaluate": ("evaluate --checkpoint {tmp}/no", ("evaluate", "{tmp}/no")),
    "nothing to evaluate": ("evaluate --schedulers ,", ("evaluate", "nothing", "--schedulers", "--checkpoint")),
    "an unknown scenario to look at": ("scenario capacity nowhere", ("scenario capacity", "'nowhere'", "demo")),
    "a scenario to check with a bad number": (
        "scenario check {tmp}/units.yaml",
        ("synergai scenario check: ", "units.yaml:2: machines.0.cpu_milli: '2': expected milli-CPU as a whole number"),
    ),
    "a scenario to check with unknown hardware": (
        "scenario check {tmp}/new.yaml",
        ("synergai scenario check: ", "new.yaml:2: machines.0.hardware.nvidia-t5: no such hardware", "'nvidia-t4'"),
    ),
    "an unknown model": ("profiles show --model gpt-9", ("gpt-9", "resnet50")),
    "profiles that are not there": ("profiles show --model resnet50 --profiles {tmp}/no.csv", ("{tmp}/no.csv",)),
    "settings that are not there": ("train --config {tmp}/no.yaml --out {tmp}/o", ("train", "{tmp}/no.yaml")),
    "settings with an unknown key": ("train --config {tmp}/run.yaml --out {tmp}/o", ("run.yaml", "widht", "unknown")),
    "settings of an unknown scenario": ("train --config {tmp}/where.yaml --out {tmp}/o", ("train", "'nowhere'")),
    "no run to resume": ("train --resume --out {tmp}/no", ("train", "{tmp}/no", "no run")),
    "a missing checkpoint to export": ("export --checkpoint {tmp}/no --out {tmp}/o", ("export", "{tmp}/no")),
    "an unknown rule for the bridge": ("bridge --scheduler best", ("bridge", "'best'", "sjf_feasible")),
    "a missing checkpoint for the bridge": ("bridge --checkpoint {tmp}/no", ("bridge", "{tmp}/no")),
    "two schedulers for the bridge": ("bridge --checkpoint a --scheduler edf", ("bridge", "exclude")),
    "an unknown scenario for a cluster": ("cluster --scenario nowhere", ("'nowhere'", "demo")),
    "a kubeconfig that is not there": ("cluster --kubeconfig-of-existing {tmp}/no", ("{tmp}/no",)),
    "an unknown scenario for the demo": ("demo --scenario nowhere --out {tmp}/o", ("demo", "'nowhere'")),
    "a missing checkpoint for the demo": ("demo --checkpoint {tmp}/no --out {tmp}/o", ("demo", "{tmp}/no")),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_clear_line(tmp_path: Path, case: str) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nshape: 3\nmachines: [{name: a, hardware: {nvidia-t4: 1}}]\n"
                                       "jobs: {resnet50: {share: 1, samples: 10}}\n")  # fmt: skip
    (tmp_path / "units.yaml").write_text("name: u\nmachines: [{cpu_milli: '2', name: a, hardware: {nvidia-t4: 1}}]\n"
                                         "jobs: {resnet50: {share: 1, samples: 10}}\n")  # fmt: skip
    (tmp_path / "new.yaml").write_text("name: new\nmachines: [{name: a, hardware: {nvidia-t5: 1}}]\n"
                                       "jobs: {resnet50: {share: 1, samples: 10}}\n")  # fmt: skip
    (tmp_path / "run.yaml").write_text("widht: 3\n")
    (tmp_path / "where.yaml").write_text("scenarios: [nowhere]\n")
    command, named = MISTAKES[case]
    result = run(*command.format(tmp=tmp_path).split())
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if " INFO " not in line]
    assert [part for part in named if part.format(tmp=tmp_path) not in line] == []


REFUSED = {
    "simulate --seed -1": "--seed",
    "simulate --load 0": "--load",
    "simulate --load nan": "--load",
    "simulate --load many": "--load",
    "simulate --sead 1": "--sead",
    "evaluate --tapes 1": "--tapes",
    "evaluate --arrivals 3": "--arrivals",
    "train --out x": "--config",
    "train --config x": "--out",
    "train --config x --out y --seed -1": "--seed",
    "cluster --port 70000": "--port",
    "cluster --speed 0": "--speed",
    "bridge --speed fast": "--speed",
    "demo --jobs 1": "--jobs",
    "profiles show": "--model",
    "profiles show --model resnet50 --samples 0": "--samples",
    "schedule": "schedule",
}


@pytest.mark.parametrize("command", REFUSED)
def test_a_bad_option_is_refused_by_name(command: str) -> None:
    result = run(*command.split())
    assert result.exit_code == 2, result.output
    assert REFUSED[command] in result.stderr
    assert "Traceback" not in result.output


# what they do -------------------------------------------------------------------------------------------
def test_simulate_writes_a_row_per_job(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    result = run("simulate", "--scheduler", "edf", "--seed", "1", "--events", str(path))
    assert result.exit_code == 0, result.output
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["job"]) for row in rows] == list(range(len(rows)))
    assert len(rows) >= 2000  # the scenario's, and what came of the tail
    for row in rows:
        if row["finish_s"]:
            assert float(row["arrival_s"]) <= float(row["start_s"]) <= float(row["finish_s"])
            assert (float(row["finish_s"]) > float(row["deadline_s"])) == (row["violated"] == "1")


def test_simulate_shows_the_measures() -> None:
    shown = run("simulate", "--scheduler", "edf", "--load", "0.5").stdout
    assert "QoS violations" in shown
    assert "load 0.5, tape 0, edf" in shown


def test_simulate_compares_schedulers_the_best_first() -> None:
    shown = run("simulate", "--scheduler", "fcfs,synergai", "--load", "0.9", "--arrivals", "300").stdout
    lines = [line for line in shown.splitlines() if "fcfs" in line or "synergai" in line]
    rates = [float(line.split("│")[2]) for line in lines]
    assert len(rates) == 2
    assert rates == sorted(rates)


def test_simulate_plays_every_scenario_under_every_scheduler() -> None:
    result = run("simulate", "--scenario", "all", "--scheduler", "edf,fcfs", "--arrivals", "40")
    assert result.exit_code == 0, result.output
    rows = [line.split("│")[1:-1] for line in result.stdout.splitlines() if line.startswith("│")]
    assert [row[0].strip() for row in rows] == list(scenarios.shipped())
    assert all(0 <= float(rate) <= 100 for row in rows for rate in row[2:])
    assert all(len(row) == 4 for row in rows)


def test_simulate_says_what_each_node_did() -> None:
    shown = run("simulate", "--scenario", "kiosk", "--arrivals", "40", "--nodes").stdout
    assert [name for name in ("orin-0", "xavier-nx-0", "t4-0") if name not in shown] == []


def test_simulate_draws_what_ran(tmp_path: Path) -> None:
    path = tmp_path / "gantt.html"
    result = run("simulate", "--arrivals", "60", "--gantt", str(path))
    assert result.exit_code == 0, result.output
    assert "<svg" in path.read_text()


def test_simulate_says_the_same_twice() -> None:
    assert run("simulate", "--seed", "3").stdout == run("simulate", "--seed", "3").stdout


def test_evaluate_writes_its_files(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "evaluation"
    result = run("evaluate", "--scenario", "demo", "--load", "0.7", "--schedulers", "edf, synergai", "--tapes", "2",
                 "--arrivals", "40", "--jobs", "1", "--out", str(out))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {file.name for file in out.iterdir()} == {
        "plan.json",
        "report.html",
        "results.csv",
        "summary.json",
        "violations.png",
    }
    assert len((out / "results.csv").read_text().splitlines()) == 1 + 2 * 2
    (cell,) = json.loads((out / "summary.json").read_text())["cells"]
    assert set(cell["schedulers"]) == {"edf", "synergai"}


def test_scenario_list_names_every_scenario() -> None:
    assert "demo: " in run("scenario", "list").stdout


def test_scenario_check_says_ok_with_lambda_star() -> None:
    assert run("scenario", "check", "demo").stdout.startswith("demo: ok, 0.725 jobs/s at most (lambda*)")


def test_scenario_capacity_tells_what_binds() -> None:
    shown = run("scenario", "capacity", "demo").stdout
    binding = shown[shown.index("what binds") : shown.index("busy share")]
    assert "nvidia-a30" in binding
    assert "memory" not in binding


def test_scenario_capacity_as_json_is_one_object() -> None:
    told = json.loads(run("scenario", "capacity", "edge", "--json").stdout)
    assert (round(told["lambda_star_per_s"], 3), round(told["tau_s"], 2)) == (1.248, 7.31)
    assert {"utilisation", "duals", "prices", "born_hopeless"} <= set(told)
    assert set(told["born_hopeless"]) == {"bert-99", "resnet50", "retinanet", "rnnt", "ssd-mobilenet"}


def test_scenario_capacity_tells_lambda_and_tau() -> None:
    shown = run("scenario", "capacity", "demo").stdout
    assert "(lambda*)" in shown
    assert "(tau)" in shown


def test_train_without_torch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("train", "--config", str(tmp_path / "a.yaml"), "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "synergai[train]" in result.stderr


@pytest.mark.slow
def test_train_ends_with_where_the_checkpoint_is(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text("loads: [0.8]\nenvironments: 2\nsiblings: 1\narrivals: 40\nwarm_start: 0\nwidth: 8\nthreads: 1\n"
                      "clone_decisions: 64\nmatch_decisions: 64\nimprove_decisions: 32\nrule: edf\n"
                      "critic_decisions: 0\nminibatch: 32\nsteps: 16\nevaluate_every: 0\n"
                      "evaluation_tapes: 1\nevaluation_arrivals: 20\n")  # fmt: skip
    out = tmp_path / "run"
    result = run(
        "train", "--config", str(config), "--out", str(out), "--decisions", "64", "--seed", "5", "--quiet"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == [
        f"checkpoint: {out}/checkpoint",
        f"curves: tensorboard --logdir {out}",
    ]
    assert "seed: 5\n" in (out / "config.yaml").read_text()


@pytest.mark.e2e
@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "synergai"], [f"{Path(sys.executable).parent}/synergai"]]
)
def test_the_command_runs_as_a_process(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [*command, "scenario", "list"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert "\ndemo: " in done.stdout
