"""The rules as schedulers. What they choose is in `envs.rules`; the candidate list already carries it."""

from synergai.envs.candidates import DONE, N_RULES, Candidates
from synergai.envs.state import ClusterState
from synergai.envs.switches import rule_number
from synergai.envs.types import Action, Decision

ROOM = 5
"""Column of the feature that tells START from HOLD."""


def as_decision(action: int, candidates: Candidates, decided_by: str, reason: str) -> Decision:
    """The decision that an action number of this list stands for."""
    if action == DONE:
        return Decision(Action.DONE, decided_by=decided_by, reason=reason)
    kind = Action.START if candidates.rows[action, ROOM] > 0.5 else Action.HOLD
    return Decision(kind, action, decided_by=decided_by, reason=reason)


class Rule:
    """One of `envs.rules` by name, perhaps with switches; ValueError names them all if there is none of that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = rule_number(name)
        self.extra_rule = self.number if self.number >= N_RULES else -1
        self._column = self.number if self.number < N_RULES else N_RULES

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """The rule's own pick."""
        return as_decision(int(candidates.picks[self._column]), candidates, "rule", self.name)
