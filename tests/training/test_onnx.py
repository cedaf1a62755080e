"""The exported ONNX model and the network that is served give the same logits and actions."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from lists import LOADS, actor, compiled_logits, recorded, weights_of
from small_runs import exported

from synergai.agents.learned import read, released
from synergai.agents.scorer import Weights, best_action
from synergai.envs import scenario
from synergai.envs.candidates import DONE, MAX_CANDIDATES, Candidates, empty_candidates
from synergai.envs.features import FIRST_PICK, N_CANDIDATE, schema_hash
from synergai.envs.tape import setting_of
from synergai.training.onnx_model import ONNX_FILE, model
from synergai.training.vec_env import BatchVecEnv

FEEDS = {"rows": "rows", "job": "job", "klass": "klass", "shared": "shared", "count": "n", "mask": "mask"}


def random_lists(seed: int, sizes: tuple[int, ...] = (0, 1, 2, 17, 127, 128)) -> list[Candidates]:
    """Lists of any numbers, with what an earlier list may leave behind in places that are not real."""
    rng = np.random.default_rng(seed)
    lists = []
    for size in sizes:
        out = empty_candidates()
        out.rows[:] = rng.uniform(-1, 1, out.rows.shape)
        out.rows[:, FIRST_PICK:N_CANDIDATE] = rng.random((MAX_CANDIDATES, N_CANDIDATE - FIRST_PICK)) < 0.02
        out.shared[:] = rng.uniform(-1, 1, out.shared.shape)
        out.job[:] = rng.integers(0, 9, out.job.shape)
        out.klass[:] = rng.integers(0, 4, out.klass.shape)
        out.mask[:MAX_CANDIDATES] = (np.arange(MAX_CANDIDATES) < size) & (rng.random(MAX_CANDIDATES) < 0.7)
        out.mask[DONE] = size == 0 or rng.random() < 0.8
        out.mask[0] |= size > 0
        out.n[0] = size
        lists.append(out)
    return lists


def served(weights: Weights, lists: list[Candidates]) -> dict[str, np.ndarray]:
    """What onnxruntime makes of the lists, in one batch."""
    session = onnxruntime.InferenceSession(model(weights).SerializeToString())
    feeds = {name: np.stack([getattr(out, field) for out in lists]) for name, field in FEEDS.items()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


@pytest.mark.parametrize("seed", range(4))
def test_logits_on_random_lists_are_those_of_the_served_network(seed: int) -> None:
    weights, lists = weights_of(actor(seed)), random_lists(seed)
    expected = np.stack([compiled_logits(weights, out) for out in lists])
    np.testing.assert_allclose(served(weights, lists)["logits"], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("load", LOADS)
def test_logits_on_lists_of_the_simulator_are_those_of_the_served_network(load: float) -> None:
    weights, lists = weights_of(actor(1)), list(recorded(load))
    expected = np.stack([compiled_logits(weights, out) for out in lists])
    np.testing.assert_allclose(served(weights, lists)["logits"], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("load", LOADS)
def test_actions_are_those_of_the_served_network(load: float) -> None:
    weights, lists = weights_of(actor(2)), [*recorded(load), *random_lists(5)]
    expected = [best_action(compiled_logits(weights, out)) for out in lists]
    assert served(weights, lists)["action"].tolist() == expected


def test_the_first_of_equal_logits_is_the_action() -> None:
    zeros = Weights(*(np.zeros_like(value) for value in weights_of(actor())))
    out = random_lists(0, (128,))[0]
    assert served(zeros, [out])["action"].tolist() == [int(out.mask.argmax())]


@pytest.mark.parametrize("size", [1, 3])
def test_any_batch_size_will_do(size: int) -> None:
    assert served(weights_of(actor()), random_lists(0, (5,) * size))["logits"].shape == (size, DONE + 1)


def test_the_model_says_which_features_it_reads() -> None:
    made = model(weights_of(actor()))
    assert {entry.key: entry.value for entry in made.metadata_props} == {"features": schema_hash()}


def test_a_checkpoint_holds_the_model_of_its_weights_and_its_hash(tmp_path: Path) -> None:
    env = BatchVecEnv([setting_of(scenario.load("demo"))], 2, 40, 0, seed=0, scale=1.0)
    exported(tmp_path, env)
    content = (tmp_path / ONNX_FILE).read_bytes()
    assert onnx.load_from_string(content) == model(read(tmp_path).weights)
    assert (
        json.loads((tmp_path / "card.json").read_text())["onnx_sha256"] == hashlib.sha256(content).hexdigest()
    )


@pytest.mark.parametrize("name", released())
def test_a_released_checkpoint_holds_the_model_of_its_weights(name: str) -> None:
    content = (Path(__file__).parents[2] / "checkpoints" / name / ONNX_FILE).read_bytes()
    assert onnx.load_from_string(content).graph == model(read(name).weights).graph
