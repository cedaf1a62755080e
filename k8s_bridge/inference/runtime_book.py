"""All runtimes, and what their owners are told of them."""

from collections.abc import Callable

from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.inference import actions
from synergai.k8s_bridge.inference.checks import Checks
from synergai.k8s_bridge.inference.job import Condition
from synergai.k8s_bridge.inference.offers import Offers
from synergai.k8s_bridge.inference.runtime import Runtime, read_runtime, title_of
from synergai.k8s_bridge.inference.writer import Writer
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.reports.report import Report

_SHOWN = 8
_UNWANTED = frozenset({"Ambiguous"})
"""Conditions that are bad when they are true; the others are when they are false."""


class RuntimeBook:
    """Keeps offers and checks at what the API server says, and writes the conditions of runtimes."""

    def __init__(
        self,
        offers: Offers,
        checks: Checks,
        report: Report,
        writer: Writer,
        acts: Callable[[], bool] = lambda: True,
    ) -> None:
        self.offers = offers
        self._checks = checks
        self._report = report
        self._writer = writer
        self._acts = acts
        self._told: dict[str, tuple[Condition, ...]] = {}  # by uid
        self._news = True

    def set(self, raw: Json, kind: str) -> bool:
        """A runtime was added or has changed; whether what it offers has."""
        runtime = read_runtime(raw, kind)
        if not self.offers.set(runtime):
            return False
        self._news = True
        self._checks.forget(runtime.uid, runtime.generation)
        for way in self.offers.samples(runtime) if runtime.namespace else ():
            self._checks(way, runtime.namespace, "")
        return True

    def remove(self, namespace: str, kind: str, name: str) -> bool:
        """It is gone; whether it was known."""
        runtime = self.offers.remove(title_of(namespace, kind, name))
        self._news = True
        if runtime is not None:
            self._checks.forget(runtime.uid)
            self._told.pop(runtime.uid, None)
        return runtime is not None

    def retell(self, uid: str = "") -> None:
        """Write the conditions anew, of one runtime or of all."""
        self._told = {known: told for known, told in self._told.items() if uid and known != uid}
        self._news = True

    def checked(self) -> None:
        """What is known of a template has changed, or what is profiled."""
        self._news = True

    def tell(self, now_us: int) -> None:
        """Write what is not told yet. `now_us` is server time."""
        if not (self._news and self._acts()):
            return
        self._news = False
        for runtime in self.offers.runtimes():
            conditions = self._conditions(runtime, now_us)
            told = self._told.get(runtime.uid)
            if told is None and runtime.observed == runtime.generation:
                told = runtime.conditions  # by whoever led before
            self._told[runtime.uid] = conditions
            if told is None or _said(told) != _said(conditions):
                self._writer.put(*actions.tell_runtime(runtime, conditions))
                for condition in conditions:
                    if condition.status == (condition.type in _UNWANTED):
                        at = (runtime.kind, runtime.namespace, runtime.name, runtime.uid)
                        self._report.runtime(*at, condition.reason, condition.message)

    def _conditions(self, runtime: Runtime, now_us: int) -> tuple[Condition, ...]:
        if runtime.problem:
            found = [Condition("TemplateAccepted", False, "InvalidSpec", runtime.problem)]
        else:
            found = [*self._template(runtime), self._profiled(runtime), self._ambiguous(runtime)]
        since = {(c.type, c.status): c.since for c in runtime.conditions}
        now = format_time_us(now_us - now_us % SECOND_US).replace(".000000", "")
        return tuple(
            Condition(c.type, c.status, c.reason, c.message, since.get((c.type, c.status)) or now)
            for c in found
        )

    def _template(self, runtime: Runtime) -> list[Condition]:
        """Nothing before anybody has asked: a template is tried where a job wants it."""
        checked = self._checks.of(runtime)
        bad = [f"in {q.namespace}, variant {q.variant}: {c.problem}" for q, c in checked.items() if c.problem]
        if bad:
            return [Condition("TemplateAccepted", False, "Refused", "; ".join(sorted(bad)[:_SHOWN]))]
        where = ", ".join(sorted({q.namespace for q in checked})[:_SHOWN])
        return [Condition("TemplateAccepted", True, "Accepted", f"in {where}")] if checked else []

    def _profiled(self, runtime: Runtime) -> Condition:
        lacking = self.offers.unprofiled(runtime)
        if not lacking:
            return Condition("Profiled", True, "AllProfiled")
        why = f"there is no profile of {', '.join(lacking[:_SHOWN])}: nothing runs so before there is one"
        return Condition("Profiled", False, "NoProfile", why)

    def _ambiguous(self, runtime: Runtime) -> Condition:
        rivals = self.offers.rivals(runtime)
        if not rivals:
            return Condition("Ambiguous", False, "None")
        why = f"{'; '.join(rivals[:_SHOWN])}: neither does; give one a higher spec.priority"
        return Condition("Ambiguous", True, "SamePriority", why)


def _said(conditions: tuple[Condition, ...]) -> list[tuple[object, ...]]:
    return sorted((c.type, c.status, c.reason, c.message) for c in conditions)
