"""MAEL and SLO-MAEL over windows once more, as docs/baselines.md states them."""

from itertools import product
from math import prod

from plain_room import Pair, PlainJob
from plain_simulator import PlainWorld, Rule

Group = tuple[str, str]
"""(hardware, site)."""


def group_of(pair: Pair) -> Group:
    return pair.option.hardware, pair.option.site


def servers(world: PlainWorld, group: Group) -> int:
    return sum(
        max(device.units, 1)
        for node in world.room.nodes
        for device in node.devices
        if (device.hardware, node.site) == group
    )


def choices_of(job: PlainJob, pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.job is job and pair.option.dictionary]


def gathered(world: PlainWorld, pairs: list[Pair]) -> list[PlainJob]:
    """The jobs that wait to be assigned, in order; who lost his group is one of them again."""
    waiting = []
    for job in world.queue:
        if job.hold is None:
            choices = choices_of(job, pairs)
            if job.assigned not in [group_of(pair) for pair in choices]:
                job.assigned = None
            if job.assigned is None and choices:
                waiting.append(job)
    return sorted(waiting, key=lambda job: (-job.priority, job.arrival_us, job.number))


def slo_score(latency_us: float, budget_us: int) -> float:
    return 1.0 if budget_us >= 1.5 * latency_us else -150.0 * latency_us / max(budget_us, 1)


def worth(world: PlainWorld, form: str, combination: tuple[Pair, ...]) -> tuple[float, float]:
    """Score and negated sum of latencies of one combination."""
    backlog = dict(world.windows.backlog_us)
    latencies, scores = [], []
    for pair in combination:
        group = group_of(pair)
        latencies.append(backlog[group] + pair.e_us + (world.now_us - pair.job.arrival_us))
        backlog[group] += pair.e_us / servers(world, group)
        scores.append(slo_score(latencies[-1], pair.job.deadline_us - pair.job.arrival_us))
    score = {"mael": 0.0, "slo_mael": sum(scores), "slo_mael_published": scores[-1]}[form]
    return score, -sum(latencies)


def assign(world: PlainWorld, form: str, waiting: list[PlainJob], pairs: list[Pair]) -> int:
    """The first few of them go to the groups of the best combination; returns how many."""
    windows = world.windows
    for group in world.places:
        before = windows.backlog_us.get(group, 0.0)
        windows.backlog_us[group] = max(before - (world.now_us - windows.planned_us), 0.0)
    windows.planned_us = world.now_us
    choices = [choices_of(job, pairs) for job in waiting[:12]]
    while len(choices) > 1 and prod(len(few) for few in choices) > 4096:
        choices.pop()
    for pair in max(product(*choices), key=lambda combination: worth(world, form, combination)):
        pair.job.assigned, pair.job.passed = group_of(pair), 0
        windows.backlog_us[group_of(pair)] += pair.e_us / servers(world, group_of(pair))
    return len(choices)


def window_us(world: PlainWorld, window: str) -> int:
    return {"10ms": 10_000, "0.1tau": int(0.1 * world.tau_us), "tau": int(world.tau_us)}[window]


def over_windows(form: str, window: str) -> Rule:
    def key(pair: Pair) -> float:
        return pair.e_us * 0.1**pair.job.passed if form == "mael" else float(pair.job.deadline_us - pair.e_us)

    def head(pairs: list[Pair]) -> Pair | None:
        order = sorted(pairs, key=lambda p: (-p.job.priority, key(p), p.job.arrival_us, p.job.number))
        return order[0] if order else None

    def rule(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
        windows, waiting = world.windows, gathered(world, pairs)
        idle = not world.room.running and all(job.hold is None for job in world.queue)
        if waiting and windows.closes_us is None:
            windows.closes_us = world.now_us + window_us(world, window)
        must_start = idle and any(pair.start for pair in pairs)
        if waiting and (world.now_us >= (windows.closes_us or 0) or must_start):
            while waiting:
                waiting = waiting[assign(world, form, waiting, pairs) :]
        if not waiting:
            windows.closes_us = None
        own = [p for p in pairs if p.option.dictionary and p.job.assigned == group_of(p)]
        pick = head([p for p in own if p.start])
        if pick is None and windows.closes_us is not None:
            world.wake_us = windows.closes_us
        return pick

    return rule
