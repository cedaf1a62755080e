"""What a namespace's ResourceQuotas and LimitRanges make of a new pod, in kube-apiserver's words.

Quotas with scopes are not looked at, and used amounts are counted when they are needed, not kept in a status.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.canonical import canonical, number
from synergai.k8s_bridge.embedded.errors import Cause, Named, forbidden, invalid_value
from synergai.k8s_bridge.embedded.objects import Json, at, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import LIMIT_RANGES, PODS, RESOURCE_QUOTAS, TERMINAL, Resource
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import Strategy
from synergai.k8s_bridge.embedded.validation import metadata_causes

_COUNTED, _NATIVE = "count/pods", ("cpu", "memory", "ephemeral-storage")
_NOTE = "kubernetes.io/limit-ranger"


@dataclass(frozen=True, slots=True)
class QuotaStrategy(Strategy):
    """Amounts are never negative."""

    shape: shapes.Shape = field(default_factory=lambda: shapes.RESOURCE_QUOTA)

    def prepared(self, obj: Json, resource: Resource) -> Json:
        return {**obj, "spec": obj.get("spec") or {}, "status": {}}

    def causes(self, obj: Json) -> list[Cause]:
        hard = at(obj, ("spec", "hard")) or {}
        why = "must be greater than or equal to 0"
        negative = {name: text for name, text in hard.items() if number(text) < 0}
        return [
            *metadata_causes(obj),
            *(invalid_value(f"spec.hard[{name}]", text, why) for name, text in negative.items()),
        ]


@dataclass(frozen=True, slots=True)
class RangeStrategy(Strategy):
    """A maximum is the default limit, a default limit or a minimum the default request (SetDefaults_LimitRangeItem)."""

    shape: shapes.Shape = field(default_factory=lambda: shapes.LIMIT_RANGE)

    def prepared(self, obj: Json, resource: Resource) -> Json:
        limits = [_with_defaults(item) for item in at(obj, ("spec", "limits")) or []]
        return {**obj, "spec": {**(obj.get("spec") or {}), "limits": limits}}


def _with_defaults(item: Json) -> Json:
    if item.get("type") != "Container":
        return item
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    added = {"default": limits, "defaultRequest": requests}
    return {**item, **{name: amounts for name, amounts in added.items() if amounts}}


# limit ranges -----------------------------------------------------------------------------------------------


def with_range_defaults(pod: Json, store: Store) -> Json:
    """Containers that do not say what they need get what the namespace's LimitRanges say, and a note tells so."""
    for stored in _of_namespace(LIMIT_RANGES, pod, store):
        for item in at(stored, ("spec", "limits")) or []:
            if item.get("type") == "Container":
                pod = _ranged(pod, item)
    return pod


def _ranged(pod: Json, item: Json) -> Json:
    notes: list[str] = []
    spec = dict(pod["spec"])
    for kind in ("initContainers", "containers"):
        if kind in spec:
            spec[kind] = [_filled(container, item, kind, notes) for container in spec[kind]]
    if not notes:
        return pod
    note = f"LimitRanger plugin set: {'; '.join(notes)}"
    annotations = {**(metadata(pod).get("annotations") or {}), _NOTE: note}
    return {**with_metadata(pod, annotations=annotations), "spec": spec}


def _filled(container: Json, item: Json, kind: str, notes: list[str]) -> Json:
    resources = dict(container.get("resources") or {})
    for word, source in (("request", "defaultRequest"), ("limit", "default")):
        given, defaults = resources.get(f"{word}s") or {}, item.get(source) or {}
        added = sorted(defaults.keys() - given.keys())
        if added:
            resources[f"{word}s"] = {**defaults, **given}
            what = "init container" if kind == "initContainers" else "container"
            notes.append(f"{', '.join(added)} {word} for {what} {container.get('name', '')}")
    return {**container, "resources": resources}


# quotas -----------------------------------------------------------------------------------------------------


def refuse_beyond_quota(pod: Json, named: Named, store: Store) -> None:
    """403 if a quota of the namespace has no room for it."""
    for quota in _of_namespace(RESOURCE_QUOTAS, pod, store):
        spec = quota.get("spec") or {}
        if spec.get("hard") and not spec.get("scopes") and not spec.get("scopeSelector"):
            _judge(pod, spec["hard"], named, metadata(quota)["name"], store)


def _judge(pod: Json, hard: Mapping[str, str], named: Named, name: str, store: Store) -> None:
    missing = sorted(_unsaid(pod, hard))
    if missing:
        listed = "; ".join(f"{resource} for: {','.join(who)}" for resource, who in missing)
        raise forbidden(named, f"failed quota: {name}: must specify {listed}")
    others = _of_namespace(PODS, pod, store)
    over: dict[str, tuple[str, str, str]] = {}
    for resource, limit in sorted(hard.items()):
        asked, used = _amount([pod], resource), _amount(others, resource)
        if number(asked) > 0 and number(asked) + number(used) > number(limit):
            over[resource] = (asked, used, limit)
    if over:
        words = zip(("requested", "used", "limited"), zip(*over.values()))
        told = (f"{word}: {','.join(map('='.join, zip(over, amounts)))}" for word, amounts in words)
        raise forbidden(named, f"exceeded quota: {name}, {', '.join(told)}")


def _unsaid(pod: Json, hard: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Resources that the quota counts, and the containers that do not say how much of them they need."""
    for resource in hard:
        kind, name = _counted(resource)
        if name in _NATIVE:
            silent = [
                c["name"] for c in _containers(pod["spec"]) if name not in (at(c, ("resources", kind)) or {})
            ]
            if silent:
                yield resource, silent


def _amount(pods: Iterable[Json], resource: str) -> str:
    """How much of it these pods have together, as a quantity."""
    if resource == _COUNTED:
        return str(sum(1 for _ in pods))
    live = (pod for pod in pods if at(pod, ("status", "phase")) not in TERMINAL)
    if resource == "pods":
        return str(sum(1 for _ in live))
    kind, name = _counted(resource)
    texts = [_of_pod(pod["spec"], kind, name) for pod in live] if name else []
    return _sum(texts)


def _counted(resource: str) -> tuple[str, str]:
    """`requests.cpu` is cpu among the requests, and so is `cpu`; no name for what is not of pods."""
    kind, dot, name = resource.partition(".")
    if dot and kind in ("requests", "limits"):
        return kind, name
    return "requests", resource if resource in _NATIVE else ""


def _of_pod(spec: Json, kind: str, name: str) -> str:
    """The larger of all containers together and any init container, and the overhead."""
    path = ("resources", kind, name)
    running = _sum([at(container, path) or "0" for container in spec.get("containers") or []])
    first = [at(container, path) or "0" for container in spec.get("initContainers") or []]
    return _sum([max([running, *first], key=number), (spec.get("overhead") or {}).get(name, "0")])


def _sum(quantities: Iterable[str]) -> str:
    texts = list(quantities)
    total = sum((number(text) for text in texts), Fraction(0))
    if any(text.endswith("i") for text in texts) and total % 1024 == 0:
        return canonical(f"{total / 1024}Ki")
    return canonical(f"{total * 1000}m")


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _of_namespace(resource: Resource, pod: Json, store: Store) -> list[Json]:
    """By name: the first quota that is exceeded is told."""
    namespace, objects = metadata(pod).get("namespace", ""), store.collection(resource.collection).objects
    return [objects[key].obj for key in sorted(key for key in objects if key[0] == namespace)]
