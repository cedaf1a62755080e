"""The compiled network that is served and the torch network that is trained say the same."""

import numpy as np
import pytest
import torch
from lists import LOADS, actor, compiled_logits, recorded, torch_logits, weights_of

from synergai.agents.scorer import Weights, best_action, buffers, shapes
from synergai.envs.candidates import DONE, MAX_CANDIDATES, Candidates
from synergai.training.network import Actor

TOLERANCE = 1e-4


def permuted(out: Candidates, order: np.ndarray) -> Candidates:
    """The same list with its candidates in another order."""
    n = int(out.n[0])
    changed = Candidates(*(array.copy() for array in out))
    for name in ("rows", "job", "option", "klass", "pair"):
        getattr(changed, name)[:n] = getattr(out, name)[order]
    changed.mask[:n] = out.mask[order]
    return changed


@pytest.mark.parametrize("load", LOADS)
def test_logits_agree_on_every_legal_action(load: float) -> None:
    network = actor()
    lists = list(recorded(load))
    weights = weights_of(network)
    expected = torch_logits(network, lists)
    for out, row in zip(lists, expected):
        found = compiled_logits(weights, out)
        np.testing.assert_allclose(found[out.mask], row[out.mask], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("load", LOADS)
def test_they_choose_the_same_action(load: float) -> None:
    network = actor(seed=1)
    lists = list(recorded(load))
    weights = weights_of(network)
    legal = np.where(np.stack([out.mask for out in lists]), torch_logits(network, lists), -np.inf)
    chosen = [int(best_action(compiled_logits(weights, out))) for out in lists]
    assert chosen == legal.argmax(axis=1).tolist()


@pytest.mark.parametrize("width", [4, 7, 32])
def test_they_agree_at_any_width(width: int) -> None:
    network = actor(seed=2, width=width)
    lists = list(recorded(1.2))[:20]
    for out, row in zip(lists, torch_logits(network, lists)):
        found = compiled_logits(weights_of(network), out)
        np.testing.assert_allclose(found[out.mask], row[out.mask], rtol=TOLERANCE, atol=TOLERANCE)


def test_they_agree_on_a_freshly_built_network() -> None:
    torch.manual_seed(5)
    network = Actor(16)
    lists = list(recorded(0.8))[:20]
    for out, row in zip(lists, torch_logits(network, lists)):
        found = compiled_logits(weights_of(network), out)
        np.testing.assert_allclose(found[out.mask], row[out.mask], rtol=TOLERANCE, atol=TOLERANCE)


def test_the_recorded_lists_are_of_many_lengths() -> None:
    lengths = {int(out.n[0]) for load in LOADS for out in recorded(load)}
    assert min(lengths) <= 3
    assert max(lengths) == MAX_CANDIDATES


def test_masked_actions_have_no_logit() -> None:
    weights = weights_of(actor())
    for out in recorded(1.2):
        assert (compiled_logits(weights, out)[~out.mask] == -np.inf).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("load", LOADS)
def test_permuting_candidates_permutes_the_compiled_logits(load: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = weights_of(actor(seed))
    for out in recorded(load)[::4]:
        order = rng.permutation(int(out.n[0]))
        before, after = compiled_logits(weights, out), compiled_logits(weights, permuted(out, order))
        np.testing.assert_allclose(after[: len(order)], before[order], rtol=TOLERANCE, atol=TOLERANCE)
        np.testing.assert_allclose(after[DONE], before[DONE], rtol=TOLERANCE, atol=TOLERANCE)


def test_permuting_candidates_permutes_the_torch_logits() -> None:
    rng = np.random.default_rng(0)
    network = actor()
    lists = list(recorded(1.2))[::4]
    orders = [rng.permutation(int(out.n[0])) for out in lists]
    before = torch_logits(network, lists)
    after = torch_logits(network, [permuted(out, order) for out, order in zip(lists, orders)])
    for row, moved, order in zip(before, after, orders):
        np.testing.assert_allclose(moved[: len(order)], row[order], rtol=TOLERANCE, atol=TOLERANCE)


def test_renaming_jobs_and_classes_changes_nothing() -> None:
    weights = weights_of(actor())
    for out in recorded(0.8)[::4]:
        renamed = out._replace(job=out.job * 7 + 3, klass=out.klass * 5 + 1)
        assert np.array_equal(compiled_logits(weights, renamed), compiled_logits(weights, out))


def littered(out: Candidates) -> Candidates:
    """Garbage beyond the count."""
    n = int(out.n[0])
    changed = Candidates(*(array.copy() for array in out))
    changed.rows[n:] = 9.0
    changed.job[n:] = changed.job[0]
    changed.klass[n:] = changed.klass[0]
    return changed


def test_rows_beyond_the_count_do_not_matter_to_the_compiled_network() -> None:
    weights = weights_of(actor())
    for out in recorded(0.3):
        assert np.array_equal(compiled_logits(weights, littered(out)), compiled_logits(weights, out))


def test_rows_beyond_the_count_do_not_matter_to_torch() -> None:
    network = actor()
    lists = list(recorded(0.3))
    assert np.array_equal(
        torch_logits(network, [littered(out) for out in lists]), torch_logits(network, lists)
    )


def test_other_lists_in_the_batch_do_not_matter_to_torch() -> None:
    network = actor()
    lists = list(recorded(1.2))[:12]
    alone = np.concatenate([torch_logits(network, [out]) for out in lists])
    legal = np.stack([out.mask for out in lists])
    np.testing.assert_allclose(torch_logits(network, lists)[legal], alone[legal], rtol=1e-5, atol=1e-5)


def test_what_was_in_the_buffers_does_not_matter() -> None:
    weights = weights_of(actor())
    work = buffers(len(weights.bias))
    for array in work:
        array[...] = 7.0
    for out in recorded(0.8)[:10]:
        assert np.array_equal(compiled_logits(weights, out, work), compiled_logits(weights, out))


def test_a_full_list_fits() -> None:
    weights = weights_of(actor())
    full, *_ = [out for out in recorded(3.0) if out.n[0] == MAX_CANDIDATES]
    assert np.isfinite(compiled_logits(weights, full)[:MAX_CANDIDATES][full.mask[:MAX_CANDIDATES]]).all()


def test_the_shape_table_is_that_of_the_torch_network() -> None:
    assert {name: tuple(value.shape) for name, value in actor().weights().items()} == shapes(24)


def test_parameters_have_the_names_of_the_compiled_network() -> None:
    assert set(actor().weights()) == set(Weights._fields)


TIES = [([0.0, 2.0, 2.0], 1), ([-np.inf, -np.inf, -3.0], 2), ([1.0, 1.0, 1.0], 0)]


@pytest.mark.parametrize(("logits", "best"), TIES)
def test_the_first_of_the_best_actions_is_taken(logits: list[float], best: int) -> None:
    assert best_action(np.array(logits, np.float32)) == best
