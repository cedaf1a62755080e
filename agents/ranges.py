"""What a policy has met in training: of every feature the range of its values, and how far a decision lies outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergai.envs.candidates import Candidates
from synergai.envs.features import N_GLOBAL, N_ROW

TAIL = 0.001
"""Share of the values met in training that lies beyond either end."""
ROUNDING = 1e-5
"""Of the ends, in a card."""
FAR = 0.03
"""Share of a decision's features outside beyond which training says nothing of it: in the mean over a test tape of what
was trained on it is 0.005 at most."""


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest, of rows and of what candidates share: (N_ROW + N_GLOBAL,) each."""

    low: np.ndarray
    high: np.ndarray

    def outside(self, candidates: Candidates) -> float:
        """Share of this decision's features that lie outside."""
        rows = candidates.rows[: candidates.n[0]]
        low, high, shared = self.low - ROUNDING, self.high + ROUNDING, candidates.shared
        beyond = ((rows < low[:N_ROW]) | (rows > high[:N_ROW])).sum()
        beyond += ((shared < low[N_ROW:]) | (shared > high[N_ROW:])).sum()
        return float(beyond) / (rows.size + shared.size)

    def facts(self) -> dict[str, list[float]]:
        """As the card keeps them."""
        return {"low": np.round(self.low, 6).tolist(), "high": np.round(self.high, 6).tolist()}


def ranges_of(card: Mapping[str, Any]) -> Ranges | None:
    """Of a checkpoint's card; None where it has none that are of this length and mean anything."""
    try:
        low, high = (np.asarray(card["ranges"][end], np.float64) for end in ("low", "high"))
    except (KeyError, TypeError, ValueError):
        return None
    whole = low.shape == high.shape == (N_ROW + N_GLOBAL,) and bool((low <= high).all())
    return Ranges(low, high) if whole else None
