"""Each engine does what a setting says, and gives what the model gives."""

import sys
from pathlib import Path

import numpy as np
import pytest

from synergai.offline_profiles.engines.engine import ADAPTERS, EngineError, Input, Setting, adapter
from synergai.offline_profiles.engines.samples import feeds
from synergai.offline_profiles.engines.shipped import SHIPPED, write_models
from synergai.offline_profiles.engines.store import ModelStore
from tests.offline_profiles.engines import tiny

ENGINES = ("onnxruntime", "openvino")


def setting(engine: str, precision: str = "fp32", threads: int = 1, batch: int = 1) -> Setting:
    return Setting(engine, precision, "cpu", threads, batch)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("models")
    for path in [
        *write_models(folder, ["magika", "ppocr-cls"]),
        tiny.write(folder / "tiny" / "1" / "model.onnx"),
    ]:
        file = ModelStore(folder).find(path.parents[1].name)
        session = adapter("onnxruntime").load(path, file.shapes, setting("onnxruntime", batch=4))
        tiny.quantized(path, feeds(session.inputs, seed=3))
    return ModelStore(folder)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_gives_what_the_model_says(models: ModelStore, engine: str, batch: int) -> None:
    session = adapter(engine).load(models.find("tiny").path, {}, setting(engine, batch=batch))
    assert list(session.inputs) == [Input("x", (batch, 4), np.dtype(np.float32))]
    given = feeds(session.inputs, seed=7)
    np.testing.assert_allclose(session.run(given)[0], given["x"] @ tiny.WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize("name", ["magika", "ppocr-cls"])
def test_engines_agree_on_a_shipped_model(models: ModelStore, name: str) -> None:
    file = models.find(name)
    answers = []
    for engine in ENGINES:
        session = adapter(engine).load(file.path, file.shapes, setting(engine, threads=2, batch=2))
        answers.append(session.run(feeds(session.inputs, seed=3))[0])
    assert answers[0].shape[0] == 2
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["magika", "ppocr-cls"])
def test_every_precision_that_is_offered_runs(
    models: ModelStore, engine: str, name: str, tmp_path: Path
) -> None:
    file, chosen = models.find(name), adapter(engine)
    offered = chosen.precisions("cpu")
    assert offered[0] == "fp32"
    assert set(offered) <= set(ADAPTERS[engine].precisions["cpu"])
    for precision in offered:
        session = chosen.load(file.of(precision).path, file.shapes, setting(engine, precision), tmp_path)
        answer = session.run(feeds(session.inputs, seed=3))[0]
        assert answer.shape[0] == 1
        assert np.isfinite(answer).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_was_quantized_before_is_run_as_it_is(
    models: ModelStore, engine: str, tmp_path: Path
) -> None:
    file = models.find("tiny").of("int8")
    session = adapter(engine).load(file.path, {}, setting(engine, "int8", batch=4), tmp_path)
    given = feeds(session.inputs, seed=3)
    expected = given["x"] @ tiny.WEIGHTS
    error = np.abs(session.run(given)[0] - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 0.02  # of 8 bits
    assert not list(tmp_path.glob("onnxruntime-int8-*"))


def test_what_an_engine_does_not_quantize_is_refused_with_the_name_of_what_is_needed(
    models: ModelStore,
) -> None:
    with pytest.raises(EngineError, match=r"tiny/1/model\.onnx: is not quantized, .* as model\.int8\.onnx"):
        adapter("openvino").load(models.find("tiny").path, {}, setting("openvino", "int8"))


def test_quantizing_is_done_once(models: ModelStore, tmp_path: Path) -> None:
    file = models.find("ppocr-cls")
    for _ in range(2):
        adapter("onnxruntime").load(file.path, file.shapes, setting("onnxruntime", "int8"), tmp_path)
        (made,) = tmp_path.iterdir()
        stamp = made.stat().st_mtime_ns
    assert made.stat().st_mtime_ns == stamp
    assert made.stat().st_size < file.path.stat().st_size


def test_openvino_keeps_what_it_compiled(models: ModelStore, tmp_path: Path) -> None:
    adapter("openvino").load(models.find("magika").path, {}, setting("openvino"), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".blob"]


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_onnxruntime_starts_the_threads_that_are_asked_for(models: ModelStore) -> None:
    before = threads_of_process()
    sessions = [
        adapter("onnxruntime").load(models.find("tiny").path, {}, setting("onnxruntime", threads=threads))
        for threads in (1, 4)
    ]
    assert len(sessions) == 2
    assert threads_of_process() - before == 3  # the thread that asks is one of the four


def test_openvino_refuses_threads_that_it_will_not_take(models: ModelStore) -> None:
    with pytest.raises(EngineError, match="threads here, not 100000"):
        adapter("openvino").load(models.find("tiny").path, {}, setting("openvino", threads=100000))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_does_not_offer_is_refused_by_name(models: ModelStore, engine: str) -> None:
    with pytest.raises(EngineError, match=f"{engine} offers fp32.* on a cpu, not fp8"):
        adapter(engine).load(models.find("tiny").path, {}, setting(engine, "fp8"))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gpu_that_is_not_there_is_refused(models: ModelStore, engine: str) -> None:
    chosen = adapter(engine)
    if chosen.precisions("gpu"):
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match=f"^{engine} .*gpu here"):
        chosen.load(models.find("tiny").path, {}, Setting(engine, "fp32", "gpu", 0, 1))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x09" * 50])
def test_a_file_that_is_no_model_is_named(engine: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(EngineError, match=r"model\.onnx") as raised:
        adapter(engine).load(path, {}, setting(engine))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_feed_of_the_wrong_shape_is_refused(models: ModelStore, engine: str) -> None:
    session = adapter(engine).load(models.find("tiny").path, {}, setting(engine))
    with pytest.raises(EngineError, match=engine):
        session.run({"x": np.zeros((1, 5), np.float32)})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("width", "shapes", "batch", "said"),
    [
        (None, {}, 1, r"`x: \[\?\]`"),
        (None, {"x": [5, 5]}, 1, r"\[5, 5\] does not fit"),
        (4, {"x": [5]}, 1, r"\[5\] does not fit"),
        (4, {"z": [5]}, 1, "no input 'z'; its inputs are x"),
    ],
)
def test_a_shape_that_does_not_work_out_names_the_input(
    engine: str, width: int | None, shapes: dict[str, list[int]], batch: int, said: str, tmp_path: Path
) -> None:
    path = tiny.write(tmp_path / "model.onnx", width=width)
    with pytest.raises(EngineError, match=said):
        adapter(engine).load(path, shapes, setting(engine, batch=batch))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_that_the_file_fixes_is_kept(engine: str, tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "model.onnx", batch=2)
    assert adapter(engine).load(path, {}, setting(engine, batch=2)).inputs[0].shape == (2, 4)
    with pytest.raises(EngineError, match="batch of 2 only, not 8"):
        adapter(engine).load(path, {}, setting(engine, batch=8))


@pytest.mark.parametrize(
    ("engine", "how"), [("tensorrt", "tensorrt"), ("openvino", "engines"), ("onnxruntime", "engines")]
)
def test_an_engine_that_is_not_installed_says_how_to_get_it(
    engine: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(EngineError, match=f"{engine} is not installed .*pip install .*{how}"):
        adapter(engine)


def test_an_unknown_engine_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(EngineError, match="'abacus' is unknown; known are onnxruntime, openvino, tensorrt"):
        adapter("abacus")


def test_feeds_are_the_same_for_a_seed_and_fit_any_table() -> None:
    wanted = [Input("a", (2, 3), np.dtype(np.float16)), Input("b", (50,), np.dtype(np.int64))]
    wanted += [Input("c", (50,), np.dtype(np.bool_)), Input("d", (), np.dtype(np.int32))]
    one, two = feeds(wanted, 5), feeds(wanted, 5)
    for given in wanted:
        np.testing.assert_array_equal(one[given.name], two[given.name])
        assert (one[given.name].shape, one[given.name].dtype) == (given.shape, given.dtype)
    assert set(one["b"]) <= set(range(16))
    assert (feeds(wanted, 6)["b"] != one["b"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50-random", "transformer-random"])
def test_an_exported_network_runs_the_same_each_time_it_is_made(name: str, tmp_path: Path) -> None:
    answers = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        (path,) = write_models(folder, [name])
        session = adapter("onnxruntime").load(path, {}, setting("onnxruntime", batch=2))
        answers.append(session.run(feeds(session.inputs, 1))[0])
    np.testing.assert_array_equal(*answers)


def test_shipped_models_are_written_once_and_found(models: ModelStore) -> None:
    path = models.find("ppocr-cls").path
    stamp = path.stat().st_mtime_ns
    assert write_models(models.folder, ["ppocr-cls"]) == [path]
    assert path.stat().st_mtime_ns == stamp
    assert models.find("ppocr-cls").shapes == {"x": (3, 48, 192)}


def test_a_model_that_is_not_shipped_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"'gpt' is not shipped; shipped are {', '.join(SHIPPED)}"):
        write_models(tmp_path, ["magika", "gpt"])
    assert not list(tmp_path.iterdir())
