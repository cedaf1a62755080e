"""Schedulers on common tapes: who plays what, here and in other processes, killed and gone on with."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result
from worlds import toy_profile, toy_setting, toy_table

from synergai.agents.registry import names
from synergai.cli import app
from synergai.envs import scenario
from synergai.envs.candidates import scratch_for
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.world import Sim, new_sim
from synergai.training.evaluation import evaluate as module
from synergai.training.evaluation.campaign import stage_of
from synergai.training.evaluation.evaluate import (
    Cell,
    PlayError,
    RuleRunner,
    born_hopeless,
    column,
    evaluate,
    play,
    runners,
    time_decisions,
)
from synergai.training.evaluation.plan import Plan
from synergai.training.evaluation.playing import play_all
from synergai.training.evaluation.tapes import SELECTION, TEST
from synergai.training.evaluation.workers import Task, Workers
from synergai.training.vec_env import FIRST_TAPE

CELL = Cell("demo", 0.7)
WORDS = ["evaluate", "--scenario", "demo", "--load", "0.7,1.1", "--schedulers", "edf,synergai", "--checkpoint", "demo",
         "--tapes", "4", "--max-tapes", "8", "--arrivals", "60"]  # fmt: skip


@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(scenario.load("demo"))


# playing ------------------------------------------------------------------------------------------------
def test_evaluation_is_deterministic(setting: Setting) -> None:
    players = runners(["edf", "random"])
    assert evaluate(setting, players, [3, 4], 60) == evaluate(setting, players, [3, 4], 60)


def test_a_scheduler_plays_the_same_beside_others_as_alone() -> None:
    setting = setting_of(scenario.load("kiosk"))
    tapes = [(setting, make_tape(setting, seed, 80)) for seed in (1, 2)]
    players = runners(["edf", "rollout:4", "random"], ["demo"])
    together = play_all(tapes, players)
    for k, tape in enumerate(tapes):
        for n, player in enumerate(players):
            ((alone,),) = play_all([tape], [player])
            assert together[k][n][1] == alone[1]


def test_a_result_does_not_depend_on_who_else_plays_the_tape(setting: Setting) -> None:
    together = evaluate(setting, runners(["random", "edf"], ["demo"]), [3, 4], 60)
    assert [row for row in together if row.scheduler == "edf"] == evaluate(
        setting, runners(["edf"]), [3, 4], 60
    )


def test_every_scheduler_plays_every_tape_once_and_says_so(setting: Setting) -> None:
    told: list[None] = []
    found = evaluate(setting, runners(["edf", "fcfs"]), [1, 2, 9], 30, lambda: told.append(None))
    assert sorted((row.scheduler, row.seed) for row in found) == [
        (name, seed) for name in ("edf", "fcfs") for seed in (1, 2, 9)
    ]
    assert len(told) == 6


def test_a_column_is_one_scheduler_in_order_of_tapes(setting: Setting) -> None:
    rows = evaluate(setting, runners(["edf", "fcfs"]), [1, 2], 60)
    assert column(rows, "fcfs", "violations").tolist() == [
        rows[1].measures.violations,
        rows[3].measures.violations,
    ]


def test_where_there_is_time_for_everything_nobody_is_late() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    machines = [{"name": "a", "count": 4, "hardware": {"gpu": 1}}]
    setting = toy_setting(table, machines, load=0.1, deadlines={"tightness": [[50, 60]]})
    (row,) = evaluate(setting, [RuleRunner("edf")], [0], 50)
    assert (row.measures.violations, row.measures.unfinished, row.born_hopeless) == (0, 0, 0.0)


def test_jobs_with_less_time_than_the_best_run_are_born_hopeless() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    machines = [{"name": "a", "count": 4, "hardware": {"gpu": 1}}]
    setting = toy_setting(table, machines, load=0.1, deadlines={"tightness": [[0.5, 0.5], [50, 60]]})
    sim = new_sim(setting, make_tape(setting, 0, 200))
    RuleRunner("fcfs").run(sim, scratch_for(sim.state))
    first, last = sim.tape.window
    jobs = sim.tape.jobs[first:last]
    budgets_s = (jobs["deadline_us"] - jobs["arrival_us"]) * 1e-6
    assert born_hopeless(sim) == pytest.approx((budgets_s < jobs["samples"]).mean())
    assert 0.3 < born_hopeless(sim) < 0.7


def test_decisions_are_timed_on_the_run_that_the_scheduler_plays_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one in Python it decides what it does in one compiled call."""
    monkeypatch.setattr(module, "TIMED_ARRIVALS", 60)
    timed: list[Sim] = []
    monkeypatch.setattr(module, "new_sim", lambda *words: timed.append(new_sim(*words)) or timed[-1])
    for player in runners(["edf", "rollout:4", "synergai:order=edf:choice=tightest"], ["demo", "demo+plan"]):
        plain = new_sim(setting, make_tape(setting, 0, 60))
        player.run(plain, scratch_for(plain.state))
        took_us = time_decisions(setting, player, 0)
        assert np.array_equal(plain.outcomes, timed[-1].outcomes), player.name
        assert 0 < len(took_us) < plain.progress[0]["actions"]


def test_everybody_is_timed_on_the_first_tapes(setting: Setting) -> None:
    rows = evaluate(setting, runners(["edf"], ["demo"]), [0, 1, 2], 60)
    assert {(row.scheduler, row.seed) for row in rows if row.decision_us} == {
        ("edf", 0), ("edf", 1), ("demo", 0), ("demo", 1)}  # fmt: skip


class Broken(RuleRunner):
    def run(self, sim: Sim, scratch: object) -> None:
        raise ZeroDivisionError("no reason")


def test_a_tape_that_breaks_is_named(setting: Setting) -> None:
    with pytest.raises(PlayError, match=r"^demo, load 0\.7, edf, tape 5: ZeroDivisionError: no reason$"):
        list(play(setting, [Broken("edf")], 5, 30))


def test_all_stands_for_every_rule() -> None:
    assert tuple(runner.name for runner in runners(["all"])) == names()


def test_an_unknown_scheduler_is_answered_with_those_known() -> None:
    with pytest.raises(ValueError, match=r"no scheduler 'best'; there are .*edf"):
        runners(["edf", "best"])


# tapes --------------------------------------------------------------------------------------------------
def test_no_tape_is_for_two_purposes() -> None:
    assert not set(SELECTION) & set(TEST)
    assert max(*SELECTION, *TEST) < FIRST_TAPE == 1_000_000


# processes ----------------------------------------------------------------------------------------------
def plan(**changes: object) -> Plan:
    asked = {"scenarios": (scenario.load("demo"),), "rules": ("edf", "synergai"), "tapes": 2, "arrivals": 30}
    return Plan(**(asked | changes))  # type: ignore[arg-type] - a test's shorthand


def test_workers_keep_to_one_thread_and_the_parent_to_its_own() -> None:
    before = dict(os.environ)
    with Workers(stage_of(plan()), 1) as team:
        pid = team._workers[0].process.pid
        list(team.play([Task(CELL, 0, ("edf",))]))
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"NUMBA_NUM_THREADS=1" in environment
    assert dict(os.environ) == before


def test_a_worker_that_dies_is_named_by_what_it_played() -> None:
    with Workers(stage_of(plan(arrivals=200_000)), 1) as team:
        games = team.play([Task(CELL, 0, ("edf", "synergai"))])
        pid = team._workers[0].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(PlayError, match=r"demo, load 0\.7, edf, tape 0: .* died \(exit code -9\)"):
            next(games)


def test_what_breaks_in_a_worker_is_named() -> None:
    with (
        Workers(stage_of(plan(rules=("edf",), arrivals=-4)), 1) as team,
        pytest.raises(PlayError, match=r"tape 3"),
    ):
        list(team.play([Task(CELL, 3, ("edf",))]))


# the command --------------------------------------------------------------------------------------------
def run(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}).invoke(app, list(words))


def results(out: Path) -> str:
    """The rows without what a clock says."""
    lines = (out / "results.csv").read_text().splitlines()
    return "\n".join(line.rsplit(",", 2)[0] for line in lines)


def summary(out: Path) -> dict:
    found = json.loads((out / "summary.json").read_text())
    del found["jobs"], found["commit"]
    for cell in found["cells"]:
        for entry in cell["schedulers"].values():
            entry.pop("decision_us_p50", None)
            entry.pop("decision_us_p99", None)
    return found


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one evaluation in one process."""
    out = tmp_path_factory.mktemp("once")
    result = run(*WORDS, "--jobs", "1", "--out", str(out))
    assert result.exit_code == 0, result.output
    return out


def test_the_command_leaves_its_files(once: Path) -> None:
    assert sorted(file.name for file in once.iterdir()) == [
        "gains.png", "plan.json", "report.html", "results.csv", "summary.json", "violations.png"]  # fmt: skip


def test_the_summary_names_what_was_evaluated_by_hashes(once: Path) -> None:
    found = json.loads((once / "summary.json").read_text())
    hashes = [found["profiles_sha256"], found["reference_sha256"], found["scenarios"]["demo"]["sha256"],
              found["checkpoints"]["demo"]["sha256"], found["code_sha256"]]  # fmt: skip
    assert all(len(value) == 64 for value in hashes)
    assert found["commit"]
    assert found["synergai"]


def test_every_row_can_be_made_again_by_itself(once: Path, setting: Setting) -> None:
    (row,) = evaluate(setting, runners(["edf"]), [3], 60)
    lines = (once / "results.csv").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("demo,0.7,edf,3,")]
    assert float(line.split(",")[4]) == row.measures.violation_rate


def test_two_processes_write_what_one_does(once: Path, tmp_path: Path) -> None:
    result = run(*WORDS, "--jobs", "2", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert results(tmp_path) == results(once)
    assert summary(tmp_path) == summary(once)


def test_the_same_command_again_plays_nothing_and_says_the_same(
    once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("plan.json", "results.csv"):
        (tmp_path / file).write_bytes((once / file).read_bytes())
    monkeypatch.setattr(module, "measure", None)  # whoever plays breaks
    result = run(*WORDS, "--jobs", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "goes on from" in result.stdout
    assert summary(tmp_path) == summary(once)


def test_the_command_plays_a_matrix(tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(
        "blocks:\n"
        "  - {scenarios: [kiosk], loads: [0.7], arrivals: [own, bursty]}\n"
        "  - {scenarios: [kiosk], loads: [0.9], planned: true}\n"
    )
    words = ["--schedulers", "edf,synergai", "--checkpoint", "demo", "--policy", "net,net+plan", "--arrivals", "40",
             "--tapes", "2", "--max-tapes", "2", "--jobs", "1", "--out", str(tmp_path / "out")]  # fmt: skip
    result = run("evaluate", "--matrix", str(matrix), *words)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["matrix_sha256"] == hashlib.sha256(matrix.read_bytes()).hexdigest()
    assert [(cell["scenario"], cell["load"], cell["arrivals"]) for cell in found["cells"]] == [
        ("kiosk", 0.7, "poisson"), ("kiosk-bursty", 0.7, "bursty"), ("kiosk", 0.9, "poisson")]  # fmt: skip
    assert ["demo+plan" in cell["schedulers"] for cell in found["cells"]] == [False, False, True]
    asked = {"violation_rate", "ci95", "excess_mean_s", "excess_p99_s", "energy_j_per_sample", "decision_us_p50",
             "decision_us_p99", "tapes"}  # fmt: skip
    assert all(asked <= set(entry) for cell in found["cells"] for entry in cell["schedulers"].values())
    assert "kiosk-bursty, load 0.7" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_to_the_same_summary(once: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "synergai", *WORDS, "--jobs", "2", "--out", str(tmp_path)]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = tmp_path / "results.csv"
    while killed.poll() is None and not (rows.exists() and rows.read_text().count("\n") > 4):
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    held = rows.read_text().count("\n") - 1
    result = run(*WORDS, "--jobs", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert held < results(once).count("\n")
    assert f"goes on from {held} runs" in result.stdout
    assert (results(tmp_path), summary(tmp_path)) == (results(once), summary(once))


def test_a_different_evaluation_in_a_folder_is_refused(once: Path) -> None:
    result = run(*WORDS, "--out", str(once), "--seed", "1")
    assert result.exit_code == 2
    assert "seed differs" in result.stderr


def test_a_tape_that_breaks_ends_the_command_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure", None)
    result = run(*WORDS, "--jobs", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("synergai evaluate: demo, load 0.7, edf, tape 0: TypeError")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--load", "high"), "--load 'high' is not a number"),
        (("--load", "0.7,,0.9"), "--load '' is not a number"),
        (("--load", "7"), "--load '7' is not a number from 0.01 to 5"),
        (("--load", "nan"), "--load 'nan'"),
        (("--tapes", "8", "--max-tapes", "4"), "--max-tapes 4 is below --tapes 8"),
        (("--scenario", "nowhere"), "'nowhere'"),
        (("--scenario", "demo", "--scenario", "demo"), "two scenarios are called 'demo'"),
        (("--checkpoint", "demo", "--checkpoint", "demo"), "'demo' stands twice"),
        (
            ("--checkpoint", "demo", "--policy", "net,guess"),
            "--policy 'guess' is none of net, net+plan, reference",
        ),
        (("--policy", "net+plan"), "--policy net+plan is a way to play a checkpoint"),
        (("--checkpoint", "nowhere", "--policy", "net+plan"), "no checkpoint folder 'nowhere'"),
        (("--matrix", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (
            ("--matrix", "training/evaluation/matrix.yaml", "--load", "0.7"),
            "--load: the matrix says the loads",
        ),
        (("--traces", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: tuple[str, ...], said: str) -> None:
    result = run("evaluate", *words)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
