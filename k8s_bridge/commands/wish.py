"""What a person wrote, as options or as a row of a trace, and the InferenceJob that it is."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import parse_duration_us
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.explain.api import AskError
from synergai.k8s_bridge.inference.fields import NAME, SpecError
from synergai.k8s_bridge.inference.job import KIND, read_spec
from synergai.k8s_bridge.pods import Json

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of names that are made up, as Kubernetes has them: no word comes of them."""
OPTIONS = {
    "spec.model.name": "--model",
    "spec.model.version": "--model",
    "spec.input.samples": "--samples",
    "spec.input.uri": "--input",
    "spec.output.uri": "--output",
    "spec.deadline.after": "--deadline",
    "spec.deadline.at": "--deadline",
    "spec.placement.hardware": "--hardware",
    "spec.placement.originSite": "--site",
    "spec.placement.nodeSelector": "--node-selector",
    "spec.priorityClassName": "--priority-class",
    "spec.runtimeRef.kind": "--runtime",
    "spec.runtimeRef.name": "--runtime",
    "spec.backoffLimit": "--backoff-limit",
    "spec.ttlSecondsAfterFinished": "--ttl",
}
"""Which option fills a field."""
_FIELD = re.compile("|".join(sorted(map(re.escape, OPTIONS), key=len, reverse=True)))


@dataclass(frozen=True, slots=True)
class Wish:
    """One job, as it was written. What is empty is left out."""

    model: str = ""
    samples: int | None = None
    deadline: str = ""
    hardware: str = ""
    site: str = ""
    node_selector: tuple[str, ...] = ()
    priority_class: str = ""
    runtime: str = ""
    input: str = ""
    output: str = ""
    backoff_limit: int | None = None
    ttl: str = ""

    def spec(self, names: Mapping[str, str] = OPTIONS) -> Json:
        """As it is sent, with `deadline` as it was written. AskError says by `names` what cannot be used."""
        spec = _pruned(
            {
                "model": _model(self.model),
                "input": {"samples": self.samples, "uri": self.input},
                "output": {"uri": self.output},
                "deadline": {"at" if "T" in self.deadline.upper() else "after": self.deadline},
                "placement": {
                    "hardware": [name.strip() for name in self.hardware.split(",")] if self.hardware else [],
                    "originSite": self.site,
                    "nodeSelector": _labels(self.node_selector),
                },
                "priorityClassName": self.priority_class,
                "runtimeRef": _runtime(self.runtime),
                "backoffLimit": self.backoff_limit,
                "ttlSecondsAfterFinished": _seconds(self.ttl),
            }
        )
        try:
            read_spec(spec)
        except SpecError as error:
            raise AskError(_FIELD.sub(lambda found: f"{names[found[0]]} ({found[0]})", str(error))) from None
        return spec


def _pruned(value: Json) -> Json:
    """Without what is empty."""
    inner = {key: _pruned(one) if isinstance(one, dict) else one for key, one in value.items()}
    return {key: one for key, one in inner.items() if one not in (None, "", [], {})}


def _model(text: str) -> Json:
    """Of `resnet50` or `resnet50:2`; an empty version is refused as it stands."""
    name, colon, version = text.partition(":")
    return {"name": name} | ({"version": version or ":"} if colon else {})


def _labels(texts: tuple[str, ...]) -> Json:
    pairs = [text.partition("=") for text in texts]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise AskError(f"--node-selector {key + equals + value!r} is not LABEL=VALUE")
    return {key: value for key, _, value in pairs}


def _runtime(text: str) -> Json:
    """Of `ort` or `ClusterInferenceRuntime/ort`; an empty part is refused as it stands."""
    kind, slash, name = text.rpartition("/")
    return ({"kind": kind or "/"} if slash else {}) | {"name": name or (slash and "/")}


def _seconds(text: str) -> int | None:
    """Of `3600` or `1h`."""
    if not text or (text.isascii() and text.isdigit() and len(text) < 12):
        return int(text) if text else None
    try:
        return parse_duration_us(text) // SECOND_US
    except ValueError as error:
        raise AskError(f"--ttl: {error}") from None


def dated(spec: Json, now_us: int, speed: float = 1.0) -> Json:
    """The same with an absolute deadline: creation times have whole seconds only."""
    after = spec.get("deadline", {}).get("after")
    if after is None:
        return spec
    return spec | {"deadline": {"at": format_time_us(now_us + round(parse_duration_us(after) / speed))}}


def job_of(name: str, namespace: str, submission: str, spec: Json) -> Json:
    """The object. AskError where it cannot be called so."""
    if not NAME.fullmatch(name):
        raise AskError(f"--name {name[:80]!r} is no name; write lower case letters, digits, '-' and '.'")
    if not NAMESPACE.fullmatch(namespace):
        raise AskError(
            f"--namespace {namespace[:80]!r} is no namespace; write lower case letters, digits and '-'"
        )
    labels = {keys.LABEL_SUBMISSION: submission}
    return {
        "apiVersion": f"{keys.PREFIX}/{keys.API_VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def stem(model: str) -> str:
    """What jobs of this model are called, before the part that makes the name unique."""
    return re.sub("[^a-z0-9]+", "-", model.lower()).strip("-")[:40].rstrip("-") or "job"


def made_up() -> str:
    """Five characters that nobody has drawn before, in all likelihood."""
    return "".join(secrets.choice(_LETTERS) for _ in range(5))
