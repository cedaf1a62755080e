"""How far a decision lies outside what was met in training, and what the guard makes of it."""

import numpy as np
import pytest

from synergai.agents.ranges import FAR, Ranges, ranges_of
from synergai.agents.trial import Certificate, certificate_of
from synergai.envs.candidates import Candidates, empty_candidates
from synergai.envs.features import ENERGY_WEIGHT, N_GLOBAL, N_ROW

LOW, HIGH = np.zeros(N_ROW + N_GLOBAL), np.full(N_ROW + N_GLOBAL, 0.8)


def shown(rows: int = 4) -> Candidates:
    """All features in the middle of the range."""
    out = empty_candidates()
    out.n[0] = rows
    out.rows[:rows] = 0.4
    out.shared[:] = 0.4
    return out


def test_a_decision_in_the_middle_lies_nowhere_outside() -> None:
    assert Ranges(LOW, HIGH).outside(shown()) == 0.0


def test_every_feature_of_every_candidate_counts_once() -> None:
    out = shown(rows=2)
    out.rows[0, :3] = 0.9
    out.rows[1, 5] = -0.1
    out.shared[0] = 0.81
    assert Ranges(LOW, HIGH).outside(out) == pytest.approx(5 / (2 * N_ROW + N_GLOBAL))


def test_rows_that_hold_no_candidate_do_not_count() -> None:
    out = shown(rows=2)
    out.rows[2:] = 5.0
    assert Ranges(LOW, HIGH).outside(out) == 0.0


def test_a_certificate_does_not_hold_far_outside() -> None:
    certificate, out = Certificate(1.1, Ranges(LOW, HIGH)), shown(rows=4)
    out.shared[ENERGY_WEIGHT] = 0.0
    assert certificate.holds(out)
    most = int(FAR * (4 * N_ROW + N_GLOBAL))
    out.rows[0, :most] = 0.9
    assert certificate.holds(out)
    out.rows[1, :2] = 0.9
    assert not certificate.holds(out)


def test_a_card_keeps_them() -> None:
    card = {"certified": {"net": {"loads": [0.5, 1.1]}}, "ranges": Ranges(LOW, HIGH).facts()}
    kept = certificate_of(card, "net").ranges
    assert kept is not None
    np.testing.assert_array_equal(kept.low, LOW)
    np.testing.assert_array_equal(kept.high, HIGH)


@pytest.mark.parametrize(
    "ranges",
    [
        {},
        [],
        {"low": [0.0], "high": [1.0]},
        {"low": LOW.tolist()},
        {"low": "low", "high": "high"},
        {"low": (np.nan * LOW).tolist(), "high": HIGH.tolist()},
        {"low": HIGH.tolist(), "high": LOW.tolist()},
    ],
)
def test_ranges_that_mean_nothing_are_none_and_nobody_is_certified(ranges: object) -> None:
    card = {"certified": {"net": {"loads": [0.5, 1.1]}}, "ranges": ranges}
    assert ranges_of(card) is None
    assert certificate_of(card, "net") == Certificate()
