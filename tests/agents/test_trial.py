"""The guard's trial: no policy, however bad, is worse than the fallback behind it; a certified one is left alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from synergai.agents.guard import Guarded
from synergai.agents.heuristics import Rule, as_decision
from synergai.agents.learned import Learned, read
from synergai.agents.scheduler import Scheduler
from synergai.agents.trial import LOAD, SLACK, Certificate, Trial, certificate_of
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import DONE, Candidates, empty_candidates, scratch_for
from synergai.envs.features import ENERGY_WEIGHT, N_GLOBAL, N_ROW
from synergai.envs.metrics import measure
from synergai.envs.rules import FALLBACK
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, ClusterState
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.types import Action, Decision
from synergai.envs.world import new_sim

ARRIVALS = 250
TAPES = 48
"""Where policies are compared: with three a run of luck decides."""
ANYTHING = {"low": [-2.0] * (N_ROW + N_GLOBAL), "high": [2.0] * (N_ROW + N_GLOBAL)}
PATIENT = 0.0
"""No budget: the same choices on every machine."""


def setting_at(error: float, load: float = 0.8) -> Setting:
    demo = scenarios.load("demo")
    noise = demo.noise.model_copy(update={"profile_error": error})
    return setting_of(demo.model_copy(update={"noise": noise, "load": load}))


def violations(setting: Setting, scheduler: Scheduler, tapes: int) -> float:
    """In %, mean over tapes."""
    rates = []
    for seed in range(tapes):
        sim = new_sim(setting, make_tape(setting, seed, ARRIVALS))
        scratch, out = scratch_for(sim.state), empty_candidates()
        while advance(sim, scratch, out, NONE):
            decision = scheduler.decide(sim.state, out)
            apply_action(sim, scratch, out, DONE if decision.action == Action.DONE else decision.candidate)
        rates.append(measure(setting, sim).violation_rate)
    return 100.0 * float(np.mean(rates))


@cache
def alone(error: float) -> float:
    """Of the fallback."""
    return violations(setting_at(error), Rule(FALLBACK), TAPES)


class Fool:
    """Chooses as it is told to, among what is legal."""

    name = "fool"

    def __init__(self, choose: Callable[[Candidates, np.ndarray], int]) -> None:
        self.choose = choose

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        legal = np.flatnonzero(candidates.mask)
        return as_decision(int(self.choose(candidates, legal)), candidates, "policy", self.name)


def random_weights() -> Learned:
    """The released network's shape, and nothing that it has learned."""
    checkpoint, rng = read("demo"), np.random.default_rng(0)
    drawn = {
        name: rng.normal(0.0, 0.5, value.shape).astype(np.float32)
        for name, value in checkpoint.weights._asdict().items()
    }
    return Learned(replace(checkpoint, weights=type(checkpoint.weights)(**drawn)))


def worst_weights() -> Learned:
    """The released network with its scores turned round."""
    checkpoint = read("demo")
    turned = {
        name: -value if name in ("out", "done_out", "offsets", "prior") else value
        for name, value in checkpoint.weights._asdict().items()
    }
    return Learned(replace(checkpoint, weights=type(checkpoint.weights)(**turned)))


def slowest(candidates: Candidates, legal: np.ndarray) -> int:
    starts = [a for a in legal if a != DONE]
    return max(starts, key=lambda a: candidates.rows[a, 0]) if starts else DONE


BAD: dict[str, Callable[[], Scheduler]] = {
    "random weights": random_weights,
    "the worst action of the released weights": worst_weights,
    "nothing is ever started": lambda: Fool(lambda candidates, legal: legal[-1]),
    "the slowest option": lambda: Fool(slowest),
}


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.0, 0.3])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_policy_that_nobody_certified_is_no_worse_than_the_fallback(name: str, error: float) -> None:
    guarded = Guarded(BAD[name](), trial=Trial(Certificate(), PATIENT))
    rule = alone(error)
    assert violations(setting_at(error), guarded, TAPES) <= rule + max(0.2, 0.05 * rule)
    assert guarded.causes["worse in a trial"] > 100


def test_without_a_trial_such_a_policy_would_ruin_the_cluster() -> None:
    setting = setting_at(0.0)
    assert violations(setting, Guarded(Fool(slowest)), 2) > violations(setting, Rule(FALLBACK), 2) + 10.0


def test_a_certified_policy_is_mostly_left_alone() -> None:
    setting, refused = setting_at(0.3), {}
    for high in (0.0, 1.1):
        guarded = Guarded(Learned(read("demo")), trial=Trial(Certificate(high), PATIENT))
        assert violations(setting, guarded, 3) <= violations(setting, Rule(FALLBACK), 3) + 0.6
        refused[high] = sum(guarded.causes.values())
    assert 0 < 5 * refused[1.1] < refused[0.0]


def shown(load: float, energy_weight: float = 0.0) -> Candidates:
    out = empty_candidates()
    out.shared[LOAD] = load / (1.0 + load)
    out.shared[ENERGY_WEIGHT] = energy_weight
    return out


def test_a_certificate_holds_up_to_its_load_and_a_little_beyond() -> None:
    certificate = Certificate(0.9)
    assert certificate.holds(shown(0.3))
    assert certificate.holds(shown(0.99 * SLACK * 0.9))
    assert not certificate.holds(shown(1.01 * SLACK * 0.9))


def test_it_does_not_hold_where_energy_weighs() -> None:
    assert not Certificate(0.9).holds(shown(0.5, 0.1))


def test_nobody_is_certified_at_no_load() -> None:
    assert not Certificate().holds(shown(0.0))


def test_it_is_of_the_card_and_of_the_way_of_playing() -> None:
    card = {"certified": {"net": {"loads": [0.5, 1.1]}, "net+plan": {"loads": []}}, "ranges": ANYTHING}
    assert certificate_of(card, "net").high == 1.1
    assert certificate_of(card, "net+plan") == Certificate()
    assert certificate_of(card, "reference") == Certificate()
    assert certificate_of({}, "net") == Certificate()


def decisions(trial: Trial, count: int) -> list[str | None]:
    """What the trial says of so many of a bad policy's moves, one after another."""
    setting = setting_at(0.0)
    sim = new_sim(setting, make_tape(setting, 0, ARRIVALS))
    scratch, out, said = scratch_for(sim.state), empty_candidates(), []
    fool, rule = Fool(slowest), Rule(FALLBACK)
    while len(said) < count and advance(sim, scratch, out, NONE):
        safe, decision = rule.decide(sim.state, out), fool.decide(sim.state, out)
        if decision.candidate != safe.candidate:
            said.append(trial.refuses(sim.state, out, decision, safe))
        apply_action(sim, scratch, out, DONE if safe.action == Action.DONE else safe.candidate)
    return said


def test_a_trial_that_its_budget_did_not_hold_is_not_held_again_for_fifty_times_what_it_took() -> None:
    looks = 0

    def clock_s() -> float:  # each look is a second after the one before
        nonlocal looks
        looks += 1
        return float(looks)

    trial = Trial(Certificate(), budget_us=0.001, clock_s=clock_s)
    assert decisions(trial, 60) == ["unproven"] * 60
    held = looks - 60  # a trial that is held looks twice
    assert held == 3, "the first compiles, the second has none for 50 s behind it, the third none to the end"
