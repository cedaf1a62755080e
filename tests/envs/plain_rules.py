"""Every rule once more, as docs/baselines.md states it, over the plain simulator's pairs.

An order is a tuple: highest priority, then the rule's own keys, then arrival.
"""

from collections.abc import Callable

from plain_mael import over_windows
from plain_room import Option, Pair, PlainJob
from plain_simulator import PlainWorld, Rule


def by_job(pairs: list[Pair]) -> list[list[Pair]]:
    groups: dict[int, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.job.number, []).append(pair)
    return list(groups.values())


def quickest(pairs: list[Pair]) -> Pair | None:
    return min(pairs, key=lambda pair: pair.e_us, default=None)


def startable(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.start and pair.option.dictionary]


def in_time(world: PlainWorld, pair: Pair) -> bool:
    return world.now_us + pair.f_us <= pair.job.deadline_us


def slack_us(world: PlainWorld, job: PlainJob) -> int:
    return job.deadline_us - world.now_us - job.best_us


def first(choices: list[tuple[tuple[float, ...], Pair]]) -> Pair | None:
    """The pair whose job comes first by priority, then these keys, then arrival."""
    ordered = sorted(choices, key=lambda c: (-c[1].job.priority, c[0], c[1].job.arrival_us, c[1].job.number))
    return ordered[0][1] if ordered else None


def in_order(key: Callable[[PlainWorld, PlainJob], float]) -> Rule:
    """Jobs by a key, each on its smallest e with room."""

    def rule(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
        picks = [quickest(startable(mine)) for mine in by_job(pairs)]
        return first([((key(world, pick.job),), pick) for pick in picks if pick is not None])

    return rule


def least_allocated(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
    """First come; the node with most free cpu and memory; on a node with several devices, the accelerator."""
    head = RULES["fcfs"](world, pairs)
    if head is None:
        return None
    per_node: dict[str, Pair] = {}
    for pair in startable(pairs):
        if pair.job is head.job:
            best = per_node.get(pair.node)
            if best is None or pair.option.profile.device_units > best.option.profile.device_units:
                per_node[pair.node] = pair

    def free_share(pair: Pair) -> float:
        node = next(n for n in world.room.nodes if n.name == pair.node)
        cpu, memory, _, _ = world.room.free(node, pair.option.hardware)
        profile = pair.option.profile
        return 0.5 * (
            (cpu - profile.cpu_milli) / node.cpu_milli + (memory - profile.memory_mib) / node.memory_mib
        )

    shares = {name: free_share(pair) for name, pair in per_node.items()}
    order = [pair for pair in startable(pairs) if pair.job is head.job and per_node[pair.node] is pair]
    return max(order, key=lambda pair: shares[pair.node])


def possible_pick(world: PlainWorld, mine: list[Pair]) -> Pair | None:
    """The fastest with room that is in time, else the fastest busy one that is."""
    ready = quickest([pair for pair in startable(mine) if in_time(world, pair)])
    return ready or quickest([pair for pair in mine if pair.hold and in_time(world, pair)])


def possible_first(key: Callable[[PlainWorld, Pair], float]) -> Rule:
    """Possible jobs by a key, holding for a busy option if need be; hopeless jobs behind all others."""

    def rule(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
        choices: list[tuple[tuple[float, ...], Pair]] = []
        for mine in by_job(pairs):
            pick = possible_pick(world, mine)
            hopeless = not any(in_time(world, pair) for pair in mine if pair.option.dictionary)
            if pick is None and hopeless:
                pick = quickest(startable(mine))
            if pick is not None:
                choices.append(((float(hopeless), key(world, pick)), pick))
        return first(choices)

    return rule


def switched(
    order: str = "slack",
    choice: str = "fastest",
    hold: str = "on",
    hopeless: str = "last",
    configuration: str = "throughput",
) -> Rule:
    """SynergAI with its switches."""

    def joules(pair: Pair) -> float:
        return pair.option.watts() * pair.e_us * 1e-6

    def acceptable(world: PlainWorld, mine: list[Pair]) -> Pair | None:
        able = [pair for pair in mine if pair.start and in_time(world, pair)]
        if configuration == "throughput":
            able = [pair for pair in able if pair.option.dictionary]
        places = dict.fromkeys((pair.option.hardware, pair.option.site) for pair in able)
        few = [
            min((p for p in able if (p.option.hardware, p.option.site) == place), key=joules)
            for place in places
        ]
        keys = {"fastest": lambda p: p.e_us, "tightest": lambda p: -p.e_us, "energy": joules}
        return min(few, key=keys[choice], default=None)

    def rule(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
        choices: list[tuple[tuple[float, ...], Pair]] = []
        for mine in by_job(pairs):
            pick = acceptable(world, mine)
            if pick is None and hold == "on":
                pick = quickest([pair for pair in mine if pair.hold and in_time(world, pair)])
            doomed = not any(in_time(world, pair) for pair in mine if pair.option.dictionary)
            behind = pick is None and doomed
            if behind:
                pick = quickest(startable(mine))
            if pick is not None:
                job = pick.job
                keys = {"slack": slack_us(world, job), "edf": job.deadline_us, "fifo": 0}
                choices.append(((float(behind and hopeless == "last"), float(keys[order])), pick))
        return first(choices)

    return rule


def affinity(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
    """The job that is closest to its best device, those in time first."""
    picks = [quickest(startable(mine)) for mine in by_job(pairs)]
    return first(
        [
            ((float(not in_time(world, pick)), pick.e_us / pick.job.best_us), pick)
            for pick in picks
            if pick is not None
        ]
    )


def behind_us(world: PlainWorld, option: Option) -> int:
    """The virtual queue of a group: what waits on hold for it, spread over its devices' units."""
    nodes = [node for node in world.room.nodes if node.site == option.site]
    units = [max(d.units, 1) for node in nodes for d in node.devices if d.hardware == option.hardware]
    ahead = 0.0
    for job in world.queue:
        if job.hold is not None:
            held = job.hold.option
            if (held.hardware, held.site) == (option.hardware, option.site):
                ahead += world.alone_us(job, held)
    return int(ahead / sum(units))


def slo_mael_greedy(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
    """First come, on the device of the best SLO score, busy or not, behind what is on hold for it."""

    def latency_us(pair: Pair) -> int:
        return pair.f_us + behind_us(world, pair.option)

    def score(pair: Pair) -> float:
        budget_us = pair.job.deadline_us - pair.job.arrival_us
        return 1.0 if budget_us >= 1.5 * latency_us(pair) else -150.0 * latency_us(pair) / budget_us

    choices: list[tuple[tuple[float, ...], Pair]] = []
    for mine in by_job(pairs):
        legal = [pair for pair in mine if pair.option.dictionary and (pair.start or pair.hold)]
        if legal:
            choices.append(((), legal[0]))
    head = first(choices)
    if head is None:
        return None
    legal = [p for p in pairs if p.job is head.job and p.option.dictionary and (p.start or p.hold)]
    return max(legal, key=lambda pair: (score(pair), -latency_us(pair)))


def round_robin(world: PlainWorld, pairs: list[Pair]) -> Pair | None:
    """First come, on the next (hardware, site) in turn that has room."""
    head = RULES["fcfs"](world, pairs)
    if head is None:
        return None

    def turns(pair: Pair) -> int:
        place = world.places.index((pair.option.hardware, pair.option.site))
        return (place - world.turn) % len(world.places)

    pick = min((pair for pair in startable(pairs) if pair.job is head.job), key=turns)
    world.turn = (world.places.index((pick.option.hardware, pick.option.site)) + 1) % len(world.places)
    return pick


RULES: dict[str, Rule] = {
    "least_allocated": least_allocated,
    "fcfs": in_order(lambda world, job: job.arrival_us),
    "edf": in_order(lambda world, job: job.deadline_us),
    "llf": in_order(slack_us),
    "sjf_feasible": possible_first(lambda world, pair: pair.e_us),
    "affinity": affinity,
    "slo_mael_greedy": slo_mael_greedy,
    "synergai": possible_first(lambda world, pair: slack_us(world, pair.job)),
    "edf_feasible": switched(order="edf", hold="off"),
    "round_robin": round_robin,
    "mael": over_windows("mael", "0.1tau"),
    "mael:window=tau": over_windows("mael", "tau"),
    "slo_mael": over_windows("slo_mael", "0.1tau"),
    "slo_mael:window=10ms": over_windows("slo_mael", "10ms"),
    "slo_mael_published": over_windows("slo_mael_published", "0.1tau"),
    "synergai:order=edf:choice=tightest": switched(order="edf", choice="tightest"),
    "synergai:order=fifo:choice=energy:hold=off": switched(order="fifo", choice="energy", hold="off"),
    "synergai:hopeless=in_order": switched(hopeless="in_order"),
    "synergai:choice=energy:configuration=energy": switched(choice="energy", configuration="energy"),
    "synergai:choice=tightest:hold=off:configuration=energy": switched(
        choice="tightest", hold="off", configuration="energy"
    ),
}
