"""The termination message: what a kubelet keeps, and the bridge reads."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.k8s_bridge.runner import report

WORDS = st.builds(lambda text, times: text * times, st.text(), st.sampled_from([1, 30, 3000]))


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=20), WORDS, max_size=12))
def test_a_line_has_4096_bytes_at_most_and_is_json_of_the_same_keys(values: dict[str, str]) -> None:
    text = report.line(values)
    assert len(text.encode("ascii")) <= 4096
    assert json.loads(text).keys() == values.keys()
    assert "\n" not in text


@pytest.mark.parametrize("why", ["x" * 100_000, "\udcff" * 9_000, '"' * 9_000, "\U0001f600" * 9_000])
def test_a_long_reason_is_cut_at_its_end_and_nearly_fills_the_message(why: str) -> None:
    text = report.failure(why)
    assert 3000 < len(text.encode("ascii")) <= 4096
    assert why.startswith(json.loads(text)["error"])


def test_what_fits_is_kept_as_it_is() -> None:
    assert report.line({"a": "b", "c": None, "d": 1.5}) == '{"a":"b","c":null,"d":1.5}'


def test_a_report_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 9000)
    report.write(path, "{}")
    assert path.read_text() == "{}"
    assert os.listdir(tmp_path) == ["log"]


def test_a_file_in_a_folder_that_takes_no_others_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 9000)
    before = path.stat().st_ino

    def busy(*_: object) -> None:  # as of a file that is mounted
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    report.write(path, "{}")
    assert path.read_text() == "{}"
    assert path.stat().st_ino == before
    assert os.listdir(tmp_path) == ["log"]


def test_a_report_with_nowhere_to_go_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-folder"):
        report.write(tmp_path / "no-folder" / "log", "{}")
