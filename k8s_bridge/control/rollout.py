"""How far the bridge goes with its decisions, and whose they are: mode, breaker, caps and canary as one object."""

from collections.abc import Callable, Mapping

from synergai.agents.registry import make
from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.state import ClusterState
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.control.breaker import Breaker
from synergai.k8s_bridge.control.canary import POLICY, RULE, Canary, belongs
from synergai.k8s_bridge.control.caps import Caps, limits_of
from synergai.k8s_bridge.control.mode import MODES, Modes
from synergai.k8s_bridge.entries import Entry
from synergai.k8s_bridge.pods import Pod
from synergai.k8s_bridge.reports.metrics import Metrics

FAILURES = ("failed", "rejected")


class Rollout:
    """Asked before each round and each bind, told of each pod's end."""

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        cluster: Cluster,
        entries: Callable[[], Mapping[str, Entry]],
        metrics: Metrics,
        now_us: Callable[[], int],
    ) -> None:
        """`now_us` is the server's clock, which stands in decisions."""
        self.modes = Modes(settings.mode, settings.breaker_quiet_s)
        self.caps = Caps(cluster, limits_of(settings))
        self._breaker = Breaker(settings.breaker_share)
        self._settings = settings
        self._policy = scheduler
        self._rule = make(settings.fallback)
        self._cluster = cluster
        self._entries = entries
        self._metrics = metrics
        self._now_us = now_us
        self._since_us = 0
        """Pods that were decided before are nothing that the breaker may judge the present mode by."""

    @property
    def scheduler(self) -> Scheduler:
        """Who decides in a round that begins now."""
        if self.modes.now == "heuristic":
            return self._rule
        if self._settings.canary is None:
            return self._policy
        return Canary(self._policy, self._rule, self._in_canary)

    @property
    def decides(self) -> bool:
        """Whether a round may begin, or go on."""
        return self.modes.now != "paused" and not self.caps.full()

    @property
    def shadows(self) -> bool:
        """Whether what is decided is not carried out."""
        return self.modes.now == "shadow"

    def change(self, settings: Settings, scheduler: Scheduler | None = None) -> None:
        """Other settings, and perhaps another policy, from now on."""
        if self.modes.want(settings.mode):
            self._begin()
        self.modes.quiet_s = settings.breaker_quiet_s
        self._breaker.share = settings.breaker_share
        self.caps.change(limits_of(settings), self._entries())
        if settings.fallback != self._settings.fallback:
            self._rule = make(settings.fallback)
        self._settings = settings
        self._policy = scheduler or self._policy

    def turn(self) -> bool:
        """What time alone changes; whether a round is due."""
        moved = self.modes.step_up()
        if moved:
            self._begin()
        return self.caps.turn(self._entries()) or moved

    def ended(self, pod: Pod, record: DecisionRecord | None, cause: str, met: bool | None) -> None:
        """One pod has run to its end."""
        if record is None:
            return
        if met is not None:
            self._metrics.arms.labels(self._arm(pod, record), "met" if met else "missed").inc()
        if cause == "deleted" or record.decided_us < self._since_us or not self.modes.binds:
            return
        why = self._breaker.take(record.hardware, cause in FAILURES)
        if why:
            self.modes.step_down(why)
            self._metrics.trips.labels(self.modes.now).inc()
            self._begin()

    def show(self) -> None:
        """Bring the gauges up to date."""
        for mode in MODES:
            self._metrics.mode.labels(mode).set(mode == self.modes.now)
        self._metrics.breaker_steps.set(self.modes.steps)
        self._metrics.capped.set(len(self.caps.closed))

    def _begin(self) -> None:
        self._breaker.clear()
        self._since_us = self._now_us()

    def _arm(self, pod: Pod, record: DecisionRecord) -> str:
        """Which arm a pod belongs to, whoever decided; without a canary who decided."""
        if self._settings.canary is not None:
            return POLICY if belongs(self._settings.canary, pod) else RULE
        return POLICY if record.decided_by == POLICY else RULE

    def _in_canary(self, state: ClusterState, row: int) -> bool:
        entry = self._entries().get(self._cluster.job_at(row).key)
        return bool(entry and self._settings.canary and belongs(self._settings.canary, entry.pod))
