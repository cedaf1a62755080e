"""Which tapes are played, what is summed up, and what the tables and pictures show, on chosen figures."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_rows import CELL, ONE, Looked, late, plan, row
from rich.console import Console

from synergai.envs.metrics import Measures
from synergai.envs.scenario import ScenarioError
from synergai.training.evaluation import page, pictures, report
from synergai.training.evaluation.book import Book
from synergai.training.evaluation.campaign import carry_out
from synergai.training.evaluation.evaluate import Cell
from synergai.training.evaluation.plan import Plan, checkpoint_facts
from synergai.training.evaluation.summary import summarise

WOBBLE = (0, 7, -4, 3, -6, 1, 5, -2, -3, 4, -5, 2, 6, -7, -1, 0)
BUSY = Cell("demo", 1.1)


def close(cell: Cell, scheduler: str, seed: int) -> Measures:
    """`demo` is far better than `edf`, and at its margin against `synergai`."""
    base = {"demo": 105, "synergai": 100, "edf": 300}[scheduler]
    return late(base + (0 if scheduler == "demo" else 3 * WOBBLE[seed % 16]))


def played(asked: Plan, team: Looked) -> Book:
    book = Book()
    carry_out(asked, book, team)
    return book


# who plays what -----------------------------------------------------------------------------------------
def test_only_open_verdicts_get_more_tapes() -> None:
    team = Looked(close)
    played(plan(), team)
    assert [team.tapes(CELL, name) for name in ("demo", "synergai", "edf")] == [64, 64, 16]


def test_nothing_is_played_twice() -> None:
    team = Looked(close)
    played(plan(), team)
    games = [(task.cell, task.seed, name) for task in team.given for name in task.schedulers]
    assert len(games) == len(set(games))


def test_a_decided_cell_gets_no_more_tapes_because_of_another() -> None:
    asked = plan(loads=(0.7, 1.1))
    team = Looked(lambda cell, name, seed: close(cell, name, seed) if cell == CELL else late(
        {"demo": 10, "synergai": 100, "edf": 300}[name]))  # fmt: skip
    played(asked, team)
    assert (team.tapes(CELL, "demo"), team.tapes(BUSY, "demo")) == (64, 16)


def test_an_open_verdict_on_lateness_asks_for_more_tapes() -> None:
    team = Looked(lambda cell, name, seed: late(10 if name == "demo" else 300, 1.1 if name == "demo" else
                                                1.0 + 0.05 * WOBBLE[seed % 16]))  # fmt: skip
    played(plan(), team)
    assert team.tapes(CELL, "demo") == 64


def test_a_cell_that_is_too_late_anyway_asks_for_no_more_tapes_on_lateness() -> None:
    def measures(cell: Cell, name: str, seed: int) -> Measures:
        mean = {"demo": 1.1, "synergai": 1.0 + 0.05 * WOBBLE[seed % 16], "edf": 0.2}[name]
        return late(10 if name == "demo" else 300, mean)

    team = Looked(measures)
    played(plan(), team)
    assert team.tapes(CELL, "demo") == 16


def test_without_a_checkpoint_the_first_look_is_all() -> None:
    team = Looked(close)
    played(plan(policies=()), team)
    assert team.tapes(CELL, "edf") == 16


def test_what_the_book_holds_is_not_played_again() -> None:
    full = played(plan(), Looked(close))
    half = Book(full.rows()[::2])
    team = Looked(close)
    carry_out(plan(), half, team)
    assert len(team.given) < 64
    assert half.rows() == full.rows()


def test_each_look_says_how_many_runs_it_has() -> None:
    told: list[list[int]] = []

    def watch(look: int, runs: int):
        told.append([look, runs, 0])

        def tick() -> None:
            told[-1][2] += 1

        return tick

    carry_out(plan(), Book(), Looked(close), watch)
    assert told == [[1, 48, 48], [2, 32, 32], [3, 64, 64]]


# what is asked for --------------------------------------------------------------------------------------
def test_an_evaluation_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to evaluate"):
        plan(rules=(), policies=())


def test_two_scenarios_of_one_name_are_refused() -> None:
    asked = plan()
    with pytest.raises(ScenarioError, match="two scenarios are called 'demo'"):
        replace(asked, scenarios=asked.scenarios * 2)


def test_the_identity_tells_scenarios_apart_that_differ_in_one_number() -> None:
    asked = plan()
    other = replace(asked, scenarios=(asked.scenarios[0].model_copy(update={"warm_up": 0.25}),))
    assert asked.identity()["scenarios"] != other.identity()["scenarios"]


def test_two_worlds_of_one_name_are_refused_at_unlike_loads_too() -> None:
    asked = plan()
    other = asked.scenarios[0].model_copy(update={"load": 1.1, "warm_up": 0.25})
    with pytest.raises(ScenarioError, match="two scenarios are called 'demo'"):
        replace(asked, scenarios=(*asked.scenarios, other))


def test_planners_play_the_cells_that_they_are_asked_to() -> None:
    asked = replace(
        plan(loads=(0.7, 1.1), tapes=16, max_tapes=16), rules=("edf", "rollout:8"),
        policies=("demo", "demo+plan"), planned=frozenset({("demo", 1.1)}),
    )  # fmt: skip
    team = Looked(lambda cell, name, seed: late(50))
    found = summarise(asked, played(asked, team))
    tapes = {(name, cell.load): team.tapes(cell, name) for cell in (CELL, BUSY) for name in asked.schedulers}
    assert {key for key, count in tapes.items() if count == 0} == {("rollout:8", 0.7), ("demo+plan", 0.7)}
    assert [sorted(cell["verdicts"]) for cell in found["cells"]] == [["demo"], ["demo", "demo+plan"]]
    assert [sum(found["overall"][name]["comparisons"].values()) for name in ("demo", "demo+plan")] == [3, 2]


def test_the_identity_names_the_weights_that_a_planner_stands_on() -> None:
    asked = replace(plan(), rules=("edf", "rollout:4", "rollout:4:demo"))
    assert asked.identity()["bases"] == {"rollout:4:demo": checkpoint_facts("demo")}


# the summary --------------------------------------------------------------------------------------------
def better_at_low_load(cell: Cell, name: str, seed: int) -> Measures:
    wobble = WOBBLE[seed % 16]
    if name == "demo":
        return late(50 + wobble if cell == CELL else 400, 0.4)
    return late({"synergai": 100, "edf": 300}[name] + wobble, 0.5 if name == "edf" else 0.6)


@pytest.fixture(scope="module")
def asked() -> Plan:
    return plan(loads=(0.7, 1.1))


@pytest.fixture(scope="module")
def book(asked: Plan) -> Book:
    return played(asked, Looked(better_at_low_load))


@pytest.fixture(scope="module")
def found(asked: Plan, book: Book) -> dict:
    return summarise(asked, book)


def test_schedulers_stand_in_order_of_violations(found: dict) -> None:
    assert [list(cell["schedulers"]) for cell in found["cells"]] == [
        ["demo", "synergai", "edf"], ["synergai", "edf", "demo"]]  # fmt: skip


def test_gains_are_the_rule_less_ours_with_bounds_around(found: dict) -> None:
    entry = found["cells"][0]["schedulers"]["edf"]["against"]["demo"]
    assert entry["gain"] == pytest.approx(0.25)
    assert entry["ci95"] == pytest.approx([0.25, 0.25])


def test_superior_is_a_gain_whose_lower_bound_is_above_zero(found: dict) -> None:
    verdicts = {
        (cell["load"], rule): entry["against"]["demo"]["superior"]
        for cell in found["cells"]
        for rule, entry in cell["schedulers"].items()
        if "against" in entry
    }
    assert verdicts == {
        (0.7, "synergai"): True,
        (0.7, "edf"): True,
        (1.1, "synergai"): False,
        (1.1, "edf"): False,
    }


def test_a_cell_with_one_failed_comparison_has_failed(found: dict) -> None:
    assert [cell["verdicts"]["demo"]["violation_rate"]["verdict"] for cell in found["cells"]] == [
        "passed", "failed"]  # fmt: skip


def test_lateness_is_judged_against_the_rule_that_is_best_at_it(found: dict) -> None:
    judged = found["cells"][0]["verdicts"]["demo"]["excess_mean_s"]
    assert (judged["verdict"], judged["best_rule"], judged["against"]) == ("passed", "edf", "edf")


def test_the_worst_comparison_is_the_one_furthest_beyond_its_margin(found: dict) -> None:
    worst = found["overall"]["demo"]["worst"]
    assert (worst["load"], worst["rule"], worst["verdict"]) == (1.1, "synergai", "failed")


def test_verdicts_are_counted_over_cells_and_rules(found: dict) -> None:
    overall = found["overall"]["demo"]
    assert overall["comparisons"] == {"failed": 2, "undecided": 0, "passed": 2}
    assert overall["cells"]["violation_rate"] == {"failed": 1, "undecided": 0, "passed": 1}
    assert overall["superior"] == 2


def test_the_summary_does_not_depend_on_the_order_of_rows(asked: Plan, book: Book, found: dict) -> None:
    assert summarise(asked, Book(reversed(book.rows()))) == found


def test_the_summary_is_json(found: dict) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_unfinished_jobs_are_added_up() -> None:
    asked = plan(policies=(), tapes=2)
    book = Book(
        row(CELL, name, seed, replace(ONE, unfinished=seed + 2)) for name in asked.rules for seed in (0, 1)
    )
    entry = summarise(asked, book)["cells"][0]["schedulers"]["edf"]
    assert (entry["unfinished"], entry["jobs"]) == (5, 2000)


def test_decision_times_are_medians_over_the_tapes_that_were_timed() -> None:
    asked = plan(rules=(), tapes=4)
    took = [(10.0, 90.0), None, (20.0, 80.0), (30.0, 500.0)]
    book = Book(row(CELL, "demo", seed, ONE, took[seed]) for seed in range(4))
    entry = summarise(asked, book)["cells"][0]["schedulers"]["demo"]
    assert (entry["decision_us_p50"], entry["decision_us_p99"]) == (20.0, 90.0)


def test_rules_alone_have_no_verdicts() -> None:
    asked = plan(policies=())
    found = summarise(asked, played(asked, Looked(close)))
    assert (found["overall"], found["cells"][0]["verdicts"]) == ({}, {})


def test_two_checkpoints_are_judged_apart() -> None:
    asked = plan(policies=("a", "b"))
    found = summarise(
        asked, played(asked, Looked(lambda cell, name, seed: late({"a": 50, "b": 400}.get(name, 200))))
    )
    assert [found["overall"][name]["comparisons"]["passed"] for name in ("a", "b")] == [2, 0]


def ratios(policy_rate: int = 50) -> dict:
    """`demo` misses half as many deadlines as `synergai` at both loads, and a sixth of those of `edf`."""
    rates = {"demo": policy_rate, "synergai": 100, "edf": 300}
    asked = plan(loads=(0.7, 1.1))
    book = played(asked, Looked(lambda cell, name, seed: late(rates[name] + WOBBLE[seed % 16])))
    return summarise(asked, book)["overall"]["demo"]["ratios"]


def test_ratios_are_of_violations_with_a_lower_bound() -> None:
    found = ratios()
    assert found["up to 1"]["edf"]["ratio"] == pytest.approx(6.0, rel=0.02)
    assert found["up to 1"]["best rule"]["ratio"] == pytest.approx(2.0, rel=0.02)
    assert all(
        0.9 * one["ratio"] < one["lower"] < one["ratio"] for by in found.values() for one in by.values()
    )


def test_ratios_are_over_the_cells_of_a_range_that_tell_schedulers_apart() -> None:
    assert {words: by["edf"]["cells"] for words, by in ratios().items()} == {
        "up to 1": 1, "0.5 to 0.9": 1, "0.9 to 1.3": 1}  # fmt: skip
    asked = plan()
    easy = summarise(asked, played(asked, Looked(lambda cell, name, seed: late(3))))
    assert easy["overall"]["demo"]["ratios"] == {"up to 1": {}, "0.5 to 0.9": {}, "0.9 to 1.3": {}}


# tables and pictures ------------------------------------------------------------------------------------
def text(shown: object) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(shown)
    return console.export_text()


def test_a_cell_table_shows_gains_and_verdicts(found: dict) -> None:
    shown = text(report.cell_table(found["cells"][1], ("demo",)))
    assert "demo, load 1.1" in shown
    assert "1.00 % of the jobs are hopeless" in shown
    assert "fewer by demo" in shown
    assert shown.count("failed") == 2


def test_unfinished_jobs_stand_under_the_table() -> None:
    asked = plan(policies=(), rules=("edf",), tapes=2)
    book = Book(row(CELL, "edf", seed, replace(ONE, unfinished=3)) for seed in (0, 1))
    shown = text(report.cell_table(summarise(asked, book)["cells"][0], ()))
    assert "edf left 6 of 2000 jobs unfinished" in shown


def test_the_worst_cell_heads_the_verdicts(found: dict) -> None:
    lines = text(report.verdict_table(found, "demo")).splitlines()
    assert ["load 1.1" in line for line in lines if ", load" in line] == [True, False]


def test_the_last_line_counts(found: dict) -> None:
    said = report.totals(found["overall"]["demo"], "demo")
    assert "of 4 comparisons 2 failed, 0 undecided, 2 passed; 2 superior" in said
    assert "passed 1 on violations" in said


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("runs/mine/checkpoint", "mine"),
        ("demo", "demo"),
        ("out/best", "best"),
        ("checkpoint", "checkpoint"),
    ],
)
def test_a_checkpoint_is_called_by_what_tells_it_from_others(name: str, shown: str) -> None:
    assert report.label(name) == shown


def test_pictures_are_pngs(tmp_path: Path, found: dict) -> None:
    pictures.draw_rates(found, ("demo",), tmp_path / "rates.png")
    pictures.draw_gains(found, tmp_path / "gains.png")
    assert all(
        (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n") for name in ("rates.png", "gains.png")
    )


def test_the_page_needs_nothing_else_and_shows_the_worst_cell_first(tmp_path: Path, found: dict) -> None:
    page.write({**found, "commit": "<abc>", "synergai": "1"}, ("demo",), tmp_path / "report.html")
    shown = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert shown.index("<td>demo, load 1.1</td>") < shown.index("<td>demo, load 0.7</td>")
    assert shown.count("data:image/png;base64,") == 4
    assert "http" not in shown
    assert "&lt;abc&gt;" in shown


def test_the_front_is_what_nobody_beats_in_both() -> None:
    assert pictures.front([(3.0, 1.0), (1.0, 3.0), (2.0, 2.0), (2.5, 2.5), (3.0, 4.0)]) == [
        (1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]  # fmt: skip
