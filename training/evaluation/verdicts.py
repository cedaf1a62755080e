"""Is a policy no worse than a rule? Answered at a few looks, each with more tapes than the one before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synergai.training.evaluation.intervals import bounds

ERROR = 0.05
"""One-sided, of a verdict over all its looks."""
Verdict = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True)
class Margin:
    """How much worse still counts as no worse, in units of the measure."""

    least: float
    share: float
    """Of the rule's mean."""

    def of(self, rule_mean: float) -> float:
        return max(self.least, self.share * rule_mean)


MARGINS = {
    "violation_rate": Margin(0.002, 0.05),
    "excess_mean_s": Margin(0.0, 0.10),
    "excess_p99_s": Margin(0.0, 0.15),
}
"""Fixed before any result was seen, so that no result can move them."""


@dataclass(frozen=True)
class Judgement:
    """A verdict on (ours - rule) of one measure, as it was when it fell."""

    verdict: Verdict
    lower: float
    upper: float
    delta: float
    look: int
    tapes: int

    @property
    def beyond(self) -> float:
        """How far the upper bound is above the margin; at most 0 where it passed."""
        return self.upper - self.delta


def looks(tapes: int, most: int) -> tuple[int, ...]:
    """Tapes at each look: doubled until `most`, which is the last."""
    if most < tapes:
        raise ValueError(f"--max-tapes {most} is below --tapes {tapes}")
    found = [tapes]
    while found[-1] < most:
        found.append(min(2 * found[-1], most))
    return tuple(found)


def judge(
    ours: np.ndarray, rule: np.ndarray, margin: Margin, schedule: Sequence[int], seed: int = 0
) -> Judgement:
    """The verdict at the first look that decides, else `undecided` at the last one with enough tapes.

    ours, rule: (tapes,) of one measure on the same tapes, in their order. Bonferroni over all looks of the schedule,
    whether they were needed or not.
    """
    tail = ERROR / len(schedule)
    found = None
    for look, tapes in enumerate(schedule, start=1):
        if tapes > len(ours):
            break
        found = _look(ours[:tapes], rule[:tapes], margin, tail, seed, look)
        if found.verdict != "undecided":
            break
    if found is None:
        raise ValueError(f"{len(ours)} tapes, but the first look needs {schedule[0]}")
    return found


def _look(ours: np.ndarray, rule: np.ndarray, margin: Margin, tail: float, seed: int, look: int) -> Judgement:
    worse = bounds(ours - rule, tail, seed)
    delta = margin.of(float(rule.mean()))
    verdict: Verdict = "undecided"
    if worse.high <= delta:
        verdict = "passed"
    elif worse.low > delta:
        verdict = "failed"
    return Judgement(verdict, worse.low, worse.high, delta, look, len(ours))


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """Of several that must all pass: one that failed decides, then one that is undecided."""
    found = set(verdicts)
    if "failed" in found:
        return "failed"
    return "undecided" if "undecided" in found else "passed"
