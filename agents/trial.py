"""Whether a policy's move may stand: it and the fallback's are tried in the same sampled futures.

What is known then holds as far as these futures are like what comes. Where an evaluation has certified the policy, a
move may look a little worse than the fallback's: it may serve what lies beyond the horizon. Elsewhere it must look
better.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synergai.agents.planner import Room
from synergai.agents.ranges import FAR, Ranges, ranges_of
from synergai.envs.candidates import DONE, Candidates
from synergai.envs.features import ENERGY_WEIGHT, GLOBAL
from synergai.envs.planner import Search, stands
from synergai.envs.state import NONE, ClusterState
from synergai.envs.types import Action, Decision

LOAD = [feature.name for feature in GLOBAL].index("rho_long")
FUTURES = 32
HORIZON_TAUS = 2.0
BACKLOG_TAUS = 4.0
Z = 1.64
"""Standard errors: a one-sided bound of 95 %."""
MARGIN = 0.5
"""In violations, by which a move may look worse where the policy is certified."""
SLACK = 1.15
"""By which the load that is seen, a mean over some 50 arrivals, may lie beyond the loads that were certified."""
PAUSE = 50.0
"""A trial that its budget did not hold is not tried again for so many times what it took: on a cluster so large that
one future alone is longer than the budget, trials take a fiftieth of the time at most."""


@dataclass(frozen=True)
class Certificate:
    """Where a policy passed every cell that was played."""

    high: float = 0.0
    """Up to this load; 0 is nowhere."""
    ranges: Ranges | None = None
    """Of what it has met in training; None asks for none."""

    def holds(self, candidates: Candidates) -> bool:
        """At the load that is seen, with deadlines alone counting, where training has been."""
        seen = float(candidates.shared[LOAD])
        return bool(
            self.high > 0.0
            and candidates.shared[ENERGY_WEIGHT] == 0.0
            and seen / max(1.0 - seen, 1e-9) <= SLACK * self.high
            and (self.ranges is None or self.ranges.outside(candidates) <= FAR)
        )


def certificate_of(card: Mapping[str, Any], policy: str) -> Certificate:
    """Of a checkpoint's card, for one way of playing it: nobody's where it does not say what training has met."""
    regime, ranges = card.get("certified", {}).get(policy, {}).get("loads"), ranges_of(card)
    return Certificate(float(regime[1]), ranges) if regime and ranges else Certificate()


class Trial:
    """Tries two moves at a time, within a budget; `refuses` says why the policy's must not stand."""

    def __init__(
        self,
        certificate: Certificate,
        budget_us: float = 300.0,
        release_s: float = 0.0,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.certificate = certificate
        self.search = Search(HORIZON_TAUS, Z, 1e6 * release_s, BACKLOG_TAUS, budget_us)
        self._room = Room(FUTURES)
        self._compiled = False
        self._clock_s = clock_s
        self._again_s = -math.inf

    def refuses(
        self, state: ClusterState, candidates: Candidates, decision: Decision, safe: Decision
    ) -> str | None:
        """The cause, or None if the decision may stand."""
        if _index(decision) == _index(safe) and self._compiled:
            return None
        certain = self.certificate.holds(candidates)
        found = self._try(state, candidates, decision, safe, MARGIN if certain else 0.0)
        if found == 1 or (found == NONE and certain):
            return None
        return "unproven" if found == NONE else "worse in a trial"

    def _try(
        self, state: ClusterState, candidates: Candidates, decision: Decision, safe: Decision, margin: float
    ) -> int:
        """1 or 0 as `stands` has it; NONE where that cannot be told, or trials pause."""
        began_s = self._clock_s()
        if began_s < self._again_s:
            return NONE
        plan, survey = self._room.of(state)
        moves = _index(safe), _index(decision)
        found = int(stands(state, survey, plan, candidates, *moves, self.search, margin))
        took_s = self._clock_s() - began_s
        if found == NONE and self._compiled and 0.0 < self.search.budget_us < 1e6 * took_s:
            self._again_s = began_s + PAUSE * took_s
        self._compiled = True
        return found


def _index(decision: Decision) -> int:
    return DONE if decision.action == Action.DONE else decision.candidate
