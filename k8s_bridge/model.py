"""Who decides, as a metric says it: the policy's name, how it is played, and which weights it has."""

import hashlib
from typing import NamedTuple

from synergai import __version__
from synergai.agents.guard import Guarded
from synergai.agents.learned import Learned
from synergai.agents.planner import Planner
from synergai.agents.scheduler import Scheduler


class Model(NamedTuple):
    """Labels of `synergai_model_info`."""

    name: str
    policy: str
    """`net`, `net+plan` or `rule`."""
    version: str
    """The first twelve digits of the SHA-256 of the weights; for a rule that of the package."""


def model_of(scheduler: Scheduler) -> Model:
    """What stands behind a guard, or the scheduler itself."""
    primary = scheduler.primary if isinstance(scheduler, Guarded) else scheduler
    network = primary.policy if isinstance(primary, Planner) else primary
    name = getattr(scheduler, "name", "")
    if not isinstance(network, Learned):
        return Model(name, "rule", __version__)
    digest = hashlib.sha256()
    for array in network.checkpoint.weights:
        digest.update(array.tobytes())
    return Model(name, "net+plan" if isinstance(primary, Planner) else "net", digest.hexdigest()[:12])
