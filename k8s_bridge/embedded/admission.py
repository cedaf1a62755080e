"""What admission plugins make of a new pod: Priority, RuntimeClass, ServiceAccount, DefaultTolerationSeconds."""

import random

from synergai.k8s_bridge.embedded.errors import Named, forbidden
from synergai.k8s_bridge.embedded.objects import Json, at
from synergai.k8s_bridge.embedded.resources import PRIORITY_CLASSES, RUNTIME_CLASSES, SERVICE_ACCOUNTS
from synergai.k8s_bridge.embedded.store import Store

NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names (apimachinery/pkg/util/rand)."""

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SOURCES = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {
        "downwardAPI": {
            "items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
            ]
        }
    },
]
_DEAD_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def admitted(spec: Json, named: Named, namespace: str, store: Store) -> Json:
    """The spec with what the plugins add; 403 for a class or an account that is not there."""
    spec = {**spec, "tolerations": _with_dead_node_tolerations(spec.get("tolerations") or [])}
    spec = _with_account(spec, named, namespace, store)
    return _with_runtime(_with_priority(spec, named, store), named, store)


def random_suffix() -> str:
    return "".join(random.choices(NAME_LETTERS, k=5))


def _with_priority(spec: Json, named: Named, store: Store) -> Json:
    name = spec.get("priorityClassName", "")
    found: Json = {}
    if name:
        stored = store.get(PRIORITY_CLASSES.collection, ("", name))
        if stored is None:
            raise forbidden(named, f"no PriorityClass with name {name} was found")
        found = stored.obj
    value = found.get("value", 0)
    if spec.get("priority", value) != value:
        why = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name"
        )
        raise forbidden(named, why)
    policy = found.get("preemptionPolicy", "PreemptLowerPriority")
    return {**spec, "priority": value, "preemptionPolicy": policy}


def _with_runtime(spec: Json, named: Named, store: Store) -> Json:
    handler = spec.get("runtimeClassName")
    if not handler:
        return spec
    runtime = store.get(RUNTIME_CLASSES.collection, ("", handler))
    if runtime is None:
        raise forbidden(named, f'pod rejected: RuntimeClass "{handler}" not found')
    overhead = at(runtime.obj, ("overhead", "podFixed"))
    selector = at(runtime.obj, ("scheduling", "nodeSelector"))
    if selector:
        spec = {**spec, "nodeSelector": {**(spec.get("nodeSelector") or {}), **selector}}
    return {**spec, "overhead": overhead} if overhead else spec


def _with_account(spec: Json, named: Named, namespace: str, store: Store) -> Json:
    """With the service account and the volume of its token."""
    name = spec.get("serviceAccountName") or "default"
    account = store.get(SERVICE_ACCOUNTS.collection, (namespace, name))
    if account is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(named, why)
    spec = {**spec, "serviceAccountName": name, "serviceAccount": name}
    wanted = spec.get("automountServiceAccountToken", account.obj.get("automountServiceAccountToken", True))
    return _with_token(spec) if wanted else spec


def _with_token(spec: Json) -> Json:
    volume = f"kube-api-access-{random_suffix()}"
    mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}
    mounted = {
        key: [_with_mount(container, mount) for container in spec[key]]
        for key in ("containers", "initContainers")
        if key in spec
    }
    projected = {"sources": _TOKEN_SOURCES, "defaultMode": 420}
    return {
        **spec,
        **mounted,
        "volumes": [*(spec.get("volumes") or []), {"name": volume, "projected": projected}],
    }


def _with_mount(container: Json, mount: Json) -> Json:
    mounts = container.get("volumeMounts") or []
    if any(item.get("mountPath") == mount["mountPath"] for item in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, mount]}


def _with_dead_node_tolerations(tolerations: list[Json]) -> list[Json]:
    known = {item.get("key", "") for item in tolerations if item.get("effect") in (None, "NoExecute")}
    if "" in known:
        return tolerations
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _DEAD_NODE_TAINTS
        if key not in known
    ]
    return [*tolerations, *added]
