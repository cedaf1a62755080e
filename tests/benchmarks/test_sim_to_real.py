"""Predictions of recordings: on a cluster that is as the simulator says, they come true; elsewhere they say by how much
they do not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from synergai.agents.registry import make
from synergai.benchmarks.sim_to_real import report
from synergai.benchmarks.sim_to_real.comparison import Comparison, agreement, compare, ranking
from synergai.benchmarks.sim_to_real.parameters import Parameters, measure
from synergai.benchmarks.sim_to_real.prediction import Predicted, World, observed
from synergai.benchmarks.sim_to_real.workload import LEAST, Recipe, WorkloadError, workload
from synergai.envs.types import Device, Node
from tests.benchmarks.made_up_recording import MODELS, NODES, TABLE, recording

pytestmark = pytest.mark.slow
KNOWN = Parameters(pod_start_s=1.5, release_s=0.8, startup_s=0.4, compute=1.2)


def test_a_cluster_that_is_as_the_simulator_says_is_predicted_to_the_microsecond() -> None:
    seen = recording(KNOWN)
    world, real = World(seen, TABLE, KNOWN), observed(seen)
    for told in (world.with_its_decisions(), world.under(make("edf_likely"))):
        assert np.abs(told.flow_s - real.flow_s).max() < 1e-5
        assert (told.late == real.late).all()
        assert told.node == real.node


def test_profiles_alone_predict_such_a_cluster_to_be_faster_than_it_is() -> None:
    seen = recording(KNOWN)
    compared = compare(seen, lambda: make("edf_likely"), TABLE, Parameters())
    assert compared.world().flow_error < -10.0
    assert compared.policy().flow_error < -10.0
    assert compared.world().excess_predicted_s < compared.world().excess_observed_s


def test_what_a_recording_says_of_the_cluster_is_how_it_was() -> None:
    found = measure(recording(KNOWN).stages, TABLE)
    assert found.pod_start_s == pytest.approx(1.5, abs=1e-3)
    assert found.release_s == pytest.approx(0.8, abs=1e-3)
    assert found.startup_s == pytest.approx(0.4, abs=1e-2)
    assert found.compute == pytest.approx(1.2, abs=1e-3)
    assert found.run_sd == pytest.approx(0.0, abs=1e-6)


def test_what_one_class_shows_is_not_held_against_another() -> None:
    slow = replace(KNOWN, computes={"nvidia-t4": 1.5})
    found = measure(recording(slow, jobs=100).stages, TABLE)
    assert found.computes["nvidia-t4"] == pytest.approx(1.5, abs=1e-2)
    assert found.computes["jetson-agx-orin-maxn"] == pytest.approx(1.2, abs=1e-2)
    assert found.compute_of("nvidia-t4", "a model", "never seen") == found.computes["nvidia-t4"]
    assert found.compute_of("a class", "a model", "never seen") == found.compute


def test_the_gap_between_two_starts_of_a_node_is_told_from_the_start_itself() -> None:
    crowded = replace(KNOWN, start_gap_s=1.0)
    found = measure(recording(crowded, jobs=200).stages, TABLE)
    assert found.start_gap_s == pytest.approx(1.0, abs=0.1)
    assert found.pod_start_s == pytest.approx(1.5, abs=0.1)


def test_every_scheduler_meets_the_same_jobs_and_none_is_shorter_than_asked() -> None:
    recipe = Recipe(MODELS, jobs=200, load=0.8, job_s=7.0, seed=3)
    jobs = workload(recipe, NODES, TABLE, 0.0)
    assert jobs == workload(recipe, NODES, TABLE, 0.0)
    assert jobs != workload(replace(recipe, seed=4), NODES, TABLE, 0.0)
    classes = {device.hardware for node in NODES for device in node.devices}
    for job in jobs:
        fastest = min(p.run_time_s(job.samples) for name in classes for p in TABLE.of(job.model, name))
        assert fastest > 0.9 * LEAST * recipe.job_s
        assert job.deadline_s > job.arrival_s


def test_a_model_that_no_node_serves_is_named() -> None:
    board = Node("pi", (Device("raspberry-pi-5", 1),), cpu_milli=4000, memory_mib=8000, pods=110)
    with pytest.raises(WorkloadError, match="'bert-99' has no profile on raspberry-pi-5"):
        workload(Recipe(("bert-99",)), [board], TABLE, 0.0)


def _said(late: float, flow_s: float = 10.0, jobs: int = 20) -> Predicted:
    mask = np.arange(jobs) < late * jobs
    return Predicted(np.full(jobs, flow_s), mask, mask * 3.0, ("n",) * jobs)


def test_an_agreement_tells_points_and_per_cent() -> None:
    found = agreement("all", _said(0.10), [_said(0.15, 11.0), _said(0.25, 13.0)], None)
    assert found.late_error == pytest.approx(10.0)
    assert found.flow_error == pytest.approx(20.0)
    assert found.job_error_s == pytest.approx(2.0)


def test_a_ranking_is_the_same_only_if_no_two_change_places() -> None:
    def all_of(*rates: tuple[float, float]):
        return [
            (f"s{i}", agreement("", _said(real), [_said(told)], None)) for i, (real, told) in enumerate(rates)
        ]

    good = ranking(all_of((0.05, 0.10), (0.20, 0.25), (0.50, 0.35)))
    assert good.same
    assert good.tau == 1.0
    bad = ranking(all_of((0.05, 0.30), (0.20, 0.25), (0.50, 0.35)))
    assert bad.observed == ("s0", "s1", "s2")
    assert not bad.same
    assert bad.tau == pytest.approx(1 / 3)


def test_the_report_holds_every_scheduler_node_and_model_and_says_whether_the_ranking_is_right(
    tmp_path,
) -> None:
    names = ("edf_likely", "least_allocated")
    seen = [recording(KNOWN, name) for name in names]
    before, after = (
        tuple(compare(one, lambda name=one.name: make(name), TABLE, known) for one in seen)
        for known in (Parameters(), KNOWN)
    )
    text = report.write(Comparison(KNOWN, before, after, after), tmp_path)
    assert text == (tmp_path / report.MARKDOWN).read_text()
    for word in (*names, *MODELS, *(node.name for node in NODES)):
        assert f"| {word} |" in text
    found = json.loads((tmp_path / report.JSON).read_text())
    assert found["ranking"]["calibration"]["observed"] == found["ranking"]["calibration"]["predicted"]
    errors = [found[step]["edf_likely"]["world"]["job_error_s"] for step in ("after", "before")]
    assert errors[0] < 1e-5 < errors[1]
