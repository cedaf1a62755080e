"""What moves would cost more than the rule's, tried in sampled futures: the teacher of the stage `improve`."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synergai.envs.batch import copy_of, rows_of, scratch_at, shown_at, sim_at
from synergai.envs.candidates import N_ACTIONS
from synergai.envs.compile import kernel
from synergai.envs.planner import Search, costs_of_moves, plan_for
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.tape import Setting
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate
from synergai.training.evaluation.tapes import SELECTION
from synergai.training.vec_env import BatchVecEnv

BEST = "best"
"""Instead of a rule's name: the best one for each setting."""

CHOICES = ("edf_likely", "edf_feasible", "affinity", "synergai")
"""Rules that it may be: one of them has the fewest violations wherever some rule is clearly the best."""
CHOICE_TAPES = SELECTION[50_000:50_002]
CHOICE_ARRIVALS = 2000
"""As many as are judged later: in overload, queues grow for long, and the best rule is another one then."""

CROWDED_TAUS = 4.0
"""Where more waits than the whole cluster does in this time, what counts lies beyond the horizon: only the rule's move
is known there."""


def best_rule(setting: Setting) -> str:
    """Of `CHOICES` the rule with the fewest violations on a few selection tapes."""

    def rate(rule: str) -> float:
        rows = evaluate(setting, [RuleRunner(rule)], CHOICE_TAPES, CHOICE_ARRIVALS)
        return float(column(rows, rule, "violation_rate").mean())

    return min(CHOICES, key=rate)


def rules_of(env: BatchVecEnv, rule: str) -> list[str]:
    """The rule that each cluster is judged by: this one, or with `best` the best one for its setting."""
    if rule != BEST:
        return [rule] * env.num_envs
    chosen = {id(setting): best_rule(setting) for setting in {id(s): s for s in env.settings}.values()}
    return [chosen[id(setting)] for setting in env.settings]


class Labels:
    """What moves cost more than the rule's, for the states that a batch of clusters is in.

    `rules` names, for each of the batch's clusters, the rule that it is judged by. Results do not depend on the number
    of threads.
    """

    def __init__(
        self, env: BatchVecEnv, rules: Sequence[str], futures: int, horizon_taus: float, threads: int = 1
    ) -> None:
        self.env = env
        self.rules = np.array([RULE_NUMBER[rule] for rule in rules])
        """By cluster, as numbers."""
        self._search = Search(horizon_taus, 0.0, 0.0, CROWDED_TAUS)
        self._turn = 0
        cuts = np.linspace(0, env.num_envs, threads + 1).astype(int)
        self._parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(cuts)]
        state = copy_of(env.batch.sims.state, 0)
        self._plans = [plan_for(state, futures) for _ in self._parts]
        self._pool = ThreadPoolExecutor(threads)

    def costs(self) -> np.ndarray:
        """(environments, 129): violations and lateness ahead, less the rule's; inf where a move was not tried."""
        costs = np.full((self.env.num_envs, N_ACTIONS), np.inf)
        self._turn += 1
        for done in [
            self._pool.submit(self._fill, costs[part], part, plan)
            for part, plan in zip(self._parts, self._plans)
        ]:
            done.result()
        return costs

    def _fill(self, costs, part, plan) -> None:  # type: ignore[no-untyped-def] - arrays of arrays
        batch = self.env.batch
        fill(
            rows_of(batch.sims, part),
            rows_of(batch.scratches, part),
            rows_of(batch.shown, part),
            batch.alive[part],
            self.rules[part],
            plan,
            self._search,
            self._turn + part.start,  # which other STARTs are tried: not the same ones every time
            costs,
        )


@kernel
def fill(sims, scratches, shown, alive, rules, plan, search, first, costs):
    """For every living cluster in which the rule's move is legal; `first` shifts which other STARTs are tried."""
    for b in range(len(alive)):
        out = shown_at(shown, b)
        base = out.picks[rules[b]]
        if alive[b] and out.mask[base]:
            sim, scratch = sim_at(sims, b), scratch_at(scratches, b)
            offset = (first + b) % max(out.n[0], 1)
            costs_of_moves(sim.state, scratch.survey, plan, out, base, offset, search, costs[b])
