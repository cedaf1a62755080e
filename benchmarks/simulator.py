"""Rates of the compiled simulator, on one core."""

import time

import numpy as np

from synergai.benchmarks.figure import Figure
from synergai.benchmarks.worlds import setting_at
from synergai.envs import batch as batches
from synergai.envs.candidates import scratch_for
from synergai.envs.features import N_GLOBAL, N_ROW
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import run_rule
from synergai.envs.tape import Setting, make_tape
from synergai.envs.world import new_sim

CLUSTERS = 32
ARRIVALS = 400
RULE = "sjf_feasible"
"""Of what is measured without features."""
DRIVER = "synergai"
"""The rule whose picks are carried out."""


class _Clusters:
    """A batch that goes on: whose tape has ended begins another one, and that is timed apart."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        self.batch = batches.new_batch([setting], CLUSTERS, ARRIVALS)
        self._next_tape = 1000 * seed
        self._ended = 0
        self.loading_s = 0.0
        for b in range(CLUSTERS):
            self._restart(b)

    def _restart(self, b: int) -> None:
        while not self.batch.alive[b]:
            self._ended += int(self.batch.sims.progress[b, 0]["next_arrival"])
            tape = make_tape(self.setting, self._next_tape, ARRIVALS, tail=0.0)
            self._next_tape += 1
            batches.load(self.batch, b, self.setting, tape)

    def arrived(self) -> int:
        """Jobs so far."""
        return self._ended + int(self.batch.sims.progress["next_arrival"].sum())

    def step(self) -> tuple[int, float]:
        """Decisions taken, each with two legal actions or more, and seconds."""
        actions = self.batch.shown.picks[:, RULE_NUMBER[DRIVER]].astype(np.int64)
        began = time.perf_counter()
        batches.step(self.batch, actions)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        for b in np.flatnonzero(~self.batch.alive):
            self._restart(int(b))
        self.loading_s += time.perf_counter() - began
        return CLUSTERS, seconds


def sim_decisions_per_s(
    scenario: str = "demo", load: float | None = None, seconds: float = 10.0, seed: int = 0
) -> Figure:
    """Batched stepping with candidates and features; forced moves are made on the way and not counted."""
    clusters = _Clusters(setting_at(scenario, load), seed)
    clusters.step()  # compiles
    decisions, spent, before = 0, 0.0, clusters.arrived()
    while spent < seconds:
        taken, took = clusters.step()
        decisions, spent = decisions + taken, spent + took
    facts = {
        "features": N_ROW + N_GLOBAL, "features_candidate": N_ROW, "features_shared": N_GLOBAL,
        "clusters": CLUSTERS, "arrivals": ARRIVALS, "rule": DRIVER, "decisions": decisions,
        "jobs": clusters.arrived() - before, "loading_s": round(clusters.loading_s, 3),
    }  # fmt: skip
    return Figure(decisions / spent, "decisions/s", facts | _world(clusters.setting, spent, seed))


def sim_rule_decisions_per_s(
    scenario: str = "demo", load: float | None = None, seconds: float = 10.0, seed: int = 0
) -> Figure:
    """A rule alone, without features: START, HOLD and DONE of whole tapes, forced ones included."""
    setting = setting_at(scenario, load)
    _play(setting, seed)  # compiles
    actions, jobs, spent, tapes = 0, 0, 0.0, 0
    while spent < seconds:
        tapes += 1
        taken, arrived, took = _play(setting, seed + tapes)
        actions, jobs, spent = actions + taken, jobs + arrived, spent + took
    facts = {"rule": RULE, "features": 0, "tapes": tapes, "actions": actions, "jobs": jobs}
    return Figure(actions / spent, "actions/s", facts | _world(setting, spent, seed))


def _play(setting: Setting, seed: int) -> tuple[int, int, float]:
    """Actions and jobs of a whole tape, and seconds."""
    sim = new_sim(setting, make_tape(setting, seed))
    scratch = scratch_for(sim.state)
    began = time.perf_counter()
    run_rule(sim, scratch, RULE_NUMBER[RULE], len(sim.tape.jobs) + 1)
    spent, progress = time.perf_counter() - began, sim.progress[0]
    return int(progress["actions"]), int(progress["next_arrival"]), spent


def _world(setting: Setting, spent: float, seed: int) -> dict[str, object]:
    return {
        "scenario": setting.scenario.name, "load": setting.scenario.load, "nodes": len(setting.catalog.nodes),
        "measured_s": round(spent, 2), "seed": seed, "cores_used": 1,
    }  # fmt: skip
