"""A checkpoint folder: what goes in comes out, and every fault is one line that says what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lists import LOADS, recorded, torch_logits
from safetensors.numpy import load_file, save_file
from small_runs import exported

from synergai.agents.learned import (
    CARD_FILE,
    ENERGY,
    ENERGY_SCALE,
    LATE,
    LEAST_GAIN,
    LOGIT_COST,
    RULE,
    WEIGHTS_FILE,
    CheckpointError,
    Learned,
    load,
    read,
    released,
)
from synergai.agents.scorer import best_action, forward
from synergai.envs import scenario
from synergai.envs.candidates import DONE
from synergai.envs.features import ENERGY_WEIGHT as WEIGHT
from synergai.envs.features import schema_hash
from synergai.envs.reward import ENERGY_WEIGHT
from synergai.envs.state import empty_state
from synergai.envs.tape import setting_of
from synergai.envs.types import Action
from synergai.training.card import PAGE_FILE, CertifyError, certify, page
from synergai.training.evaluation.plan import checkpoint_facts
from synergai.training.onnx_model import ONNX_FILE
from synergai.training.policy import ScorerPolicy
from synergai.training.vec_env import BatchVecEnv

STATE = empty_state(1, 1, 1, 1, 1, 1, 1)
Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def env() -> BatchVecEnv:
    return BatchVecEnv([setting_of(scenario.load("demo"))], 2, 40, 0, seed=0, scale=1.0)


@pytest.fixture
def written(tmp_path: Path, env: BatchVecEnv) -> tuple[Path, ScorerPolicy]:
    return tmp_path / "made", exported(tmp_path / "made", env)


@pytest.fixture
def folder(written: tuple[Path, ScorerPolicy]) -> Path:
    return written[0]


def action_of(learned: Learned, out) -> int:
    decision = learned.decide(STATE, out)
    return DONE if decision.action == Action.DONE else decision.candidate


def likeliest(learned: Learned, out) -> int:
    """The network's own action; where the policy keeps to its rule and what it does with late jobs is not in it."""
    work = learned.work
    forward(learned.checkpoint.weights, work, out.rows, out.job, out.klass, out.shared, out.mask, out.n[0])
    return int(best_action(work.logits))


def energy_price(out) -> np.ndarray:
    """Of each candidate in logits, by the weight of energy."""
    times = np.exp(ENERGY_SCALE * out.rows[: out.n[0], ENERGY])
    return out.shared[WEIGHT] * ENERGY_WEIGHT / LOGIT_COST * (times - 1.0)


def kept(out, row: np.ndarray) -> int:
    """The best action, or the rule's pick unless the best promises so much more."""
    action, pick = int(np.where(out.mask, row, -np.inf).argmax()), int(out.picks[RULE])
    leaves = not out.mask[pick] or row[action] >= row[pick] + LEAST_GAIN / LOGIT_COST
    return action if leaves else pick


@pytest.mark.parametrize("load_", LOADS)
def test_what_is_read_scores_as_what_was_written(written: tuple[Path, ScorerPolicy], load_: float) -> None:
    path, policy = written
    learned = load(path)
    lists = list(recorded(load_))
    logits = torch_logits(policy.actor, lists)
    expected = [int(np.where(out.mask, row, -np.inf).argmax()) for out, row in zip(lists, logits)]
    assert [likeliest(learned, out) for out in lists] == expected
    for out, row in zip(lists, logits):
        row[: out.n[0]] -= energy_price(out)
    chosen = [kept(out, row) for out, row in zip(lists, logits)]
    early = [i for i, out in enumerate(lists) if not (out.rows[: out.n[0], LATE] > 0.5).any()]
    assert [action_of(learned, lists[i]) for i in early] == [chosen[i] for i in early]
    assert early


def test_weights_come_back_bit_by_bit(written: tuple[Path, ScorerPolicy]) -> None:
    path, policy = written
    back = read(path).weights._asdict()
    assert all(np.array_equal(back[name], value.numpy()) for name, value in policy.actor.weights().items())


def test_a_decision_says_who_took_it_and_how_sure_it_was(folder: Path) -> None:
    decision = load(folder).decide(STATE, recorded(0.8)[0])
    assert decision.decided_by == "policy"
    assert decision.reason.startswith(f"{folder} p=")
    assert 0.0 < float(decision.reason.rsplit("=", 1)[1]) <= 1.0


def test_no_decision_follows_from_a_network_without_a_finite_logit(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    tensors["offsets"] = np.full(2, 3e38, np.float32)
    tensors["bias2"] = np.full_like(tensors["bias2"], 3e38)
    tensors["out"] = np.full_like(tensors["out"], -3e38)
    tensors["done_out"] = np.full_like(tensors["done_out"], -3e38)
    tensors["done_bias"] = np.full_like(tensors["done_bias"], 3e38)
    save_file(tensors, folder / WEIGHTS_FILE)
    with pytest.raises(FloatingPointError, match="no finite logit"):
        load(folder).decide(STATE, recorded(0.8)[0])


def test_the_card_says_what_the_weights_are_for(folder: Path) -> None:
    card = read(folder).card
    assert card["features"] == schema_hash()
    assert card["network"] == {"kind": "candidate-scorer", "width": 8}
    assert card["config"]["name"] == card["name"] == "small"
    assert card["commit"]


def test_a_folder_holds_weights_model_and_card_and_nothing_that_runs_code(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == [CARD_FILE, PAGE_FILE, ONNX_FILE, WEIGHTS_FILE]
    raw = (folder / WEIGHTS_FILE).read_bytes()
    header = int.from_bytes(raw[:8], "little")  # https://github.com/huggingface/safetensors#format
    assert set(json.loads(raw[8 : 8 + header])) >= {"row", "offsets"}


def test_the_page_says_what_the_card_says(folder: Path) -> None:
    card, shown = read(folder).card, (folder / PAGE_FILE).read_text()
    assert shown == page(card)
    assert shown.startswith("# small\n")
    assert card["features"] in shown


# what an evaluation certifies ---------------------------------------------------------------------------
def evaluation(folder: Path, sha256: str, verdicts: dict[float, tuple[str, str]]) -> Path:
    """A summary in which the checkpoint `mine` has these verdicts on violations and excess, by load."""
    cells = [
        {
            "scenario": "demo", "load": load, "verdicts": {"mine": {
                "violation_rate": {"verdict": on_rate}, "excess_mean_s": {"verdict": on_excess},
                "excess_p99_s": {"verdict": "passed"}}},
        }
        for load, (on_rate, on_excess) in verdicts.items()
    ]  # fmt: skip
    summary = {"matrix_sha256": "m" * 64, "commit": "abc", "max_tapes": 32, "cells": cells,
               "checkpoints": {"mine": {"sha256": sha256}, "other": {"sha256": "0" * 64}}}  # fmt: skip
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_card_is_given_the_cells_that_were_passed(folder: Path, tmp_path: Path) -> None:
    verdicts = {0.7: ("passed", "passed"), 0.9: ("passed", "undecided"), 1.1: ("failed", "passed")}
    found = certify(folder, evaluation(tmp_path / "out", checkpoint_facts(str(folder))["sha256"], verdicts))
    assert found == {"net": 2}
    assert read(folder).card["certified"]["net"]["cells"] == [
        {"scenario": "demo", "load": 0.7, "excess": True},
        {"scenario": "demo", "load": 0.9, "excess": False},
    ]
    shown = (folder / PAGE_FILE).read_text()
    assert "in 2 of 3 cells" in shown
    assert "| demo | 0.7 | yes |" in shown


def test_certifying_changes_no_result(folder: Path, tmp_path: Path) -> None:
    before = checkpoint_facts(str(folder))
    certify(folder, evaluation(tmp_path / "out", before["sha256"], {0.7: ("passed", "passed")}))
    assert checkpoint_facts(str(folder)) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"cells": []}', "is not the summary of an evaluation"), ("[", "is not the summary of an evaluation"),
     ('{"checkpoints": {"a": {"sha256": "0"}}}', "none of its checkpoints has the weights of")],
)  # fmt: skip
def test_an_evaluation_of_something_else_certifies_nothing(
    folder: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "summary.json").write_text(text)
    before = (folder / CARD_FILE).read_bytes()
    with pytest.raises(CertifyError, match=said):
        certify(folder, tmp_path)
    assert (folder / CARD_FILE).read_bytes() == before


# faults -------------------------------------------------------------------------------------------------
def change_card(key: str, value: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / CARD_FILE).read_text())
        (folder / CARD_FILE).write_text(json.dumps(card | {key: value}))

    return spoil


def write_card(text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / CARD_FILE).write_text(text)

    return spoil


def write_weights(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / WEIGHTS_FILE).write_bytes(change((folder / WEIGHTS_FILE).read_bytes()))

    return spoil


def change_tensors(change: Callable[[Tensors], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = dict(load_file(folder / WEIGHTS_FILE))
        change(tensors)
        save_file(tensors, folder / WEIGHTS_FILE)

    return spoil


def at_first(name: str, value: float) -> Callable[[Tensors], object]:
    return lambda tensors: tensors[name].reshape(-1).__setitem__(0, value)


FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "the card is missing": (lambda folder: (folder / CARD_FILE).unlink(), (CARD_FILE, "cannot be read")),
    "the card is not JSON": (write_card("{width: 8"), (CARD_FILE, "cannot be read")),
    "the card is not text": (
        lambda folder: (folder / CARD_FILE).write_bytes(b"\xff\xfe{}"),
        (CARD_FILE, "cannot be read"),
    ),
    "the card is a list": (write_card("[1, 2]"), (CARD_FILE, "not of format 2")),
    "the card is empty": (write_card(""), (CARD_FILE, "cannot be read")),
    "the format is another": (change_card("format", 1), (CARD_FILE, "not of format 2")),
    "the features are others": (change_card("features", "1:abc"), ("'1:abc'", schema_hash(), "retrain")),
    "the features are not named": (change_card("features", None), ("None", schema_hash())),
    "the weights are missing": (
        lambda folder: (folder / WEIGHTS_FILE).unlink(),
        (WEIGHTS_FILE, "cannot be read"),
    ),
    "the weights are empty": (write_weights(lambda raw: b""), (WEIGHTS_FILE, "cannot be read")),
    "the weights are cut off": (write_weights(lambda raw: raw[:-100]), (WEIGHTS_FILE, "cannot be read")),
    "the header is cut off": (write_weights(lambda raw: raw[:40]), (WEIGHTS_FILE, "cannot be read")),
    "the weights are garbage": (
        write_weights(lambda raw: b"garbage!" * 99),
        (WEIGHTS_FILE, "cannot be read"),
    ),
    "the weights are a pickle": (
        write_weights(lambda raw: b"\x80\x04N." * 9),
        (WEIGHTS_FILE, "cannot be read"),
    ),
    "the weights are a folder": (
        lambda folder: ((folder / WEIGHTS_FILE).unlink(), (folder / WEIGHTS_FILE).mkdir()),
        (WEIGHTS_FILE, "cannot be read"),
    ),
    "a parameter is missing": (change_tensors(lambda t: t.pop("pool_job")), ("do not match", "pool_job")),
    "the bias is missing": (change_tensors(lambda t: t.pop("bias")), ("'bias'", "missing")),
    "the bias is a matrix": (change_tensors(lambda t: t.update(bias=t["own"])), ("'bias'", "not a vector")),
    "a parameter is too many": (
        change_tensors(lambda t: t.update(extra=t["own"].copy())),
        ("do not match", "extra"),
    ),
    "a parameter is transposed": (
        change_tensors(lambda t: t.update(row=np.ascontiguousarray(t["row"].T))),
        ("'row'", "shape", "(8,"),
    ),
    "a parameter is of another width": (
        change_tensors(lambda t: t.update(out=np.zeros(9, np.float32))),
        ("'out'", "(9,)", "(8,)"),
    ),
    "a parameter holds NaN": (change_tensors(at_first("own", np.nan)), ("'own'", "not finite")),
    "a parameter is infinite": (change_tensors(at_first("offsets", -np.inf)), ("'offsets'", "not finite")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_line(folder: Path, fault: str) -> None:
    spoil, named = FAULTS[fault]
    spoil(folder)
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"checkpoint {folder}: ")
    for part in named:
        assert part in line


@pytest.mark.parametrize("name", ["absent", "absent/deeper", "../absent"])
def test_a_folder_that_is_not_there_is_answered_with_the_released_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / name)
    (line,) = str(caught.value).splitlines()
    assert f"no checkpoint folder {str(tmp_path / name)!r}; released are " in line
    assert all(name in line for name in released())


def test_a_file_is_no_checkpoint_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        read(folder / CARD_FILE)


def test_released_checkpoints_can_be_served() -> None:
    for name in released():
        learned = load(name)
        assert learned.name == name
        assert action_of(learned, recorded(0.8)[0]) in np.flatnonzero(recorded(0.8)[0].mask)
