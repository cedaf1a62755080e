"""The simplex method on a dense table: small linear programs, solved in microseconds inside compiled code.

The program is: maximise goal x, where table x <= bounds, x >= 0, bounds >= 0, so that x = 0 is a place to start from.
Row i of the table is a variable in the basis, column j one that is not; a pivot exchanges the two. Choices are made by
fixed rules and ties go to the lowest number: equal programs have equal solutions, bit for bit.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs.compile import kernel

TINY = 1e-9
"""Smaller is nought: of reduced costs and of pivots, in a table whose entries are of the order of one."""
CAREFUL = 20
"""After so many pivots per row the choice that cannot go round in circles (Bland's) is taken."""
PATIENCE = 200
"""After so many pivots per row the search is given up; Bland's rule needs no such end, rounding may."""


class Table(NamedTuple):
    """Working memory of a program with room for `rows` and `columns`."""

    cells: np.ndarray  # (rows + 1, columns + 1): the last column is the bounds, the last row the negated goal
    rows: np.ndarray  # (rows,) int64: which variable is in the basis here
    columns: np.ndarray  # (columns,) int64: which one is not


def table(rows: int, columns: int) -> Table:
    """Room for a program."""
    return Table(np.zeros((rows + 1, columns + 1)), np.zeros(rows, np.int64), np.zeros(columns, np.int64))


@kernel
def clear(program, m, n):
    """Empty a program of m rows and n columns; variable j is column j, that of row i is n + i."""
    program.cells[: m + 1, : n + 1] = 0.0
    for i in range(m):
        program.rows[i] = n + i
    for j in range(n):
        program.columns[j] = j


@kernel
def entering(program, m, n, careful):
    """The column that gains most, or with `careful` the gaining variable of the lowest number; -1 at the optimum."""
    goal = program.cells[m]
    best = -1
    for j in range(n):
        if goal[j] >= -TINY:
            continue
        if best == -1:
            best = j
        elif careful:
            best = j if program.columns[j] < program.columns[best] else best
        elif goal[j] < goal[best]:
            best = j
    return best


@kernel
def leaving(program, m, n, column):
    """The row that runs out first, among equals that of the lowest variable; -1 where nothing stops the growth."""
    cells = program.cells
    best, least = -1, 0.0
    for i in range(m):
        if cells[i, column] <= TINY:
            continue
        ratio = max(cells[i, n], 0.0) / cells[i, column]
        if best == -1 or ratio < least or (ratio == least and program.rows[i] < program.rows[best]):
            best, least = i, ratio
    return best


@kernel
def pivot(program, m, n, row, column):
    """Exchange the row's variable and the column's."""
    cells = program.cells
    inverse = 1.0 / cells[row, column]
    cells[row, column] = 1.0
    for j in range(n + 1):
        cells[row, j] *= inverse
    for i in range(m + 1):
        factor = cells[i, column]
        if i == row or factor == 0.0:
            continue
        cells[i, column] = 0.0
        for j in range(n + 1):
            cells[i, j] -= factor * cells[row, j]
    program.rows[row], program.columns[column] = program.columns[column], program.rows[row]


@kernel
def maximise(program, m, n):
    """Pivot to the optimum; False if the program is unbounded or the search was given up. Then the last column holds
    what the basic variables are, the last row what a little more of each nonbasic one's bound would bring."""
    for turn in range(PATIENCE * (m + 1)):
        column = entering(program, m, n, turn > CAREFUL * (m + 1))
        if column == -1:
            return True
        row = leaving(program, m, n, column)
        if row == -1:
            return False
        pivot(program, m, n, row, column)
    return False
