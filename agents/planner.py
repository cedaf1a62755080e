"""The planner as a scheduler: a rule or a trained policy, left where sampled futures agree on a better move."""

from dataclasses import dataclass

import numpy as np

from synergai.agents.heuristics import as_decision
from synergai.agents.learned import CheckpointError, Learned, best_actions, read
from synergai.envs.candidates import N_RULES, Candidates, Scratch, empty_candidates
from synergai.envs.compile import kernel
from synergai.envs.planner import LEAST, Plan, Search, choose, plan_for, run_planner
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, ClusterState
from synergai.envs.survey import Survey, forget, survey_for, take_survey
from synergai.envs.switches import is_rule, rule_number
from synergai.envs.types import Decision
from synergai.envs.world import Sim

NAME = "rollout"
FORM = "rollout[:FUTURES[:BASE]]"
GUIDES = 4
"""Moves that a trained policy as base proposes: its own and those it likes next."""
NO_GUIDES = np.zeros(0, np.int64)
BASE = "edf_likely"
"""The strongest of the rules, and closest to what a rollout goes on under."""


@dataclass(frozen=True)
class Terms:
    """What a planner is asked to do."""

    futures: int = 32
    base: str = BASE
    horizon_taus: float = 2.0
    z: float = 1.5
    backlog_taus: float = 4.0
    """Twice the horizon. It and the next: see `envs.planner.Search`."""
    budget_us: float = 0.0


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
        terms = Terms(terms.futures, words[1])
    return terms


def base_checkpoint(name: str) -> str | None:
    """The checkpoint that a scheduler of this name is a planner on; None if it is another scheduler."""
    if not is_planner(name) or is_rule(base := terms_of(name).base):
        return None
    return base


def policy_of(name: str, base: str) -> Learned | None:
    """The trained policy that a planner's base is; None for a rule. ValueError if it is neither."""
    if is_rule(base):
        rule_number(base)
        return None
    try:
        return Learned(read(base))
    except CheckpointError as error:
        raise ValueError(
            f"scheduler {name!r}: BASE is {base!r}; rules are {', '.join(RULE_NUMBER)}; as a checkpoint: {error}"
        ) from None


@kernel
def run_guided(sim, scratch, plan, out, weights, work, guides, search):
    """Run a whole tape under the planner on a trained policy."""
    while advance(sim, scratch, out, NONE):
        best_actions(weights, work, out, guides)
        action = choose(sim.state, scratch.survey, plan, out, guides[0], guides, search)
        apply_action(sim, scratch, out, action)


class Room:
    """Working memory to look at states from Python, kept from call to call while they are of one size."""

    def __init__(self, futures: int) -> None:
        self.futures = futures
        self._plan: Plan | None = None
        self._survey: Survey | None = None
        self._sizes: tuple[int, ...] = ()

    def of(self, state: ClusterState) -> tuple[Plan, Survey]:
        """A plan of which nothing is known yet, and a survey of this state."""
        sizes = tuple(len(array) for array in state)
        if self._plan is None or self._survey is None or sizes != self._sizes:
            self._plan, self._survey = plan_for(state, self.futures), survey_for(state)
            self._sizes = sizes
        self._plan.futures.moment[:] = NONE  # another cluster may stand at the same instant
        forget(self._survey)
        take_survey(state, self._survey)
        return self._plan, self._survey


class Planner:
    """One-step lookahead in sampled futures, which go on under a rule."""

    def __init__(self, name: str = NAME, terms: Terms | None = None, release_s: float = 0.0) -> None:
        self.name = name
        self.terms = terms or terms_of(name)
        self.release_s = release_s
        """Of the cluster: until the end of a run is seen."""
        self.policy = policy_of(name, self.terms.base)
        self.rule = NONE if self.policy else rule_number(self.terms.base)
        self.extra_rule = self.rule if self.rule >= N_RULES else NONE
        self._guides = np.zeros(GUIDES, np.int64)
        self._room = Room(self.terms.futures)

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """The base's action or a better one."""
        if self.policy:
            best_actions(self.policy.checkpoint.weights, self.policy.work, candidates, self._guides)
            base, tried, source = int(self._guides[0]), self._guides, "policy"
        else:
            base, tried, source = int(candidates.picks[min(self.rule, N_RULES)]), NO_GUIDES, "rule"
        plan, survey = self._room.of(state)
        action = choose(state, survey, plan, candidates, base, tried, self.search(1e6 * self.release_s))
        why = self._why(action != base, int(plan.tried[0]))
        return as_decision(int(action), candidates, source, f"{self.name}: {why}")

    def run(self, sim: Sim, scratch: Scratch) -> None:
        """A whole tape of the simulator in one compiled call."""
        plan, out = plan_for(sim.state, self.terms.futures), empty_candidates()
        search = self.search(float(sim.progress[0]["release_us"]))
        if self.policy:
            weights, work = self.policy.checkpoint.weights, self.policy.work
            run_guided(sim, scratch, plan, out, weights, work, self._guides, search)
        else:
            run_planner(sim, scratch, plan, out, self.rule, self.extra_rule, NO_GUIDES, search)

    def _why(self, left: bool, tried: int) -> str:
        """What a person reads of a choice."""
        if left:
            return f"better than {self.terms.base} in {tried} futures"
        if self.terms.budget_us > 0.0 and 0 < tried < min(LEAST, self.terms.futures):
            return f"{self.terms.base}, as there is no time to plan"
        return self.terms.base

    def search(self, release_us: float) -> Search:
        """The terms as compiled code takes them."""
        terms = self.terms
        return Search(terms.horizon_taus, terms.z, release_us, terms.backlog_taus, terms.budget_us)
