"""A folder of models: what is there is found, what is not is named, and no file of anybody's makes it fall over."""

import hashlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.engines.store import ModelFile, ModelStore

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in ("bert/1", "bert/2", "yolo/1", "empty/1"):
        (tmp_path / place).mkdir(parents=True)
        if not place.startswith("empty"):
            (tmp_path / place / "model.onnx").write_bytes(place.encode())
    (tmp_path / "yolo" / "shapes.yaml").write_text("images: [3, 640, 640]\nscale: []\n")
    return tmp_path


def test_a_model_is_found_by_name_and_version(folder: Path) -> None:
    store = ModelStore(folder)
    assert store.models() == (("bert", "1"), ("bert", "2"), ("yolo", "1"))
    assert store.find("bert", "2") == ModelFile("bert", "2", folder / "bert/2/model.onnx", {})
    assert store.find("yolo").shapes == {"images": (3, 640, 640), "scale": ()}
    assert store.find("bert").sha256() == hashlib.sha256(b"bert/1").hexdigest()


def test_a_precision_with_a_file_of_its_own_runs_that(folder: Path) -> None:
    own = folder / "bert/2/model.int8.onnx"
    own.write_bytes(b"of 8 bits")
    bert = ModelStore(folder).find("bert", "2")
    assert bert.of("int8") == ModelFile("bert", "2", own, {})
    assert bert.of("int8").sha256() == hashlib.sha256(b"of 8 bits").hexdigest()
    assert bert.of("fp32") == bert
    assert ModelStore(folder).models() == (("bert", "1"), ("bert", "2"), ("yolo", "1"))


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("resnet50", "1", "no model 'resnet50' there; there are: bert, yolo"),
        ("empty", "1", "no model 'empty' there; there are: bert, yolo"),
        ("bert", "3", "no version '3' there; there are: 1, 2"),
        ("../bert", "1", "'../bert' is not a name of a model"),
        ("bert", "../2", "'../2' is not a name of a version"),
        ("", "1", "'' is not a name of a model"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(
    folder: Path, name: str, version: str, said: str
) -> None:
    with pytest.raises(EngineError, match=said.replace(".", r"\.")):
        ModelStore(folder).find(name, version)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="nowhere: is no folder of models"):
        ModelStore(tmp_path / "nowhere").find("bert")
    with pytest.raises(EngineError, match="there are: none"):
        ModelStore(tmp_path).find("bert")


@pytest.mark.parametrize(
    "text", ["images: 3", "images: [0]", "images: [-1]", "images: [true]", "images: [1.5]", "[1, 2]", "1: [2]",
             "images: [3", "images: {a: 1}", "images: null", "a: &a [*a]", "images: [2147483648]", "\x00"],
)  # fmt: skip
def test_bad_shapes_are_named_with_their_file(folder: Path, text: str) -> None:
    (folder / "yolo" / "shapes.yaml").write_text(text)
    with pytest.raises(EngineError, match=r"shapes\.yaml") as raised:
        ModelStore(folder).find("yolo")
    assert "\n" not in str(raised.value)


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_is_in_shapes_is_read_or_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    (folder / "m" / "1").mkdir(parents=True)
    (folder / "m" / "1" / "model.onnx").touch()
    (folder / "m" / "shapes.yaml").write_bytes(data)
    said, shapes = "", {}
    try:
        shapes = ModelStore(folder).find("m").shapes
    except EngineError as error:
        said = str(error)
    assert not said or ("shapes.yaml" in said and "\n" not in said)
    assert all(isinstance(dim, int) and dim > 0 for dims in shapes.values() for dim in dims)


@given(
    name=NAMES,
    version=NAMES,
    shapes=st.dictionaries(
        st.text(min_size=1, max_size=10), st.lists(st.integers(1, 9999), max_size=4), max_size=3
    ),
)
def test_what_was_written_is_found_again(
    name: str, version: str, shapes: dict[str, list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    (folder / name / version).mkdir(parents=True)
    (folder / name / version / "model.onnx").touch()
    (folder / name / "shapes.yaml").write_text(yaml.safe_dump(shapes), encoding="utf-8")
    assert ModelStore(folder).find(name, version).shapes == {one: tuple(dims) for one, dims in shapes.items()}
