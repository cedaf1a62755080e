"""lambda* is where queues begin to grow: under the best static split of jobs over classes, found without the capacity
program, on clusters in which every job takes a whole device."""

import numpy as np
import pytest
from scipy.optimize import linprog
from worlds import TABLE, simulate

from synergai.envs.scenario import Scenario
from synergai.envs.tape import Setting, Tape, make_tape, setting_of

ARRIVALS = 20_000
WITHIN = 0.05
CLUSTERS = {
    "edge": (
        {"jetson-agx-orin-maxn": 3, "jetson-agx-xavier-maxn": 4, "nvidia-a2": 1},
        {"resnet50": 20_000.0, "bert-99": 2_000.0, "rnnt": 8_000.0},
    ),
    "gpus": (
        {"nvidia-t4": 4, "nvidia-a30": 2, "nvidia-a100-pcie-40gb": 1},
        {"resnet50": 60_000.0, "bert-99": 6_000.0, "rnnt": 20_000.0},
    ),
    "mixed": (
        {"jetson-agx-orin-maxq": 6, "nvidia-t4": 2, "nvidia-h100-pcie-80gb": 1},
        {"resnet50": 60_000.0, "bert-99": 6_000.0, "retinanet": 2_000.0},
    ),
}
"""Nodes of one device each, and median samples of equally frequent models."""


def setting_at(name: str, load: float) -> Setting:
    nodes, jobs = CLUSTERS[name]
    values = {
        "name": name,
        "machines": [
            {"name": f"n{i}", "count": n, "hardware": {h: 1}} for i, (h, n) in enumerate(nodes.items())
        ],
        "jobs": {model: {"share": 1, "samples": samples} for model, samples in jobs.items()},
        "noise": {"profile_error": 0, "level": 0},
        "load": load,
    }
    return setting_of(Scenario.model_validate(values))


def best_split(setting: Setting) -> tuple[float, dict[str, dict[str, float]]]:
    """Jobs per second of the best static split, and the share of each model that goes to each class: mean services of a
    large sample, one linear program over them."""
    nodes, jobs = CLUSTERS[setting.scenario.name]
    sample = make_tape(setting, 999, 50_000, tail=0.0).jobs
    service = {}
    for m, model in enumerate(setting.catalog.models):
        sizes = sample["samples"][sample["model"] == m]
        for hardware in nodes:
            profile = TABLE.best(model, hardware)
            batches = np.ceil(sizes / profile.batch) * profile.latency_ms * 1e-3
            took = profile.startup_cached_s + np.maximum(sizes / profile.throughput_sps, batches)
            service[model, hardware] = float(took.mean())
    pairs = list(service)  # flows x (jobs per second), then their sum
    cost = np.append(np.zeros(len(pairs)), -1.0)
    room = [[service[p] * (p[1] == h) for p in pairs] + [0.0] for h in nodes]
    even = [[float(p[0] == model) for p in pairs] + [-1.0 / len(jobs)] for model in jobs]
    found = linprog(cost, A_ub=room, b_ub=list(nodes.values()), A_eq=even, b_eq=np.zeros(len(jobs)))
    flows = dict(zip(pairs, found.x))
    totals = {model: sum(flows[model, h] for h in nodes) for model in jobs}
    return float(found.x[-1]), {m: {h: flows[m, h] / totals[m] for h in nodes} for m in jobs}


def split_tape(setting: Setting, shares: dict[str, dict[str, float]]) -> Tape:
    """A tape whose jobs each may run on one class only, drawn by the split."""
    tape = make_tape(setting, 7, ARRIVALS, tail=0.0)
    rng = np.random.default_rng(7)
    for m, model in enumerate(setting.catalog.models):
        mine = np.flatnonzero(tape.jobs["model"] == m)
        masks = [setting.catalog.class_mask(frozenset([h])) for h in shares[model]]
        p = np.maximum(list(shares[model].values()), 0.0)
        tape.jobs["classes"][mine] = rng.choice(masks, len(mine), p=p / p.sum())
    return tape


def left_at_the_end(setting: Setting, shares: dict[str, dict[str, float]]) -> float:
    """Share of the jobs that are in the system when the last one comes."""
    tape = split_tape(setting, shares)
    finish_us = simulate(setting, tape, "fcfs").outcomes["finish_us"]
    last_us = tape.jobs["arrival_us"][-1]
    return float(((finish_us < 0) | (finish_us > last_us)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_queues_grow_without_bound_above_lambda_star_and_not_below(name: str) -> None:
    calm, over = setting_at(name, 1.0 - WITHIN), setting_at(name, 1.0 + WITHIN)
    sustained, shares = best_split(calm)
    print(f"{name}: best split {sustained:.4f} jobs/s, lambda* {calm.capacity.jobs_per_s:.4f}")
    assert calm.capacity.jobs_per_s == pytest.approx(sustained, rel=WITHIN)
    assert left_at_the_end(calm, shares) < 0.01
    assert left_at_the_end(over, shares) > 0.5 * WITHIN / (1.0 + WITHIN)
