"""Every job's story of one run, as a CSV."""

import csv
from pathlib import Path

import numpy as np

from synergai.envs.tape import Setting
from synergai.envs.world import WAITING, Sim

COLUMNS = (
    "job", "model", "samples", "arrival_s", "deadline_s", "start_s", "finish_s", "node", "hardware", "configuration",
    "predicted_s", "energy_j", "violated",
)  # fmt: skip


def write_events(setting: Setting, sim: Sim, path: Path) -> None:
    """One row per job that arrived; times in seconds from the start, empty where it did not happen."""
    catalog = setting.catalog
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in np.flatnonzero(sim.outcomes["status"] != WAITING):
            job, outcome = sim.tape.jobs[i], sim.outcomes[i]
            started = outcome["option"] >= 0
            profile = catalog.profiles[outcome["option"]] if started else None
            writer.writerow(
                [
                    i,
                    catalog.models[job["model"]],
                    job["samples"],
                    job["arrival_us"] / 1e6,
                    job["deadline_us"] / 1e6,
                    outcome["start_us"] / 1e6 if started else "",
                    outcome["finish_us"] / 1e6 if outcome["finish_us"] >= 0 else "",
                    catalog.nodes[outcome["node"]].name if started else "",
                    profile.hardware if profile else "",
                    profile.configuration if profile else "",
                    outcome["predicted_us"] / 1e6 if started else "",
                    round(float(outcome["energy_j"]), 3),
                    int(outcome["violated"]),
                ]
            )
