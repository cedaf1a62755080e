"""The compiled simulator and the slow plain one tell the same story, microsecond by microsecond."""

import numpy as np
import pytest
from plain_room import PlainJob, Room
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
    world = noise.World(setting.table, seed, scenario.noise.profile_error, scenario.noise.level)

    def factor(job: int, profile: Profile, node: str, now_us: int, samples: int) -> float:
        keys = noise.option_keys(profile)
        hardware, configuration = keys["hardware"], keys["configuration"]
        lasting = noise.persistent_factor(seed, world.error, keys["model"], hardware, configuration)
        machine = noise.node_factor(seed, world.level, noise.name_key(node))
        lasting *= machine * world.drift(node, now_us * 1e-6)
        return lasting * noise.run_factor(seed, world.level, job, 0, hardware, configuration, samples)

    return factor


def plain_world(setting: Setting, tape: Tape, rule: str) -> PlainWorld:
    names = setting.catalog.models
    jobs = [
        PlainJob(
            number=i,
            model=names[row["model"]],
            samples=int(row["samples"]),
            arrival_us=int(row["arrival_us"]),
            deadline_us=int(row["deadline_us"]),
            priority=int(row["priority"]),
        )
        for i, row in enumerate(tape.jobs)
    ]
    first, end = (int(i) for i in tape.window)
    return PlainWorld(
        table=setting.table,
        room=Room(
            sorted(setting.scenario.nodes(setting.table), key=lambda node: node.name), noise.total_log_sd()
        ),
        jobs=jobs,
        rule=RULES[rule],
        fallback=RULES["sjf_feasible"],
        factor=true_factor(setting, int(tape.seed[0])),
        window=(first, end),
        end_us=jobs[end - 1].arrival_us + int(PATIENCE_TAUS * setting.capacity.tau_s * 1e6),
        pod_start_us=setting.scenario.delays.pod_start_s * 1e6,
        release_us=int(setting.scenario.delays.release_s * 1e6),
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
