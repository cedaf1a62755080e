"""What one decision of the planner costs."""

import time
from typing import Any

import numpy as np

from synergai.agents.planner import BASE, Planner, Terms
from synergai.benchmarks.figure import Figure
from synergai.benchmarks.worlds import resized, setting_at
from synergai.envs.candidates import N_RULES, empty_candidates, scratch_for
from synergai.envs.compile import kernel
from synergai.envs.planner import choose, plan_for
from synergai.envs.simulator import advance, apply_action
from synergai.envs.tape import make_tape, setting_of
from synergai.envs.world import new_sim

ARRIVALS = 300
WARM = 50
"""Decisions at the beginning of a tape, when the cluster fills up, that are not counted."""


@kernel
def choose_again(repeats, state, survey, plan, out, base, extra, search):
    """The same choice so many times, each with futures of its own drawing."""
    action = base
    for _ in range(repeats):
        plan.futures.moment[0] = -1
        action = choose(state, survey, plan, out, base, extra, search)
    return action


def plan_us(
    scenario: str = "demo",
    nodes: int = 8,
    load: float = 0.9,
    futures: int = 8,
    repeats: int = 5,
    seed: int = 0,
) -> Figure:
    """Along a tape that the planner itself schedules: futures, branches and the choice, of every decision that was not
    forced. The list that it chooses from is not timed."""
    setting = setting_of(resized(setting_at(scenario, load).scenario, nodes))
    planner = Planner(terms=Terms(futures))
    sim = new_sim(setting, make_tape(setting, seed, ARRIVALS))
    scratch, out, plan = scratch_for(sim.state), empty_candidates(), plan_for(sim.state, futures)
    extra, terms = np.zeros(0, np.int64), planner.terms
    search = planner.search(float(sim.progress[0]["release_us"]))
    times_us, queued, changed = [], [], []
    while advance(sim, scratch, out, planner.extra_rule):
        base = out.picks[min(planner.rule, N_RULES)]
        args = (sim.state, scratch.survey, plan, out, base, extra, search)
        spent = [
            _seconds(args, n) for n in (1, 1 + repeats)
        ]  # the difference is without the way into the call
        times_us.append(1e6 * (spent[1] - spent[0]) / repeats)
        queued.append(int(sim.state.clock[0]["n_queued"]))
        action = choose(*args)
        changed.append(action != base)
        apply_action(sim, scratch, out, action)
    times = np.array(times_us[WARM:] or times_us)
    p50, p99 = np.percentile(times, [50, 99])
    facts = {
        "p99": round(float(p99), 3), "mean": round(float(times.mean()), 3), "futures": futures, "base": BASE,
        "horizon_taus": terms.horizon_taus, "decisions": len(times), "left_the_base": round(float(np.mean(changed)), 3),
        "mean_queue": round(float(np.mean(queued)), 1), "scenario": scenario, "load": load, "nodes": nodes,
        "repeats": repeats, "seed": seed, "cores_used": 1,
    }  # fmt: skip
    return Figure(float(p50), "us", facts)


def _seconds(args: tuple[Any, ...], repeats: int) -> float:
    began = time.perf_counter()
    choose_again(repeats, *args)
    return time.perf_counter() - began
