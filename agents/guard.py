"""What stands between a learned policy and the cluster: any answer that is not valid is replaced by the fallback's."""

from collections import Counter

import numpy as np

from synergai.agents.heuristics import Rule
from synergai.agents.scheduler import Scheduler
from synergai.envs.candidates import DONE, Candidates
from synergai.envs.rules import FALLBACK
from synergai.envs.state import ClusterState
from synergai.envs.types import Action, Decision


class Guarded:
    """`primary` as long as its answers are valid, else `fallback`; every cause is counted in `causes`."""

    def __init__(self, primary: Scheduler, fallback: Scheduler | None = None) -> None:
        self.primary = primary
        self.fallback = fallback or Rule(FALLBACK)
        self.name = primary.name
        self.extra_rule = getattr(primary, "extra_rule", -1)
        self.causes: Counter[str] = Counter()

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """The primary's decision, or the fallback's with the cause as its reason."""
        try:
            decision = self.primary.decide(state, candidates)
            cause = _fault(decision, candidates)
        except Exception as error:  # whatever a model does, the cluster needs an answer
            cause = f"error: {type(error).__name__}"
            decision = None
        if decision is not None and cause is None:
            return decision
        self.causes[cause or "error"] += 1
        safe = self.fallback.decide(state, candidates)
        return Decision(
            safe.action, safe.candidate, "fallback", f"{cause}; {self.fallback.name}", safe.wake_at_us
        )


def _fault(decision: Decision, candidates: Candidates) -> str | None:
    """Why this decision must not be carried out; None if it may."""
    if not isinstance(decision, Decision):
        return "no decision"
    index = DONE if decision.action == Action.DONE else decision.candidate
    if not isinstance(index, int | np.integer) or not 0 <= index <= DONE:
        return "no such candidate"
    if (index == DONE) != (decision.action == Action.DONE):
        return "no such candidate"
    if not candidates.mask[index]:
        return "illegal action"
    return None
