"""The values that pass between the parts: nodes and jobs go in, decisions come out.

Times are integer microseconds on one clock per cluster (`_us`); in the simulator it starts at 0, in the bridge it is
the API server's clock since the epoch.
"""

from dataclasses import dataclass
from enum import IntEnum

Reach = tuple[frozenset[str] | None, frozenset[tuple[str, str]]]
"""Nodes, None for any, and devices of them that are left out, as (node, hardware)."""
ANYWHERE: Reach = (None, frozenset())


class Action(IntEnum):
    """What a scheduler can say."""

    START = 0
    HOLD = 1
    DONE = 2


@dataclass(frozen=True, slots=True)
class Device:
    """Something on a node that runs configurations of one hardware class."""

    hardware: str
    """Class of device, a key of the profile table; the power mode is part of the name."""
    units: int
    """How many of them the node has; a CPU is bounded by `Node.cpu_milli` instead and says 0."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine and what of it is ours to give."""

    name: str
    devices: tuple[Device, ...]
    cpu_milli: int
    memory_mib: int
    pods: int = 110
    site: str = ""
    ready: bool = True
    """Only a ready node is given new jobs; what runs on it stays booked."""


@dataclass(frozen=True, slots=True)
class Job:
    """One finite inference request; on Kubernetes one pod."""

    key: str
    """Unique name; `namespace/name` on Kubernetes."""
    model: str
    samples: int
    arrival_us: int
    deadline_us: int | None = None
    """Absolute. None is best effort: ordered by an internal deadline, never counted as violated."""
    priority: int = 0
    namespace: str = "default"
    site: str = ""
    hardware: frozenset[str] | None = None
    """Hardware classes it may run on; None is any."""
    nodes: frozenset[str] | None = None
    """Nodes its constraints admit; None is any."""
    barred: frozenset[tuple[str, str]] = frozenset()
    """Devices of these nodes, as (node, hardware), that its constraints do not admit."""
    cpu_milli: int = 0
    """Its own request: a floor under what the configuration takes."""
    memory_mib: int = 0
    attempt: int = 0

    @property
    def reach(self) -> Reach:
        """What its constraints admit."""
        return self.nodes, self.barred


@dataclass(frozen=True, slots=True)
class Decision:
    """START or HOLD of a candidate on a node, or DONE, with the reason.

    A scheduler fills `action`, `candidate`, `decided_by`, `reason` and `wake_at_us`; the round fills in the rest, so
    that whoever carries the decision out needs nothing else.
    """

    action: Action
    candidate: int = -1
    """Index into the candidate list; -1 for DONE."""
    decided_by: str = "rule"
    """`policy`, `rule`, `fallback` or `forced` (there was one legal action)."""
    reason: str = ""
    wake_at_us: int = -1
    """With DONE: start another round then, -1 for none."""
    job: str = ""
    node: str = ""
    hardware: str = ""
    configuration: str = ""
    device_units: int = 0
    cpu_milli: int = 0
    memory_mib: int = 0
    run_s: float = 0.0
    """Predicted run time, start-up and transfer included."""
    finish_us: int = -1
    """Predicted finish, the wait for a busy option included."""
    until_us: int = -1
    """With HOLD: when it expires."""
