"""Small worlds for the tests: random scenarios of real profiles, toy tables, hand-made tapes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from synergai.envs import noise
from synergai.envs.candidates import Candidates, Scratch, empty_candidates, scratch_for
from synergai.envs.disturbances import CHANGE, POD
from synergai.envs.scenario import Arrivals, Scenario, ScenarioError
from synergai.envs.simulator import advance, apply_action, run_rule
from synergai.envs.state import NONE
from synergai.envs.switches import rule_number
from synergai.envs.tape import TAPE_JOB, TRUTH, Setting, Tape, make_tape, setting_of
from synergai.envs.world import Sim, new_sim
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
EVER = 1 << 60
Choose = Callable[[Candidates], int]

MACHINES: tuple[dict[str, int], ...] = (
    {"nvidia-t4": 1, "intel-xeon-platinum-8380-2s": 1},
    {"nvidia-a30": 2},
    {"nvidia-a30": 1, "nvidia-t4": 2},
    {"jetson-agx-orin-maxn": 1},
    {"jetson-agx-orin-maxq": 1},
    {"jetson-xavier-nx-maxn": 1},
    {"amd-ryzen-9-7950x": 1},
    {"nvidia-rtx-4090": 1, "amd-ryzen-9-7950x": 1},
    {"intel-xeon-gold-6538yplus": 1},
)
MODELS = ("bert-99", "resnet50", "retinanet", "rnnt", "ssd-mobilenet", "ssd-resnet34")


def random_scenario(rng: np.random.Generator, load: float | None = None) -> Scenario:
    """Two to four kinds of machines, one to four models, loads 0.4-1.6; perhaps a model nobody serves."""
    kinds = rng.choice(len(MACHINES), size=rng.integers(2, 5), replace=False)
    machines = [
        {
            "name": f"m{k}",
            "count": int(rng.integers(1, 4)),
            "hardware": MACHINES[k],
            "pods": int(rng.choice([2, 3, 110])),
            "site": str(rng.choice(["", "edge"])),
            **({"cpu_milli": int(rng.integers(8, 60)) * 1000} if rng.random() < 0.3 else {}),
        }
        for k in kinds
    ]
    models = rng.choice(MODELS, size=rng.integers(1, 5), replace=False)
    classes = {hardware for k in kinds for hardware in MACHINES[k]}
    jobs = {}
    for model in models:
        speeds = [TABLE.best(model, h).throughput_sps for h in classes if TABLE.of(model, h)]
        samples = max(float(rng.uniform(0.3, 3.0)) * max(speeds, default=1.0), 1.0)
        jobs[str(model)] = {
            "share": float(rng.uniform(0.5, 3)),
            "samples": samples,
            "samples_log_sd": float(rng.choice([0.3, 0.7, 1.5])),
        }
    return Scenario.model_validate(
        {
            "name": "random",
            "machines": machines,
            "jobs": jobs,
            "load": load or float(rng.uniform(0.4, 1.6)),
            "deadlines": {"tightness": [[0.8, 1.5], [2.0, 4.0], [4.0, 10.0]]},
            "noise": {
                "profile_error": float(rng.choice([0.0, 0.23, 0.5])),
                "level": float(rng.choice([0, 1, 2])),
            },
            "delays": {
                "pod_start_s": float(rng.choice([0.0, 0.4])),
                "release_s": float(rng.choice([0.0, 0.3])),
            },
            "energy_weight": float(rng.choice([0.0, 0.5])),
            "warm_up": 0.1,
        }
    )


def with_everything(scenario: Scenario, rng: np.random.Generator) -> Scenario:
    """The same scenario in a world in which everything goes on, or most of it."""
    values = scenario.model_dump()
    sites = sorted({group["site"] for group in values["machines"]})
    classes = sorted({name for group in values["machines"] for name in group["hardware"]})
    for entry in values["jobs"].values():
        entry["input_kib"] = float(rng.choice([0.0, 0.05, 1.0]))
        entry["origins"] = {str(site): float(rng.uniform(0.5, 2)) for site in {*sites, "field"}}
        entry["priorities"] = [{"priority": 0, "share": 3.0}, {"priority": 7, "share": 1.0}]
        entry["namespaces"] = {"red": 1.0, "blue": 2.0}
        entry["best_effort"] = float(rng.choice([0.0, 0.2]))
        entry["hardware"] = [name for name in classes if rng.random() < 0.8] if rng.random() < 0.5 else None
        entry["sites"] = [str(rng.choice(sites))] if rng.random() < 0.3 else None
        entry["hardware"] = entry["hardware"] or None
    pairs = [
        (a, b) for i, a in enumerate(sorted({*sites, "field"})) for b in sorted({*sites, "field"})[i + 1 :]
    ]
    links = [
        {"between": [a, b], "rtt_s": float(rng.choice([0.0, 0.05])), "mbit_s": float(rng.choice([100, 1000]))}
        for a, b in pairs
    ]
    node = values["machines"][0]["name"] + "-0"
    closed_s = float(rng.uniform(1, 40))
    values["world"] = {
        "co_tenant_slowdown": float(rng.choice([0.0, 0.3, 1.5])),
        "startup_states": str(rng.choice(["cached", "image", "absent"])),
        "network": links,
        "failures": {
            "per_node_hour": float(rng.choice([5, 60])),
            "repair_s": 20.0,
            "unnoticed_s": float(rng.choice([0, 5])),
        },
        "changes": [
            {"at_s": closed_s, "node": node, "becomes": "closed"},
            {"at_s": closed_s + 15.0, "node": node, "becomes": "open"},
        ],
        "background": {"per_node": 1.0, "cpu_milli": int(rng.integers(1, 9)) * 1000, "lasts_s": 20.0},
    }
    values["delays"] |= {
        "start_gap_s": float(rng.choice([0.0, 0.8])),
        "bind_s": float(rng.choice([0.0, 0.02])),
        "bind_failures": float(rng.choice([0.0, 0.1])),
        "decision_s": float(rng.choice([0.0, 0.003, 0.5])),
    }
    return Scenario.model_validate(values)


def random_world(
    number: int,
    count: int = 24,
    load: float | None = None,
    everything: bool = False,
    closed: bool = False,
) -> tuple[Setting, Tape]:
    """The setting and the tape of this number, with some priorities; always the same one. With `everything`, all that
    can go on in a world goes on in it; `closed` makes it a closed loop."""
    rng = np.random.default_rng([number, 77])
    while True:
        try:
            scenario = random_scenario(rng, load)
            if closed:
                arrivals = Arrivals(kind="closed", think_s=float(rng.choice([1e-7, 0.5, 20.0])))
                scenario = scenario.model_copy(update={"arrivals": arrivals})
            setting = setting_of(with_everything(scenario, rng) if everything else scenario, TABLE)
        except ScenarioError:
            continue
        if everything and setting.capacity.tau_s > 40.0:
            continue  # more would happen beside its jobs than the plain simulator has time for
        if everything:
            return setting, make_tape(setting, seed=number, count=count)
        tape = make_tape(setting, seed=number, count=count)
        tape.jobs["priority"] = rng.choice([0, 0, 0, 1], size=len(tape.jobs)) * (number % 3 == 0)
        return setting, tape


def simulate(setting: Setting, tape: Tape, rule: str, jobs: int | None = None) -> Sim:
    """The whole tape under one rule."""
    sim, scratch = fresh(setting, tape, jobs)
    run_rule(sim, scratch, rule_number(rule), EVER)
    return sim


def fresh(setting: Setting, tape: Tape, jobs: int | None = None) -> tuple[Sim, Scratch]:
    """The empty cluster and working memory for it."""
    sim = new_sim(setting, tape, jobs)
    return sim, scratch_for(sim.state)


# toys -----------------------------------------------------------------------------------------------------
def toy_profile(model: str, hardware: str, seconds: float, name: str = "only", **changes: object) -> Profile:
    """A sample takes `seconds`; no start-up; one unit, one core, 1 GiB, 10 W above idle."""
    base = replace(
        TABLE.profiles[0],
        model=model,
        hardware=hardware,
        configuration=name,
        batch=1,
        cpu_milli=1000,
        memory_mib=1024,
        device_units=1,
        throughput_sps=1.0 / seconds,
        latency_ms=1e3 * seconds,
        startup_cached_s=0.0,
        active_w=20.0,
        idle_w=10.0,
    )
    return replace(base, **changes)


def toy_table(*profiles: Profile) -> ProfileTable:
    """A table of just these; a class has eight cores and 8 GiB, and is an accelerator unless called cpu."""
    names = sorted({profile.hardware for profile in profiles})
    hardware = {
        name: Hardware(
            name, "gpu", "" if "cpu" in name else "toy.example/unit", 8000, 8192, 10.0, "assumed: a toy"
        )
        for name in names
    }
    ordered = sorted(profiles, key=lambda p: (p.model, p.hardware, p.configuration))
    return ProfileTable(tuple(ordered), hardware, reference=())


def toy_setting(
    table: ProfileTable, machines: Sequence[dict[str, object]], samples: float = 1, **keys: object
) -> Setting:
    """A noiseless scenario of these machines in which every model is equally frequent and of one size."""
    jobs = {model: {"share": 1, "samples": samples, "samples_log_sd": 0} for model in table.models}
    quiet = {"profile_error": 0, "level": 0}
    values = {"name": "toy", "machines": list(machines), "jobs": jobs, "noise": quiet, "warm_up": 0, **keys}
    return setting_of(Scenario.model_validate(values), table)


def hand_tape(
    setting: Setting,
    arrival_s: Sequence[float] | np.ndarray,
    deadline_s: Sequence[float] | np.ndarray,
    model: Sequence[str] | str | None = None,
    samples: Sequence[int] | np.ndarray | int = 1,
    priority: Sequence[int] | int = 0,
    seed: int = 0,
) -> Tape:
    """A tape of exactly these jobs, all counted, on which predictions are right."""
    n = len(arrival_s)
    names = setting.catalog.models
    models = [model or names[0]] * n if model is None or isinstance(model, str) else list(model)
    jobs = np.zeros(n, TAPE_JOB)
    jobs["arrival_us"] = np.round(np.asarray(arrival_s) * 1e6)
    jobs["deadline_us"] = np.round(np.asarray(deadline_s) * 1e6)
    jobs["model"] = [names.index(name) for name in models]
    jobs["samples"] = samples
    jobs["priority"] = priority
    jobs["counted"] = 1
    jobs["classes"] = -1
    truth = np.zeros(len(setting.catalog.profiles), TRUTH)
    for o, profile in enumerate(setting.catalog.profiles):
        keys = noise.option_keys(profile)
        truth[o] = (1.0, keys["hardware"], keys["configuration"])
    return Tape(
        jobs=jobs,
        by_deadline=np.argsort(jobs["deadline_us"], kind="stable").astype(np.int64),
        truth=truth,
        drift=np.ones((len(setting.catalog.nodes), 1)),
        window=np.array([0, n], np.int64),
        seed=np.array([seed], np.int64),
        changes=np.zeros(0, CHANGE),
        pods=np.zeros(0, POD),
    )


def play(setting: Setting, tape: Tape, choose: Choose) -> Iterator[tuple[Sim, Scratch, Candidates]]:
    """Every decision of a tape, shown before `choose` takes it; at the end once more, as it was left."""
    sim, scratch = fresh(setting, tape)
    out = empty_candidates()
    while advance(sim, scratch, out, NONE):
        yield sim, scratch, out
        apply_action(sim, scratch, out, choose(out))
    yield sim, scratch, out


def at_random(seed: int) -> Choose:
    """Any legal action, uniformly."""
    rng = np.random.default_rng(seed)
    return lambda out: int(rng.choice(np.flatnonzero(out.mask)))
