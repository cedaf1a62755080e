"""The ways in which a trained checkpoint is played: the network alone, or the planner on it."""

from dataclasses import replace

from synergai.agents.learned import Learned, read
from synergai.agents.planner import Planner, Terms

NET, PLAN, REFERENCE = "net", "net+plan", "reference"
POLICIES = (NET, PLAN, REFERENCE)
SUFFIXES = {NET: "", PLAN: "+plan", REFERENCE: "+reference"}
"""Behind a checkpoint's name, in the names of schedulers."""
TERMS = {PLAN: Terms(futures=32), REFERENCE: Terms(futures=256, horizon_taus=4.0)}
"""The reference takes far longer than a scheduler may: it shows what more planning would gain."""


def name_of(checkpoint: str, policy: str) -> str:
    """What the scheduler is called."""
    return checkpoint + SUFFIXES[policy]


def parts_of(name: str) -> tuple[str, str]:
    """Checkpoint and policy of such a name."""
    policy = next((p for p in (PLAN, REFERENCE) if name.endswith(SUFFIXES[p])), NET)
    return name.removesuffix(SUFFIXES[policy]), policy


def make_policy(name: str, budget_us: float = 0.0) -> Learned | Planner:
    """The scheduler of such a name. CheckpointError if the checkpoint cannot be used."""
    checkpoint, policy = parts_of(name)
    if policy == NET:
        return Learned(read(checkpoint))
    read(checkpoint)  # says better what is wrong with it than the planner, which may be named any base
    return Planner(name, replace(TERMS[policy], base=checkpoint, budget_us=budget_us))
