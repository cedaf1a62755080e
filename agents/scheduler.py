"""The one seam where something chooses: a rule, a network, a guard around either."""

from typing import Protocol

from synergai.envs.candidates import Candidates
from synergai.envs.state import ClusterState
from synergai.envs.types import Decision


class Scheduler(Protocol):
    """Chooses one action of a candidate list; called only where at least two are legal."""

    name: str

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """START or HOLD of a legal candidate, or DONE. Must not change the state."""
        ...
