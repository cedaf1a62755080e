"""Samples from files, and what comes out of a model into one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synergai.k8s_bridge.runner.data import Sink, local, source
from synergai.k8s_bridge.runner.refusal import Refusal, Status
from synergai.offline_profiles.engines.engine import Input

X = Input("x", (4, 2), np.dtype(np.float32))
RATE = Input("rate", (), np.dtype(np.int64))


def saved(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type] - no array is called allow_pickle
    return path.as_uri()


def refused(uri: str, samples: int = 5) -> str:
    with pytest.raises(Refusal) as caught:
        source(uri, [X], samples)
    assert caught.value.status is Status.DATA
    return str(caught.value)


def test_without_a_file_there_is_a_full_batch_the_same_every_time() -> None:
    first, again = source("", [X], 5), source("", [X], 5)
    assert first.batch(0, 4)["x"].shape == (4, 2)
    assert np.array_equal(first.batch(0, 4)["x"], again.batch(4, 1)["x"])


def test_samples_come_in_order_and_the_last_batch_is_filled_with_the_last_of_them(tmp_path: Path) -> None:
    given_x = np.arange(12, dtype=np.float32).reshape(6, 2)
    samples = source(saved(tmp_path / "in.npz", x=given_x, other=np.zeros(1)), [X], 5)
    assert np.array_equal(samples.batch(0, 4)["x"], given_x[:4])
    assert np.array_equal(samples.batch(4, 1)["x"], given_x[[4, 4, 4, 4]])


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name, value in (("b.npz", 2.0), ("a.npz", 1.0)):
        saved(tmp_path / name, x=np.full((2, 2), value, np.float32))
    assert source(tmp_path.as_uri(), [X], 4).batch(0, 4)["x"][:, 0].tolist() == [1, 1, 2, 2]


def test_whole_numbers_do_for_an_input_of_floats(tmp_path: Path) -> None:
    samples = source(saved(tmp_path / "in.npz", x=np.ones((4, 2), np.int8)), [X], 4)
    assert samples.batch(0, 4)["x"].dtype == np.float32


def test_an_input_without_a_batch_is_the_same_for_all_samples(tmp_path: Path) -> None:
    uri = saved(tmp_path / "in.npz", x=np.ones((8, 2), np.float32), rate=np.array(16_000))
    samples = source(uri, [X, RATE], 8)
    assert samples.batch(4, 4)["rate"] == 16_000


def test_too_few_samples_are_refused_with_both_numbers(tmp_path: Path) -> None:
    why = refused(saved(tmp_path / "in.npz", x=np.ones((3, 2), np.float32)))
    assert "3 samples of input 'x', and 5 are to be run" in why


def test_other_shapes_types_and_names_are_refused_by_name(tmp_path: Path) -> None:
    assert "is of shape (5, 3); expected (samples, 2)" in refused(
        saved(tmp_path / "a.npz", x=np.ones((5, 3)))
    )
    assert "is of shape (); expected (samples, 2)" in refused(saved(tmp_path / "b.npz", x=np.ones(())))
    assert "is of complex128; expected float32" in refused(saved(tmp_path / "c.npz", x=np.ones((5, 2)) * 1j))
    assert "no array 'x' in it; there are: y" in refused(saved(tmp_path / "d.npz", y=np.ones((5, 2))))


def test_objects_that_run_code_when_read_are_refused(tmp_path: Path) -> None:
    assert "cannot be read as .npz" in refused(saved(tmp_path / "in.npz", x=np.array([{}] * 5, object)))


def test_a_file_that_is_not_there_and_a_folder_without_files_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused((tmp_path / "none.npz").as_uri())
    assert "no .npz file" in refused(tmp_path.as_uri())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.booleans())
def test_whatever_is_in_a_file_is_refused_in_one_line(tmp_path: Path, content: bytes, begins: bool) -> None:
    path = tmp_path / "in.npz"
    path.write_bytes((b"PK\x03\x04" if begins else b"") + content)
    assert "\n" not in refused(path.as_uri())


@pytest.mark.parametrize(
    "uri",
    ["s3://in/photos", "photos.npz", "file://host/photos", "file:photos", "file:///a%00b", "http://[", "//"],
)
def test_what_is_no_local_file_is_refused(uri: str) -> None:
    with pytest.raises(Refusal, match="SYNERGAI_INPUT_URI is"):
        local(uri, "SYNERGAI_INPUT_URI")


def test_a_path_may_hold_what_a_uri_escapes() -> None:
    assert local("file:///a%20b/c", "-") == local("file://localhost/a%20b/c", "-") == Path("/a b/c")


def test_what_comes_out_is_written_without_what_filled_the_batch(tmp_path: Path) -> None:
    sink = Sink((tmp_path / "out.npz").as_uri())
    sink.take([np.ones((4, 3))], 4)
    sink.take([np.full((4, 3), 2.0)], 1)
    sink.write()
    assert np.load(tmp_path / "out.npz")["output_0"][:, 0].tolist() == [1, 1, 1, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_an_engine_may_use_its_buffer_again(tmp_path: Path) -> None:
    sink, buffer = Sink(tmp_path.as_uri()), np.ones((1, 1))
    sink.take([buffer], 1)
    buffer[:] = 9
    sink.write()
    assert np.load(tmp_path / "outputs.npz")["output_0"].tolist() == [[1]]


def test_output_with_nowhere_to_go_is_refused(tmp_path: Path) -> None:
    sink = Sink((tmp_path / "none" / "out.npz").as_uri())
    sink.take([np.ones((1, 1))], 1)
    with pytest.raises(Refusal, match="the output cannot be written"):
        sink.write()
