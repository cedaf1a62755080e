"""Rows on disk: whole again after a kill, refused where they are of something else."""

from pathlib import Path

import pytest
from made_rows import CELL, ONE, row

from synergai.training.evaluation.book import PLAN_FILE, ROWS_FILE, Book, BookError, KeptBook
from synergai.training.evaluation.evaluate import Cell, Row

IDENTITY = {"loads": [0.7], "seed": 0}
ROWS = [
    row(CELL, name, seed, took=(30.5, 70.25) if seed == 0 else None)
    for seed in (1, 0)
    for name in ("edf", "demo")
]


def keep(folder: Path, rows: list[Row]) -> None:
    with KeptBook(folder, IDENTITY) as book:
        for one in rows:
            book.add(one)


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    keep(tmp_path, ROWS)
    with KeptBook(tmp_path, IDENTITY) as book:
        assert sorted(book.rows(), key=str) == sorted(ROWS, key=str)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path, cut: int) -> None:
    keep(tmp_path, ROWS)
    path = tmp_path / ROWS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with KeptBook(tmp_path, IDENTITY) as book:
        assert book.found == len(ROWS) - 1
        book.add(ROWS[-1])
    assert path.read_bytes() == whole


def test_a_file_cut_within_its_heading_starts_anew(tmp_path: Path) -> None:
    keep(tmp_path, [])
    path = tmp_path / ROWS_FILE
    heading = path.read_bytes()
    path.write_bytes(heading[:9])
    keep(tmp_path, [])
    assert path.read_bytes() == heading


def test_a_row_is_on_disk_before_the_next_is_played(tmp_path: Path) -> None:
    with KeptBook(tmp_path, IDENTITY) as book:
        book.add(ROWS[0])
        assert (tmp_path / ROWS_FILE).read_text().count("\n") == 2


def test_the_sorted_file_does_not_tell_in_which_order_rows_came(tmp_path: Path) -> None:
    for name, rows in (("a", ROWS), ("b", ROWS[::-1])):
        with KeptBook(tmp_path / name, IDENTITY) as book:
            for one in rows:
                book.add(one)
            book.sort()
    assert (tmp_path / "a" / ROWS_FILE).read_bytes() == (tmp_path / "b" / ROWS_FILE).read_bytes()


def test_another_plan_in_the_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    keep(tmp_path, ROWS)
    with pytest.raises(BookError, match=r"another evaluation \(loads differs\).*--out"):
        KeptBook(tmp_path, IDENTITY | {"loads": [0.7, 0.9]})


def test_results_without_a_plan_are_refused(tmp_path: Path) -> None:
    (tmp_path / ROWS_FILE).write_text("scheduler,tape\n")
    with pytest.raises(BookError, match=r"results\.csv but no plan\.json"):
        KeptBook(tmp_path, IDENTITY)


def test_a_plan_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / PLAN_FILE).write_text("[1]\n")
    with pytest.raises(BookError, match=r"plan\.json: is not the plan"):
        KeptBook(tmp_path, IDENTITY)


def test_a_spoilt_row_is_named_by_file_and_line(tmp_path: Path) -> None:
    keep(tmp_path, ROWS)
    path = tmp_path / ROWS_FILE
    path.write_text(path.read_text().replace("edf,1,", "edf,one,"))
    with pytest.raises(BookError, match=r"results\.csv:2: .*'one'"):
        KeptBook(tmp_path, IDENTITY)


def test_columns_of_another_version_are_refused(tmp_path: Path) -> None:
    keep(tmp_path, ROWS)
    path = tmp_path / ROWS_FILE
    path.write_text(path.read_text().replace("born_hopeless", "hopeless"))
    with pytest.raises(BookError, match=r"results\.csv:1: columns"):
        KeptBook(tmp_path, IDENTITY)


def test_two_evaluations_cannot_hold_one_folder(tmp_path: Path) -> None:
    with KeptBook(tmp_path, IDENTITY), pytest.raises(BookError, match="another evaluation is writing there"):
        KeptBook(tmp_path, IDENTITY)


def test_pairs_are_the_tapes_that_both_have_played() -> None:
    book = Book([row(CELL, "a", seed) for seed in (0, 1, 5)] + [row(CELL, "b", seed) for seed in (5, 1, 7)])
    mine, other = book.pairs(CELL, "a", "b", "violations")
    assert mine.tolist() == other.tolist() == [ONE.violations] * 2


def test_cells_are_kept_apart() -> None:
    book = Book([row(CELL, "a", 0), row(Cell("demo", 0.9), "a", 1)])
    assert [one.seed for one in book.of(CELL, "a")] == [0]
