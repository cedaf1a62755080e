"""Deadlines against energy: areas, what is compared, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from synergai.cli import app
from synergai.training.evaluation.front import Offers, compare, corner_of, hypervolume


def offered(ours: list[tuple[float, float]], rules: list[tuple[float, float]], tapes: int = 4) -> Offers:
    """The same on every tape."""
    points = np.repeat(np.array([*ours, *rules], float)[:, None, :], tapes, axis=1)
    names = tuple(f"p{i}" for i in range(len(points)))
    return Offers("demo", 0.9, names, np.arange(len(points)) < len(ours), points)


def test_the_area_of_one_point_is_the_box_beyond_it() -> None:
    assert hypervolume(np.array([[1.0, 2.0]]), np.array([4.0, 4.0])) == pytest.approx(3 * 2 / 16)


def test_two_points_share_what_both_reach() -> None:
    points = np.array([[1.0, 3.0], [2.0, 1.0]])
    assert hypervolume(points, np.array([4.0, 4.0])) == pytest.approx((3 * 1 + 2 * 2) / 16)


def test_a_point_that_another_beats_in_both_adds_nothing() -> None:
    front, corner = np.array([[1.0, 3.0], [2.0, 1.0]]), np.array([4.0, 4.0])
    assert hypervolume(np.vstack([front, [[2.5, 3.5]]]), corner) == hypervolume(front, corner)


def test_a_point_outside_the_box_adds_nothing() -> None:
    assert hypervolume(np.array([[5.0, 1.0], [1.0, 5.0]]), np.array([4.0, 4.0])) == 0.0


def test_the_corner_lies_beyond_both_fronts_and_not_beyond_what_is_beaten() -> None:
    found = offered([(1.0, 4.0), (2.0, 1.0)], [(3.0, 2.0), (9.0, 9.0)])
    assert corner_of(found) == pytest.approx([3.3, 4.4])


def test_who_offers_more_has_the_larger_area() -> None:
    better = compare(offered([(1.0, 2.0), (2.0, 1.0)], [(2.0, 2.0)]))
    assert better["ratio"] > 1.0
    assert better["ci95"] == pytest.approx([better["ratio"]] * 2)
    worse = compare(offered([(2.0, 2.0)], [(1.0, 2.0), (2.0, 1.0)]))
    assert worse["ratio"] == pytest.approx(1.0 / better["ratio"])


def test_tapes_that_differ_widen_the_interval() -> None:
    found = offered([(1.0, 2.0)], [(2.0, 2.0)], tapes=6)
    found.points[0, :3, 0] = 0.5
    found.points[0, 3:, 0] = 1.5
    low, high = compare(found)["ci95"]
    assert low < compare(found)["ratio"] < high


def test_the_command_writes_figures_and_a_picture(tmp_path: Path) -> None:
    words = ["front", "--scenario", "kiosk", "--load", "0.9", "--weight", "0,1", "--tapes", "2"]
    result = CliRunner().invoke(app, [*words, "--arrivals", "60", "--out", str(tmp_path / "f")])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "f" / "front.json").read_text(encoding="utf-8"))
    assert {"demo@0", "demo@1", "edf_feasible"} <= report["settings"][0]["schedulers"].keys()
    assert (tmp_path / "f" / "front.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--weight", "2"], "--weight '2' is not a number from 0 to 1"),
        (["--checkpoint", "nobody"], "no checkpoint folder 'nobody'"),
        (["--load", "x"], "--load 'x'"),
        (["--scenario", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["front", *words])
    assert result.exit_code == 2
    assert said in result.output
