"""lambda*, tau and prices follow what arrives: what is remembered, when they are solved, and that simulator, batch and
bridge do it alike (beside tests/envs/test_cluster_facade.py)."""

import numpy as np
import pytest
from scipy.optimize import linprog
from worlds import TABLE, fresh, hand_tape, play, random_world, toy_profile, toy_setting, toy_table

from synergai.envs import batch as batches
from synergai.envs import capacity
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import empty_candidates
from synergai.envs.capacity import DECLARED_JOBS
from synergai.envs.cluster import Cluster
from synergai.envs.mix import ModelLoad
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, ClusterState
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.types import Device, Job, Node

TOY = toy_table(toy_profile("a", "fast", 1.0), toy_profile("b", "fast", 3.0))
FAST = {"name": "f", "hardware": {"fast": 1}}
MINUTE_US = 60_000_000


def scipys(setting: Setting) -> float:
    """lambda* of the last solution's mix, by scipy."""
    program, n = setting.program, int(setting.program.n[0])
    columns, models = program.columns, program.models[program.models["now_share"] > 0]
    use = np.zeros((n, len(columns) + 1))
    for c, column in enumerate(columns):
        for i in range(column["n_needs"]):
            use[program.need[c, i], c] += program.amount[c, i] * column["time_s"]
    flow = np.zeros((len(models), len(columns) + 1))
    for row, model in zip(flow, models):
        row[model["first_column"] : model["first_column"] + model["n_columns"]] = 1.0
        row[-1] = -model["now_share"]
    goal = np.zeros(len(columns) + 1)
    goal[-1] = -1.0
    found = linprog(goal, A_ub=use, b_ub=np.ones(n), A_eq=flow, b_eq=np.zeros(len(models)), method="highs")
    return float(found.x[-1])


@pytest.mark.parametrize("number", range(40))
def test_lambda_star_of_a_random_world_is_scipys(number: int) -> None:
    setting, _ = random_world(number)
    assert setting.capacity.jobs_per_s == pytest.approx(scipys(setting), rel=1e-9)


@pytest.mark.parametrize("name", scenarios.shipped())
@pytest.mark.parametrize("seed", range(5))
def test_lambda_star_of_a_shifted_mix_is_scipys(name: str, seed: int) -> None:
    setting = setting_of(scenarios.load(name))
    sim, _ = fresh(setting, make_tape(setting, 1, 20))
    sim.state.models["seen"] = 1e4 * np.random.default_rng(seed).dirichlet(
        0.5 * np.ones(len(sim.state.models))
    )
    sim.state.models["log_samples"] = sim.state.models["seen"] * setting.program.models["log_samples"]
    found = capacity.solve(setting.catalog, sim.state, setting.program)
    assert found.jobs_per_s == pytest.approx(scipys(setting), rel=1e-9)


# what is remembered ---------------------------------------------------------------------------------------------
def toy_state(
    seen: tuple[float, float], mean_log: tuple[float, float] = (0.0, 0.0)
) -> tuple[Setting, ClusterState]:
    """Models a and b, declared alike and of one sample; so much has been seen of each."""
    setting = toy_setting(TOY, [FAST])
    state = fresh(setting, hand_tape(setting, [0.0], [9.0]))[0].state
    state.models["seen"] = seen
    state.models["log_samples"] = np.array(seen) * np.array(mean_log)
    return setting, state


def mix(setting: Setting, state: ClusterState) -> tuple[list[float], list[float]]:
    """Shares and median sizes."""
    capacity.mix_of(state, setting.program)
    return setting.program.models["now_share"].tolist(), setting.program.models["now_samples"].tolist()


def test_before_anything_is_seen_the_mix_is_the_declared_one() -> None:
    assert mix(*toy_state((0.0, 0.0))) == ([0.5, 0.5], [1.0, 1.0])


def test_what_is_seen_outweighs_the_declared_jobs_by_its_number() -> None:
    shares, _ = mix(*toy_state((DECLARED_JOBS, 0.0)))
    assert shares == pytest.approx([0.75, 0.25])


def test_sizes_that_are_seen_outweigh_the_declared_ones_by_their_number() -> None:
    _, samples = mix(*toy_state((0.5 * DECLARED_JOBS, 0.0), mean_log=(np.log(100.0), 0.0)))
    assert samples == pytest.approx([10.0, 1.0])


def test_arrivals_are_remembered_for_fifty_tau() -> None:
    setting = toy_setting(TOY, [FAST])
    tau_s = setting.capacity.tau_s
    *_, (sim, _, _) = play(
        setting, hand_tape(setting, [0.0, 50.0 * tau_s], [9e3, 9e3], ["a", "b"], [1, 8]), lambda out: 0
    )
    # tau is solved anew after each minute in between, but of the same mix
    assert sim.state.models["seen"] == pytest.approx([np.exp(-1.0), 1.0], rel=0.1)
    assert sim.state.models["log_samples"] == pytest.approx([0.0, np.log(8.0)])


def test_a_trace_and_its_log_normal_are_equally_heavy() -> None:
    load = ModelLoad(1.0, 100.0).replayed(np.array([0.2, 0.5, 1.0, 1.0, 4.0] * 30))
    plain = load.as_lognormal()
    assert plain.samples * plain.bins().mean() == pytest.approx(load.samples * load.bins().mean())


# when it is solved ----------------------------------------------------------------------------------------------
def solved(setting: Setting, arrival_s: list[float], models: list[str]) -> list[tuple[float, float]]:
    """(seconds, tau) at each decision under the first legal action; jobs are best held two at a time."""
    tape = hand_tape(
        setting, np.repeat(arrival_s, 2), np.full(2 * len(arrival_s), 1e4), list(np.repeat(models, 2))
    )
    return [
        (float(sim.state.clock[0]["now_us"]) * 1e-6, float(sim.state.clock[0]["tau_us"]) * 1e-6)
        for sim, _, _ in play(setting, tape, lambda out: int(out.mask.argmax()))
    ]


def test_tau_moves_at_full_minutes_only_and_counts_what_came_before() -> None:
    setting = toy_setting(TOY, [{**FAST, "count": 2}])
    seen = solved(setting, [1.0, 30.0, 59.0, 60.0, 61.0, 119.0], ["a"] * 6)
    first = {tau for at, tau in seen if at < 60.0}
    second = {tau for at, tau in seen if 60.0 <= at < 120.0}
    assert first == {setting.capacity.tau_s}
    assert len(second) == 1
    # (1 x 1 x share + 3 x 3 x share) / work, at 60 s with 6 of a seen beside 25 declared of each
    gone = np.exp(-(59.0 - np.array([1.0, 30.0, 59.0])) / (50.0 * setting.capacity.tau_s))
    a, b = 25.0 + 2.0 * gone.sum(), 25.0
    assert second.pop() == pytest.approx((a + 9.0 * b) / (a + 3.0 * b), rel=1e-6)


def test_the_simulator_starts_with_the_declared_mix() -> None:
    setting = toy_setting(TOY, [FAST])
    clock = fresh(setting, hand_tape(setting, [0.0], [9.0]))[0].state.clock[0]
    assert (clock["tau_us"], clock["solved_us"]) == (setting.capacity.tau_us, 0)


def cluster(declared: dict[str, ModelLoad] | None = None) -> Cluster:
    made = Cluster(TOY, declared)
    made.set_node(Node("f-0", (Device("fast", 1),), 8000, 8192))
    return made


def arrive(made: Cluster, model: str, at_s: float) -> None:
    made.enqueue(Job(f"{model}-{at_s}", model, 1, round(at_s * 1e6)))


ALIKE = {"a": ModelLoad(1.0, 1.0), "b": ModelLoad(1.0, 1.0)}


def test_a_new_node_is_solved_for_at_once() -> None:
    made = cluster(ALIKE)
    made.refresh(1)
    before = float(made.state.clock[0]["capacity_sps"])
    made.set_node(Node("f-1", (Device("fast", 1),), 8000, 8192))
    made.refresh(2)
    assert made.state.clock[0]["capacity_sps"] == pytest.approx(2.0 * before)


def test_a_node_that_shrinks_is_solved_for_at_once() -> None:
    table = toy_table(toy_profile("a", "cpu", 1.0, device_units=0, cpu_milli=1000))
    made = Cluster(table, {"a": ModelLoad(1.0, 1.0)})
    for cpu_milli in (8000, 4000):
        made.set_node(Node("c", (Device("cpu", 0),), cpu_milli, 8192))
        made.refresh(1)
    assert made.state.clock[0]["capacity_sps"] * made.state.clock[0]["tau_us"] == pytest.approx(4e6)


def test_tables_that_grow_are_no_change_of_nodes() -> None:
    made = cluster(ALIKE)
    made.refresh(0)
    before = float(made.state.clock[0]["tau_us"])
    for i in range(300):
        arrive(made, "a", 1.0 + 0.1 * i)
    made.refresh(40_000_000)
    assert made.state.clock[0]["tau_us"] == before
    assert made.state.options["price"].tolist() == [0.0, 0.0]


def test_where_nothing_is_declared_the_first_arrivals_are_the_mix() -> None:
    made = cluster()
    arrive(made, "a", 1.0)
    made.refresh(2_000_000)
    assert made.program is not None
    assert made.program.models["now_share"].tolist() == [1.0, 0.0]
    assert made.program.models["now_samples"][0] == pytest.approx(1.0)


def test_a_cluster_without_nodes_waits_for_them() -> None:
    made = Cluster(TOY, ALIKE)
    arrive(made, "a", 1.0)
    made.refresh(2_000_000)
    assert made.state.clock[0]["tau_us"] == 0.0
    made.set_node(Node("f-0", (Device("fast", 1),), 8000, 8192))
    made.refresh(3_000_000)
    assert made.state.clock[0]["tau_us"] > 0.0


def test_a_model_that_lost_its_last_node_leaves_the_mix() -> None:
    table = toy_table(toy_profile("a", "fast", 1.0), toy_profile("b", "slow", 3.0))
    made = Cluster(table, ALIKE)
    made.set_nodes([Node("f", (Device("fast", 1),), 8000, 8192), Node("s", (Device("slow", 1),), 8000, 8192)])
    made.refresh(0)
    made.remove_node("s")
    made.refresh(1)
    assert (made.state.clock[0]["capacity_sps"], made.state.clock[0]["tau_us"]) == pytest.approx((1.0, 1e6))


# everywhere alike -----------------------------------------------------------------------------------------------
def trajectory(state: ClusterState) -> tuple[float, float, bytes]:
    clock = state.clock[0]
    prices = state.options["price"][: clock["n_options"]]
    return float(clock["capacity_sps"]), float(clock["tau_us"]), prices.tobytes()


def test_clusters_of_unlike_scenarios_in_one_batch_solve_as_each_does_alone() -> None:
    settings = [setting_of(scenarios.load(name), TABLE) for name in ("edge", "datacenter")]
    batch = batches.new_batch(settings, 2, 200)
    rule = RULE_NUMBER["synergai"]
    alone = []
    for b, setting in enumerate(settings):
        tape = make_tape(setting, 7, 200, tail=0.0)
        batches.load(batch, b, setting, tape)
        sim, scratch = fresh(setting, tape)
        sim.progress[0]["stop_arrival"] = len(tape.jobs)
        out, seen = empty_candidates(), []
        while advance(sim, scratch, out, NONE):
            seen.append(trajectory(sim.state))
            apply_action(sim, scratch, out, int(out.picks[rule]))
        alone.append(seen)
    together: list[list[tuple[float, float, bytes]]] = [[], []]
    while batch.alive.any():
        for b in np.flatnonzero(batch.alive):
            together[b].append(trajectory(ClusterState(*(array[b] for array in batch.sims.state))))
        batches.step(batch, batch.shown.picks[:, rule].astype(np.int64))
    assert together == alone
    assert all(len(set(seen)) > 2 for seen in alone)
