"""The bridge's settings: defaults here, a YAML file over them, command-line options over both."""

from pathlib import Path
from typing import Any, Literal  # a YAML file holds anything

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from synergai.envs import strict_yaml
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.binder import CONCURRENCY
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.control.mode import Mode


class ConfigError(Exception):
    """A setting that cannot be used; one line that names file and key."""


class Expected(BaseModel):
    """What is expected of a model before it has been seen: its share of the jobs, and the log-normal of its samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(gt=0, le=1e9)
    samples: float = Field(gt=0, le=1e12)
    """Median."""
    samples_log_sd: float = Field(0.7, ge=0, le=5)


class CanarySettings(BaseModel):
    """Which pods the policy decides for; the fallback rule decides for the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespaces: tuple[str, ...] = ()
    """All pods of these."""
    share: float = Field(0.0, ge=0, le=1)
    """Of the pods of all others, chosen by their uid."""


class Settings(BaseModel):
    """Everything that can be set, logged once at the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kubeconfig: str = ""
    """Empty: KUBECONFIG, ~/.kube/config, or the pod's service account."""
    context: str = ""
    scheduler: str = "sjf_feasible"
    """A rule by name; unused when there is a checkpoint."""
    checkpoint: str = ""
    """Directory of a trained policy."""
    policy: Literal["net", "net+plan"] = "net"
    """How the policy is played: the network alone, or the planner on it."""
    plan_budget_ms: float = Field(1.0, gt=0, le=10_000)
    """How long the planner may think of one decision."""
    fallback: str = "edf_likely"
    """The rule that answers where the policy's answer is refused."""
    guard_budget_ms: float = Field(0.3, ge=0, le=10_000)
    """How long the policy's move and the rule's may be tried against each other; 0 tries nothing."""
    replay_every_s: float = Field(600.0, ge=0, le=86_400)
    """Real seconds between replays of the last arrivals under policy and fallback; 0 replays nothing."""
    profiles: tuple[str, ...] = ()
    """CSV files of profiles, which win over the shipped rows."""
    hardware: str = ""
    """CSV file of hardware classes that the shipped table lacks."""
    expect: dict[str, Expected] = {}
    """The job mix to reckon with, by model: it counts like 50 jobs beside those that have come."""
    mode: Mode = "active"
    """`heuristic`: the fallback rule decides; `shadow`: decide and bind nothing; `paused`: decide nothing."""
    shadow_of: str = Field("", pattern=r"^[a-z0-9A-Z._/-]*$", max_length=253)
    """Another scheduler, with whose choices for its pods ours are compared; empty for none."""
    canary: CanarySettings | None = None
    """Null: the policy decides for all."""
    breaker_share: float = Field(0.2, ge=0, le=1)
    """Share of the last 50 placed pods, overall or of one hardware class, of which more must not fail; 1 for any."""
    breaker_quiet_s: float = Field(3600.0, ge=0, le=604_800)
    """Real seconds after which the breaker takes a step back; 0: only a change of `mode` does."""
    binds_per_minute: int = Field(0, ge=0)
    """Of this bridge, in any minute; 0 is no cap."""
    node_binds_per_minute: int = Field(0, ge=0)
    """On each node, in any minute; 0 is no cap."""
    starting_per_node: int = Field(0, ge=0)
    """Pods bound and not yet running, on each node; 0 is no cap."""
    pod_start_s: float = Field(0.0, ge=0, le=3600)
    """Scenario seconds from binding until the engine starts, added to every predicted run."""
    energy_weight: float = Field(0.0, ge=0, le=1)
    """Weight of energy against deadlines, for policies that were trained with it."""
    dry_run: bool = False
    """Decide and log; write nothing to the API server, neither binds nor events."""
    binder: Literal["direct", "kube-scheduler"] = "direct"
    """Who binds the pods of InferenceJobs: we do, on dedicated nodes, or kube-scheduler, to the node that we choose, on
    any."""
    kube_scheduler_name: str = Field(
        "default-scheduler", pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=63
    )
    """The schedulerName by which such a pod is given to kube-scheduler."""
    shared_nodes: bool = False
    """Use nodes that are not dedicated for what we bind; another scheduler there may take the same room."""
    resize: Literal["auto", "never"] = "auto"
    """Give a pod its configuration's cpu and memory before it is bound, where the API server can."""
    speed: float = Field(1.0, gt=0, le=1000)
    """Scenario seconds per second of a simulated cluster."""
    epoch: str = ""
    """RFC 3339 time at which scenario time and server time are equal; empty: the start of the daemon."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(8080, ge=0, le=65535)
    """For /metrics; 0 is any free port, null none."""
    probe_host: str = "127.0.0.1"
    probe_port: int | None = Field(None, ge=0, le=65535)
    """For /healthz and /readyz, which a kubelet asks; 0 is any free port, null none."""
    queue_every_s: float = Field(5.0, ge=0, le=3600)
    """Real seconds between updates of the ConfigMap that `synergai queue` reads; 0 writes none."""
    queue_namespace: str = Field(keys.BRIDGE_NAMESPACE, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Where that ConfigMap is, and the one of the calibration."""
    calibration_every_s: float = Field(60.0, ge=0, le=3600)
    """Real seconds between updates of the ConfigMap that keeps what runs have taught; 0 neither reads nor writes it."""
    decisions: str = ""
    """File to which nodes, arrivals, decisions and outcomes are appended, one JSON object per line."""
    decisions_max_mb: float = Field(256.0, ge=0, le=1e6)
    """Of that file and the one before together; 0 has no bound."""
    batch_ms: float = Field(5.0, ge=0, le=1000)
    """Changes that arrive within this time are decided on together."""
    bind_concurrency: int = Field(CONCURRENCY, ge=1, le=256)
    bind_timeout_s: float = Field(1.0, gt=0, le=60)
    lease: Literal["auto", "off"] = "auto"
    """Bind only while this bridge holds the Lease below; `--once` and dry runs take none."""
    lease_name: str = Field(keys.SCHEDULER_NAME, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    lease_namespace: str = Field("", pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", max_length=63)
    """Empty: the pod's own, or that of the kubeconfig's context, else `default`."""
    lease_duration_s: int = Field(6, ge=1, le=3600)
    """How long others wait for a leader that renews no more."""
    lease_renew_deadline_s: float = Field(4.0, gt=0, le=3600, validate_default=True)
    """The leader starts no bind later than this after its last renewal."""
    lease_retry_s: float = Field(1.0, gt=0, le=3600, validate_default=True)
    """Between renewals, and between a follower's looks."""
    node_leases: Literal["auto", "off"] = "auto"
    """Nodes whose Lease in kube-node-lease is old get no pods."""
    request_timeout_s: float = Field(10.0, gt=0, le=300)
    events_queue: int = Field(1000, ge=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    """For people, or an object per line; the shipped deployment says `json`."""

    @property
    def replays(self) -> bool:
        """Whether replays judge a policy. They count deadlines alone, so not one that is to weigh energy too."""
        return self.replay_every_s > 0.0 and self.energy_weight == 0.0

    @property
    def delegate_to(self) -> str:
        """The scheduler that binds the pods of InferenceJobs; empty where we do."""
        return self.kube_scheduler_name if self.binder == "kube-scheduler" else ""

    @field_validator("shadow_of", "kube_scheduler_name")
    @classmethod
    def _is_another(cls, value: str) -> str:
        if value == keys.SCHEDULER_NAME:
            raise ValueError("that is this scheduler's own name")
        return value

    @field_validator("lease", "node_leases", mode="before")
    @classmethod
    def _is_word(cls, value: object) -> object:
        return "off" if value is False else value  # what YAML makes of the word

    @field_validator("lease_renew_deadline_s")
    @classmethod
    def _leaves_time_for_binds(cls, value: float, info: ValidationInfo) -> float:
        """A bind that starts last must have ended, and as long again have passed, before another may take the lease."""
        given = info.data
        if given.get("lease") != "auto" or not {"bind_timeout_s", "lease_duration_s"} <= given.keys():
            return value
        least_s = value + 2 * given["bind_timeout_s"]
        if given["lease_duration_s"] < least_s:
            raise ValueError(
                f"with twice bind_timeout_s that is {least_s:g}, more than lease_duration_s {given['lease_duration_s']}"
            )
        return value

    @field_validator("lease_retry_s")
    @classmethod
    def _is_below_the_deadline(cls, value: float, info: ValidationInfo) -> float:
        deadline_s = info.data.get("lease_renew_deadline_s", float("inf"))
        if info.data.get("lease") == "auto" and value >= deadline_s:
            raise ValueError(f"must be below lease_renew_deadline_s {deadline_s:g}")
        return value

    @field_validator("epoch")
    @classmethod
    def _is_time(cls, value: str) -> str:
        if value:
            parse_time_us(value)
        return value


CHANGEABLE = frozenset(
    {
        "mode", "canary", "breaker_share", "breaker_quiet_s", "binds_per_minute", "node_binds_per_minute",
        "starting_per_node", "scheduler", "checkpoint", "policy", "plan_budget_ms", "fallback", "guard_budget_ms",
        "profiles", "expect", "pod_start_s", "batch_ms", "log_level",
    }
)  # fmt: skip
"""Keys that a running bridge takes from its file; the others need a restart."""


def load_settings(path: str = "", **options: object) -> Settings:
    """Settings of a file (none if empty), with the options that are not None over them."""
    given = {name: value for name, value in options.items() if value is not None}
    values = _read(path) if path else {}
    try:
        return Settings.model_validate({**values, **given})
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(problem, path, given) for problem in error.errors())) from error


def _read(path: str) -> dict[str, Any]:
    """What the file says; no key may stand twice, as of two modes nobody knows which is meant."""
    try:
        data = Path(path).read_bytes()
        empty = all(not line or line.startswith(b"#") for line in map(bytes.strip, data.splitlines()))
        return {} if empty else strict_yaml.read(data, path).values
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error}") from error
    except strict_yaml.YamlError as error:
        raise ConfigError(f"config {'; '.join(str(error).splitlines())}") from error


def _explain(problem: Any, path: str, given: dict[str, object]) -> str:  # pydantic's ErrorDetails
    key = ".".join(str(part) for part in problem["loc"])
    where = f"config {path}" if path and key not in given else "option"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}; known are {', '.join(Settings.model_fields)}"
    return f"{where}: {key} is {problem['input']!r}: {problem['msg']}"
