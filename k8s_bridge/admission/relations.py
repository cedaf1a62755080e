"""What ties a pod to where other pods are: host ports, pod affinity and anti-affinity, topology spread."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any  # API objects are JSON of any shape

from synergai.k8s_bridge.admission.selectors import (
    LabelSelector,
    Requirement,
    SelectorError,
    read_label_selector,
)

Json = dict[str, Any]
Labels = tuple[tuple[str, str], ...]
ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the host."""

    address: str
    protocol: str
    number: int

    def conflicts(self, other: "Port") -> bool:
        """Same protocol and number, and an address in common."""
        if (self.protocol, self.number) != (other.protocol, other.number):
            return False
        return self.address == other.address or ANY_ADDRESS in (self.address, other.address)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Some of the pods, by label and namespace."""

    selector: LabelSelector | None
    """None is nobody."""
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None = None
    """Namespaces besides those named."""

    def has(self, namespace: str, labels: Mapping[str, str], of_namespace: Mapping[str, str] | None) -> bool:
        """Whether a pod belongs to it; `of_namespace` are the labels of the pod's namespace. Where they are not known
        (None) it does."""
        if self.selector is None or not self.selector.matches(labels):
            return False
        if namespace in self.namespaces:
            return True
        selector = self.namespace_selector
        return selector is not None and (of_namespace is None or selector.matches(of_namespace))


@dataclass(frozen=True, slots=True)
class Term:
    """One required term of affinity or anti-affinity."""

    topology: str
    """The node label whose equal values make one place of several nodes."""
    crowd: Crowd


@dataclass(frozen=True, slots=True)
class Spread:
    """One topology spread constraint that must be kept."""

    topology: str
    crowd: Crowd
    max_skew: int
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class Relations:
    """A pod among others; pods that are equal here are alike to all others."""

    namespace: str = "default"
    labels: Labels = ()
    ports: tuple[Port, ...] = ()
    together: tuple[Term, ...] = ()
    apart: tuple[Term, ...] = ()
    spread: tuple[Spread, ...] = ()

    @property
    def any(self) -> bool:
        """Whether the pod itself asks anything of where others are."""
        return bool(self.ports or self.together or self.apart or self.spread)

    @property
    def selects_namespaces(self) -> bool:
        """Whether labels of namespaces must be known."""
        selectors = (term.crowd.namespace_selector for term in (*self.together, *self.apart))
        return any(selector is not None and selector.requirements for selector in selectors)


NOBODY = Relations()


def read_relations(metadata: Json, spec: Json) -> Relations:
    """What a pod asks of the others, and what they see of it; SelectorError where that is not understood."""
    namespace = metadata.get("namespace", "default")
    labels = metadata.get("labels") or {}
    affinity = spec.get("affinity") or {}
    return Relations(
        namespace,
        tuple(sorted(labels.items())),
        _ports(spec),
        _terms(affinity.get("podAffinity"), namespace, labels),
        _terms(affinity.get("podAntiAffinity"), namespace, labels),
        _spreads(spec.get("topologySpreadConstraints"), namespace, labels),
    )


def _ports(spec: Json) -> tuple[Port, ...]:
    """Of containers that run for all of the pod's life."""
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    return tuple(
        Port(port.get("hostIP") or ANY_ADDRESS, port.get("protocol") or "TCP", port["hostPort"])
        for container in (*sidecars, *(spec.get("containers") or ()))
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _terms(raw: Json | None, namespace: str, labels: Mapping[str, str]) -> tuple[Term, ...]:
    required = (raw or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(Term(term.get("topologyKey", ""), _crowd(term, namespace, labels)) for term in required)


def _crowd(raw: Json, namespace: str, labels: Mapping[str, str]) -> Crowd:
    selector = read_label_selector(raw.get("labelSelector"))
    selector = _with_keys(selector, raw.get("matchLabelKeys") or (), "In", labels)
    selector = _with_keys(selector, raw.get("mismatchLabelKeys") or (), "NotIn", labels)
    names = frozenset(raw.get("namespaces") or ())
    namespaces = read_label_selector(raw.get("namespaceSelector"))
    if not names and namespaces is None:
        names = frozenset([namespace])
    return Crowd(selector, names, namespaces)


def _with_keys(
    selector: LabelSelector | None, keys: Iterable[str], operator: str, labels: Mapping[str, str]
) -> LabelSelector | None:
    """With the pod's own values of some labels; a server that has written them into the selector is left its own."""
    if selector is None:
        return None
    there = {requirement.key for requirement in selector.requirements if requirement.operator == operator}
    more = (Requirement(key, operator, frozenset([labels[key]])) for key in keys if key in labels)
    return LabelSelector(selector.requirements | {r for r in more if r.key not in there})


def _spreads(raw: Iterable[Json] | None, namespace: str, labels: Mapping[str, str]) -> tuple[Spread, ...]:
    return tuple(
        _spread(constraint, namespace, labels)
        for constraint in raw or ()
        if constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
    )


def _spread(raw: Json, namespace: str, labels: Mapping[str, str]) -> Spread:
    selector = read_label_selector(raw.get("labelSelector"))
    # unlike those of affinity, these are in kube-scheduler's own hands, beside what the server has written
    own = frozenset(
        Requirement(key, "In", frozenset([labels[key]]))
        for key in raw.get("matchLabelKeys") or ()
        if key in labels
    )
    if selector is not None:
        selector = LabelSelector(selector.requirements | own)
    max_skew = raw.get("maxSkew", 1)
    min_domains = raw.get("minDomains") or 1
    if not isinstance(max_skew, int) or not isinstance(min_domains, int):
        raise SelectorError(f"maxSkew {max_skew!r} with minDomains {min_domains!r}")
    return Spread(
        raw.get("topologyKey", ""),
        Crowd(selector, frozenset([namespace])),
        max_skew,
        min_domains,
        raw.get("nodeAffinityPolicy", "Honor") == "Honor",
        raw.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )
