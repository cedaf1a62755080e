"""Why a decision is what it is: the actions that were open, how likely the network found them, what the rule would have
done, and which hardware could not be had. Read from what the decision left in memory; nothing is decided again."""

import numpy as np

from synergai.agents.explanation import Choice, Explanation
from synergai.agents.guard import Guarded
from synergai.agents.heuristics import Rule
from synergai.agents.learned import Learned, choose
from synergai.agents.planner import Planner
from synergai.agents.scheduler import Scheduler
from synergai.envs.candidates import DONE, N_RULES
from synergai.envs.cluster import Cluster
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.state import NONE
from synergai.envs.types import Decision, Job

MOST = 3
"""Choices that an explanation lists."""
CAUSES = ("no room now", "ageing share", "not asked for", "not admitted")
"""Why the job could not start in any configuration on a hardware class."""


class Explainer:
    """Explains the decisions of one cluster's rounds; each right after it was yielded."""

    def __init__(self, cluster: Cluster, scheduler: Scheduler) -> None:
        self._cluster = cluster
        self._name = getattr(scheduler, "name", "")
        primary = scheduler.primary if isinstance(scheduler, Guarded) else scheduler
        self._plans = isinstance(primary, Planner)
        policy = primary.policy if isinstance(primary, Planner) else primary
        self._policy = policy if isinstance(policy, Learned) else None
        fallback = scheduler.fallback if isinstance(scheduler, Guarded) else None
        self._rule = FALLBACK
        if isinstance(fallback, Rule) and fallback.number < N_RULES:
            self._rule = fallback.name

    def __call__(self, decision: Decision, job: Job) -> Explanation:
        """Of a START or HOLD that the cluster has just applied."""
        taken, cluster = decision.candidate, self._cluster
        waits = cluster.state.queue["hold_option"][: cluster.queued()]
        return Explanation(
            by=self._by(decision),
            scheduler=self._name,
            reason=decision.reason,
            deadline_us=job.deadline_us,
            choices=self._choices(decision, taken),
            rule=self._rule,
            rule_choice=self._choice(int(cluster.out.picks[RULE_NUMBER[self._rule]]), taken),
            closed=self._closed(taken, job),
            held=int(np.count_nonzero(waits != NONE)) - (decision.until_us >= 0),
        )

    def _by(self, decision: Decision) -> str:
        if decision.decided_by == "fallback":
            return "guard"
        if decision.decided_by == "forced":
            return "forced"
        if self._plans and not (
            self._policy and decision.decided_by == "rule"
        ):  # then the rule stood in for it
            return "planner"
        return "net" if decision.decided_by == "policy" else "rule"

    def _chances(self, decision: Decision) -> np.ndarray | None:  # (129,)
        """The network's probabilities, where it was asked and answered."""
        if self._policy is None or decision.decided_by not in ("policy", "fallback"):
            return None
        if decision.decided_by == "fallback" and decision.reason.startswith(("error", "replay")):
            return None
        if self._plans:  # it crosses out what it has tried
            choose(self._policy.checkpoint.weights, self._policy.work, self._cluster.out)
        logits = self._policy.work.logits.astype(np.float64)
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    def _choices(self, decision: Decision, taken: int) -> tuple[Choice, ...]:
        out, chances = self._cluster.out, self._chances(decision)
        if chances is None:
            own = np.flatnonzero(out.mask[:DONE] & (out.job == out.job[taken]) & (np.arange(DONE) < out.n[0]))
            finish = self._latency_us(own)
            rows = [taken] + [i for i in own[np.argsort(finish, kind="stable")].tolist() if i != taken]
            return tuple(self._choice(i, taken) for i in rows[:MOST])
        best = np.argsort(-chances, kind="stable")[:MOST].tolist()
        rows = [i for i in best if chances[i] > 0.0 and out.mask[i]]
        if taken not in rows:
            rows = [*rows[: MOST - 1], taken]
        return tuple(self._choice(i, taken, float(chances[i])) for i in rows)

    def _latency_us(self, rows: np.ndarray) -> np.ndarray:
        pairs = self._cluster.scratch.survey.pairs[self._cluster.out.pair[rows]]
        return pairs["wait_us"] + pairs["e_us"]

    def _choice(self, i: int, taken: int, chance: float | None = None) -> Choice:
        if i == DONE:
            return Choice("wait", chance=chance)
        cluster = self._cluster
        pair = cluster.scratch.survey.pairs[cluster.out.pair[i]]
        profile = cluster.catalog.profiles[pair["option"]]
        now_us = int(cluster.state.clock[0]["now_us"])
        return Choice(
            "start" if pair["start"] == 1 else "hold",
            bool(cluster.out.job[i] == cluster.out.job[taken]),
            profile.hardware,
            profile.configuration,
            now_us + int(pair["wait_us"] + pair["e_us"]),
            chance,
            i == taken,
        )

    def _closed(self, taken: int, job: Job) -> tuple[tuple[str, tuple[str, ...]], ...]:
        cluster = self._cluster
        state, out, survey = cluster.state, cluster.out, cluster.scratch.survey
        first, count = survey.jobs[["first_pair", "n_pairs"]][out.job[taken]].tolist()
        pairs, klass = survey.pairs[first : first + count], state.options["klass"]
        model = state.models[state.options["model"][out.option[taken]]]
        serves = klass[model["first_option"] : model["first_option"] + model["n_options"]]
        known = klass[pairs["option"]]

        def classes(which: np.ndarray) -> set[int]:
            return set(known[which].tolist())

        starts, with_room, there = (
            classes(pairs["start"] == 1),
            classes(pairs["room"] == 1),
            set(known.tolist()),
        )
        found: dict[str, list[str]] = {cause: [] for cause in CAUSES}
        for h in sorted(set(serves.tolist()) - starts):
            name = cluster.catalog.classes[h]
            if h in with_room:
                cause = "ageing share"
            elif h in there:
                cause = "no room now"
            else:
                asked = job.hardware is None or name in job.hardware
                cause = "not admitted" if asked else "not asked for"
            found[cause].append(name)
        return tuple((cause, tuple(names)) for cause, names in found.items() if names)
