"""The policy for some jobs, the fallback rule for the rest: which pods belong, and who answers."""

import hashlib
from collections.abc import Callable

from synergai.agents.scheduler import Scheduler
from synergai.envs.candidates import Candidates
from synergai.envs.state import ClusterState
from synergai.envs.types import Action, Decision
from synergai.k8s_bridge.config import CanarySettings
from synergai.k8s_bridge.pods import Pod

POLICY, RULE = "policy", "rule"
ARMS = (POLICY, RULE)


def belongs(chosen: CanarySettings, pod: Pod) -> bool:
    """Whether the policy decides for the pod: by its namespace, or by its uid, which never changes."""
    if pod.namespace in chosen.namespaces:
        return True
    number = int.from_bytes(hashlib.blake2b(pod.lot.encode(), digest_size=8).digest(), "big")
    return number < chosen.share * 2**64


class Canary:
    """Carries out the policy's answer if it starts or holds a job of the canary's; otherwise the rule's answer, also
    where the policy would start nothing more."""

    def __init__(self, policy: Scheduler, rule: Scheduler, mine: Callable[[ClusterState, int], bool]) -> None:
        """`mine` tells of a row of the queue whether its job is the canary's."""
        self.policy = policy
        self.rule = rule
        self.name = policy.name
        extra = getattr(policy, "extra_rule", -1)
        self.extra_rule = extra if extra >= 0 else getattr(rule, "extra_rule", -1)
        self._mine = mine

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """One answer of the two."""
        decision = self.policy.decide(state, candidates)
        if decision.action != Action.DONE and self._mine(state, int(candidates.job[decision.candidate])):
            return decision
        return self.rule.decide(state, candidates)
