"""The Job that measures one class: made of the user's pod template, pinned to a node."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # of YAML

import yaml

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.explain.api import AskError
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.profiling.places import Place
from synergai.offline_profiles.profile import Hardware

CONTAINER = "profile"
LABEL = f"{keys.PREFIX}/profile"
"""On Jobs and their pods: the run that made them."""
MODELS = "/models"
KEPT_S = 3600
"""How long a finished Job stays, should nobody delete it."""
COMMAND = ("synergai", "profile", "run")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the Jobs have in common."""

    template: Json
    """Of a pod, with a container `profile`."""
    arguments: tuple[str, ...] = ()
    """For `synergai profile run`, beside those that say where and what."""
    unit: str = ""
    """`cpu` or `gpu`; empty: by the kind of the class."""
    cpu: str = ""
    """Request and limit; empty: no more than the node has, and next to nothing reserved."""
    memory: str = ""
    limit_s: int = 4 * 3600


def read_template(path: Path | None, image: str, models_volume: str) -> Json:
    """The pod's template: the user's, or a bare one; AskError names what is wrong with it."""
    given: Any = {"spec": {"containers": [{"name": CONTAINER}]}}
    if path is not None:
        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise AskError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    try:
        template: Json = {"metadata": dict(given.get("metadata") or {}), "spec": dict(given["spec"])}
        containers = [dict(one) for one in template["spec"]["containers"]]
        (container,) = [one for one in containers if one.get("name") == CONTAINER]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AskError(
            f"{path}: is no pod template, with spec.containers and in it one named {CONTAINER}"
        ) from error
    template["spec"]["containers"] = containers
    container |= {"image": image} if image else {}
    if not container.get("image"):
        raise AskError(f"name the image with --image, or in the container {CONTAINER} of a --template")
    if models_volume:
        _mount(template["spec"], container, models_volume)
    return template


def job_of(place: Place, wish: Wish, run: str, namespace: str, known: Hardware | None) -> Json:
    """The Job; `known` is the class in the profiles' hardware, if it is there."""
    assert place.node is not None, "a class without a node has no job"
    name, template = f"{job_stem(place.hardware)}-{run}", copy.deepcopy(wish.template)
    labels = {LABEL: run, "app.kubernetes.io/name": "synergai-profile"}
    template["metadata"]["labels"] = {**(template["metadata"].get("labels") or {}), **labels}
    spec = template["spec"]
    spec |= {"restartPolicy": "Never", "nodeName": place.node.name}
    spec["tolerations"] = [
        *(spec.get("tolerations") or ()), {"key": keys.TAINT_DEDICATED, "operator": "Exists"},
    ]  # fmt: skip
    unit = wish.unit or ("gpu" if known and known.kind in ("gpu", "jetson") else "cpu")
    (container,) = [one for one in spec["containers"] if one.get("name") == CONTAINER]
    container["command"] = container.get("command") or list(COMMAND)
    container["args"] = [
        *(container.get("args") or ()), "--models", MODELS, "--hardware", place.hardware, "--unit", unit,
        "--out", "-", "--framed", *wish.arguments,
    ]  # fmt: skip
    container["resources"] = _resources(container.get("resources") or {}, place, wish, unit, known)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": wish.limit_s,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": template,
        },
    }


def job_stem(hardware: str) -> str:
    """The start of a Job's name, short enough for what is added to it and to its pods."""
    return f"profile-{re.sub(r'[^a-z0-9]+', '-', hardware.lower()).strip('-')[:40].strip('-')}"


def _resources(given: Json, place: Place, wish: Wish, unit: str, known: Hardware | None) -> Json:
    """Without limits a container would see the whole machine, whatever size its node has."""
    assert place.node is not None, "a class without a node has no job"
    limits = {"cpu": f"{place.node.cpu_milli}m", "memory": f"{place.node.memory_mib}Mi"}
    requests = {"cpu": "10m", "memory": "64Mi"}
    for asked in ({"cpu": wish.cpu, "memory": wish.memory},):
        limits |= {name: value for name, value in asked.items() if value}
        requests |= {name: value for name, value in asked.items() if value}
    if unit == "gpu" and known and known.resource in place.node.extended:
        limits[known.resource] = requests[known.resource] = "1"
    return {
        "limits": {**limits, **(given.get("limits") or {})},
        "requests": {**requests, **(given.get("requests") or {})},
    }


def _mount(spec: Json, container: Json, models_volume: str) -> None:
    kind, _, what = models_volume.partition(":")
    sources = {
        "claim": {"persistentVolumeClaim": {"claimName": what}},
        "hostPath": {"hostPath": {"path": what}},
    }
    if kind not in sources or not what:
        raise AskError(f"--models-volume: {models_volume!r} is neither claim:NAME nor hostPath:/FOLDER")
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": "synergai-models", **sources[kind]}]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or ()),
        {"name": "synergai-models", "mountPath": MODELS, "readOnly": True},
    ]


def arguments(given: Sequence[str]) -> tuple[str, ...]:
    """What is passed on; AskError for what the Job says itself."""
    ours = {"--models", "--hardware", "--unit", "--out", "--framed"}
    for word in given:
        if word.split("=")[0] in ours:
            raise AskError(f"{word} is set for each class by itself")
    return tuple(given)
