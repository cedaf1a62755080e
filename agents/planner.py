"""The planner as a scheduler: a rule, left where sampled futures agree that another move is better."""

from dataclasses import dataclass

import numpy as np

from synergai.agents.heuristics import as_decision
from synergai.envs.candidates import N_RULES, Candidates, Scratch, empty_candidates
from synergai.envs.planner import Plan, choose, plan_for, run_planner
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.state import NONE, ClusterState
from synergai.envs.survey import Survey, forget, survey_for, take_survey
from synergai.envs.switches import is_rule, rule_number
from synergai.envs.types import Decision
from synergai.envs.world import Sim

NAME = "rollout"
FORM = "rollout[:FUTURES[:BASE]]"
BASE = "synergai:hold=off:order=edf"
"""The strongest of the rules, and closest to what a rollout goes on under."""


@dataclass(frozen=True)
class Terms:
    """What a planner is asked to do."""

    futures: int = 32
    base: str = BASE
    horizon_taus: float = 2.0
    z: float = 1.5
    """Standard errors that a gain over the base must exceed."""


def is_planner(name: str) -> bool:
    return name.split(":")[0] == NAME


def terms_of(name: str) -> Terms:
    """Of a name like `rollout:8` or `rollout:8:edf`; ValueError says what is wrong with it."""
    words = name.split(":", 2)[1:]
    if not is_planner(name):
        raise ValueError(f"no scheduler {name!r}; a planner is called {FORM}")
    terms = Terms()
    if words:
        if not words[0].isdigit() or not 2 <= int(words[0]) <= 1024:
            raise ValueError(
                f"scheduler {name!r}: FUTURES is {words[0]!r}, not a whole number from 2 to 1024"
            )
        terms = Terms(int(words[0]))
    if len(words) == 2:
        if not is_rule(words[1]):
            raise ValueError(f"scheduler {name!r}: BASE is {words[1]!r}; there are {', '.join(RULE_NUMBER)}")
        rule_number(words[1])
        terms = Terms(terms.futures, words[1])
    return terms


class Planner:
    """One-step lookahead in sampled futures, with a rule as continuation."""

    def __init__(self, name: str = NAME, terms: Terms | None = None, release_s: float = 0.0) -> None:
        self.name = name
        self.terms = terms or terms_of(name)
        self.release_s = release_s
        """Of the cluster: until the end of a run is seen."""
        self.rule = rule_number(self.terms.base)
        self.extra_rule = self.rule if self.rule >= N_RULES else NONE
        self._plan: Plan | None = None
        self._survey: Survey | None = None
        self._sizes: tuple[int, ...] = ()

    def decide(
        self, state: ClusterState, candidates: Candidates, extra: np.ndarray | None = None
    ) -> Decision:
        """The base's action or a better one; `extra` are more actions to try, a network's say."""
        base = int(candidates.picks[min(self.rule, N_RULES)])
        tried = np.zeros(0, np.int64) if extra is None else np.asarray(extra, np.int64)
        terms, release_us = self.terms, 1e6 * self.release_s
        plan, survey = self._room(state)
        take_survey(state, survey)
        action = choose(state, survey, plan, candidates, base, tried, terms.horizon_taus, release_us, terms.z)
        why = terms.base if action == base else f"better than {terms.base} in {terms.futures} futures"
        return as_decision(int(action), candidates, "rule", f"{self.name}: {why}")

    def run(self, sim: Sim, scratch: Scratch) -> None:
        """A whole tape of the simulator in one compiled call."""
        extra = np.zeros(0, np.int64)
        plan = plan_for(sim.state, self.terms.futures)
        terms = self.terms
        run_planner(
            sim,
            scratch,
            plan,
            empty_candidates(),
            self.rule,
            self.extra_rule,
            extra,
            terms.horizon_taus,
            terms.z,
        )

    def _room(self, state: ClusterState) -> tuple[Plan, Survey]:
        """Working memory for a state of this size, kept from call to call."""
        sizes = tuple(len(array) for array in state)
        if self._plan is None or self._survey is None or sizes != self._sizes:
            self._plan, self._survey = plan_for(state, self.terms.futures), survey_for(state)
            self._sizes = sizes
        self._plan.futures.moment[:] = NONE  # another cluster may stand at the same instant
        forget(self._survey)
        return self._plan, self._survey
