"""Rate of the Gymnasium environment."""

import time

from synergai.benchmarks.figure import Figure
from synergai.envs.env import SynergaiEnv


def gym_steps_per_s(scenario: str = "demo", seconds: float = 10.0, seed: int = 0) -> Figure:
    """One cluster under its first legal action; new episodes are part of it."""
    env = SynergaiEnv(scenario, arrivals=400)
    _, info = env.reset(seed=seed)
    env.step(info["action_mask"].argmax())  # compiles
    _, info = env.reset(seed=seed)
    steps, jobs, began = 0, 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        _, _, _, truncated, info = env.step(info["action_mask"].argmax())
        steps += 1
        if truncated:
            jobs += _arrived(env)
            _, info = env.reset()
    spent = time.perf_counter() - began
    facts = {
        "scenario": scenario, "load": env.setting.scenario.load, "nodes": len(env.setting.catalog.nodes),
        "arrivals": 400, "steps": steps, "jobs": jobs + _arrived(env), "measured_s": round(spent, 2),
        "seed": seed, "cores_used": 1,
    }  # fmt: skip
    return Figure(steps / spent, "steps/s", facts)


def _arrived(env: SynergaiEnv) -> int:
    """Jobs of this episode so far."""
    return int(env.sim.progress[0]["next_arrival"])
