"""PersistentVolumeClaims and the volumes they are bound to: where the pods that use them may go.

https://github.com/kubernetes/kubernetes/tree/v1.36.3/pkg/scheduler/framework/plugins/volumebinding
https://github.com/kubernetes/kubernetes/tree/v1.36.3/pkg/scheduler/framework/plugins/volumezone
"""

from collections.abc import Mapping
from dataclasses import dataclass

from synergai.k8s_bridge.admission.requests import Json
from synergai.k8s_bridge.admission.selectors import NodeTerms, SelectorError, read_node_terms, terms_match
from synergai.k8s_bridge.pods import Claim

_BOUND = "pv.kubernetes.io/bind-completed"
_ZONE, _REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
_OLD = {"failure-domain.beta.kubernetes.io/zone": _ZONE, "failure-domain.beta.kubernetes.io/region": _REGION}
_ZONE_LABELS = (*_OLD, _ZONE, _REGION)
AFFINITY = "node(s) didn't match PersistentVolume's node affinity"
ZONE = "node(s) had no available volume zone"


@dataclass(frozen=True, slots=True)
class Bound:
    """What we keep of a claim."""

    volume: str = ""
    """Empty while it is bound to none."""
    owners: tuple[str, ...] = ()
    """Their uids."""
    problem: str = ""
    """Why no pod may use it."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What we keep of a volume."""

    terms: NodeTerms = None
    zones: tuple[tuple[str, frozenset[str]], ...] = ()
    """By label: the values that a node may have."""
    problem: str = ""

    def refusal(self, name: str, labels: Mapping[str, str]) -> str:
        """Why a pod that uses it cannot go to the node; empty when it can."""
        if not terms_match(self.terms, name, labels):
            return AFFINITY
        if not any(label in labels for label in _ZONE_LABELS):
            return ""  # a node that says nothing of zones is taken to be near
        for label, values in self.zones:
            if labels.get(label, labels.get(_OLD.get(label, ""))) not in values:
                return ZONE
        return ""


class Volumes:
    """All claims and volumes. What may not be read says so in `missing`, by resource."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self.asked: set[tuple[str, str]] = set()
        """The claims of pods that wait, and the volumes behind them (with an empty namespace)."""
        self._claims: dict[tuple[str, str], Bound] = {}
        self._volumes: dict[str, Volume] = {}

    def miss(self, resource: str, why: str) -> bool:
        """A resource may not be read, or may again (`why` is empty); whether that is news."""
        if self.missing.get(resource, "") == why:
            return False
        self.missing[resource] = why
        if not why:
            del self.missing[resource]
        return True

    def set_claim(self, raw: Json) -> bool:
        """A claim was added or has changed; whether a pod that waits has asked for it."""
        metadata = raw["metadata"]
        key, claim = (metadata["namespace"], metadata["name"]), _read_claim(raw)
        before, self._claims[key] = self._claims.get(key), claim
        return before != claim and key in self.asked

    def remove_claim(self, raw: Json) -> bool:
        """That claim is gone; whether a pod that waits has asked for it."""
        key = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        return self._claims.pop(key, None) is not None and key in self.asked

    def set_volume(self, raw: Json) -> bool:
        """A volume was added or has changed; whether a pod that waits has asked for it."""
        name, volume = raw["metadata"]["name"], _read_volume(raw)
        before, self._volumes[name] = self._volumes.get(name), volume
        return before != volume and ("", name) in self.asked

    def remove_volume(self, raw: Json) -> bool:
        """That volume is gone; whether a pod that waits has asked for it."""
        name = raw["metadata"]["name"]
        return self._volumes.pop(name, None) is not None and ("", name) in self.asked

    def find(self, claims: tuple[Claim, ...], lenient: bool = False) -> tuple[tuple[Volume, ...], str]:
        """The volumes behind a pod's claims, and why the pod has to wait or is refused; `lenient`: those that are
        known, where somebody else sees to the others."""
        found = []
        for claim in claims:
            volume, problem = self._find(claim)
            if problem and not lenient:
                return (), problem
            if not problem:
                found.append(volume)
        return tuple(found), ""

    def _find(self, claim: Claim) -> tuple[Volume, str]:
        if self.missing:
            return Volume(), "; ".join(self.missing.values())
        self.asked.add((claim.namespace, claim.name))
        bound = self._claims.get((claim.namespace, claim.name))
        if bound is None and claim.owner:
            what = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
            return Volume(), f'{what} "{claim.name}"'
        if bound is None:
            return Volume(), f'persistentvolumeclaim "{claim.name}" not found'
        if bound.problem:
            return Volume(), bound.problem
        if claim.owner and claim.owner not in bound.owners:
            return Volume(), f'persistentvolumeclaim "{claim.name}" was not created for this pod'
        self.asked.add(("", bound.volume))
        volume = self._volumes.get(bound.volume)
        if volume is None:
            return Volume(), f'persistentvolume "{bound.volume}" not found'
        return volume, volume.problem


def _read_claim(raw: Json) -> Bound:
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    owners = tuple(owner.get("uid", "") for owner in metadata.get("ownerReferences") or ())
    volume = spec.get("volumeName") or ""
    return Bound(volume, owners, _problem(metadata, spec, (raw.get("status") or {}).get("phase", "")))


def _problem(metadata: Json, spec: Json, phase: str) -> str:
    name = f'persistentvolumeclaim "{metadata["name"]}"'
    if phase == "Lost":
        return f'{name} bound to non-existent persistentvolume "{spec.get("volumeName", "")}"'
    if "deletionTimestamp" in metadata:
        return f"{name} is being deleted"
    if not spec.get("volumeName") or _BOUND not in (metadata.get("annotations") or {}):
        return f"{name} is not bound, and SynergAI binds no volumes (WaitForFirstConsumer or no volume yet)"
    if "ReadWriteOncePod" in (spec.get("accessModes") or ()):
        return f"{name} is ReadWriteOncePod, which SynergAI does not support"
    return ""


def _read_volume(raw: Json) -> Volume:
    labels = raw["metadata"].get("labels") or {}
    zones = tuple(
        (label, values)
        for label in _ZONE_LABELS
        if label in labels and (values := frozenset(v.strip() for v in labels[label].split("__")))
        if "" not in values
    )
    try:
        required = ((raw.get("spec") or {}).get("nodeAffinity") or {}).get("required")
        return Volume(read_node_terms(required), zones)
    except SelectorError as error:
        name = raw["metadata"]["name"]
        return Volume(problem=f'the node affinity of persistentvolume "{name}" has {error}')
