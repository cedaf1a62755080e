"""The demonstration: what it measures of pods, and a run through real processes beside what the simulator says."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from synergai.agents.registry import make
from synergai.envs import scenario
from synergai.envs.candidates import scratch_for
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import run_rule
from synergai.envs.tape import Setting, Tape, make_tape, setting_of
from synergai.envs.world import new_sim
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.clock import format_time_us, parse_time_us
from synergai.k8s_bridge.demo import report
from synergai.k8s_bridge.demo.measure import Outcome, energy_j, excess_real_s, is_late, outcome, termination
from synergai.k8s_bridge.demo.run import DemoError, Plan, Progress, jobs_of, play
from synergai.k8s_bridge.demo.show import run_all
from synergai.k8s_bridge.startup import warm_up
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
PROFILE = TABLE.best("resnet50", "nvidia-t4")
NOW_US = 1_800_000_000_000_000
JOBS, SEED, SPEED, RULE = 25, 7, 8.0, "sjf_feasible"
NEAR = 4
"""Pods that may be late on one side only: at this speed 50 ms of real delay are 0.4 scenario seconds."""


def pod(finish_s: float, phase: str = "Succeeded", run_s: float = 3.0) -> dict[str, Any]:
    """A pod whose deadline is at 10 s."""
    message = {
        "finishedAt": format_time_us(NOW_US + round(finish_s * 1e6)),
        "runSeconds": run_s,
        "model": "resnet50",
        "hardware": "nvidia-t4",
        "configuration": PROFILE.configuration,
    }
    status: dict[str, Any] = {"phase": phase}
    if phase == "Succeeded":
        status["containerStatuses"] = [{"state": {"terminated": {"message": json.dumps(message)}}}]
    return {
        "metadata": {"annotations": {keys.ANNOTATION_DEADLINE: format_time_us(NOW_US + 10_000_000)}},
        "spec": {"nodeName": "t4-0"},
        "status": status,
    }


CASES = {
    "early": (pod(4.0), 0.0),
    "on the instant": (pod(10.0), 0.0),
    "a microsecond late": (pod(10.000001), 1e-6),
    "late": (pod(12.5), 2.5),
    "failed": (pod(4.0, "Failed"), float("inf")),
    "still running": (pod(4.0, "Running"), float("inf")),
}


@pytest.mark.parametrize("case", CASES)
def test_lateness_is_from_the_deadline_to_the_runners_own_stamp(case: str) -> None:
    given, late_s = CASES[case]
    assert excess_real_s(given) == pytest.approx(late_s)
    assert is_late(given) == (late_s > 0)


@pytest.mark.parametrize("phase", ["Failed", "Running", "Pending"])
def test_only_a_pod_that_succeeded_has_a_message(phase: str) -> None:
    assert termination(pod(4.0, phase)) is None
    assert termination(pod(4.0)) is not None


def test_energy_is_power_above_idle_times_the_run() -> None:
    assert energy_j(pod(4.0, run_s=3.0), TABLE) == pytest.approx((PROFILE.active_w - PROFILE.idle_w) * 3.0)


def test_a_failed_pod_took_no_energy() -> None:
    assert energy_j(pod(4.0, "Failed"), TABLE) == 0.0


def test_figures_are_in_scenario_seconds_over_all_pods() -> None:
    pods = [pod(4.0), pod(10.5), pod(12.0), pod(4.0, "Failed")]
    found = outcome("edf", pods, 6.0, TABLE, 9.0, 2)
    assert (found.pods, found.failed, found.violations, found.simulated_violations) == (4, 1, 3, 2)
    assert found.excess_mean_s == pytest.approx((0.0 + 3.0 + 12.0) / 3)
    assert found.excess_p99_s == pytest.approx(12.0, rel=0.02)
    assert found.energy_j_per_job == pytest.approx((PROFILE.active_w - PROFILE.idle_w) * 3.0 * 3 / 4)
    assert found.rate == 0.75


def test_where_every_pod_failed_every_pod_is_a_violation() -> None:
    found = outcome("edf", [pod(4.0, "Failed")] * 3, 6.0, TABLE, 9.0, 0)
    assert (found.failed, found.violations, found.excess_mean_s) == (3, 3, 0.0)


OUTCOMES = [
    Outcome(name, 300, 0, late, 0.5, 4.0, 50.0, 60.0, late) for name, late in (("learned", 9), ("edf", 30))
]


def test_the_figures_are_written_as_json(tmp_path: Path) -> None:
    report.write(OUTCOMES, tmp_path / "demo.json")
    written = json.loads((tmp_path / "demo.json").read_text())
    assert [(row["scheduler"], row["violation_rate"]) for row in written] == [("learned", 0.03), ("edf", 0.1)]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    report.draw(OUTCOMES, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_the_table_has_a_row_per_scheduler() -> None:
    assert list(report.table(OUTCOMES).columns[0].cells) == ["learned", "edf"]


# through the bridge -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(scenario.load("demo"))


@pytest.fixture(scope="module")
def tape(setting: Setting) -> Tape:
    made = make_tape(setting, SEED, JOBS, tail=0.0)
    made.window[0] = 0
    return made


def test_a_tapes_jobs_know_their_place_on_it(setting: Setting, tape: Tape, tmp_path: Path) -> None:
    made = jobs_of(setting, tape, Plan(RULE, "", SPEED, SEED, tmp_path), NOW_US)
    annotations = [job["metadata"]["annotations"] for _, job in made]
    assert [int(one[keys.ANNOTATION_SIM_JOB]) for one in annotations] == list(range(JOBS))
    assert {one[keys.ANNOTATION_SIM_SEED] for one in annotations} == {str(SEED)}
    assert len({job["metadata"]["name"] for _, job in made}) == JOBS


def test_a_tapes_deadlines_come_sooner_the_faster_it_is_played(
    setting: Setting, tape: Tape, tmp_path: Path
) -> None:
    for (arrival_s, job), row in zip(
        jobs_of(setting, tape, Plan(RULE, "", SPEED, SEED, tmp_path), NOW_US), tape.jobs
    ):
        at_us = parse_time_us(job["spec"]["deadline"]["at"])
        assert arrival_s == pytest.approx(row["arrival_us"] * 1e-6)
        assert at_us - NOW_US == pytest.approx(row["deadline_us"] / SPEED, abs=1)


Played = tuple[list[dict[str, Any]], list[Progress], float, Path]


@pytest.fixture(scope="module")
def played(setting: Setting, tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """One whole run: pods at the end, every progress shown, how long it took, its folder."""
    folder, shown = tmp_path_factory.mktemp("demo"), []
    warm_up(setting.table, make(RULE))
    began_s = time.monotonic()
    pods = asyncio.run(play(setting, tape, Plan(RULE, "", SPEED, SEED, folder / RULE), shown.append))
    return pods, shown, time.monotonic() - began_s, folder / RULE


@pytest.mark.e2e
def test_every_pod_succeeds(played: Played) -> None:
    assert [pod["status"]["phase"] for pod in played[0]] == ["Succeeded"] * JOBS


@pytest.mark.e2e
def test_every_pod_carries_a_decision_that_the_profiles_know(played: Played) -> None:
    for pod in played[0]:
        annotations = pod["metadata"]["annotations"]
        record = read_decision(annotations)
        assert record is not None
        TABLE.find(annotations[keys.ANNOTATION_MODEL], record.hardware, record.configuration)


@pytest.mark.e2e
def test_what_ran_is_what_was_decided(played: Played) -> None:
    for pod in played[0]:
        record, message = read_decision(pod["metadata"]["annotations"]), termination(pod)
        assert record is not None
        assert message is not None
        assert (message["hardware"], message["configuration"]) == (record.hardware, record.configuration)


@pytest.mark.e2e
def test_as_many_pods_are_late_as_the_simulator_says(played: Played, setting: Setting, tape: Tape) -> None:
    sim = new_sim(setting, tape)
    run_rule(sim, scratch_for(sim.state), RULE_NUMBER[RULE], JOBS + 1)
    simulated = int((sim.outcomes["violated"] == 1).sum())
    found = outcome(RULE, played[0], SPEED, TABLE, played[2], simulated)
    assert found.failed == 0
    assert abs(found.violations - simulated) <= NEAR


@pytest.mark.e2e
def test_progress_rises_to_the_end(played: Played) -> None:
    finished = [progress.finished for progress in played[1]]
    assert finished == sorted(finished)
    assert finished[-1] == JOBS


@pytest.mark.e2e
def test_a_run_leaves_its_decisions_and_logs(played: Played) -> None:
    lines = (played[3] / "decisions.jsonl").read_text().splitlines()
    decided = [line for line in map(json.loads, lines) if line["kind"] == "decision"]
    assert {line["job"]["key"].rpartition("-")[0][:-9] for line in decided} == {
        f"default/job-{i:04d}" for i in range(JOBS)
    }
    assert {"cluster.log", "bridge.log", "kubeconfig"} <= {file.name for file in played[3].iterdir()}


def test_a_closed_loop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scenario 'desks' is a closed loop"):
        asyncio.run(run_all(Console(), "desks", "demo", [], 20, SEED, SPEED, tmp_path))


@pytest.mark.e2e
def test_a_bridge_that_ends_early_ends_the_demonstration(
    setting: Setting, tape: Tape, tmp_path: Path
) -> None:
    plan = Plan("learned", str(tmp_path / "none"), SPEED, SEED, tmp_path / "learned")
    with pytest.raises(DemoError, match="the bridge ended with exit code 2; see its log"):
        asyncio.run(play(setting, tape, plan, lambda progress: None))
    assert str(tmp_path / "none") in (plan.folder / "bridge.log").read_text()
