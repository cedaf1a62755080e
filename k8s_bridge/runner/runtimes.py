"""InferenceRuntimes whose pods run what was profiled, as it was profiled: threads, batch, processor time and memory."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

from synergai.k8s_bridge.inference.profiled import CONTAINER, profiled_runtimes
from synergai.k8s_bridge.inference.runtime import KIND
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.runner.configuration import parameters_of, setting_of
from synergai.offline_profiles.engines.engine import runs
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.table import ProfileTable, address

MODELS, CACHE, SCRATCH = "/models", "/cache", "/tmp"
USER = 10001
"""Of the image; see deploy/runner/Dockerfile."""
VIDEO = 44
"""The group that a Jetson's GPU belongs to, as in Debian and Ubuntu."""


class NoImage(ValueError):
    """One line that names the option or the class."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the pods are to be like."""

    images: Mapping[str, str] = field(default_factory=dict)
    """By hardware class, by kind of hardware, or by `` for all others."""
    models: Json | None = None
    """The volume with the models, without its name; None: they are in the image."""
    cache: Json | None = None
    """The volume for what engines compile; None: that is lost with the pod."""
    template: Json | None = None
    """A pod's template with a container `runner`; None: one for each kind of hardware."""
    namespace: str = ""
    """For InferenceRuntimes of one namespace."""
    sha256: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Of the models' files, by address and precision: a runner refuses any other."""


def runner_runtimes(
    table: ProfileTable, rows: tuple[Profile, ...], wanted: Wanted
) -> tuple[list[Json], list[Profile]]:
    """Of these rows of the table, and those among them that the runner cannot run. NoImage where a class has no
    image."""
    kept = set(rows)
    left_out: list[Profile] = []

    def configure(row: Profile) -> Json | None:
        if row not in kept:
            return None
        found = _configuration(row, table.hardware[row.hardware], wanted)
        left_out.extend([row] if found is None else [])
        return found

    runtimes = profiled_runtimes(
        table,
        dict.fromkeys(address(row.model, row.model_version) for row in rows),
        {row.hardware for row in rows},
        "",
        configure=configure,
        template=lambda hardware: template(hardware, wanted),
    )
    return [_placed(one, wanted.namespace) for one in runtimes], left_out


def _configuration(row: Profile, hardware: Hardware, wanted: Wanted) -> Json | None:
    setting = setting_of(row.configuration)
    if setting is None or not runs(setting):
        return None
    parameters = parameters_of(setting)
    sha256 = wanted.sha256.get((address(row.model, row.model_version), setting.precision), "")
    parameters |= {"model_sha256": sha256} if sha256 else {}
    resources = {"cpu": f"{row.cpu_milli}m", "memory": f"{row.memory_mib}Mi"}
    if hardware.resource and row.device_units:
        resources[hardware.resource] = str(row.device_units)
    return {"name": row.configuration, "parameters": parameters, "resources": resources}


def template(hardware: Hardware, wanted: Wanted) -> Json:
    """Of the pods on a class."""
    made = copy.deepcopy(wanted.template) if wanted.template is not None else _plain(hardware)
    spec = made["spec"]
    (runner,) = (one for one in spec["containers"] if one.get("name") == CONTAINER)
    image = _image(hardware, wanted.images) or runner.get("image", "")
    if not image:
        raise NoImage(f"there is no --image for {hardware.name}, nor for {hardware.kind}")
    runner["image"] = image
    # Limits that are there follow the configuration's requests: what was profiled is what there is.
    limits = {"cpu": "1", "memory": "1Gi"}
    runner["resources"] = {**(runner.get("resources") or {}), "limits": limits}
    for name, volume, path, read_only in (
        ("models", wanted.models, MODELS, True),
        ("cache", wanted.cache, CACHE, False),
    ):
        if volume is not None:
            mount = {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {})
            spec["volumes"] = [*(spec.get("volumes") or []), {"name": name, **copy.deepcopy(volume)}]
            runner["volumeMounts"] = [*(runner.get("volumeMounts") or []), mount]
    if wanted.cache is not None:
        runner["env"] = [*(runner.get("env") or []), {"name": "SYNERGAI_CACHE", "value": CACHE}]
    return made


def _plain(hardware: Hardware) -> Json:
    """What the Pod Security Standard `restricted` allows."""
    user: Json = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER}
    user["seccompProfile"] = {"type": "RuntimeDefault"}
    rights: Json = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    rights["capabilities"] = {"drop": ["ALL"]}
    runner: Json = {
        "name": CONTAINER,
        "image": "",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": rights,
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
    }
    spec: Json = {
        "securityContext": user,
        "containers": [runner],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    if hardware.kind == "jetson":
        spec["runtimeClassName"] = "nvidia"
        user["supplementalGroups"] = [VIDEO]
    if hardware.resource:
        key = {"key": hardware.resource, "operator": "Exists", "effect": "NoSchedule"}
        spec["tolerations"] = [key]
    return {"spec": spec}


def _image(hardware: Hardware, images: Mapping[str, str]) -> str:
    return images.get(hardware.name) or images.get(hardware.kind) or images.get("", "")


def _placed(runtime: Json, namespace: str) -> Json:
    if not namespace:
        return runtime
    metadata = {**runtime["metadata"], "namespace": namespace}
    return {**runtime, "kind": KIND, "metadata": metadata}
