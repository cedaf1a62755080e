"""Neighbours: the windows of a pair, the fit, what is refused, and one run of two real engines."""

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from synergai.cli import app
from synergai.offline_profiles.engines.engine import EngineError, Setting
from synergai.offline_profiles.engines.store import ModelFile, ModelStore
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.neighbours import (
    COLUMNS,
    NeighbourError,
    Patience,
    Row,
    Tenant,
    Window,
    fit,
    measure_pair,
    to_csv,
)
from synergai.offline_profiles.measuring.pairs import Survey, pairs, report
from synergai.offline_profiles.measuring.tenants import Place, side_by_side, tenant
from tests.offline_profiles.measuring.places import place

THREE = Patience(precision=0.02, least_cycles=3, most_s=1e9)


def one(share: float, name: str = "m") -> Tenant:
    return Tenant(name, "1", f"onnxruntime-fp32-cpu-t1-b1-{share:g}", 1000, 0, share)


def world(
    factor: float, first: Tenant, second: Tenant, drift: float = 0.0, noise: float = 0.0, seed: int = 0
) -> Window:
    """A machine that does what the simulator says, and loses the share `drift` of its speed with each window."""
    dice, passed = random.Random(seed), [0]

    def window(a: bool, b: bool) -> tuple[float, float]:
        passed[0] += 1
        speed = (1 - drift) ** passed[0]
        slow = [1 + factor * min(1.0, other.share) if a and b else 1.0 for other in (second, first)]
        luck = [dice.lognormvariate(0, noise) for _ in slow]
        return (a * 100 * speed * luck[0] / slow[0], b * 7 * speed * luck[1] / slow[1])

    return window


def ticking(step_s: float) -> Callable[[], float]:
    passed = [0.0]

    def now_s() -> float:
        passed[0] += step_s
        return passed[0]

    return now_s


def survey(factor: float, shares: list[tuple[float, float]], noise: float = 0.0, seed: int = 0) -> list[Row]:
    rows: list[Row] = []
    for number, (a, b) in enumerate(shares):
        window = world(factor, one(a), one(b), noise=noise, seed=seed * 1000 + number)
        rows += measure_pair(number, one(a), one(b), window, Patience(0.5, 3), ticking(1.0))
    return rows


SHARES = [(0.5, 0.5), (0.25, 0.75), (0.25, 0.25), (0.1, 0.5), (0.1, 0.9), (0.3, 0.4)]


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 4.0])
def test_the_fit_recovers_the_factor(factor: float) -> None:
    found = fit(survey(factor, SHARES))
    assert found.factor == pytest.approx(factor, abs=1e-9)
    assert found.half_width == pytest.approx(0, abs=1e-9)
    assert found.worst == pytest.approx(0, abs=1e-9)
    assert (found.rows, found.pairs) == (12, 6)
    assert found.scenario == f"world: {{co_tenant_slowdown: {factor:.3f}}}"


def test_a_machine_that_grows_slower_does_not_move_the_slow_downs() -> None:
    first, second = one(0.5), one(0.25)
    rows = measure_pair(0, first, second, world(0.8, first, second, drift=0.05), THREE)
    assert [row.slowdown for row in rows] == pytest.approx([1.2, 1.4])
    assert rows[0].alone_sps > rows[0].beside_sps


def test_the_interval_holds_the_factor_as_often_as_it_says() -> None:
    fits = [fit(survey(0.6, SHARES, noise=0.05, seed=seed)) for seed in range(200)]
    held = sum(abs(found.factor - 0.6) <= found.half_width for found in fits)
    assert held >= 180


def test_a_pair_is_measured_until_both_are_known_well_enough() -> None:
    first, second = one(0.5), one(0.5)
    exact, _ = measure_pair(0, first, second, world(0.5, first, second), THREE)
    rough, _ = measure_pair(0, first, second, world(0.5, first, second, noise=0.1), THREE)
    assert exact.cycles == 3
    assert rough.cycles > 3
    assert rough.half_width <= 0.02 * rough.slowdown


def test_time_ends_a_pair_but_not_before_two_cycles() -> None:
    first, second = one(0.5), one(0.5)
    row, _ = measure_pair(
        0, first, second, world(0.5, first, second, noise=0.1), Patience(1e-6, 3, 5.0), ticking(100.0)
    )
    assert row.cycles == 2


@pytest.mark.parametrize("speed", [0.0, float("nan"), float("inf")])
def test_a_window_in_which_nothing_was_answered_is_refused(speed: float) -> None:
    with pytest.raises(NeighbourError, match="make --window longer"):
        measure_pair(0, one(0.5), one(0.5), lambda a, b: (speed, speed), THREE)


def row(slowdown: float, share: float = 0.5, pair: int = 0) -> Row:
    return Row(one(0.5), one(share), pair, 10.0, 5.0, slowdown, 0.01, 3)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "there are no pairs to fit"),
        ([row(1.2, share=0.0)], "m onnxruntime-fp32-cpu-t1-b1-0.5 beside m onnxruntime-fp32-cpu-t1-b1-0"),
        ([row(float("nan"))], "slow-down nan at share 0.5"),
        ([row(-1.0)], "slow-down -1"),
        ([row(9.0)], "the fitted factor is 16, above 10"),
    ],
)
def test_nonsense_is_refused(rows: list[Row], said: str) -> None:
    with pytest.raises(NeighbourError, match=said):
        fit(rows)


def test_one_pair_has_no_interval_and_a_factor_below_zero_is_none_in_a_scenario() -> None:
    found = fit([row(0.9), row(0.95)])
    assert found.factor < 0
    lines = report(Survey(found, 0.0))
    assert "of one pair, so without an interval" in lines[0]
    assert lines[-1] == "world: {co_tenant_slowdown: 0.000}"


def test_others_on_the_machine_are_told() -> None:
    found = fit([row(1.2), row(1.3, pair=1)])
    assert "others used 1.50 cores" in report(Survey(found, 1.5))[1]
    assert len(report(Survey(found, 0.05))) == 2


def test_a_share_above_the_whole_node_counts_as_the_node() -> None:
    assert fit([row(1.5, share=3.0)]).factor == pytest.approx(0.5)


def test_the_file_has_a_line_for_each_row_with_what_the_fit_says() -> None:
    rows = survey(0.6, [(0.5, 0.25)])
    read = list(csv.DictReader(io.StringIO(to_csv("a-class", rows, fit(rows)))))
    assert tuple(read[0]) == COLUMNS
    assert [(line["hardware"], line["share"], line["neighbour_share"]) for line in read] == [
        ("a-class", "0.5", "0.25"),
        ("a-class", "0.25", "0.5"),
    ]
    for line in read:
        assert float(line["fitted"]) + float(line["residual"]) == pytest.approx(
            float(line["slowdown"]), abs=1e-5
        )
        assert float(line["slowdown"]) == pytest.approx(1 + 0.6 * float(line["neighbour_share"]), abs=1e-5)


def test_pairs_are_what_a_node_books_together_each_once() -> None:
    found = pairs([place(1), place(2), place(3)], 4000)
    assert [(a.point.setting.threads, b.point.setting.threads) for a, b in found] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 2),
    ]


def test_an_accelerator_has_one_tenant_beside_those_of_the_cpu() -> None:
    found = pairs([place(1), place(0, "gpu")], 2000)
    assert [(a.point.setting.unit, b.point.setting.unit) for a, b in found] == [
        ("cpu", "cpu"),
        ("cpu", "gpu"),
    ]
    shares = [tenant(one, 2000).share for one in (place(1), place(0, "gpu"))]
    assert shares == [0.5, 1.0]


def test_settings_that_never_fit_together_are_refused() -> None:
    with pytest.raises(EngineError, match="no two of these settings fit a node of 2000 milli-CPU"):
        pairs([place(2)], 2000)


@given(st.lists(st.integers(1, 8), max_size=5), st.integers(1000, 9000))
def test_no_pair_is_more_than_the_node(threads: list[int], node_milli: int) -> None:
    try:
        found = pairs([place(number) for number in threads], node_milli)
    except EngineError:
        found = []
    assert all(sum(one.point.setting.threads for one in pair) * 1000 <= node_milli for pair in found)


@pytest.mark.slow
def test_two_engines_really_run_side_by_side(store: ModelStore, tmp_path: Path) -> None:
    out = tmp_path / "pairs.csv"
    args = ["profile", "neighbours", "--models", str(store.folder), "--out", str(out), "--threads", "1"]
    few = ["--window", "0.2", "--most-seconds", "1", "--hardware", "here"]
    result = CliRunner().invoke(app, [*args, *few])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("world: {co_tenant_slowdown: ")
    lines = list(csv.DictReader(out.open()))
    assert len(lines) == 2
    assert all(float(line["beside_sps"]) > 0 and float(line["alone_sps"]) > 0 for line in lines)


@pytest.mark.slow
def test_a_model_that_does_not_load_is_told_by_name(store: ModelStore) -> None:
    good, setting = store.find("small"), Setting("onnxruntime", "fp32", "cpu", 1, 1)
    bad = ModelFile("bad", "1", store.folder / "none.onnx", {})
    with (
        pytest.raises(EngineError, match="bad:1 onnxruntime-fp32-cpu-t1-b1: "),
        side_by_side(Place(Point(good, setting)), Place(Point(bad, setting)), 0.1),
    ):
        pytest.fail("it did not load")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--window", "0"), "--window: 0 is not above 0"),
        (("--threads", "x"), "--threads: 'x' is not a whole number"),
        (("--unit", "tpu"), "--unit: 'tpu' is neither cpu nor gpu"),
        ((), "no models there"),
    ],
)
def test_a_mistake_is_a_line_and_exit_code_2(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    (tmp_path / "models").mkdir()
    given = ["--models", str(tmp_path / "models"), "--out", str(tmp_path / "x.csv"), *args]
    result = CliRunner().invoke(app, ["profile", "neighbours", *given])
    assert result.exit_code == 2
    assert said in result.stderr
