"""Costs of moves, worked out on copies of the simulator: the teacher of the stage `improve`."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synergai.envs.batch import rows_of
from synergai.envs.lookahead import Look, costs_all, empty_costs, spare
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


class Branches:
    """What every move that is tried would cost, for the states that a batch of clusters is in.

    `rules` names, for each of the batch's clusters, the rule that it is judged by. Results do not depend on the number
    of threads.
    """

    def __init__(self, env: BatchVecEnv, rules: Sequence[str], terms: Look, threads: int = 1) -> None:
        self.env = env
        self.terms = terms
        self.rules = np.array([RULE_NUMBER[rule] for rule in rules])
        """By cluster, as numbers."""
        self._turn = 0
        cuts = np.linspace(0, env.num_envs, threads + 1).astype(int)
        self._parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(cuts)]
        self._spares = [spare(env.batch) for _ in self._parts]
        self._pool = ThreadPoolExecutor(threads)

    def costs(self) -> np.ndarray:
        """(environments, 129): violations and lateness ahead, inf where a move was not tried."""
        costs = empty_costs(self.env.num_envs)
        self._turn += 1
        for done in [
            self._pool.submit(self._fill, costs[part], part, room)
            for part, room in zip(self._parts, self._spares)
        ]:
            done.result()
        return costs

    def _fill(self, costs, part, room) -> None:  # type: ignore[no-untyped-def] - arrays of arrays
        batch = self.env.batch
        first = self._turn + part.start  # which other STARTs are tried: not the same ones every time
        costs_all(
            rows_of(batch.sims, part),
            rows_of(batch.scratches, part),
            rows_of(batch.shown, part),
            batch.alive[part],
            room,
            self.terms,
            first,
            costs,
        )
