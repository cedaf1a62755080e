"""Input made up by a seed: right in shape and type, without meaning."""

from collections.abc import Sequence

import numpy as np

from synergai.offline_profiles.engines.engine import Input

SMALL = 16
"""Whole numbers lie below: they may be indices into the shortest of tables."""


def feeds(inputs: Sequence[Input], seed: int) -> dict[str, np.ndarray]:
    """One query: floats from the normal distribution, whole numbers from 0 to 15, truths by the toss of a coin."""
    rng = np.random.default_rng(seed)
    return {one.name: _sample(one, rng) for one in inputs}


def _sample(one: Input, rng: np.random.Generator) -> np.ndarray:
    if one.dtype.kind == "f":
        return np.asarray(rng.standard_normal(one.shape), one.dtype)
    return np.asarray(rng.integers(0, 2 if one.dtype.kind == "b" else SMALL, one.shape), one.dtype)
