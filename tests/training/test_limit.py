"""Bounds on what any scheduler can have in time: by hand, by all orders, against what rules do, and the command."""

import csv
import json
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from typer.testing import CliRunner
from worlds import hand_tape, random_scenario, simulate, toy_profile, toy_setting, toy_table

from synergai.agents.registry import names
from synergai.cli import app
from synergai.envs import scenario as scenarios
from synergai.envs.metrics import measure
from synergai.envs.scenario import ScenarioError
from synergai.envs.tape import Setting, Tape, make_tape, setting_of
from synergai.training.evaluation.limit.exact import GRID_US, solve
from synergai.training.evaluation.limit.foresight import by_deadline
from synergai.training.evaluation.limit.found import Found, limit_of
from synergai.training.evaluation.limit.relaxed import Mode, Relaxed, Truth, Work, relax, sure
from synergai.training.evaluation.limit.report import cells_of, closed
from synergai.training.evaluation.limit.windows import Row as Stretch
from synergai.training.evaluation.limit.windows import columns_of, most_in_time, proven, row_of

SECOND = 1_000_000
ONE = [{"name": "n", "hardware": {"gpu": 1}}]
TWO = [{"name": "n", "count": 2, "hardware": {"gpu": 1}}]
CORES = [{"name": "n", "hardware": {"cpu": 1}}]


def one_size(machines: list[dict[str, object]], **keys: object) -> Setting:
    """Every job takes ten seconds, on a GPU or on four cores of eight."""
    table = toy_table(
        toy_profile("m", "gpu", 10.0), toy_profile("m", "cpu", 10.0, cpu_milli=4000, device_units=0)
    )
    return toy_setting(table, machines, **keys)


def machine(jobs: list[tuple[int, int, int]]) -> Relaxed:
    """One server; (arrival, deadline, run time) in seconds."""
    works = [
        Work(j, r * SECOND, d * SECOND, (Mode(0, ((0, 1),), p * SECOND, 0),) if r + p <= d else ())
        for j, (r, d, p) in enumerate(jobs)
    ]
    return Relaxed(tuple(works), (1,), 0)


def best_of_all_orders(jobs: list[tuple[int, int, int]]) -> int:
    """Each order with everybody as early as he can be, and without those who would be late."""
    best = 0
    for order in permutations(jobs):
        now, count = 0, 0
        for r, d, p in order:
            if max(now, r) + p <= d:
                now, count = max(now, r) + p, count + 1
        best = max(best, count)
    return best


# by hand -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("machines", "keys", "deadline_s", "most"),
    [
        (ONE, {}, [20, 20, 20], 2),
        (ONE, {}, [10, 20, 30], 3),
        (ONE, {}, [9, 9, 30], 1),  # two are late even alone
        (ONE, {}, [10, 20, 21], 2),
        (TWO, {}, [10, 10, 10], 2),
        (TWO, {}, [20, 20, 20], 3),
        (CORES, {}, [10, 10, 10], 2),
        (ONE, {"delays": {"release_s": 1.0}}, [10, 20, 21], 2),  # the room is back after 11 seconds
        (ONE, {"delays": {"release_s": 1.0}}, [10, 20], 1),
        (ONE, {"delays": {"pod_start_s": 1.0}}, [11, 21, 33], 2),
    ],
)
def test_the_bound_of_a_trivial_tape_is_its_optimum(
    machines: list[dict[str, object]], keys: dict[str, object], deadline_s: list[float], most: int
) -> None:
    setting = one_size(machines, **keys)
    relaxed = relax(setting, hand_tape(setting, [0.0] * len(deadline_s), deadline_s))
    block = solve(relaxed, 5.0)
    assert (block.found, block.most) == (most, most)
    assert most_in_time(relaxed, 5.0) == most


def test_the_solver_finds_what_all_orders_give() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        jobs = [
            (int(r), int(r + p + s), int(p))
            for r, p, s in zip(rng.integers(0, 20, 6), rng.integers(1, 10, 6), rng.integers(0, 10, 6))
        ]
        block, best = solve(machine(jobs), 10.0), best_of_all_orders(jobs)
        assert (block.found, block.most) == (best, best)
        assert most_in_time(machine(jobs), 10.0) >= best


def test_no_prices_prove_too_much() -> None:
    jobs = [(0, 10, 5), (0, 12, 6), (2, 12, 7), (3, 30, 9)]
    relaxed, rng = machine(jobs), np.random.default_rng(0)
    columns = columns_of(relaxed)
    rows = [
        row_of(columns, Stretch(0, a * SECOND, b * SECOND), 1)
        for a, b in ((0, 10), (0, 12), (2, 12), (0, 30))
    ]
    table = np.zeros((4, 4))
    for i, (own, taken) in enumerate(rows):
        table[i, own] = taken
    for prices in rng.uniform(0, 3, (100, 4)):
        assert proven(csr_array(table), prices, np.arange(4)) >= best_of_all_orders(jobs)


@pytest.mark.parametrize(
    ("from_s", "to_s", "share"),
    [(0, 10, 0.4), (0, 4, 0.25), (0, 5, 0.4), (4, 10, 1 / 6), (3, 5, 1.0), (0, 2, None), (5, 10, None)],
)
def test_a_stretch_holds_what_a_job_cannot_do_outside(from_s: int, to_s: int, share: float | None) -> None:
    """Four seconds between 1 and 7: it is at it from 3 to 5 whenever it starts."""
    columns = columns_of(machine([(1, 7, 4)]))
    own, taken = row_of(columns, Stretch(0, from_s * SECOND, to_s * SECOND), 1)
    assert list(own) == ([] if share is None else [0])
    assert list(taken) == pytest.approx([] if share is None else [share])


# against the simulator ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["demo", "edge", "datacenter", "crossing"])
def test_alone_a_job_really_takes_as_long_as_the_bound_says(name: str) -> None:
    setting = setting_of(scenarios.load(name))
    tape = spread(make_tape(setting, 3, 40), 2000.0)
    truth, sim = Truth(setting, tape), simulate(setting, tape, "edf_feasible")
    ran = np.flatnonzero(sim.outcomes["finish_us"] >= 0)
    assert len(ran) > 20
    for job in ran:
        outcome = sim.outcomes[job]
        o, node, start_us = int(outcome["option"]), int(outcome["node"]), int(outcome["start_us"])
        took_us = int(outcome["finish_us"]) - start_us
        assert truth.run_us(int(job), o, [node], start_us, start_us) == (took_us, took_us)
        assert truth.fits(int(job), o, node)


def spread(tape: Tape, gap_s: float) -> Tape:
    """The same jobs, so far apart that none meets another; what was not counted stays behind."""
    jobs = tape.jobs.copy()
    budget_us = jobs["deadline_us"] - jobs["arrival_us"]
    jobs["arrival_us"] = np.arange(len(jobs)) * round(gap_s * SECOND)
    jobs["deadline_us"] = jobs["arrival_us"] + budget_us
    order = np.argsort(jobs["deadline_us"], kind="stable").astype(np.int64)
    return tape._replace(jobs=jobs, by_deadline=order)


@pytest.mark.parametrize("seed", range(6))
def test_no_rule_misses_fewer_than_the_bound(seed: int) -> None:
    setting, tape = small_world(seed)
    relaxed = relax(setting, tape)
    late = [len(relaxed.works) - most_in_time(relaxed, 2.0)]
    late.append(sum(b.jobs - b.most for b in (solve(part, 1.0) for part in relaxed.blocks(20))))
    fewest = min(measure(setting, simulate(setting, tape, rule)).violations for rule in names())
    assert max(late) <= fewest
    assert relaxed.hopeless <= min(late)


def small_world(seed: int) -> tuple[Setting, Tape]:
    """Sixty jobs on a random cluster, in overload."""
    rng = np.random.default_rng(seed)
    while True:
        try:
            setting = setting_of(random_scenario(rng, load=1.3))
        except ScenarioError:
            continue
        if not setting.clients:
            return setting, make_tape(setting, seed, 60)


@pytest.mark.parametrize("name", ["demo", "edge", "datacenter"])
def test_a_schedule_with_foresight_comes_true(name: str) -> None:
    """Its jobs start where and when there is room, and are really in time."""
    setting = setting_of(scenarios.load(name).model_copy(update={"load": 1.1}))
    tape = make_tape(setting, 1, 100)
    truth, known = Truth(setting, tape), sure(setting, tape, GRID_US)
    placed = by_deadline(known)
    assert 50 < len(placed) <= most_in_time(relax(setting, tape), 5.0)
    works = {work.job: work for work in known.works}
    runs = []
    for job, place in placed.items():
        mode, record = works[job].modes[place.mode], tape.jobs[job]
        took_us, _ = truth.run_us(job, mode.option, [mode.pool], place.start_us, place.start_us)
        assert record["arrival_us"] <= place.start_us
        assert place.start_us + took_us <= record["deadline_us"]
        runs.append((place.start_us, place.start_us + took_us + known.release_us, dict(mode.needs)))
    for at_us, _, _ in runs:
        for r, capacity in enumerate(known.capacities):
            assert sum(needs.get(r, 0) for a, b, needs in runs if a <= at_us < b) <= capacity


@pytest.mark.parametrize(("name", "said"), [("desks", "closed loop"), ("rough", "die")])
def test_a_world_without_a_bound_is_refused(name: str, said: str) -> None:
    setting = setting_of(scenarios.load(name))
    with pytest.raises(ValueError, match=said):
        relax(setting, make_tape(setting, 0, 40))


# what is reported --------------------------------------------------------------------------------------------
def found(tape: int, bound: int, **played: int) -> Found:
    return Found("demo", 0.9, tape, 100, 1, bound, bound - 1, bound + 2, (), played)


def test_the_best_rule_is_that_of_all_tapes() -> None:
    (cell,) = cells_of([found(0, 2, a=10, b=12, net=8), found(1, 4, a=20, b=14, net=10)], ["a", "b"])
    assert cell["best_rule"] == "b"
    assert cell["bound"] == pytest.approx(0.03)
    assert cell["closed"] == {"net": pytest.approx((0.13 - 0.09) / (0.13 - 0.03))}


@pytest.mark.parametrize(
    ("rule", "ours", "bound", "share"), [(0.2, 0.1, 0.0, 0.5), (0.1, 0.2, 0.0, -1.0), (0.1, 0.1, 0.1, None)]
)
def test_the_share_of_the_way_to_the_bound(
    rule: float, ours: float, bound: float, share: float | None
) -> None:
    assert closed(rule, ours, bound) == share


def test_blocks_are_of_consecutive_jobs_and_none_is_lost() -> None:
    setting = one_size(ONE)
    tape = hand_tape(setting, np.arange(50.0), np.arange(50.0) + 30.0)
    blocks = relax(setting, tape).blocks(20)
    assert [work.job for block in blocks for work in block.works] == list(range(50))
    assert {len(block.works) for block in blocks} <= {25}


def test_without_time_nothing_wrong_is_proven() -> None:
    setting, tape = small_world(0)
    relaxed = relax(setting, tape)
    block = solve(relaxed, 0.01)
    assert block.found <= solve(relaxed, 2.0).most <= block.most <= len(relaxed.works)
    assert most_in_time(relaxed, 2.0) <= most_in_time(relaxed, 0.0)


def test_jobs_that_are_not_counted_are_left_out() -> None:
    setting = one_size(ONE)
    tape = hand_tape(setting, [0.0] * 4, [10.0] * 4)
    tape.jobs["counted"][3] = 0
    once = tape._replace(window=np.array([1, 4]))
    seen = limit_of(setting, 0, [], arrivals=20, seconds=0.5)
    assert [work.job for work in relax(setting, once).works] == [1, 2]
    assert seen.bound <= (seen.foresight or 0)


def test_the_command_writes_figures(tmp_path: Path) -> None:
    words = ["limit", "--scenario", "kiosk", "--load", "0.9,1.1", "--policy", "net", "--arrivals", "60"]
    more = ["--block", "30", "--seconds", "0.5", "--out", str(tmp_path / "l")]
    result = CliRunner().invoke(app, [*words, *more])
    assert result.exit_code == 0, result.output
    assert "proven" in result.output
    report = json.loads((tmp_path / "l" / "limit.json").read_text(encoding="utf-8"))
    assert [cell["load"] for cell in report["cells"]] == [0.9, 1.1]
    for cell in report["cells"]:
        assert cell["bound"] <= min(cell["violation_rate"].values())
    with (tmp_path / "l" / "limit.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {"edf_feasible", "edf_likely", "demo"} <= rows[0].keys()


@pytest.mark.parametrize("package", ["ortools", "scipy"])
def test_without_the_solver_it_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = CliRunner().invoke(app, ["limit"])
    assert result.exit_code == 2
    assert f"needs {package}: pip install 'synergai[bound]'" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--checkpoint", "nobody"], "no checkpoint folder 'nobody'"),
        (["--load", "x"], "--load 'x'"),
        (["--scenario", "desks", "--policy", "net", "--arrivals", "40"], "closed loop"),
        (["--schedulers", "nobody"], "no scheduler 'nobody'"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["limit", *words])
    assert result.exit_code == 2
    assert said in result.output
