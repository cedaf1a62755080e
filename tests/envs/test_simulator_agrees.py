"""The compiled simulator and the slow plain one tell the same story, microsecond by microsecond."""

import numpy as np
import pytest
from plain_room import Option, PlainJob, Room
from plain_rules import RULES
from plain_simulator import PlainWorld
from worlds import EVER, fresh, random_world, simulate

from synergai.envs import noise
from synergai.envs.simulator import run_rule
from synergai.envs.state import NEVER_US
from synergai.envs.switches import rule_number
from synergai.envs.tape import Setting, Tape
from synergai.envs.world import PATIENCE_TAUS, take_reward
from synergai.offline_profiles.profile import Profile

WORLDS = range(64)
WHAT = ("dies", "noticed", "closes", "opens", "back")
COMPARED = (
    "least_allocated",
    "fcfs",
    "edf",
    "llf",
    "sjf_feasible",
    "affinity",
    "slo_mael_greedy",
    "synergai",
    "round_robin",
    "synergai:order=edf:choice=tightest",
    "synergai:order=fifo:choice=energy:hold=off",
    "synergai:hopeless=in_order",
    "synergai:choice=energy:configuration=energy",
    "synergai:choice=tightest:hold=off:configuration=energy",
)
WINDOWED = ("mael", "mael:window=tau", "slo_mael", "slo_mael:window=10ms", "slo_mael_published")


def true_factor(setting: Setting, seed: int):
    """How much longer each attempt takes, from the documented hashes."""
    scenario = setting.scenario
    levels = scenario.noise
    world = noise.World(setting.table, seed, levels.profile_error, levels.level, levels.stragglers)

    def factor(job: int, profile: Profile, node: str, now_us: int, samples: int, attempt: int) -> float:
        keys = noise.option_keys(profile)
        hardware, configuration = keys["hardware"], keys["configuration"]
        lasting = noise.persistent_factor(seed, world.error, keys["model"], hardware, configuration)
        machine = noise.node_factor(seed, world.level, noise.name_key(node))
        lasting *= machine * world.drift(node, now_us * 1e-6)
        own = (job, attempt, hardware, configuration, samples)
        return lasting * noise.run_factor(seed, world.level, world.stragglers, *own)

    return factor


def failed_binds(setting: Setting, seed: int):
    """What binds that fail cost an attempt: each one the bind and a second."""
    delays = setting.scenario.delays

    def bind_again_us(job: int, attempt: int) -> float:
        return noise.failed_binds(seed, delays.bind_failures, job, attempt) * (1e6 * delays.bind_s + 1e6)

    return bind_again_us


def transfers(setting: Setting):
    """How long a job's input takes to where it runs, by the scenario's links."""
    scenario = setting.scenario
    links = {frozenset(link.between): link for link in scenario.world.network}

    def transfer_us(job: PlainJob, option: Option) -> float:
        link = links.get(frozenset((job.site, option.site)))
        if link is None:
            return 0.0
        per_kib_us = 8192.0 / link.mbit_s if link.mbit_s else 0.0
        return 1e6 * link.rtt_s + per_kib_us * job.samples * scenario.jobs[job.model].input_kib

    return transfer_us


def plain_world(setting: Setting, tape: Tape, rule: str) -> PlainWorld:
    catalog, scenario = setting.catalog, setting.scenario
    names, delays = catalog.models, scenario.delays
    mix = scenario.mix()
    jobs = [
        PlainJob(
            number=i,
            model=names[row["model"]],
            samples=int(row["samples"]),
            arrival_us=int(row["arrival_us"]),
            deadline_us=int(row["deadline_us"]),
            priority=int(row["priority"]),
            counted=bool(row["counted"]),
            site=catalog.sites[row["site"]],
            sites=mix[names[row["model"]]].sites,
            hardware=mix[names[row["model"]]].hardware,
        )
        for i, row in enumerate(tape.jobs)
    ]
    first, end = (int(i) for i in tape.window)
    return PlainWorld(
        table=setting.table,
        room=Room(
            sorted(scenario.nodes(setting.table), key=lambda node: node.name),
            noise.total_log_sd(),
            scenario.world.co_tenant_slowdown,
            scenario.world.startup_states,
        ),
        jobs=jobs,
        rule=RULES[rule],
        fallback=RULES["sjf_feasible"],
        factor=true_factor(setting, int(tape.seed[0])),
        window=(first, end),
        patience_us=int(PATIENCE_TAUS * setting.capacity.tau_s * 1e6),
        clients=setting.clients,
        startup_us=delays.pod_start_s * 1e6 + (delays.bind_s + delays.decision_s) * 1e6,
        release_us=int(delays.release_s * 1e6),
        decision_us=int(delays.decision_s * 1e6),
        start_gap_us=int(delays.start_gap_s * 1e6),
        bind_again_us=failed_binds(setting, int(tape.seed[0])),
        transfer_us=transfers(setting),
        changes=[
            (int(change["at_us"]), catalog.nodes[change["node"]].name, WHAT[change["kind"]])
            for change in tape.changes
            if change["at_us"] < NEVER_US
        ],
        pods=[
            (
                int(pod["at_us"]),
                int(pod["end_us"]),
                catalog.nodes[pod["node"]].name,
                int(pod["cpu_milli"]),
                int(pod["memory_mib"]),
            )
            for pod in tape.pods
            if pod["at_us"] < NEVER_US
        ],
        tau_us=setting.capacity.tau_us,
    )


def compiled_story(setting: Setting, outcomes: np.ndarray) -> list[tuple[object, ...]]:
    catalog = setting.catalog
    story = []
    options = [
        (model, catalog.classes[h], catalog.sites[s], profile.configuration)
        for model in catalog.models
        for h, s in catalog.groups
        for profile in catalog.table.of(model, catalog.classes[h])
    ]
    for row in outcomes:
        where = (None, "") if row["option"] < 0 else (options[row["option"]], catalog.nodes[row["node"]].name)
        story.append((int(row["start_us"]), int(row["finish_us"]), *where, bool(row["violated"])))
    return story


def plain_story(jobs: list[PlainJob]) -> list[tuple[object, ...]]:
    story = []
    for job in jobs:
        option = job.option
        what = option and (option.model, option.hardware, option.site, option.profile.configuration)
        story.append((job.start_us, job.finish_us, what, job.node, job.violated))
    return story


@pytest.mark.parametrize("number", WORLDS)
def test_compiled_and_plain_simulator_agree_on_every_job_under_every_rule(number: int) -> None:
    setting, tape = random_world(number)
    for rule in COMPARED:
        sim = simulate(setting, tape, rule)
        world = plain_world(setting, tape, rule)
        assert compiled_story(setting, sim.outcomes) == plain_story(world.run()), rule


@pytest.mark.parametrize("number", range(200))
def test_they_agree_in_a_world_in_which_everything_goes_on(number: int) -> None:
    setting, tape = random_world(number, everything=True)
    rule = COMPARED[number % len(COMPARED)]
    sim = simulate(setting, tape, rule)
    world = plain_world(setting, tape, rule)
    jobs = world.run()
    assert compiled_story(setting, sim.outcomes) == plain_story(jobs)
    assert sim.outcomes["attempt"].tolist() == [job.attempt for job in jobs]
    assert sim.outcomes["energy_j"] == pytest.approx([job.joules for job in jobs], rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("number", range(100))
def test_they_agree_in_a_closed_loop(number: int) -> None:
    setting, tape = random_world(number, everything=number % 2 == 1, closed=True)
    rule = COMPARED[number % len(COMPARED)]
    sim = simulate(setting, tape, rule)
    world = plain_world(setting, tape, rule)
    jobs = world.run()
    assert compiled_story(setting, sim.outcomes) == plain_story(jobs)
    assert sim.tape.jobs["arrival_us"].tolist() == [job.arrival_us for job in jobs]
    assert sim.tape.jobs["deadline_us"].tolist() == [job.deadline_us for job in jobs]
    expected = world.rewards(setting.capacity.tau_s * 1e6, setting.scenario.energy_weight)
    assert take_reward(sim) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("number", WORLDS)
def test_they_agree_on_rules_over_windows_where_tau_stands_still(number: int) -> None:
    setting, tape = random_world(number)
    for rule in WINDOWED:
        sim, scratch = fresh(setting, tape)
        sim.state.clock["solved_us"] = NEVER_US  # the plain one solves for no other tau
        run_rule(sim, scratch, rule_number(rule), EVER)
        world = plain_world(setting, tape, rule)
        assert compiled_story(setting, sim.outcomes) == plain_story(world.run()), rule


@pytest.mark.parametrize("number", [102, 105, 109])
def test_they_agree_where_the_ageing_share_works_hard(number: int) -> None:
    setting, tape = random_world(number, count=100, load=2.0)
    for rule in ("sjf_feasible", "synergai", "llf"):
        sim = simulate(setting, tape, rule)
        world = plain_world(setting, tape, rule)
        assert compiled_story(setting, sim.outcomes) == plain_story(world.run()), rule


@pytest.mark.parametrize("number", range(0, 64, 4))
def test_compiled_and_plain_rewards_agree(number: int) -> None:
    setting, tape = random_world(number)
    for rule in ("fcfs", "sjf_feasible"):
        sim = simulate(setting, tape, rule)
        world = plain_world(setting, tape, rule)
        world.run()
        expected = world.rewards(setting.capacity.tau_s * 1e6, setting.scenario.energy_weight)
        assert take_reward(sim) == pytest.approx(expected, rel=1e-9, abs=1e-9)
