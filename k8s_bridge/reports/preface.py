"""What a file of the decision log begins with, so that it can be replayed by itself."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

from synergai import __version__
from synergai.envs.cluster import Cluster
from synergai.envs.decision_log import SCHEMA
from synergai.k8s_bridge.calibration import to_text
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.reports.journal import Fields
from synergai.offline_profiles.table import base_address


def preface(
    cluster: Cluster, settings: Settings, scheduler: str, version: str, epoch_us: int, now_us: int
) -> Iterator[tuple[str, Fields]]:
    """What decides, what is known of run times, the nodes, and what waits; times are the scenario's."""
    yield (
        "start",
        {
            "schema": SCHEMA,
            "nowUs": now_us,
            "synergai": __version__,
            "scheduler": scheduler,
            "version": version,
            "dryRun": settings.dry_run,
            "speed": settings.speed,
            "epochUs": epoch_us,
            "podStartS": settings.pod_start_s,
            "energyWeight": settings.energy_weight,
            "profilesSha256": cluster.table.sha256,
        },
    )
    options = json.loads(to_text(cluster.learnt(), cluster.table))["options"]
    yield "learnt", {"nowUs": now_us, "options": options}
    for node in cluster.known_nodes():
        yield "node", {"nowUs": now_us, "name": node.name, "node": asdict(node)}
    for job in cluster.waiting_jobs():
        yield "arrival", {"nowUs": now_us, "job": asdict(replace(job, model=base_address(job.model)))}
