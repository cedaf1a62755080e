"""The canary: whose answer is carried out, which pods belong, and what is counted of both arms."""

from dataclasses import replace

import pytest
from bridge_fakes import NOW_US, raw_pod, table

from synergai.agents.heuristics import Rule, as_decision
from synergai.envs.candidates import DONE, Candidates
from synergai.envs.cluster import Cluster
from synergai.envs.state import ClusterState
from synergai.envs.types import Decision, Device, Job, Node
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.config import CanarySettings, ConfigError, Settings, load_settings
from synergai.k8s_bridge.control.canary import Canary, belongs
from synergai.k8s_bridge.control.rollout import Rollout
from synergai.k8s_bridge.entries import Entry
from synergai.k8s_bridge.pods import Pod, read_pod
from synergai.k8s_bridge.reports.metrics import Metrics


class Last:
    """Takes the last candidate that is legal, or nothing at all."""

    name = "last"

    def __init__(self, done: bool = False) -> None:
        self.done = done

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        legal = [i for i in range(candidates.n[0]) if candidates.mask[i]]
        return as_decision(DONE if self.done else legal[-1], candidates, "policy", self.name)


def pod(name: str = "a", namespace: str = "default", uid: str = "") -> Pod:
    return replace(read_pod(raw_pod(name)), namespace=namespace, uid=uid or f"uid-{name}")


def cluster(*keys: str) -> Cluster:
    made = Cluster(table())
    made.set_node(Node("n0", (Device("gpu-a", 1),), 8000, 16384))
    for n, key in enumerate(keys):
        made.enqueue(Job(key, "net", 100, n, 10**9 + n))
    return made


def first(made: Cluster, scheduler: Canary) -> Decision:
    return next(iter(made.round(1000, scheduler)))


def canary(made: Cluster, mine: str, done: bool = False) -> Canary:
    return Canary(Last(done), Rule("edf"), lambda state, row: made.job_at(row).key == mine)


def test_the_policy_starts_a_job_of_the_canary():
    made = cluster("a", "b")
    decision = first(made, canary(made, "b"))
    assert (decision.job, decision.decided_by) == ("b", "policy")


def test_the_rule_answers_where_the_policy_would_start_another_job():
    made = cluster("a", "b")
    decision = first(made, canary(made, "a"))
    assert (decision.job, decision.decided_by) == ("a", "rule")


def test_the_rule_answers_where_the_policy_would_start_nothing_more():
    made = cluster("a", "b")
    decision = first(made, canary(made, "a", done=True))
    assert (decision.job, decision.decided_by) == ("a", "rule")


def test_the_share_of_pods_is_what_it_says_and_does_not_depend_on_their_names():
    chosen = CanarySettings(share=0.1)
    uids = [f"5f0c{n:05d}-aa" for n in range(5000)]
    mine = [uid for uid in uids if belongs(chosen, pod(uid=uid))]
    assert 400 < len(mine) < 600
    assert all(belongs(chosen, pod("another", uid=uid)) for uid in mine)


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_no_pod_or_every_pod_can_be_of_the_canary(share: float, expected: bool):
    chosen = CanarySettings(share=share)
    assert {belongs(chosen, pod(uid=f"u{n}")) for n in range(200)} == {expected}


def test_a_namespace_of_the_canary_is_wholly_in_it():
    chosen = CanarySettings(namespaces=("try",))
    assert belongs(chosen, pod(namespace="try"))
    assert not belongs(chosen, pod(namespace="prod"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("canary: {share: 2}", "canary.share is 2"),
        ("canary: {shar: 0.1}", "unknown key 'canary.shar'"),
        ("canary: 0.1", "canary is 0.1"),
        ("canary: {namespaces: prod}", "canary.namespaces is 'prod'"),
    ],
)
def test_a_canary_that_means_nothing_is_refused_with_its_key(tmp_path, text: str, named: str):
    path = tmp_path / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="canary") as problem:
        load_settings(str(path))
    assert named in str(problem.value)


def rollout(made: Cluster, pods: list[Pod], **settings: object) -> Rollout:
    chosen = Settings.model_validate(settings)
    entries = {p.key: Entry(p) for p in pods}
    return Rollout(chosen, Last(), made, lambda: entries, Metrics(), lambda: NOW_US)


def test_a_bridge_with_a_canary_asks_the_policy_for_its_pods_alone():
    pods = [pod("a", "prod"), pod("b", "try")]
    made = cluster("prod/a", "try/b")
    kept = rollout(made, pods, canary={"namespaces": ["try"]})
    decision = next(iter(made.round(1000, kept.scheduler)))
    assert (decision.job, decision.decided_by) == ("try/b", "policy")
    made = cluster("try/a", "prod/b")
    kept = rollout(made, [pod("a", "try"), pod("b", "prod")], canary={"namespaces": ["try"]})
    decision = next(iter(made.round(1000, kept.scheduler)))
    assert (decision.job, decision.decided_by) == ("try/a", "rule")


def test_in_the_heuristic_mode_no_policy_is_asked():
    made = cluster("a", "b")
    kept = rollout(made, [], mode="heuristic", canary={"share": 1})
    assert next(iter(made.round(1000, kept.scheduler))).decided_by == "rule"


def test_deadlines_are_counted_by_arm_whoever_decided():
    kept = rollout(cluster(), [], canary={"namespaces": ["try"]})
    record = DecisionRecord("id", "gpu-a", "c", 1, 1, 1, "rule", NOW_US)
    kept.ended(pod(namespace="try"), record, "done", True)
    kept.ended(pod(namespace="prod"), replace(record, decided_by="policy"), "done", False)
    kept.ended(pod(namespace="prod"), record, "done", None)
    page = kept._metrics.render().decode()
    assert 'synergai_arm_deadlines_total{arm="policy",result="met"} 1.0' in page
    assert 'synergai_arm_deadlines_total{arm="rule",result="missed"} 1.0' in page
    assert page.count("synergai_arm_deadlines_total{") == 2
