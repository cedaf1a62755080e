"""The order in which a person sees what waits."""

from synergai.agents.heuristics import Rule
from synergai.envs.cluster import Cluster
from synergai.envs.types import Action, Device, Job, Node
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
S = 1_000_000


def cluster_of(*jobs: Job) -> Cluster:
    cluster = Cluster(TABLE)
    cluster.set_node(Node("n", (Device("nvidia-t4", 1),), 8000, 16384))
    for job in jobs:
        cluster.enqueue(job)
    return cluster


def job(key: str, deadline_s: float | None, samples: int = 1000, priority: int = 0) -> Job:
    at = None if deadline_s is None else round(deadline_s * S)
    return Job(key, "resnet50", samples, 0, deadline_us=at, priority=priority)


def order(*jobs: Job) -> list[str]:
    return [waiting.job.key for waiting in cluster_of(*jobs).in_order(10)]


def test_the_earlier_deadline_comes_first() -> None:
    assert order(job("late", 90), job("soon", 10)) == ["soon", "late"]


def test_of_equal_deadlines_the_longer_run_comes_first() -> None:
    assert order(job("short", 90), job("long", 90, samples=100_000)) == ["long", "short"]


def test_priority_comes_before_the_deadline() -> None:
    assert order(job("soon", 10), job("high", 90, priority=5)) == ["high", "soon"]


def test_of_equals_the_first_to_arrive_comes_first() -> None:
    assert order(job("a", 10), job("b", 10), job("c", 10)) == ["a", "b", "c"]


def test_no_more_than_the_limit() -> None:
    assert len(cluster_of(job("a", 1), job("b", 2)).in_order(1)) == 1


def test_a_held_job_says_for_what_and_until_when() -> None:
    cluster = cluster_of(job("a", 90))
    configuration = TABLE.best("resnet50", "nvidia-t4").configuration
    cluster.adopt(job("b", 90, samples=20_000), "n", "nvidia-t4", configuration, 0)
    (hold,) = cluster.round(1, Rule("sjf_feasible"))
    (waiting,) = cluster.in_order(10)
    assert (hold.action, waiting.hardware, waiting.configuration, waiting.until_us) == (
        Action.HOLD,
        "nvidia-t4",
        hold.configuration,
        hold.until_us,
    )
