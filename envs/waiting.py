"""What waits in a cluster, most urgent first: for people who look at it. No scheduler is bound to this order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # a NumPy record

import numpy as np

from synergai.envs.catalog import Catalog
from synergai.envs.state import NONE, ClusterState
from synergai.envs.types import Job


@dataclass(frozen=True, slots=True)
class Waiting:
    """One queued job."""

    job: Job
    latest_start_us: int
    """Its deadline less its shortest predicted run time; a job without a deadline has an internal one."""
    hardware: str = ""
    """What it is held for; empty where it is not."""
    configuration: str = ""
    until_us: int = -1
    """When the hold expires."""


def in_order(state: ClusterState, catalog: Catalog, jobs: Mapping[int, Job], limit: int) -> list[Waiting]:
    """The first `limit` jobs by priority, then by latest start, then by arrival."""
    queue = state.queue[: state.clock[0]["n_queued"]]
    latest_us = queue["deadline_us"] - queue["best_us"]
    rows = np.lexsort((queue["seq"], latest_us, -queue["priority"].astype(np.int64)))[:limit]
    return [_waiting(queue[row], int(latest_us[row]), catalog, jobs) for row in rows]


def _waiting(queued: Any, latest_us: int, catalog: Catalog, jobs: Mapping[int, Job]) -> Waiting:
    job, option = jobs[int(queued["job"])], int(queued["hold_option"])
    if option == NONE:
        return Waiting(job, latest_us)
    profile = catalog.profiles[option]
    return Waiting(
        job, latest_us, profile.hardware, profile.configuration, until_us=int(queued["hold_until_us"])
    )
