"""`edf_likely`: what it takes for likely, whom it lets wait, and where it puts whom; and a second, plain form of it."""

from math import exp, log, sqrt

import numpy as np
import pytest
from scenes import Pick, Scene
from worlds import fresh, toy_profile, toy_table

from synergai.envs import scenario as scenarios
from synergai.envs.candidates import empty_candidates
from synergai.envs.likely import DEAR, DOUBT, HURRY, IDLE_LOAD, LIKELY, SURE
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, observe
from synergai.envs.tape import make_tape, setting_of

# seconds:  fast 1, slow 3
TABLE = toy_table(toy_profile("m", "gpu-fast", 1.0), toy_profile("m", "gpu-slow", 3.0))
MACHINES = [{"name": "fast", "hardware": {"gpu-fast": 1}}, {"name": "slow", "hardware": {"gpu-slow": 1}}]
ON_FAST, ON_SLOW = (Pick("START", "x", f"{name}-0", f"gpu-{name}") for name in ("fast", "slow"))


def scene(fast_price: float = 0.0, load: float = 0.0) -> Scene:
    """`gpu-fast` costs others so much more than `gpu-slow`, in logs; a cluster under this load."""
    made = Scene(TABLE, MACHINES)
    made.state.options[made.option("m", "gpu-fast")]["price"] = fast_price
    clock = made.state.clock[0]
    clock["work_long"] = load * clock["capacity_sps"] * clock["tau_us"] * 1e-6
    return made


def times_as_long(made: Scene, hardware: str, times: float, runs: int = 20) -> Scene:
    """So many runs on this hardware took so many times what was predicted."""
    for _ in range(runs):
        observe(made.state, made.option("m", hardware), 1_000_000, int(times * 1_000_000))
    return made


def test_an_idle_cluster_takes_the_fastest_whatever_it_costs() -> None:
    assert scene(fast_price=0.3, load=0.5 * IDLE_LOAD).wait("x", "m", 60).pick("edf_likely") == ON_FAST


def test_a_loaded_one_takes_the_cheapest_that_is_sure() -> None:
    assert scene(fast_price=0.3, load=0.8).wait("x", "m", 60).pick("edf_likely") == ON_SLOW


def test_a_tight_job_gets_the_dearer_place_where_it_is_likely() -> None:
    assert scene(fast_price=0.3, load=0.8).wait("x", "m", 3.1).pick("edf_likely") == ON_FAST


def test_runs_that_took_longer_than_predicted_count() -> None:
    made = scene().run("m", "gpu-fast", "fast-0").wait("x", "m", 4.5)
    assert made.pick("edf_likely") == ON_SLOW
    assert times_as_long(made, "gpu-slow", 1.6).pick("edf_likely") is None
    assert made.pick("edf_feasible") == ON_SLOW


def test_a_job_that_is_unlikely_waits_while_it_is_not_hopeless() -> None:
    made = times_as_long(scene(), "gpu-fast", 2.0).run("m", "gpu-slow", "slow-0").wait("x", "m", 1.5)
    assert made.pick("edf_likely") is None
    made.state.clock["now_us"] = 600_000
    assert made.pick("edf_likely") == ON_FAST


def test_hopeless_jobs_stand_behind_all_others() -> None:
    made = scene().run("m", "gpu-slow", "slow-0").wait("lost", "m", 0.5, arrival_s=-9).wait("x", "m", 60)
    assert made.pick("edf_likely") == ON_FAST


def test_a_job_waits_for_a_cheaper_place_until_it_has_to_hurry() -> None:
    made = scene(fast_price=2 * DEAR, load=0.8).run("m", "gpu-slow", "slow-0").wait("x", "m", HURRY + 1)
    assert made.pick("edf_likely") is None
    made.state.clock["now_us"] = 1_500_000
    assert made.pick("edf_likely") == ON_FAST


def plain(state: np.ndarray, survey: object) -> int:
    """The rule once more, of the same survey, in so many words."""
    clock = state.clock[0]
    now = clock["now_us"]
    servers = max(clock["capacity_sps"] * clock["tau_us"] * 1e-6, 1e-3)
    priced = clock["work_long"] >= IDLE_LOAD * servers
    best: tuple[tuple[float, ...], int] | None = None
    for j in range(clock["n_queued"]):
        job, queued = survey.jobs[j], state.queue[j]
        left = queued["deadline_us"] - now
        hopeless = bool(queued["best_us"] > left)
        costs = {}
        for p in range(job["first_pair"], job["first_pair"] + job["n_pairs"]):
            pair = survey.pairs[p]
            option, seen = state.options[pair["option"]], state.history[pair["option"]]
            if not pair["start"] or not option["dictionary"]:
                continue
            known = seen["log_ratio"] * seen["count"] / (seen["count"] + 1)
            run = pair["e_us"] * exp(known)
            profile_sd = sqrt(max(option["sigma"] ** 2 - 0.06**2, 0) / (1 + seen["count"]))
            z = (left - run) / run / sqrt(profile_sd**2 + min(option["sigma"], 0.06) ** 2)
            price = option["price"] + known
            dear = priced and price > DEAR and left >= HURRY * queued["best_us"]
            if hopeless:
                costs[p] = float(pair["e_us"])
            elif z >= LIKELY and not dear:
                costs[p] = (price if priced else log(run)) + DOUBT * max(SURE - z, 0)
        if costs:
            order = (
                -queued["priority"],
                hopeless,
                queued["deadline_us"],
                queued["arrival_us"],
                queued["seq"],
            )
            if best is None or order < best[0]:
                best = order, min(costs, key=lambda p: costs[p])
    return NONE if best is None else best[1]


@pytest.mark.parametrize(("name", "load"), [("demo", 0.9), ("edge", 0.2), ("cameras", 1.1), ("rough", 0.6)])
def test_it_is_what_its_plain_form_says(name: str, load: float) -> None:
    setting = setting_of(scenarios.load(name).model_copy(update={"load": load}))
    sim, scratch = fresh(setting, make_tape(setting, 5, 250))
    out, kinds = empty_candidates(), set()
    while advance(sim, scratch, out, NONE):
        action = int(out.picks[RULE_NUMBER["edf_likely"]])
        expected = plain(sim.state, scratch.survey)
        found = NONE if action == len(out.pair) else int(out.pair[action])
        if out.mask[len(out.pair)]:
            assert found == expected
            kinds.add(expected == NONE)
        apply_action(sim, scratch, out, action)
    assert kinds == {True, False}
