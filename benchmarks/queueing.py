"""One queue twice: like servers under a first-come rule in the compiled simulator, and the same as a SimPy model."""

from collections.abc import Generator, Sequence
from typing import Any

import simpy

from synergai.envs.candidates import scratch_for
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.scenario import Scenario
from synergai.envs.simulator import run_rule
from synergai.envs.tape import Setting, Tape, make_tape, setting_of
from synergai.envs.world import Sim, new_sim

Steps = Generator[simpy.Event, Any, None]
"""Of a SimPy process; what it is sent is the event's value."""


def like_servers(servers: int, load: float) -> Setting:
    """Nodes with one T4 each, which one job takes as a whole. No deadline passes, so nobody is let forward."""
    values = {
        "name": "queue",
        "machines": [{"name": "server", "count": servers, "hardware": {"nvidia-t4": 1}}],
        "jobs": {"resnet50": {"share": 1, "samples": 80_000}},
        "load": load,
        "deadlines": {"tightness": [[1e5, 1e6]]},
        "warm_up": 0,
    }
    return setting_of(Scenario.model_validate(values))


def tape_of(setting: Setting, seed: int, jobs: int) -> Tape:
    """So many jobs, all of which finish."""
    return make_tape(setting, seed, jobs, tail=0.0)


def simulated(setting: Setting, tape: Tape) -> Sim:
    """The tape's end in the compiled simulator."""
    sim = new_sim(setting, tape)
    run_rule(sim, scratch_for(sim.state), RULE_NUMBER["fcfs"], len(tape.jobs) + 1)
    return sim


def simpy_starts_us(arrival_us: Sequence[int], run_us: Sequence[int], servers: int) -> list[float]:
    """When each job starts in the SimPy model."""
    world = simpy.Environment()
    pool = simpy.Resource(world, servers)
    starts_us = [0.0] * len(arrival_us)

    def job(i: int) -> Steps:
        with pool.request() as turn:
            yield turn
            starts_us[i] = world.now
            yield world.timeout(run_us[i])

    def arrivals() -> Steps:
        for i, at_us in enumerate(arrival_us):
            yield world.timeout(at_us - world.now)
            world.process(job(i))

    world.process(arrivals())
    world.run()
    return starts_us
