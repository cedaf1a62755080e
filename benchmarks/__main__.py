"""One JSON line per figure: `python -m benchmarks [NAME ...]`."""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from synergai.agents.learned import choose, load, released
from synergai.envs import scenario as scenarios
from synergai.envs.batch import load as load_cluster
from synergai.envs.batch import new_batch, step
from synergai.envs.candidates import empty_candidates, list_candidates, scratch_for
from synergai.envs.env import SynergaiEnv
from synergai.envs.features import N_GLOBAL, N_ROW
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.simulator import advance, apply_action, new_sim, run_rule
from synergai.envs.state import NONE
from synergai.envs.tape import Setting, make_tape, setting_of

Figure = dict[str, object]


def demo_setting() -> Setting:
    return setting_of(scenarios.load("demo"))


def sim_rule_decisions_per_s() -> Figure:
    """A rule alone on whole tapes, one core."""
    setting = demo_setting()
    actions, seconds = 0, 0.0
    for seed in range(9):
        sim = new_sim(setting, make_tape(setting, seed))
        scratch = scratch_for(sim.state)
        began = time.perf_counter()
        run_rule(sim, scratch, RULE_NUMBER[FALLBACK], len(sim.tape.jobs) + 1)
        if seed:  # the first one compiles
            seconds += time.perf_counter() - began
            actions += int(sim.progress[0]["actions"])
    return {"value": actions / seconds, "unit": "actions/s", "rule": FALLBACK}


def sim_decisions_per_s() -> Figure:
    """Batched stepping with candidates and features, one core; only decisions with two or more legal actions count."""
    setting = demo_setting()
    batch = new_batch([setting], 32, 400)
    decisions, seconds = 0, 0.0
    for turn in range(3):
        for b in range(batch.size):
            load_cluster(batch, b, setting, make_tape(setting, 100 * turn + b, 400, tail=0.0))
        while batch.alive.any():
            actions = batch.shown.picks[:, RULE_NUMBER["synergai"]].astype(np.int64)
            began = time.perf_counter()
            step(batch, actions)
            if turn:
                seconds += time.perf_counter() - began
                decisions += int(batch.alive.sum())
    return {"value": decisions / seconds, "unit": "decisions/s", "features": N_ROW + N_GLOBAL}


def gym_steps_per_s() -> Figure:
    """The single Gymnasium environment under the first legal action."""
    env = SynergaiEnv("demo", arrivals=400)
    _, info = env.reset(seed=0)
    steps, began = 0, time.perf_counter()
    while steps < 5000:
        _, _, _, truncated, info = env.step(info["action_mask"].argmax())
        steps += 1
        if truncated:
            _, info = env.reset()
    return {"value": steps / (time.perf_counter() - began), "unit": "steps/s"}


def decision_us() -> Figure:
    """State to action of the released network: survey, placement, features, forward pass."""
    policy = load(released()[0])
    setting = demo_setting()
    sim = new_sim(setting, make_tape(setting, 1))
    scratch, out = scratch_for(sim.state), empty_candidates()
    times: list[float] = []
    queued: list[int] = []
    while advance(sim, scratch, out, NONE) and len(times) < 5000:
        began = time.perf_counter()
        list_candidates(sim.state, scratch, out, NONE)
        action = choose(policy.checkpoint.weights, policy.work, out)
        times.append(1e6 * (time.perf_counter() - began))
        queued.append(int(sim.state.clock[0]["n_queued"]))
        apply_action(sim, scratch, out, action)
    times = times[100:]
    p50, p99 = np.percentile(times, [50, 99])
    return {"value": float(p50), "unit": "us", "p99": float(p99), "mean_queue": float(np.mean(queued))}


FIGURES: dict[str, Callable[[], Figure]] = {
    "sim_rule_decisions_per_s": sim_rule_decisions_per_s,
    "sim_decisions_per_s": sim_decisions_per_s,
    "gym_steps_per_s": gym_steps_per_s,
    "decision_us": decision_us,
}


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(FIGURES))
    if unknown:
        print(f"no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    for name in names or FIGURES:
        print(json.dumps({"name": name, **FIGURES[name]()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
