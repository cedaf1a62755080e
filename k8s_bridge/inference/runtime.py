"""An InferenceRuntime as the API server sends it: how models are run on the hardware that somebody built images for."""

import re
from dataclasses import dataclass

from synergai.k8s_bridge.admission.quantities import QuantityError, parse
from synergai.k8s_bridge.inference.fields import NAME, Fields, SpecError
from synergai.k8s_bridge.inference.job import (
    HARDWARE,
    MODEL_NAME,
    MODEL_VERSION,
    PATH,
    Condition,
    read_condition,
)
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.table import address

KIND, CLUSTER_KIND = "InferenceRuntime", "ClusterInferenceRuntime"
PLURALS = {KIND: "inferenceruntimes", CLUSTER_KIND: "clusterinferenceruntimes"}
HIGHEST_PRIORITY = 1_000_000
_CONTAINER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
CONFIGURATION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run the engine; its name is that of the profile rows."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    resources: tuple[tuple[str, str], ...] = ()
    """Quantities by resource, which win over the template's; what is absent comes from the profile."""


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One pod template, for the hardware whose image it names."""

    name: str
    hardware: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    container: str
    """Which container of the template gets the resources and the environment."""
    template: Json
    """Metadata and spec of a pod."""


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """Who runs which models, and how."""

    kind: str
    name: str
    namespace: str
    """Empty for a ClusterInferenceRuntime."""
    uid: str
    generation: int
    models: frozenset[str]
    """Addresses."""
    priority: int
    variants: tuple[Variant, ...]
    problem: str
    """Why its spec cannot be used; empty where it can."""
    conditions: tuple[Condition, ...]
    observed: int
    """The generation that `conditions` are about."""

    @property
    def title(self) -> str:
        """`ClusterInferenceRuntime ort` or `InferenceRuntime team-a/ort`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def path(self) -> str:
        scope = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{PATH}{scope}/{PLURALS[self.kind]}/{self.name}"


def read_runtime(raw: Json, kind: str) -> Runtime:
    """What we keep of a runtime; one that cannot be used has no variants and a `problem`."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    models, priority, variants, problem = frozenset[str](), 0, (), ""
    try:
        models, priority, variants = _read_spec(raw.get("spec"))
    except SpecError as error:
        problem = str(error)
    return Runtime(
        kind=kind,
        name=metadata["name"],
        namespace=metadata.get("namespace", "") if kind == KIND else "",
        uid=metadata.get("uid", ""),
        generation=int(metadata.get("generation") or 0),
        models=models,
        priority=priority,
        variants=variants,
        problem=problem,
        conditions=tuple(read_condition(c) for c in status.get("conditions") or () if isinstance(c, dict)),
        observed=int(status.get("observedGeneration") or 0),
    )


def _read_spec(raw: object) -> tuple[frozenset[str], int, tuple[Variant, ...]]:
    problems: list[str] = []
    given = Fields(raw, "spec", problems)
    models = [address for one in given.objects("models", least=1) for address in _models(one)]
    priority = given.whole("priority", -HIGHEST_PRIORITY, HIGHEST_PRIORITY, 0)
    variants = tuple(_variant(one) for one in given.objects("variants", least=1))
    problems += _twice(variants)
    if problems:
        raise SpecError("; ".join(problems))
    return frozenset(models), priority, variants


def _models(given: Fields) -> list[str]:
    name = given.text("name", "the model's name", MODEL_NAME)
    versions = given.texts("versions", 'versions in quotes, such as ["1"]', MODEL_VERSION) or ("1",)
    return [address(name, version) for version in versions]


def _variant(given: Fields) -> Variant:
    name = given.text("name", "a name for this variant", NAME)
    hardware = given.texts("hardware", "hardware classes such as nvidia-t4", HARDWARE)
    if not hardware:
        given.bad("hardware", None, "at least one hardware class")
    configurations = tuple(_configuration(one) for one in given.objects("configurations", least=1))
    template = given.inner("template")
    containers = template.inner("spec").objects("containers", least=1)
    names = [one.text("name", "a name for the container", _CONTAINER) for one in containers]
    container = given.text("container", "one of the template's containers", _CONTAINER, "")
    container = container or next(iter(names), "")
    if names and container not in names:
        given.bad("container", container, f"one of the template's containers: {', '.join(names)}")
    return Variant(name, hardware, configurations, container, template.given)


def _configuration(given: Fields) -> Configuration:
    name = given.text("name", "the configuration's name, as in the profiles", CONFIGURATION)
    resources = given.mapping("resources")
    for resource, quantity in resources:
        try:
            good = parse(quantity) >= 0
        except QuantityError:
            good = False
        if not good:
            given.bad(f"resources.{resource}", quantity, 'a quantity such as "2", "500m" or "3Gi"')
    return Configuration(name, given.mapping("parameters"), resources)


def _twice(variants: tuple[Variant, ...]) -> list[str]:
    """Two variants of one name, or for one configuration on one hardware."""
    seen: dict[tuple[str, str], str] = {}
    names = [variant.name for variant in variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [f"spec.variants has {name!r} twice; write another name" for name in twice]
    for variant in variants:
        for pair in [(h, c.name) for h in variant.hardware for c in variant.configurations]:
            if pair in seen:
                where = f"spec.variants {seen[pair]} and {variant.name}"
                problems.append(f"{where} both run {pair[1]} on {pair[0]}; leave it in one of them")
            seen.setdefault(pair, variant.name)
    return problems


def title_of(namespace: str, kind: str, name: str) -> str:
    """As `Runtime.title`, of one that may not exist."""
    return f"{kind} {name}" if kind == CLUSTER_KIND else f"{kind} {namespace}/{name}"
