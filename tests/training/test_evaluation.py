"""Schedulers on common tapes: intervals, paired gains, files, and tapes that nobody shares."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds import toy_profile, toy_setting, toy_table

from synergai.agents.registry import names
from synergai.envs import scenario
from synergai.envs.metrics import Measures
from synergai.envs.tape import Setting, setting_of
from synergai.training.evaluation import report
from synergai.training.evaluation.evaluate import Row, RuleRunner, bootstrap, column, evaluate, gain, runners
from synergai.training.evaluation.tapes import SELECTION, TEST
from synergai.training.vec_env import FIRST_TAPE

ONE = Measures(100, 10, 0, 0.5, 2.0, 0.1, 0.3, 1.0, 2.0, 40.0, 60.0, 120)
FEWER, MORE = [3, 9, 14, 20], [5, 10, 18, 21]


def rows(**violations: list[int]) -> list[Row]:
    """Schedulers by their violations of 100 jobs on tapes 0, 1, ..."""
    return [
        Row(name, seed, replace(ONE, violations=counts[seed]))
        for seed in range(len(next(iter(violations.values()))))
        for name, counts in violations.items()
    ]


@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(scenario.load("demo"))


# intervals ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_the_interval_of_a_constant_is_the_constant(value: float) -> None:
    found = bootstrap(np.full(7, value))
    assert (found.mean, found.low, found.high) == (value, value, value)


def test_the_interval_holds_the_mean() -> None:
    found = bootstrap(np.random.default_rng(0).exponential(size=20))
    assert found.low < found.mean < found.high


def test_the_interval_is_that_of_a_mean_of_many_normals() -> None:
    # the standard error of the mean of 400 standard normals is 1/20; 1.96 of it either side
    found = bootstrap(np.random.default_rng(1).standard_normal(400))
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.1)


def test_the_interval_is_the_same_every_time() -> None:
    values = np.arange(9.0)
    assert bootstrap(values) == bootstrap(values)


def test_more_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(0).random(15)
    narrow, wide = bootstrap(values, level=0.5), bootstrap(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


# gains --------------------------------------------------------------------------------------------------
def test_fewer_violations_are_a_gain() -> None:
    found = gain(rows(ours=FEWER, other=MORE), "ours", "other")
    assert found.mean == pytest.approx((2 + 1 + 4 + 1) / 4 / 100)
    assert found.low > 0


def test_more_violations_are_a_loss() -> None:
    assert gain(rows(ours=MORE, other=FEWER), "ours", "other").high < 0


def test_a_gain_is_paired_by_tape() -> None:
    # the spread over tapes is twenty times the difference; unpaired, nothing could be said
    ours = [1, 21, 41, 61, 81]
    found = gain(rows(ours=ours, other=[count + 1 for count in ours]), "ours", "other")
    assert (found.low, found.high) == (pytest.approx(0.01), pytest.approx(0.01))


def test_a_column_is_one_scheduler_in_order_of_tapes() -> None:
    assert column(rows(ours=FEWER, other=MORE), "other", "violations").tolist() == MORE


# playing ------------------------------------------------------------------------------------------------
def test_evaluation_is_deterministic(setting: Setting) -> None:
    players = runners(["edf", "random"])
    assert evaluate(setting, players, [3, 4], 60) == evaluate(setting, players, [3, 4], 60)


def test_a_result_does_not_depend_on_who_else_plays(setting: Setting) -> None:
    together = evaluate(setting, runners(["random", "edf"]), [3, 4], 60)
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


def test_where_there_is_time_for_everything_nobody_is_late() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    machines = [{"name": "a", "count": 4, "hardware": {"gpu": 1}}]
    setting = toy_setting(table, machines, load=0.1, deadlines={"tightness": [[50, 60]]})
    (row,) = evaluate(setting, [RuleRunner("edf")], [0], 50)
    assert (row.measures.violations, row.measures.unfinished) == (0, 0)


def test_all_stands_for_every_rule() -> None:
    assert tuple(runner.name for runner in runners(["all"])) == names()


def test_an_unknown_scheduler_is_answered_with_those_known() -> None:
    with pytest.raises(ValueError, match=r"no scheduler 'best'; there are .*edf"):
        runners(["edf", "best"])


# tapes --------------------------------------------------------------------------------------------------
def test_no_tape_is_for_two_purposes() -> None:
    assert not set(SELECTION) & set(TEST)
    assert max(*SELECTION, *TEST) < FIRST_TAPE == 1_000_000


# files --------------------------------------------------------------------------------------------------
def test_results_have_a_line_per_scheduler_and_tape(tmp_path: Path) -> None:
    report.write_results(rows(ours=FEWER, other=MORE), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert lines[0]["scheduler"] == "ours"
    assert [float(line["violation_rate"]) for line in lines[::2]] == [count / 100 for count in FEWER]
    assert {"tape", "jobs", "violations", "energy_j_per_job"} <= set(lines[0])


def test_the_summary_has_means_intervals_and_gains(tmp_path: Path) -> None:
    found = rows(other=MORE, ours=FEWER)
    report.write_summary(found, "ours", {"profiles_sha256": "abc"}, tmp_path / "summary.json")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["profiles_sha256"] == "abc"
    assert list(summary["schedulers"]) == ["ours", "other"]  # the fewest violations first
    other = summary["schedulers"]["other"]
    assert other["tapes"] == 4
    assert other["ci95"][0] <= other["violation_rate"] <= other["ci95"][1]
    assert other["gain"]["mean"] == pytest.approx(0.02)
    assert "gain" not in summary["schedulers"]["ours"]


def test_without_ours_there_are_no_gains() -> None:
    assert not any("gain" in entry for entry in report.summary(rows(a=FEWER, b=MORE)).values())


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    report.draw(rows(ours=FEWER, other=MORE), "ours", "title", tmp_path / "violations.png")
    assert (tmp_path / "violations.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_the_table_has_a_row_per_scheduler_and_a_column_of_gains() -> None:
    shown = report.table(rows(ours=FEWER, other=MORE), "ours")
    assert shown.row_count == 2
    assert shown.columns[-1].header == "fewer by ours"
    assert list(shown.columns[-1].cells) == ["", "2.00 [1.00, 3.25]"]
