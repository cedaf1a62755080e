"""Which runtimes run what a job wants, and what that means for a scheduler: the profiles it may choose from.

A scheduler knows profiles alone. Where a job's runtimes offer other configurations of a model than the profiles have,
or their pods take more than the profiles say, the job is of a model of its own in the served table:
`resnet50@3fa2c1d0` is resnet50 as these runtimes offer it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from synergai.k8s_bridge.admission.filters import Wish
from synergai.k8s_bridge.admission.relations import Relations
from synergai.k8s_bridge.admission.requests import Requests
from synergai.k8s_bridge.inference.job import JobSpec, RuntimeRef
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, KIND, Runtime, Variant, title_of
from synergai.k8s_bridge.inference.templates import Checked, Way
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import Need, ProfileTable, base_address, own_address

Option = tuple[str, str]
"""Hardware and configuration."""
Check = Callable[[Way, str, str], Checked | None]
"""What the API server makes of pods that run this way in a namespace with a priority class; None: not asked yet."""
_SHOWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The pods of one variant on one hardware class, as far as nodes care."""

    hardware: str
    wish: Wish
    relations: Relations


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """How jobs of one kind may run. Jobs that want the same share one."""

    model: str
    """As the served table calls it."""
    priority: int
    ways: dict[Option, Way]
    choices: tuple[Choice, ...]
    """A hardware class may have several, of different runtimes."""

    @property
    def hardware(self) -> frozenset[str]:
        return frozenset(choice.hardware for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a job cannot run, for now."""

    reason: str
    message: str


@dataclass(slots=True)
class _Found:
    """What is known of a job's options on the way to an offer."""

    ways: dict[Option, Way]
    ambiguous: list[str]
    unprofiled: list[str]


class Offers:
    """All runtimes, and what they offer to jobs."""

    def __init__(self, table: ProfileTable, check: Check) -> None:
        self.base = table
        """The profiles."""
        self._check = check
        self._runtimes: dict[str, Runtime] = {}  # by title
        self._offers: dict[tuple[object, ...], Offer | Lack] = {}
        self._own: dict[str, list[Profile]] = {}  # models of the served table that the profiles do not have

    # runtimes --------------------------------------------------------------------------------------------------------
    def set(self, runtime: Runtime) -> bool:
        """A runtime was added or has changed; whether its spec has."""
        before = self._runtimes.get(runtime.title)
        self._runtimes[runtime.title] = runtime
        if before is not None and (before.uid, before.generation) == (runtime.uid, runtime.generation):
            return False
        self.forget()
        return True

    def remove(self, title: str) -> Runtime | None:
        """It is gone; what it was."""
        self.forget()
        return self._runtimes.pop(title, None)

    def forget(self) -> None:
        """Nothing that was offered holds any more."""
        self._offers.clear()

    def runtimes(self) -> Iterable[Runtime]:
        return self._runtimes.values()

    def rivals(self, runtime: Runtime) -> list[str]:
        """What another of the same scope and priority runs too."""
        others = [r for r in self._runtimes.values() if r is not runtime and _rank(r) == _rank(runtime)]
        mine = {(m, o) for m in runtime.models for o in _options(runtime)}
        found = [
            f"{model} as {configuration} on {hardware}, which {other.title} runs too"
            for other in others
            if other.namespace == runtime.namespace
            for model, (hardware, configuration) in sorted(
                mine & {(m, o) for m in other.models for o in _options(other)}
            )
        ]
        return found

    def unprofiled(self, runtime: Runtime) -> list[str]:
        """What it runs that nobody has measured."""
        return [
            f"{model} as {configuration} on {hardware}"
            for model in sorted(runtime.models)
            for (hardware, configuration), way in self._ways(runtime, model)
            if way is None
        ]

    def samples(self, runtime: Runtime) -> list[Way]:
        """One way of each variant that can be used."""
        ways = (way for model in sorted(runtime.models) for _, way in self._ways(runtime, model))
        return list({way.variant.name: way for way in ways if way is not None}.values())

    def _ways(self, runtime: Runtime, model: str) -> Iterator[tuple[Option, Way | None]]:
        """All that a runtime runs of a model; None where nobody has measured it."""
        for variant in runtime.variants:
            for hardware in variant.hardware:
                for configuration in variant.configurations:
                    profile = self._profile(model, hardware, configuration.name)
                    way = None
                    if profile is not None:
                        way = Way(runtime, variant, configuration, self.base.hardware[hardware], profile)
                    yield (hardware, configuration.name), way

    # the served table ------------------------------------------------------------------------------------------------
    def rebase(self, table: ProfileTable) -> None:
        """Other profiles hold from now on."""
        self.base = table
        self._own.clear()
        self.forget()

    @property
    def own_models(self) -> frozenset[str]:
        """Of the served table beside the profiles'."""
        return frozenset(self._own)

    def table(self) -> ProfileTable:
        """The profiles, and the models of jobs beside them."""
        rows = [row for rows in self._own.values() for row in rows]
        if not rows:
            return self.base
        references = [
            replace(row, model=own)
            for own in self._own
            for row in self.base.reference
            if row.model == base_address(own)
        ]
        return self.base.beside(rows, references)

    def keep(self, models: Iterable[str]) -> None:
        """Drop what no job needs."""
        used = set(models)
        self._own = {name: rows for name, rows in self._own.items() if name in used}
        self._offers = {k: o for k, o in self._offers.items() if isinstance(o, Lack) or self._serves(o.model)}

    def _serves(self, model: str) -> bool:
        return model in self._own or model in self.base.models

    # offers ----------------------------------------------------------------------------------------------------------
    def offer(self, namespace: str, spec: JobSpec) -> Offer | Lack:
        """How a job may run, or why it cannot."""
        key = (namespace, spec.model, spec.runtime, spec.hardware, spec.selector, spec.priority_class)
        found = self._offers.get(key)
        if found is None:
            found = self._offers[key] = self._offer(namespace, spec)
        return found

    def _offer(self, namespace: str, spec: JobSpec) -> Offer | Lack:
        if spec.model not in self.base.models:
            known = ", ".join(self.base.models[:_SHOWN]) + (", ..." if len(self.base.models) > _SHOWN else "")
            why = f"there is no profile of model {spec.model!r}; profiles are there of {known}"
            return Lack("UnknownModel", f"{why}; write one of them, or add profiles (setting `profiles`)")
        visible = [r for r in self._runtimes.values() if r.namespace in ("", namespace)]
        if spec.runtime is not None:
            title = _referred(namespace, spec.runtime)
            visible = [r for r in visible if r.title == title]
            if not visible:
                return Lack(
                    "NoRuntime", f"spec.runtimeRef: there is no {title}; create it, or leave runtimeRef out"
                )
        found = self._find(visible, spec)
        if not found.ways:
            return self._lack(found, visible, spec)
        return self._accepted(found, namespace, spec)

    def _find(self, visible: list[Runtime], spec: JobSpec) -> _Found:
        """The best runtime for each option: the namespace's own first, then by priority; none where two are equal."""
        rows: defaultdict[Option, list[tuple[tuple[bool, int], Way]]] = defaultdict(list)
        unprofiled = []
        for runtime in (r for r in visible if spec.model in r.models):
            for option, way in self._ways(runtime, spec.model):
                if spec.hardware is not None and option[0] not in spec.hardware:
                    continue
                if way is None:
                    unprofiled.append(f"{option[1]} on {option[0]}")
                else:
                    rows[option].append((_rank(runtime), way))
        ways, ambiguous = {}, []
        for option, found in sorted(rows.items()):
            best = max(rank for rank, _ in found)
            first = [way for rank, way in found if rank == best]
            if len(first) == 1:
                ways[option] = first[0]
            else:
                names = " and ".join(way.runtime.title for way in first)
                ambiguous.append(f"{option[1]} on {option[0]} is run by {names}")
        return _Found(ways, ambiguous, unprofiled)

    def _lack(self, found: _Found, visible: list[Runtime], spec: JobSpec) -> Lack:
        if found.ambiguous:
            why = "; ".join(found.ambiguous[:_SHOWN])
            return Lack(
                "AmbiguousRuntime", f"{why}; give one a higher spec.priority, or name it in runtimeRef"
            )
        if found.unprofiled:
            why = ", ".join(found.unprofiled[:_SHOWN])
            return Lack(
                "NoProfile",
                f"there is no profile of {spec.model} as {why}; profile it, or rename the configuration",
            )
        broken = [f"{r.title}: {r.problem}" for r in visible if r.problem]
        on = f" on {', '.join(sorted(spec.hardware))}" if spec.hardware is not None else ""
        hint = f" ({'; '.join(broken[:_SHOWN])})" if broken else ""
        where = "an InferenceRuntime of the namespace or a ClusterInferenceRuntime"
        return Lack("NoRuntime", f"no runtime runs {spec.model}{on}{hint}; create {where} that does")

    def _accepted(self, found: _Found, namespace: str, spec: JobSpec) -> Offer | Lack:
        """Of those ways whose templates the API server takes."""
        checks = {
            option: self._check(way, namespace, spec.priority_class) for option, way in found.ways.items()
        }
        if any(checked is None for checked in checks.values()):
            return Lack(
                "CheckingTemplate", "the API server is being asked whether it takes pods of the template"
            )
        good = {o: (w, c) for o, w in found.ways.items() if (c := checks[o]) is not None and not c.problem}
        if not good:
            texts = dict.fromkeys(
                f"{w.runtime.title}, variant {w.variant.name}: {c.problem}"
                for o, w in found.ways.items()
                if (c := checks[o]) is not None
            )
            return Lack("TemplateRefused", "; ".join(list(texts)[:_SHOWN]))
        requests = {option: checked.requests(way) for option, (way, checked) in good.items()}
        model = self._model(spec.model, requests)
        priority = next(checked.pod.priority for _, checked in good.values() if checked.pod is not None)
        kinds = dict.fromkeys((hardware, way.variant) for (hardware, _), (way, _) in good.items())
        choices = tuple(_choice(hardware, variant, good, requests, spec) for hardware, variant in kinds)
        return Offer(model, priority, {option: way for option, (way, _) in good.items()}, choices)

    def _model(self, model: str, requests: dict[Option, Requests]) -> str:
        """The profiles' own, where each hardware class has all its configurations, each as large as its profile."""
        rows = {(h, p.configuration): p for h in {h for h, _ in requests} for p in self.base.of(model, h)}
        same = rows.keys() == requests.keys() and all(
            (p.cpu_milli, p.memory_mib) == (requests[o].cpu_milli, requests[o].memory_mib)
            for o, p in rows.items()
        )
        if same:
            return model
        sizes = [(o, r.cpu_milli, r.memory_mib) for o, r in sorted(requests.items())]
        digest = hashlib.sha256(repr((model, sizes, self.base.sha256)).encode()).hexdigest()[:8]
        own = [
            replace(
                rows[option],
                model=f"{rows[option].model}@{digest}",
                cpu_milli=asked.cpu_milli,
                memory_mib=asked.memory_mib,
            )
            for option, asked in sorted(requests.items())
        ]
        address = own_address(model, digest)
        self._own[address] = own
        return address

    def _profile(self, model: str, hardware: str, configuration: str) -> Profile | None:
        rows = self.base.of(model, hardware) if model in self.base.models else ()
        return next((row for row in rows if row.configuration == configuration), None)


def _choice(
    hardware: str,
    variant: Variant,
    good: dict[Option, tuple[Way, Checked]],
    requests: dict[Option, Requests],
    spec: JobSpec,
) -> Choice:
    """Of the hardware's configurations one has to fit a node, whichever variant runs it."""
    on = [option for option in good if option[0] == hardware]
    mine = [option for option in on if good[option][0].variant is variant]
    pod = good[mine[0]][1].pod
    assert pod is not None, "a template that was refused is not used"
    least = min((requests[o] for o in mine), key=lambda r: (len(r.extended), r.extended))
    selector = {**dict(pod.demand.selector), **dict(spec.selector)}
    asked = Requests(0, 0, least.extended)
    demand = replace(pod.demand, requests=asked, selector=tuple(sorted(selector.items())))
    needs = {Need(requests[o].cpu_milli, requests[o].memory_mib, good[o][0].profile.device_units) for o in on}
    small = tuple((hardware, n) for n in sorted(needs) if not any(n.beyond(other) for other in needs))
    return Choice(hardware, Wish(demand, frozenset({hardware}), small), pod.relations)


def _rank(runtime: Runtime) -> tuple[bool, int]:
    return bool(runtime.namespace), runtime.priority


def _options(runtime: Runtime) -> list[Option]:
    return [(h, c.name) for v in runtime.variants for h in v.hardware for c in v.configurations]


def _referred(namespace: str, ref: RuntimeRef) -> str:
    assert ref.kind in (KIND, CLUSTER_KIND), "read_spec refuses others"
    return title_of(namespace, ref.kind, ref.name)
