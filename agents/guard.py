"""What stands between a learned policy and the cluster: an answer that is not valid, that leaves a job waiting on an
idle cluster, or that does not stand a trial against the fallback's, is replaced by that; and all of them while replays
(`agents.replay`) say that the fallback does better."""

import math
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from synergai.agents.heuristics import Rule
from synergai.agents.scheduler import Scheduler
from synergai.agents.trial import Trial
from synergai.envs.candidates import DONE, Candidates
from synergai.envs.features import CANDIDATE, GLOBAL, JOB, N_CANDIDATE
from synergai.envs.rules import FALLBACK
from synergai.envs.state import ClusterState
from synergai.envs.types import Action, Decision

P_ONTIME = [feature.name for feature in CANDIDATE].index("p_ontime")
AGE = N_CANDIDATE + [feature.name for feature in JOB].index("job_age")
BUSY = [feature.name for feature in GLOBAL].index("busy")
JUDGED = ("idle", "worse in a trial", "unproven", "replay")
"""Causes by which an answer that is in order is judged; every other cause is a fault of the policy."""
IDLE_BELOW = 0.5
"""Share of the capacity in use below which nothing has to wait for room."""
PATIENCE = 0.5
"""Of `job_age`: four times the job's shortest run time."""


class Guarded:
    """`primary` as long as its answers are valid and stand the `trial`, if there is one, else `fallback`; every cause
    is counted in `causes`."""

    def __init__(
        self,
        primary: Scheduler,
        fallback: Scheduler | None = None,
        trial: Trial | None = None,
        late_s: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """An answer that took longer than `late_s` is refused: what it was about may have changed meanwhile."""
        self.primary = primary
        self.fallback = fallback or Rule(FALLBACK)
        self.trial = trial
        self.late_s = late_s
        self._clock = clock
        self.name = primary.name
        self.extra_rule = getattr(primary, "extra_rule", -1)
        self.policy_plays = True
        """False while the fallback decides alone, as replays have it miss fewer deadlines."""
        self.causes: Counter[str] = Counter()

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """The primary's decision, or the fallback's with the cause as its reason."""
        decision, cause = self._ask(state, candidates) if self.policy_plays else (None, "replay")
        safe = self.fallback.decide(state, candidates)
        if decision is not None and cause is None:
            cause = "idle" if _idles(decision, safe, candidates) else None
            if cause is None:
                cause = self._tried(state, candidates, decision, safe)
            if cause is None:
                return decision
        self.causes[cause or "error"] += 1
        return Decision(
            safe.action, safe.candidate, "fallback", f"{cause}; {self.fallback.name}", safe.wake_at_us
        )

    def _ask(self, state: ClusterState, candidates: Candidates) -> tuple[Decision | None, str | None]:
        """The primary's decision, and why it must not be carried out."""
        began_s = self._clock()
        try:
            decision = self.primary.decide(state, candidates)
            late = self._clock() - began_s > self.late_s
            return decision, "late" if late else _fault(decision, candidates)
        except Exception as error:  # whatever a model does, the cluster needs an answer
            return None, f"error: {type(error).__name__}"

    def _tried(
        self, state: ClusterState, candidates: Candidates, decision: Decision, safe: Decision
    ) -> str | None:
        """Why the decision does not stand the trial, or that it could not be held; None if it does."""
        try:
            return self.trial.refuses(state, candidates, decision, safe) if self.trial else None
        except Exception as error:  # as above
            return f"error: {type(error).__name__}"


def _idles(decision: Decision, safe: Decision, candidates: Candidates) -> bool:
    """Whether it starts nothing where the fallback would start a job in time that has waited for long, on a cluster
    that is mostly idle. A policy learns nothing of deadlines that are far away, and may put such jobs off."""
    if decision.action == Action.START or safe.action != Action.START:
        return False
    row = candidates.rows[safe.candidate]
    return bool(row[AGE] > PATIENCE and row[P_ONTIME] > 0.5 and candidates.shared[BUSY] < IDLE_BELOW)


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
