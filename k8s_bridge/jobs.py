"""From a pod to the job a scheduler decides on, or to the reason why the fallback has to place it."""

from dataclasses import dataclass

from synergai.envs.types import Job
from synergai.k8s_bridge.admission.filters import Wish
from synergai.k8s_bridge.annotations import Request, read_request
from synergai.k8s_bridge.clock import SECOND_US, ScenarioClock
from synergai.k8s_bridge.inference.offers import Offer
from synergai.k8s_bridge.pods import Pod
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.table import ProfileTable, address


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pod asks for: a job where it is understood, else `reason` and `message` for its owner."""

    wish: Wish
    job: Job | None = None
    reason: str = ""
    message: str = ""
    offer: Offer | None = None
    """Of an InferenceJob: how it may run."""
    avoid: frozenset[tuple[str, str]] = frozenset()
    """Devices, as (node, hardware), that it has failed on."""


def read_ask(pod: Pod, table: ProfileTable, clock: ScenarioClock, now_us: int) -> Ask:
    """Never raises: what cannot be understood is left to the fallback rule, with a reason."""
    request = read_request(pod.annotations)
    allowed = _allowed(pod, request, table)
    plain = Wish(pod.demand, allowed)
    if request.problems or request.model is None or request.samples is None:
        return Ask(plain, reason="InvalidAnnotation", message="; ".join(request.problems))
    names = ", ".join(sorted(request.hardware or ()))
    if request.hardware is not None and not request.hardware & table.hardware.keys():
        return Ask(plain, reason="InvalidAnnotation", message=f"no profile knows any of the hardware {names}")
    if any(amount > 1 for _, amount in _devices(pod, table)):
        return Ask(plain, reason="UnsupportedSpec", message=_several_units(pod, table))
    model = address(*_split(request.model))
    if model not in table.models:
        return Ask(plain, reason="UnknownModel", message=f"there is no profile of model {request.model!r}")
    least = table.least[model]
    serving = frozenset(least) if allowed is None else frozenset(least) & allowed
    if not serving:
        why = f"there is no profile of model {request.model!r} on the hardware that the pod may run on"
        return Ask(plain, reason="UnknownModel", message=why)
    needs = tuple((name, need) for name, found in least.items() if name in serving for need in found)
    wish = Wish(pod.demand, serving, needs)
    job = job_of(
        pod,
        model=model,
        samples=request.samples,
        hardware=allowed,
        site=request.site,
        deadline_us=_deadline_us(pod, request, clock),
        clock=clock,
        now_us=now_us,
    )
    return Ask(wish, job)


def unfit(pod: Pod, job: Job, table: ProfileTable) -> frozenset[str]:
    """Hardware with a configuration beyond what the pod requests or can be given: nothing of it is held for the pod on
    a node where others place pods too."""
    requests = pod.demand.requests
    units = dict(requests.extended)

    def fits(profile: Profile, hardware: Hardware) -> bool:
        small = profile.cpu_milli <= requests.cpu_milli and profile.memory_mib <= requests.memory_mib
        held = hardware.kind == "cpu" or not hardware.resource
        return (pod.main is not None or small) and (
            held or profile.device_units <= units.get(hardware.resource, 0)
        )

    return frozenset(
        name
        for name, hardware in table.hardware.items()
        if not all(fits(profile, hardware) for profile in table.of(job.model, name))
    )


def _split(model: str) -> tuple[str, str]:
    name, _, version = model.partition(":")
    return name, version or "1"


def _devices(pod: Pod, table: ProfileTable) -> list[tuple[str, int]]:
    """What it requests of resources behind which there are devices."""
    behind = {hardware.resource for hardware in table.hardware.values()}
    return [(name, amount) for name, amount in pod.demand.requests.extended if name in behind]


def _several_units(pod: Pod, table: ProfileTable) -> str:
    amounts = ", ".join(f"{amount} {name}" for name, amount in _devices(pod, table))
    return f"it requests {amounts}, and a profile's configuration is known for one device only"


def _allowed(pod: Pod, request: Request, table: ProfileTable) -> frozenset[str] | None:
    """Hardware the pod may run on: its annotation's, and behind the extended resources it requests."""
    wanted = {name for name, _ in _devices(pod, table)}
    if not wanted:
        return request.hardware
    behind = frozenset(h.name for h in table.hardware.values() if h.resource in wanted)
    return behind if request.hardware is None else behind & request.hardware


def job_of(
    pod: Pod,
    *,
    model: str,
    samples: int,
    hardware: frozenset[str] | None,
    site: str,
    deadline_us: int | None,
    clock: ScenarioClock,
    now_us: int,
) -> Job:
    """What a scheduler sees of a pod."""
    # creationTimestamp is cut to whole seconds: a pod seen within that second arrived when it was seen
    first_us, last_us = clock.to_scenario(pod.created_us), clock.to_scenario(pod.created_us + SECOND_US)
    return Job(
        key=pod.key,
        model=model,
        samples=samples,
        arrival_us=min(max(now_us, first_us), last_us),
        deadline_us=deadline_us,
        priority=pod.priority,
        namespace=pod.namespace,
        site=site,
        hardware=hardware,
        cpu_milli=pod.demand.requests.cpu_milli,
        memory_mib=pod.demand.requests.memory_mib,
    )


def _deadline_us(pod: Pod, request: Request, clock: ScenarioClock) -> int | None:
    if request.deadline_at_us is not None:
        return clock.to_scenario(request.deadline_at_us)
    if request.deadline_after_us is not None:
        return clock.to_scenario(pod.created_us) + request.deadline_after_us
    return None
