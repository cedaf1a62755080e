"""The simulator beside public environments and a plain event loop: in one process, on one core, in turns."""

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gpu_choochoo import (  # pyright: ignore[reportMissingImports]  # of the extra `peers`, as the next line
    GPUSchedulerEnv,
    RealisticWorkloadGenerator,
)
from JSSEnv.envs import jss_env  # pyright: ignore[reportMissingImports]

from synergai.benchmarks.environment import gym_steps_per_s
from synergai.benchmarks.figure import Figure
from synergai.benchmarks.queueing import like_servers, simpy_starts_us, simulated, tape_of
from synergai.benchmarks.simulator import sim_decisions_per_s, sim_rule_decisions_per_s
from synergai.benchmarks.worlds import setting_at

INSTANCE = "ta01"
"""15 jobs on 15 machines: E. Taillard, Benchmarks for basic scheduling problems, EJOR 64 (1993)."""
GPUS = 4
"""A node: the fewest of those that gpu-choochoo makes."""
DAY_S = 86_400.0
TYPES = (("V100", 32), ("A100-40GB", 40), ("A100-80GB", 80), ("H100", 80))
"""GPUs of gpu-choochoo, and GB of each."""
QUEUE_JOBS = 2000


class Rate(NamedTuple):
    """Per second of wall clock."""

    steps: float
    choices: float
    """Steps with two legal actions or more."""
    jobs: float


class Peer(Protocol):
    """Somebody else's environment under its first legal action, which plays the same episode again and again."""

    def reset(self) -> None: ...

    def step(self) -> bool:
        """True if the episode is over."""
        ...

    def has_choice(self) -> bool: ...

    def jobs(self) -> int:
        """Of this episode, that have been placed."""
        ...


class JobShop:
    """JSSEnv: a job is an operation, that is, what one machine does without a break."""

    def __init__(self) -> None:
        instances = Path(str(jss_env.__file__)).parent / "instances"
        self._env: Any = jss_env.JssEnv(  # its fields are None at first
            {"instance_path": instances / INSTANCE}
        )

    def reset(self) -> None:
        self._mask = self._env.reset()["action_mask"]

    def step(self) -> bool:
        return self._env.step(int(self._mask.argmax()))[2]

    def has_choice(self) -> bool:
        return self._mask.sum() > 1

    def jobs(self) -> int:
        return int((self._env.solution >= 0).sum())


class GpuCluster:
    """gpu-choochoo: a day of its jobs, so close together that the load is as asked for. Its first action that may do
    something starts the job at the head of the queue."""

    def __init__(self, nodes: int, load: float, seed: int) -> None:
        kinds = (TYPES[n % len(TYPES)] for n in range(nodes))
        machines = [
            {"node_id": str(n), "gpu_type": name, "total_gpus": GPUS, "total_vram_gb": GPUS * gb}
            for n, (name, gb) in enumerate(kinds)
        ]
        jobs = RealisticWorkloadGenerator(seed).generate_job_trace(DAY_S, max_gpus=GPUS)
        work_s = sum(int(job["gpus_required"]) * float(job["duration_sec"]) for job in jobs)
        scale = work_s / (load * nodes * GPUS * DAY_S)
        jobs = [job | {"arrival_time": scale * float(job["arrival_time"])} for job in jobs]
        self._env: Any = GPUSchedulerEnv(  # its cluster is None at first
            machines, jobs, max_nodes=nodes, reward_type="mixed", max_steps=1_000_000
        )

    def reset(self) -> None:
        self._env.reset()

    def step(self) -> bool:
        return self._env.step(1)[2]

    def has_choice(self) -> bool:
        """At most: of a job that waits it is not known whether it fits."""
        return bool(self._env.cluster.pending_queue)

    def jobs(self) -> int:
        return len(self._env.cluster.completed_jobs)


def peers(scenario: str = "demo", seconds: float = 3.0, repeats: int = 3, seed: int = 0) -> Figure:
    """Decisions per second of the batched simulator over steps per second of the fastest other environment. Each is
    measured `repeats` times in turns for so many seconds; the best turn counts, as others' work can only slow it."""
    setting = setting_at(scenario, None)
    nodes, load = len(setting.catalog.nodes), setting.scenario.load
    job_shop, gpu_cluster = JobShop(), GpuCluster(nodes, load, seed)
    compiled, event_loop = _same_queue(nodes, load, seed)
    measured: dict[str, Callable[[], Rate]] = {
        "JSSEnv": lambda: _played(job_shop, seconds),
        "gpu-choochoo": lambda: _played(gpu_cluster, seconds),
        "simpy": lambda: _repeated(event_loop, seconds),
        "synergai queue": lambda: _repeated(compiled, seconds),
        "synergai env": lambda: _ours(gym_steps_per_s(scenario, seconds, seed=seed), "steps"),
        "synergai batch": lambda: _with_loading(sim_decisions_per_s(scenario, None, seconds, seed)),
        "synergai batch, resets apart": lambda: _ours(
            sim_decisions_per_s(scenario, None, seconds, seed), "decisions"
        ),
        "synergai rule": lambda: _ours(sim_rule_decisions_per_s(scenario, None, seconds, seed), "actions"),
    }
    rounds = [{name: rate() for name, rate in measured.items()} for _ in range(repeats)]
    rates = {name: max(each[name] for each in rounds) for name in measured}
    fastest = Rate(*map(max, rates["JSSEnv"], rates["gpu-choochoo"]))
    batch, env = rates["synergai batch"], rates["synergai env"]
    facts = {
        "rates": {name: {k: round(v, 1) for k, v in rate._asdict().items()} for name, rate in rates.items()},
        "batch_choices_times": round(batch.choices / fastest.choices, 3),
        "env_times": round(env.steps / fastest.steps, 3),
        "env_choices_times": round(env.choices / fastest.choices, 3),
        "queue_times": round(rates["synergai queue"].jobs / rates["simpy"].jobs, 3),
        "scenario": scenario, "load": load, "nodes": nodes, "instance": INSTANCE, "gpus_per_node": GPUS,
        "queue_jobs": QUEUE_JOBS, "seconds": seconds, "repeats": repeats, "seed": seed, "cores_used": 1,
        "peers": {name: version(name) for name in ("gpu-choochoo", "jssenv", "simpy")},
    }  # fmt: skip
    return Figure(batch.steps / fastest.steps, "times the fastest peer", facts)


def _played(peer: Peer, seconds: float) -> Rate:
    """Episodes, resets included; choices and jobs are counted in one that is not timed."""
    peer.reset()
    steps, choices, over = 0, 0, False
    while not over:
        choices += peer.has_choice()
        over = peer.step()
        steps += 1
    choices_a_step, jobs_a_step = choices / steps, peer.jobs() / steps
    peer.reset()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        steps += 1
        if peer.step():
            peer.reset()
    rate = steps / (time.perf_counter() - began)
    return Rate(rate, rate * choices_a_step, rate * jobs_a_step)


def _same_queue(servers: int, load: float, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """The compiled simulator and SimPy on one tape."""
    setting = like_servers(servers, load)
    tape = tape_of(setting, seed, QUEUE_JOBS)
    outcomes = simulated(setting, tape).outcomes  # compiles
    arrival_us = tape.jobs["arrival_us"].tolist()
    run_us = (outcomes["finish_us"] - outcomes["start_us"]).tolist()
    return lambda: simulated(setting, tape), lambda: simpy_starts_us(arrival_us, run_us, servers)


def _repeated(run: Callable[[], object], seconds: float) -> Rate:
    """A rule alone: a step is a job, and nobody is asked."""
    runs, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        run()
        runs += 1
    rate = runs * QUEUE_JOBS / (time.perf_counter() - began)
    return Rate(rate, 0.0, rate)


def _ours(figure: Figure, unit: str) -> Rate:
    """Every step of ours is a choice, except a rule's."""
    jobs = figure.value * float(str(figure.facts["jobs"])) / float(str(figure.facts[unit]))
    return Rate(figure.value, 0.0 if unit == "actions" else figure.value, jobs)


def _with_loading(batch: Figure) -> Rate:
    """The batched simulator with what its new tapes took, as the resets of the others count."""
    measured_s, loading_s = (float(str(batch.facts[key])) for key in ("measured_s", "loading_s"))
    return Rate(*(rate * measured_s / (measured_s + loading_s) for rate in _ours(batch, "decisions")))
