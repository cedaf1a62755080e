"""Pods of simulated kubelets that do not end well, because a test or a demonstration asks for it."""

from collections.abc import Callable
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.embedded.objects import Json, metadata

KILLED = 137
"""Exit code of a container that SIGKILL ended."""
NO_IMAGE = "ErrImagePull"
EVICTED = "Evicted"
OUT_OF_MEMORY = "OOMKilled"


@dataclass(frozen=True, slots=True)
class Fate:
    """How one pod ends."""

    reason: str
    """`Error`, `OOMKilled`, `Evicted`, `ErrImagePull`, or why the kubelet refuses it: `OutOfcpu` and its like."""
    exit_code: int = 1
    """Of an `Error`."""
    message: str = ""
    share: float = 1.0
    """Of its run time, after which it ends."""

    @property
    def refused(self) -> bool:
        return self.reason.startswith("OutOf") or self.reason == "UnexpectedAdmissionError"

    @property
    def code(self) -> int:
        return self.exit_code if self.reason not in (OUT_OF_MEMORY, EVICTED) else KILLED


Fates = Callable[[Json], Fate | None]
"""The fate of a pod; None: it ends well."""


def annotated(pod: Json) -> Fate | None:
    """What the pod's annotation says: `OOMKilled`, or `Error:3:no space left on device`."""
    text = (metadata(pod).get("annotations") or {}).get(keys.ANNOTATION_SIM_FATE, "")
    if not text:
        return None
    reason, _, rest = text.partition(":")
    code, _, message = rest.partition(":")
    return Fate(reason, int(code) if code.isdecimal() else 1, message)
