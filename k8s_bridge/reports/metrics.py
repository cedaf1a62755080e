"""Prometheus metrics, all named `synergai_*`; kube-scheduler's suffixes where it has the same thing."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from synergai.k8s_bridge.model import Model

_LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_WAIT_S = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_GAIN_S = (-300, -60, -30, -10, -3, -1, -0.1, 0, 0.1, 1, 3, 10, 30, 60, 300)
_EXCESS_S = (0.0, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
_RATIOS = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4, 2.0, 4.0)


class Metrics:
    """One registry per bridge, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = self._counter("decisions", "Decisions by action and by whom.", "action", "by")
        self.binds = self._counter("binds", "Binds by result.", "result")
        self.finished = self._counter("pods_finished", "Pods that ended, by cause.", "cause")
        self.deadlines = self._counter(
            "deadlines", "Finished pods that had a deadline, by model.", "result", "model"
        )
        self.excess_s = self._histogram(
            "deadline_excess_seconds",
            "Behind the deadline, of pods that ran to an end; 0 is in time.",
            _EXCESS_S,
        )
        self.fallbacks = self._counter("fallbacks", "Answers the guard replaced, by cause.", "cause")
        self.pod_problems = self._counter("pod_problems", "Warning events on pods, by reason.", "reason")
        self.node_problems = self._counter("node_problems", "Nodes meant for us that cannot be used.")
        self.events = self._counter("events", "Events written, by reason.", "reason")
        self.events_dropped = self._counter("events_dropped", "Events not written: queue full or refused.")
        self.watch_restarts = self._counter("watch_restarts", "Watches opened again.", "resource", "cause")
        self.api_requests = self._counter("api_requests", "Requests to the API server.", "method", "code")
        self.rounds = self._counter("rounds", "Rounds of decisions.")
        self.round_s = self._histogram("round_duration_seconds", "Time one round takes.", _LATENCY_S)
        self.attempt_s = self._histogram(
            "scheduling_attempt_duration_seconds", "From decision to bound.", _LATENCY_S
        )
        self.wait_s = self._histogram(
            "pod_scheduling_sli_duration_seconds", "From creation to bound.", _WAIT_S
        )
        self.pending = self._gauge("pending_pods", "Pods that wait, by why.", "queue")
        self.running = self._gauge("running_jobs", "Jobs booked on nodes.")
        self.nodes = self._gauge("nodes", "Nodes, by whether they are used.", "state")
        self.replays = self._counter("replays", "Replays of the last arrivals, by result.", "result")
        self.replay_violations = self._gauge(
            "replay_violations", "Share of the last replay's jobs that miss their deadline.", "by"
        )
        self.replay_evidence = self._gauge(
            "replay_evidence", "What replays say for the next switch of the guard; it switches at 1."
        )
        self.policy_plays = self._gauge("policy_plays", "1, or 0 while replays have the fallback decide.")
        self.policy_plays.set(1)
        self.switches = self._counter("guard_switches", "Switches of the guard by replays.", "to")
        self.leads = self._gauge(
            "leader_election_master_status", "1 while this bridge decides, 0 while it follows another."
        )
        self.terms = self._counter("leader_transitions", "Times this bridge began or ceased to lead.", "to")
        self.renewals = self._counter("lease_renewals", "Attempts to take or renew the lease.", "result")
        self.mode = self._gauge("mode", "1 for the mode in force.", "mode")
        self.breaker_steps = self._gauge("breaker_steps", "Steps that the circuit breaker has gone down.")
        self.trips = self._counter("breaker_trips", "Trips of the circuit breaker, by where it led.", "to")
        self.capped = self._gauge("capped_nodes", "Nodes that are given nothing new, as they are at a cap.")
        self.arms = self._counter("arm_deadlines", "Deadlines of ended pods, by arm.", "arm", "result")
        self.reloads = self._counter("reloads", "Changed settings, by what became of them.", "result")
        self.settings_refused = self._gauge(
            "settings_refused", "1 while the settings' file says something that cannot be used."
        )
        self.restart_needed = self._gauge(
            "settings_restart_needed", "Keys that the file says otherwise, and that need a restart."
        )
        self.shadow_agreement = self._counter(
            "shadow_agreement",
            "Pods of another scheduler, by whether we would have chosen the same.",
            "result",
        )
        self.shadow_gain = self._histogram(
            "shadow_gain_seconds", "How much earlier its pods would end with us, as predicted.", _GAIN_S
        )
        self.shadow_deadlines = self._counter(
            "shadow_deadlines", "Predicted deadlines of its pods under either choice.", "by", "result"
        )
        self.model_info = self._gauge("model_info", "1 for who decides.", "name", "policy", "version")
        self.run_ratio = self._histogram(
            "run_seconds_ratio", "Observed over predicted run time.", _RATIOS, "model", "hardware"
        )
        self.calibration_ratio = self._gauge(
            "calibration_ratio",
            "Run time to be expected over that of the profiles, as learnt.",
            "model",
            "hardware",
        )
        self.calibration_runs = self._gauge("calibration_runs", "Runs behind the ratio.", "model", "hardware")
        self.calibration_writes = self._counter(
            "calibration_writes", "Attempts to keep what was learnt, by result.", "result"
        )
        self.lines_lost = self._counter(
            "decision_log_lines_lost", "Lines of the decision log that could not be written."
        )
        self.watch_age = self._gauge(
            "watch_age_seconds",
            "Since the API server was heard last, by a list, an event or a bookmark.",
            "resource",
        )
        self.jobs_ended = self._counter(
            "jobs_ended", "InferenceJobs that came to their end.", "result", "deadline"
        )
        self.job_problems = self._counter(
            "job_problems", "Warning events on InferenceJobs, by reason.", "reason"
        )
        self.runtime_problems = self._counter(
            "runtime_problems", "Warning events on runtimes, by reason.", "reason"
        )
        self.job_write_failures = self._counter(
            "job_write_failures",
            "Writes about jobs that the API server refused, by what was written.",
            "write",
        )
        self.jobs = self._gauge("jobs", "InferenceJobs that are known, by whether they are over.", "state")
        self.job_writes = self._gauge("job_writes_pending", "Writes about jobs that wait or are under way.")
        self._causes: dict[str, int] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"synergai_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"synergai_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"synergai_{name}", text, labels, buckets=buckets, registry=self.registry)

    def calibrated(self, ratios: Iterable[tuple[str, str, float, float]]) -> None:
        """(model, hardware, runs, ratio) of everything that was learnt; labels are those of the profile table."""
        for model, hardware, runs, ratio in ratios:
            self.calibration_runs.labels(model, hardware).set(runs)
            self.calibration_ratio.labels(model, hardware).set(ratio)

    def guard_causes(self, causes: dict[str, int], last: bool = False) -> None:
        """Take over what a guard has counted since the last call; after the `last` another one begins at 0."""
        for cause, total in causes.items():
            self.fallbacks.labels(cause).inc(total - self._causes.get(cause, 0))
            self._causes[cause] = total
        if last:
            self._causes = {}

    def decides(self, model: Model) -> None:
        """Who decides from now on."""
        self.model_info.clear()
        self.model_info.labels(*model).set(1)

    def render(self) -> bytes:
        """The page a Prometheus server reads."""
        return generate_latest(self.registry)
