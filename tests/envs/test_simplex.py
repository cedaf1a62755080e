"""The small simplex method against scipy's, and where it could go wrong."""

import numpy as np
import pytest
from scipy.optimize import linprog

from synergai.envs import simplex
from synergai.envs.simplex import Table


def laid_out(limits: np.ndarray, bounds: np.ndarray, goal: np.ndarray) -> Table:
    m, n = limits.shape
    program = simplex.table(m, n)
    simplex.clear(program, m, n)
    program.cells[:m, :n], program.cells[:m, n], program.cells[m, :n] = limits, bounds, -goal
    return program


def value(program: Table, limits: np.ndarray) -> np.ndarray:
    """What the program's own variables are at the end. (columns,)"""
    m, n = limits.shape
    x = np.zeros(n + m)
    x[program.rows[:m]] = program.cells[:m, n]
    return x[:n]


def duals(program: Table, limits: np.ndarray) -> np.ndarray:
    m, n = limits.shape
    y = np.zeros(n + m)
    y[program.columns[:n]] = program.cells[m, :n]
    return y[n:]


def random_program(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounded, as every column takes some of the first resource; every third one is degenerate."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 12)), int(rng.integers(1, 30))
    limits = rng.uniform(-0.3, 1.0, (m, n)) * (rng.random((m, n)) < 0.6)
    limits[0] = rng.uniform(0.01, 1.0, n)
    bounds = rng.uniform(0.1, 1.0, m)
    if seed % 3 == 0:
        bounds[rng.random(m) < 0.5] = 0.0
    return limits, bounds, rng.uniform(-0.2, 1.0, n)


@pytest.mark.parametrize("seed", range(60))
def test_the_optimum_is_scipys(seed: int) -> None:
    limits, bounds, goal = random_program(seed)
    program = laid_out(limits, bounds, goal)
    assert simplex.maximise(program, *limits.shape)
    expected = linprog(-goal, A_ub=limits, b_ub=bounds, method="highs")
    assert program.cells[-1, -1] == pytest.approx(-expected.fun, abs=1e-8)


@pytest.mark.parametrize("seed", range(60))
def test_the_solution_keeps_the_limits_and_is_worth_the_optimum(seed: int) -> None:
    limits, bounds, goal = random_program(seed)
    program = laid_out(limits, bounds, goal)
    simplex.maximise(program, *limits.shape)
    x = value(program, limits)
    assert (x >= -1e-9).all()
    assert (limits @ x <= bounds + 1e-8).all()
    assert goal @ x == pytest.approx(program.cells[-1, -1], abs=1e-8)


@pytest.mark.parametrize("seed", range(60))
def test_the_duals_prove_the_optimum(seed: int) -> None:
    limits, bounds, goal = random_program(seed)
    program = laid_out(limits, bounds, goal)
    simplex.maximise(program, *limits.shape)
    y = duals(program, limits)
    assert (y >= -1e-9).all()
    assert (limits.T @ y >= goal - 1e-8).all()
    assert bounds @ y == pytest.approx(program.cells[-1, -1], abs=1e-8)


def test_growth_without_a_limit_is_told() -> None:
    limits = np.array([[1.0, -1.0]])
    assert not simplex.maximise(laid_out(limits, np.ones(1), np.ones(2)), 1, 2)


def test_a_program_on_which_the_largest_gain_goes_in_circles_ends() -> None:
    # Beale 1955, "Cycling in the dual simplex algorithm"
    limits = np.array([[0.25, -8.0, -1.0, 9.0], [0.5, -12.0, -0.5, 3.0], [0.0, 0.0, 1.0, 0.0]])
    program = laid_out(limits, np.array([0.0, 0.0, 1.0]), np.array([0.75, -20.0, 0.5, -6.0]))
    assert simplex.maximise(program, 3, 4)
    assert program.cells[-1, -1] == pytest.approx(1.25)


def test_room_for_more_changes_nothing() -> None:
    limits, bounds, goal = random_program(4)
    m, n = limits.shape
    exact, roomy = laid_out(limits, bounds, goal), simplex.table(m + 5, n + 7)
    simplex.clear(roomy, m, n)
    roomy.cells[: m + 1, : n + 1] = exact.cells
    simplex.maximise(exact, m, n)
    simplex.maximise(roomy, m, n)
    np.testing.assert_array_equal(roomy.cells[: m + 1, : n + 1], exact.cells)
