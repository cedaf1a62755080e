"""Every feature on one moment small enough to work out by hand."""

from math import erf, exp, log, log2, sqrt

import numpy as np
import pytest
from scenes import Scene
from worlds import toy_profile, toy_table

from synergai.envs import features
from synergai.envs.features import CANDIDATE, GLOBAL, JOB, N_CANDIDATE, schema_hash
from synergai.envs.noise import total_log_sd
from synergai.envs.rules import RULES
from synergai.envs.state import observe

# A node has eight cores and 8 GiB. `fast` takes 2 cores, 2 GiB, 30 W above idle, `slow` 1 core, 4 GiB, 12 W.
# A job of 4 samples takes 1 s of start-up and 4 s on `fast`, 8 s on `slow`.
TABLE = toy_table(
    toy_profile("m", "fast", 1.0, startup_cached_s=1.0, cpu_milli=2000, memory_mib=2048, active_w=40.0),
    toy_profile("m", "slow", 2.0, memory_mib=4096, active_w=22.0),
)
MACHINES = [{"name": "f", "hardware": {"fast": 1}}, {"name": "s", "count": 3, "hardware": {"slow": 2}}]
SIGMA = total_log_sd()
NOW, ARRIVAL, DEADLINE = 10.0, 6.0, 17.0
E_FAST, E_SLOW = 5.0, 8.0
TAU = 4.0


def soft(x: float) -> float:
    return x / (1.0 + abs(x))


def phi(z: float) -> float:
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))


def moment() -> Scene:
    """At 10 s: `x` waits since 6 s until 17 s; the fast device and one unit of `s-0` are busy since now."""
    scene = Scene(TABLE, MACHINES, now_s=NOW)
    clock = scene.state.clock[0]
    clock["tau_us"], clock["capacity_sps"], clock["energy_weight"] = TAU * 1e6, 2.0, 0.3
    clock["last_arrival_us"] = ARRIVAL * 1e6
    clock["work_short"], clock["work_long"], clock["seq"] = 3.0, 2.0, 20
    clock["gap_mean_s"], clock["gap_square_s2"] = 2.0, 5.0
    scene.wait("x", "m", DEADLINE, ARRIVAL, samples=4, priority=500)
    scene.state.queue[0]["attempt"] = 1
    scene.run("m", "fast", "f-0", since_s=NOW, samples=4)
    scene.run("m", "slow", "s-0", since_s=NOW, samples=4)
    observe(scene.state, scene.option("m", "slow"), 8_000_000, 12_000_000)
    return scene


def row_of(scene: Scene, hardware: str) -> dict[str, float]:
    out = scene.list()
    h = scene.catalog.class_index[hardware]
    i = int(np.flatnonzero(out.klass[: out.n[0]] == h)[0])
    return dict(zip([f.name for f in CANDIDATE + JOB], out.rows[i].tolist()))


def shared_of(scene: Scene) -> dict[str, float]:
    return dict(zip([f.name for f in GLOBAL], scene.list().shared.tolist()))


# one run on `slow` took 1.5 times as long, which counts half
SEEN_SLOW = E_SLOW * sqrt(1.5)
SD_SEEN = sqrt((SIGMA**2 - 0.06**2) / 2 + 0.06**2)
Z_SLOW = (DEADLINE - NOW - SEEN_SLOW) / (SD_SEEN * SEEN_SLOW)
Z_FAST = (DEADLINE - NOW - 5.0 - E_FAST) / (SIGMA * E_FAST)  # never seen: as predicted

# a START on `slow`: 8 s from now is 18 s, one second too late
SPARE_SLOW = DEADLINE - NOW - E_SLOW
# the tightest node is the one with a unit taken; after this 6 of 8 cores, nothing else is left of it
SLOW = {
    "speed": log(E_SLOW / E_FAST) / 5,
    "wait": 0.0,
    "z": soft(SPARE_SLOW / (SIGMA * E_SLOW) / 4),
    "p_ontime": phi(SPARE_SLOW / (SIGMA * E_SLOW)),
    "slack": soft(SPARE_SLOW / E_SLOW),
    "room": 1.0,
    "startup_share": 0.0,
    "transfer_share": 0.0,
    "node_share": 0.5,  # 4 of 8 GiB, 1 of 2 units
    "left": 6 / 8,
    "energy": 0.0,  # 12 W x 8 s = 96 J is the least; the fast one takes 150 J
    "slowdown": 0.0,
    "inflicted": 0.0,
    "advantage": soft(log(E_SLOW / E_FAST) - log(2.0)),
    "pressure": 0.0,  # the job's fastest class is `fast`
    "price": 0.0,
    "free": 5 / 8,
    "devices": log2(1 + 3) / 10,
    "next_release": 0.0,
    "regret": soft((5.0 + E_FAST - E_SLOW) / E_SLOW),  # `fast` is free in 5 s
    "drift": log(1.5) / 2,
    "confidence": 1 / 6,
    "seen_speed": log(SEEN_SLOW / E_FAST) / 5,
    "seen_z": soft(Z_SLOW / 4),
    "seen_p": phi(Z_SLOW),
    "seen_else": phi(Z_FAST),
    "seen_price": soft(2 * log(1.5) / 2),
    "due": 0.0,
}
# a HOLD for `fast`: 5 s wait and 5 s run end at 20 s, three too late
SPARE_FAST = DEADLINE - NOW - 5.0 - E_FAST
FAST = {
    "speed": 0.0,
    "wait": soft(5.0 / E_FAST),
    "z": soft(SPARE_FAST / (SIGMA * E_FAST) / 4),
    "p_ontime": phi(SPARE_FAST / (SIGMA * E_FAST)),
    "slack": soft(SPARE_FAST / E_FAST),
    "room": 0.0,
    "startup_share": 1.0 / 5.0,
    "node_share": 1.0,
    "energy": log(150.0 / 96.0) / 6,
    "advantage": 0.0,
    "pressure": soft(E_FAST / (1 * TAU)),
    "free": 0.0,
    "devices": log2(1 + 1) / 10,
    "next_release": soft(5.0 / E_FAST),
    "regret": soft((E_SLOW - 5.0 - E_FAST) / E_FAST),
    "drift": 0.0,
    "confidence": 0.0,
    "seen_speed": 0.0,
    "seen_z": soft(Z_FAST / 4),
    "seen_p": phi(Z_FAST),
    "seen_else": phi(Z_SLOW),
}
JOB_X = {
    "job_slack": soft((DEADLINE - NOW - E_FAST) / E_FAST),
    "job_age": soft((NOW - ARRIVAL) / (4 * E_FAST)),
    "job_lateness": 0.0,
    "job_late": 0.0,
    "job_size": soft(log(E_FAST / TAU)),
    "job_sigma": SIGMA,
    "job_in_time": 0.0,
    "job_reach": 1.0,
    "job_attempts": 0.25,
    "job_priority": soft(0.5),
    "job_chance": max(phi(Z_FAST), phi(Z_SLOW)),
}
SHARED = {
    "backlog": soft(E_FAST / (2.0 * TAU * TAU)),
    "backlog_feasible": 0.0,
    "backlog_late": 0.0,
    "held": 0.0,
    "busy": (1 + 0.5 + 0 + 0) / 4,
    "rho_short": soft(3.0 / (2.0 * TAU)),
    "rho_long": soft(2.0 / (2.0 * TAU)),
    "rho_trend": (1 - exp(-21 / 20)) * log(3.0 / 2.0) / 2,
    "gap_cv": soft(sqrt(5.0 - 4.0) / 2.0),
    "slack_low": soft((DEADLINE - NOW - E_FAST) / E_FAST),
    "slack_mid": soft((DEADLINE - NOW - E_FAST) / E_FAST),
    "slack_high": soft((DEADLINE - NOW - E_FAST) / E_FAST),
    "energy_weight": 0.3,
    "idle_time": soft((NOW - ARRIVAL) / TAU),
}
PICKS = {
    "least_allocated": "slow",
    "fcfs": "slow",
    "edf": "slow",
    "llf": "slow",
    "sjf_feasible": "slow",  # hopeless: the fastest with room
    "affinity": "slow",
    "slo_mael_greedy": "slow",
    "synergai": "slow",
    "edf_feasible": "slow",
    "edf_likely": "slow",
}


@pytest.mark.parametrize("name", SLOW)
def test_feature_of_a_start(name: str) -> None:
    assert row_of(moment(), "slow")[name] == pytest.approx(SLOW[name], abs=1e-6)


@pytest.mark.parametrize("name", FAST)
def test_feature_of_a_hold(name: str) -> None:
    assert row_of(moment(), "fast")[name] == pytest.approx(FAST[name], abs=1e-6)


@pytest.mark.parametrize("name", JOB_X)
def test_feature_of_the_job(name: str) -> None:
    for hardware in ("fast", "slow"):
        assert row_of(moment(), hardware)[name] == pytest.approx(JOB_X[name], abs=1e-6)


@pytest.mark.parametrize("name", SHARED)
def test_shared_feature(name: str) -> None:
    assert shared_of(moment())[name] == pytest.approx(SHARED[name], abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_bit_of_a_rule_is_on_its_pick(rule: str) -> None:
    scene = moment()
    if rule == "edf_likely":
        scene.state.queue[0]["deadline_us"] = 40_000_000  # else it would leave the job alone
    assert row_of(scene, PICKS[rule])[f"pick_{rule}"] == 1.0


def test_tables_cover_every_feature() -> None:
    names = [f.name for f in CANDIDATE[: N_CANDIDATE - len(RULES)]]
    assert list(SLOW) == names
    assert list(JOB_X) == [f.name for f in JOB]
    assert list(SHARED) == [f.name for f in GLOBAL]


LATE = {"job_lateness": soft(3.0 / E_FAST), "job_late": 1.0, "job_slack": soft((17 - 20 - E_FAST) / E_FAST)}


@pytest.mark.parametrize("name", LATE)
def test_feature_of_a_late_job(name: str) -> None:
    scene = moment()
    scene.state.clock["now_us"] = 20_000_000
    assert row_of(scene, "slow")[name] == pytest.approx(LATE[name], abs=1e-6)


def test_share_of_classes_in_time_counts_busy_ones() -> None:
    scene = moment()
    scene.state.queue["deadline_us"] = 20_500_000  # 20 s by waiting for `fast`, 18 s on `slow`
    assert row_of(scene, "slow")["job_in_time"] == 1.0


def test_held_and_late_backlog_are_shares_of_the_queue() -> None:
    scene = moment().wait("late", "m", 9.0, 1.0, samples=4)
    scene.state.queue[0]["hold_option"] = scene.option("m", "fast")
    shared = shared_of(scene)
    assert shared["held"] == pytest.approx(0.5)
    assert shared["backlog_late"] == pytest.approx(soft(E_FAST / (2.0 * TAU * TAU)))
    assert shared["backlog"] == pytest.approx(soft(2 * E_FAST / (2.0 * TAU * TAU)))


def test_a_due_job_is_marked() -> None:
    scene = moment().owe("slow", 100.0)
    scene.state.clock["now_us"] = 20_000_000
    assert row_of(scene, "slow")["due"] == 1.0


def test_transfer_of_the_input_is_told_apart_from_start_up() -> None:
    scene = moment()
    scene.state.links["fixed_us"] = 2e6  # its only site is 2 s away from itself
    row = row_of(scene, "slow")
    assert row["transfer_share"] == pytest.approx(2.0 / (E_SLOW + 2.0))
    assert row["startup_share"] == 0.0


def test_slow_down_is_what_the_tenants_there_cause() -> None:
    scene = moment()
    scene.state.clock["slowdown"] = 0.4
    # one of the two units of `slow` is taken on the node that the pair would take
    assert row_of(scene, "slow")["slowdown"] == pytest.approx(0.4 * 0.5)


def test_lateness_inflicted_is_the_rise_of_what_a_tenant_risks() -> None:
    scene = moment()
    scene.state.clock["slowdown"] = 0.4
    (slot,) = np.flatnonzero(
        (scene.state.running["used"] == 1) & (scene.state.running["option"] == scene.option("m", "slow"))
    )
    tenant = scene.state.running[slot]
    tenant["deadline_us"] = tenant["finish_us"] + 1_000_000
    left, run = (tenant["finish_us"] * 1e-6 - NOW), tenant["run_us"] * 1e-6
    more = left * 0.4 * 0.5  # it had no neighbour, and then has one with half of the units
    rise = phi(1.0 / (SIGMA * run)) - phi((1.0 - more) / (SIGMA * (run + more)))
    assert rise > 0.01
    assert row_of(scene, "slow")["inflicted"] == pytest.approx(soft(rise), rel=1e-5)


def test_a_job_with_one_class_has_no_chance_elsewhere() -> None:
    scene = moment()
    scene.state.queue["classes"] = 1 << scene.catalog.class_index["slow"]
    row = row_of(scene, "slow")
    assert row["seen_else"] == 0.0
    assert row["job_chance"] == pytest.approx(row["seen_p"])
    assert row["seen_speed"] == 0.0


def test_the_more_runs_are_seen_the_more_they_count() -> None:
    scene = moment()
    scene.state.clock["now_us"] = 1_000_000  # time enough for 8 s, and for 12
    once = row_of(scene, "slow")["seen_p"]
    for _ in range(20):
        observe(scene.state, scene.option("m", "slow"), 8_000_000, 20_000_000)
    assert once > 0.9 > 0.1 > row_of(scene, "slow")["seen_p"]


@pytest.mark.parametrize("name", ["transfer_share", "slowdown", "inflicted"])
def test_in_a_world_without_distances_and_slow_down_it_is_neutral(name: str) -> None:
    declared = next(f for f in CANDIDATE if f.name == name)
    assert row_of(moment(), "slow")[name] == declared.neutral


def test_nothing_seen_yet_gives_the_neutral_gaps() -> None:
    scene = Scene(TABLE, MACHINES).wait("x", "m", 9.0).run("m", "slow", "s-0")
    neutral = {f.name: f.neutral for f in GLOBAL}
    shared = shared_of(scene)
    for name in ("gap_cv", "rho_short", "rho_long", "rho_trend", "idle_time"):
        assert shared[name] == neutral[name], name


@pytest.mark.parametrize("feature", CANDIDATE + JOB + GLOBAL, ids=lambda f: f.name)
def test_declared_range_holds_the_neutral_value(feature: features.Feature) -> None:
    assert feature.low <= feature.neutral <= feature.high


def test_names_are_unique() -> None:
    names = [f.name for f in CANDIDATE + JOB + GLOBAL]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", ["CANDIDATE", "JOB", "GLOBAL"])
def test_schema_hash_changes_with_a_row(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_hash()
    first, *rest = getattr(features, table)
    monkeypatch.setattr(features, table, (first._replace(formula="another"), *rest))
    assert schema_hash() != before


def test_schema_hash_changes_with_the_order_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_hash()
    first, second, *rest = JOB
    monkeypatch.setattr(features, "JOB", (second, first, *rest))
    assert schema_hash() != before


@pytest.mark.parametrize("k", range(7))
def test_selection_finds_the_kth_smallest(k: int) -> None:
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    assert features.smallest(values.copy(), 0, 7, k) == np.sort(values)[k]
