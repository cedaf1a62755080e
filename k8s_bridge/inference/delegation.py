"""The second binder: a pod that is decided here and bound by kube-scheduler, so that nodes have one that fills them."""

from synergai.k8s_bridge.admission.selectors import NAME_FIELD
from synergai.k8s_bridge.pods import Json

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def delegate(pod: Json, scheduler: str) -> Json:
    """The same pod, for that scheduler to bind, to no other node than it is on here."""
    spec = {**pod["spec"], "schedulerName": scheduler}
    node = spec.pop("nodeName", "")
    return {**pod, "spec": _pinned(spec, node) if node else spec}


def _pinned(spec: Json, node: str) -> Json:
    """As the pods of a DaemonSet are: https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/controller/daemon/util/daemonset_util.go
    A term that is empty matches nothing, and has to stay so."""
    here = {"key": NAME_FIELD, "operator": "In", "values": [node]}
    affinity: Json = spec.get("affinity") or {}
    of_nodes: Json = affinity.get("nodeAffinity") or {}
    given = (of_nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    terms = [
        {**t, "matchFields": [*(t.get("matchFields") or ()), here]} if any(t.values()) else t for t in given
    ]
    required = {"nodeSelectorTerms": terms or [{"matchFields": [here]}]}
    return {**spec, "affinity": {**affinity, "nodeAffinity": {**of_nodes, _REQUIRED: required}}}
