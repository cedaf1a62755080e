"""Explanations: what they say of a network, a planner, a guard, a rule, and of hardware that could not be had."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from synergai.agents.explainer import MOST, Explainer
from synergai.agents.explanation import Explanation
from synergai.agents.guard import Guarded
from synergai.agents.heuristics import Rule
from synergai.agents.learned import Learned, read
from synergai.agents.planner import Planner, Terms
from synergai.agents.policies import make_policy
from synergai.agents.scheduler import Scheduler
from synergai.envs import scenario
from synergai.envs.candidates import Candidates
from synergai.envs.cluster import Cluster
from synergai.envs.state import ClusterState
from synergai.envs.types import Action, Decision, Device, Job, Node
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
MODELS = ("resnet50", "bert-99", "retinanet")
S = 1_000_000


class Refusing:
    """A trial that nothing stands."""

    def refuses(self, *_: object) -> str:
        return "worse in a trial"


def refused(policy: Scheduler) -> Guarded:
    return Guarded(policy, trial=Refusing())  # type: ignore[arg-type] - the one method that is called


def demo_jobs(n: int = 12) -> list[Job]:
    return [
        Job(f"team-{i % 2}/secret-{i}", MODELS[i % 3], 2000 * (1 + i), i, deadline_us=(5 + 7 * (i % 4)) * S)
        for i in range(n)
    ]


def explained(scheduler: Scheduler, jobs: list[Job]) -> list[tuple[Decision, Explanation]]:
    """Every decision of some rounds on the nodes of `demo`."""
    cluster = Cluster(TABLE)
    cluster.set_nodes(scenario.load("demo").nodes(TABLE))
    for job in jobs:
        cluster.enqueue(job)
    explain, by_key = Explainer(cluster, scheduler), {job.key: job for job in jobs}
    return [
        (decision, explain(decision, by_key[decision.job]))
        for now_us in range(100, 3 * S, S)
        for decision in cluster.round(now_us, scheduler)
    ]


def network() -> Learned:
    return Learned(read("demo"))


def planner() -> Planner:
    return Planner("demo+plan", Terms(futures=4, base="demo"))


SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "rule": lambda: Rule("sjf_feasible"),
    "net": lambda: Guarded(network()),
    "planner": lambda: Guarded(planner()),
    "guard": lambda: refused(network()),
}


@pytest.mark.parametrize("by", SCHEDULERS)
def test_an_explanation_says_who_decided(by: str) -> None:
    found = explained(SCHEDULERS[by](), demo_jobs())
    assert {said.by for _, said in found} in ({by}, {by, "forced"})


@pytest.mark.parametrize("by", SCHEDULERS)
def test_exactly_one_choice_is_taken_and_it_is_the_decision(by: str) -> None:
    for decision, said in explained(SCHEDULERS[by](), demo_jobs()):
        (taken,) = (choice for choice in said.choices if choice.taken)
        where = (taken.do.upper(), taken.hardware, taken.configuration, taken.finish_us)
        told = (decision.action.name, decision.hardware, decision.configuration, decision.finish_us)
        assert (where, taken.own) == (told, True)


@pytest.mark.parametrize("by", ["net", "planner", "guard"])
def test_a_networks_choices_have_ordered_probabilities_of_at_most_one(by: str) -> None:
    said = [said for _, said in explained(SCHEDULERS[by](), demo_jobs()) if said.by == by]
    assert said
    for explanation in said:
        chances = [choice.chance for choice in explanation.choices if choice.chance is not None]
        assert len(chances) == len(explanation.choices) <= MOST
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) <= 1.0 + 1e-9


def test_the_likeliest_choice_has_the_probability_that_the_network_gives_as_its_reason() -> None:
    of_net = [said for _, said in explained(Guarded(network()), demo_jobs()) if " p=" in said.reason]
    assert of_net
    for said in of_net:
        assert said.reason == f"demo p={said.choices[0].chance:.2f}"


def test_a_planners_probabilities_are_those_of_its_network() -> None:
    (_, first), *_ = explained(Guarded(planner()), demo_jobs())
    (_, alone), *_ = explained(Guarded(network()), demo_jobs())
    assert first.choices[0].chance == pytest.approx(alone.choices[0].chance)


def test_the_guard_names_its_cause_and_the_rule() -> None:
    (_, said), *_ = explained(refused(network()), demo_jobs())
    assert (said.by, said.scheduler, said.reason) == ("guard", "demo", "worse in a trial; edf_likely")
    assert said.rule_choice.taken


def test_a_policy_that_is_not_asked_has_no_probabilities() -> None:
    guarded = Guarded(network())
    guarded.policy_plays = False
    (_, said), *_ = explained(guarded, demo_jobs())
    assert (said.by, {choice.chance for choice in said.choices}) == ("guard", {None})


def test_a_rules_choices_are_its_own_pick_and_then_the_jobs_others_by_finish() -> None:
    for _, said in explained(Rule("fcfs"), demo_jobs()):
        first, *rest = said.choices
        assert first.taken
        assert all(choice.own and choice.chance is None for choice in rest)
        finishes = [choice.finish_us or 0 for choice in rest]
        assert finishes == sorted(finishes)


def test_what_the_rule_would_have_done_is_what_it_does_alone() -> None:
    (_, said), *_ = explained(Guarded(network()), demo_jobs())
    (decision, _), *_ = explained(Rule("edf_likely"), demo_jobs())
    told = (said.rule_choice.do.upper(), said.rule_choice.hardware, said.rule_choice.configuration)
    assert (said.rule, *told) == (
        "edf_likely",
        decision.action.name,
        decision.hardware,
        decision.configuration,
    )


def test_other_peoples_jobs_are_not_named() -> None:
    jobs = demo_jobs()
    for decision, said in explained(Guarded(network()), jobs):
        others = [job.key.split("/")[1] for job in jobs if job.key != decision.job]
        assert not any(f"{name}'" in repr(said) for name in others)


def test_an_explanation_changes_no_decision() -> None:
    cluster = Cluster(TABLE)
    cluster.set_nodes(scenario.load("demo").nodes(TABLE))
    for job in demo_jobs():
        cluster.enqueue(job)
    silent = list(cluster.round(100, Guarded(network())))
    spoken = [decision for decision, _ in explained(Guarded(network()), demo_jobs())]
    assert silent
    assert spoken[: len(silent)] == silent


# what was closed ------------------------------------------------------------------------------------------------------
T4, XEON = "nvidia-t4", "intel-xeon-platinum-8380-2s"


class First:
    """Starts the first candidate of a job, whatever it is."""

    name = "first"

    def __init__(self, key: str, cluster: Cluster) -> None:
        self.key, self.cluster = key, cluster

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        for i in range(candidates.n[0]):
            job = self.cluster._jobs[int(state.queue["job"][candidates.job[i]])]
            if job.key == self.key and candidates.mask[i]:
                return Decision(Action.START, i)
        return Decision(Action.DONE)


def small(*names: str) -> Cluster:
    cluster = Cluster(TABLE)
    devices = {T4: Device(T4, 1), XEON: Device(XEON, 0)}
    cluster.set_nodes(Node(name, (devices[name],), 160_000, 262_144) for name in names)
    return cluster


def closed(cluster: Cluster, job: Job, now_us: int = 10) -> dict[str, tuple[str, ...]]:
    cluster.enqueue(job)
    scheduler = First(job.key, cluster)
    decision = next(iter(cluster.round(now_us, scheduler)))
    return dict(Explainer(cluster, scheduler)(decision, job).closed)


JOB = Job("a", "resnet50", 1000, 0, deadline_us=100 * S)


def test_hardware_that_the_job_rules_out_was_not_asked_for() -> None:
    assert closed(small(T4, XEON), replace(JOB, hardware=frozenset({XEON}))) == {"not asked for": (T4,)}


def test_hardware_whose_nodes_its_constraints_rule_out_was_not_admitted() -> None:
    assert closed(small(T4, XEON), replace(JOB, nodes=frozenset({XEON}))) == {"not admitted": (T4,)}


def test_nothing_is_closed_where_everything_can_start() -> None:
    assert closed(small(T4, XEON), JOB) == {}


def test_a_busy_device_has_no_room_now() -> None:
    cluster = small(T4, XEON)
    cluster.adopt(replace(JOB, key="b"), T4, T4, TABLE.best("resnet50", T4).configuration, 0)
    assert closed(cluster, JOB) == {"no room now": (T4,)}


def test_a_device_that_a_late_job_is_due_on_is_closed_by_the_ageing_share() -> None:
    cluster = small(T4, XEON)
    cluster.enqueue(replace(JOB, key="late", hardware=frozenset({T4}), deadline_us=1))
    cluster.refresh(10)
    cluster.state.classes["credit_us"][cluster.catalog.class_index[T4]] = 1e12
    assert closed(cluster, JOB) == {"ageing share": (T4,)}


def test_a_planner_of_the_bridge_is_explained() -> None:
    (_, said), *_ = explained(Guarded(make_policy("demo+plan", 1000.0)), demo_jobs(4))
    assert (said.by, said.scheduler) == ("planner", "demo+plan")
