"""The one mutable picture of a cluster outside the simulator's own loop. The bridge feeds it with what the API server
says, asks it for a round, and carries the decisions out."""

from collections.abc import Iterator

from synergai.envs.types import Decision, Job, Node
from synergai.offline_profiles.table import ProfileTable


class Cluster:
    """Nodes, queue, running jobs and history of one cluster, kept as a `ClusterState`.

    Unknown nodes or jobs raise KeyError; a job of a model without a profile raises UnknownModel (subclass of
    ValueError) from `enqueue`. All times are microseconds on the caller's clock and never run back.
    """

    def __init__(self, table: ProfileTable) -> None: ...

    # nodes -------------------------------------------------------------------------------------------------------
    def set_node(self, node: Node) -> None:
        """Add the node or change it. Capacity is what is ours to give: without what other schedulers' pods use."""

    def remove_node(self, name: str) -> list[str]:
        """Forget the node; returns the keys of the jobs that ran there (they are forgotten too)."""

    # jobs --------------------------------------------------------------------------------------------------------
    def enqueue(self, job: Job) -> None:
        """The job waits from now on; its key must be new."""

    def withdraw(self, key: str) -> None:
        """A queued job is gone (deleted before it started)."""

    def adopt(self, job: Job, node: str, hardware: str, configuration: str, started_us: int) -> None:
        """A job found running (after a restart, or bound by a rival): booked as if we had started it."""

    def occupy(self, key: str, node: str, cpu_milli: int, memory_mib: int, hardware: str = "", units: int = 0) -> None:
        """Book room for something that has no profile; `release` gives it back."""

    def release(self, key: str, now_us: int, observed_run_s: float | None = None, cause: str = "done") -> None:
        """A started, adopted or occupying job has ended: its room is free; a run time feeds the history."""

    def requeue(self, key: str) -> None:
        """A START could not be carried out (bind failed): take the booking back, the job waits again."""

    # decisions ---------------------------------------------------------------------------------------------------
    def round(self, now_us: int, scheduler) -> Iterator[Decision]:
        """One round at `now_us`: yields each START and HOLD (already applied as assumed) until DONE."""
        yield from ()

    def least_allocated_node(self, cpu_milli: int, memory_mib: int, nodes: frozenset[str] | None = None) -> str | None:
        """kube-scheduler's default choice for a job without a profile: most free room after it, None if none fits."""

    def next_epoch_us(self, now_us: int) -> int | None:
        """The next instant at which a round is due by itself (hold expiry, latest start, wake-up, 1 s tick)."""

    def queued(self) -> int:
        """Jobs that wait, held ones included."""
        return 0

    def running(self) -> int:
        """Jobs that are booked on nodes."""
        return 0
