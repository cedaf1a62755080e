"""What a simulated kubelet writes into the status of a pod, from its start to its end."""

import json

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.embedded.clock import micros_text, seconds_text
from synergai.k8s_bridge.embedded.fates import EVICTED, KILLED, Fate
from synergai.k8s_bridge.embedded.machine import Refusal, chosen
from synergai.k8s_bridge.embedded.objects import Json, metadata


def running(pod: Json, now_s: float) -> Json:
    """All containers run and are ready."""
    at = seconds_text(now_s)
    state = {"running": {"startedAt": at}}
    return {
        "phase": "Running",
        "startTime": at,
        "conditions": _conditions("True", at),
        "containerStatuses": [_container(item, state, True) for item in _containers(pod)],
    }


def succeeded(pod: Json, started_s: float, now_s: float, message: str) -> Json:
    """All containers ended well; `message` is the termination message."""
    ended = _terminated(0, "Completed", started_s, now_s) | {"message": message}
    return _over(pod, "Succeeded", ended, now_s)


def killed(pod: Json, started_s: float, now_s: float) -> Json:
    """All containers were ended from outside."""
    return _over(pod, "Failed", _terminated(KILLED, "Error", started_s, now_s), now_s)


def failed(pod: Json, fate: Fate, started_s: float, now_s: float) -> Json:
    """The containers came to a bad end, or the kubelet put the pod out."""
    if fate.reason != EVICTED:
        ended = _terminated(fate.code, fate.reason, started_s, now_s)
        return _over(pod, "Failed", ended | ({"message": fate.message} if fate.message else {}), now_s)
    message = fate.message or "The node was low on resource: memory."
    status = _over(pod, "Failed", _terminated(fate.code, "Error", started_s, now_s), now_s)
    target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    target |= {"message": message, "lastTransitionTime": seconds_text(now_s)}
    return status | {
        "reason": EVICTED,
        "message": message,
        "conditions": [*status["conditions"], target],
    }


def without_image(pod: Json, reason: str, now_s: float) -> Json:
    """No container starts: its image is not to be had (pkg/kubelet/images)."""
    at = seconds_text(now_s)
    pulls = [
        _container(item, {"waiting": {"reason": reason, "message": _pull(item)}}, False)
        for item in _containers(pod)
    ]
    conditions = _conditions("False", at, reason="ContainersNotReady")
    return {"phase": "Pending", "startTime": at, "conditions": conditions, "containerStatuses": pulls}


def _pull(container: Json) -> str:
    image = container.get("image", "")
    return f'failed to pull and unpack image "{image}": not found'


def rejected(refusal: Refusal, now_s: float) -> Json:
    """The kubelet did not take the pod."""
    return {
        "phase": "Failed",
        "reason": refusal.reason,
        "message": refusal.message,
        "startTime": seconds_text(now_s),
    }


def report(pod: Json, run_s: float, started_s: float, finished_s: float) -> str:
    """The termination message: what the runner measured, `run_s` in scenario seconds."""
    annotations = metadata(pod).get("annotations") or {}
    decision = chosen(pod)
    return json.dumps(
        {
            "schema": keys.SCHEMA,
            "model": annotations.get(keys.ANNOTATION_MODEL, ""),
            "samples": whole(annotations.get(keys.ANNOTATION_SAMPLES)) or 0,
            "hardware": decision.hardware,
            "configuration": decision.configuration,
            "runSeconds": run_s,
            "startedAt": micros_text(started_s),
            "finishedAt": micros_text(finished_s),
        },
        separators=(",", ":"),
    )


def whole(text: str | None) -> int | None:
    """A whole number in an annotation, None where there is none."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _containers(pod: Json) -> list[Json]:
    return (pod.get("spec") or {}).get("containers") or []


def _container(container: Json, state: Json, ready: bool) -> Json:
    image = container.get("image", "")
    return {
        "name": container["name"],
        "image": image,
        "imageID": image,
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _terminated(exit_code: int, reason: str, started_s: float, now_s: float) -> Json:
    times = {"startedAt": seconds_text(started_s), "finishedAt": seconds_text(now_s)}
    return {"exitCode": exit_code, "reason": reason, **times}


def _over(pod: Json, phase: str, terminated: Json, now_s: float) -> Json:
    return {
        "phase": phase,
        "conditions": _conditions("False", seconds_text(now_s), reason="PodCompleted"),
        "containerStatuses": [
            _container(item, {"terminated": terminated}, False) for item in _containers(pod)
        ],
    }


def _conditions(ready: str, at: str, **reason: str) -> list[Json]:
    initialized = {"type": "Initialized", "status": "True", "lastTransitionTime": at}
    both = ("Ready", "ContainersReady")
    return [
        initialized,
        *({"type": kind, "status": ready, "lastTransitionTime": at} | reason for kind in both),
    ]
