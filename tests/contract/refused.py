"""InferenceJobs and runtimes that cannot be used, and what is said of them: by the CustomResourceDefinitions, and by
the bridge's own readers, which know the same rules for a server without them."""

from copy import deepcopy
from typing import NamedTuple

from tests.kube_api import Json

GONE = object()
"""In place of a value: the field is taken out."""
SERVED = "synergai.dev/v1alpha1"

JOB: Json = {
    "apiVersion": SERVED,
    "kind": "InferenceJob",
    "metadata": {"name": "a"},
    "spec": {
        "model": {"name": "resnet50", "version": "1"},
        "input": {"samples": 2000, "uri": "s3://in/a"},
        "output": {"uri": "s3://out/a"},
        "deadline": {"after": "30s"},
        "placement": {
            "hardware": ["jetson-agx-orin-maxn", "nvidia-t4"],
            "originSite": "plant-3",
            "nodeSelector": {"topology.kubernetes.io/zone": "plant-3"},
        },
        "priorityClassName": "batch",
        "runtimeRef": {"kind": "InferenceRuntime", "name": "ort"},
        "backoffLimit": 2,
        "suspend": False,
        "ttlSecondsAfterFinished": 3600,
    },
}
RUNTIME: Json = {
    "apiVersion": SERVED,
    "kind": "InferenceRuntime",
    "metadata": {"name": "ort"},
    "spec": {
        "models": [{"name": "resnet50", "versions": ["1"]}, {"name": "bert-99"}],
        "priority": 0,
        "variants": [
            {
                "name": "orin-trt",
                "hardware": ["jetson-agx-orin-maxn"],
                "configurations": [
                    {
                        "name": "trt-int8-b8",
                        "parameters": {"engine": "tensorrt", "batch": "8"},
                        "resources": {"cpu": "2", "memory": "3Gi", "nvidia.com/gpu": "1"},
                    },
                    {"name": "trt-fp16-b8"},
                ],
                "container": "runner",
                "template": {
                    "metadata": {"labels": {"app": "ort"}},
                    "spec": {
                        "runtimeClassName": "nvidia",
                        "restartPolicy": "Never",
                        "containers": [
                            {"name": "runner", "image": "reg/ort-l4t:1", "resources": {"limits": {"cpu": 2}}}
                        ],
                    },
                },
            },
            {
                "name": "t4",
                "hardware": ["nvidia-t4"],
                "configurations": [{"name": "trt-int8-b8"}],
                "template": {"spec": {"containers": [{"name": "runner", "image": "reg/ort:1"}]}},
            },
        ],
    },
}


class Bad(NamedTuple):
    """One field that cannot be used."""

    field: str
    """Below spec, items by number."""
    value: object
    at_server: str
    """What the API server says of it, beside the field."""
    here: str = ""
    """What our reader says where its words are others."""
    named: str = ""
    """The field that is named where it is another one."""

    @property
    def place(self) -> str:
        return f"spec.{self.named or self.field}"

    def made_of(self, good: Json) -> Json:
        return changed(good, {self.field: self.value})


WHOLE = "a whole number from 1 to 1000000000"
AFTER = "write a duration from creation such as 30s, 1.5m, 250ms or 2h"
AT = "write a time such as 2026-11-22T10:00:00.250000Z"
HARDWARE = "hardware classes such as nvidia-t4"
MODEL = "write the model's name, such as resnet50"
ONE_OF = "write one of them"
SITE = "write a site as in the node label topology.kubernetes.io/zone"
NOT_TEXT = 'must be of type string: "integer"'

BAD_JOBS = [
    Bad("model", GONE, "Required value", "model's name", "model"),
    Bad("model", "resnet50", 'must be of type object: "string"', "write an object"),
    Bad("model.name", GONE, "Required value", MODEL),
    Bad("model.name", "", MODEL),
    Bad("model.name", "res net", MODEL),
    Bad("model.name", "a" * 128, "may not be more than 127", MODEL),
    Bad("model.version", 1, NOT_TEXT, 'in quotes, such as "1"'),
    Bad("model.version", "", 'write its version in quotes, such as "1"'),
    Bad("input", GONE, "Required value", WHOLE, "input"),
    Bad("input.samples", GONE, "Required value", WHOLE),
    Bad("input.samples", 0, "should be greater than or equal to 1", WHOLE),
    Bad("input.samples", -5, "should be greater than or equal to 1", WHOLE),
    Bad("input.samples", 10**12, "should be less than or equal to 1000000000", WHOLE),
    Bad("input.samples", 1.5, 'must be of type integer: "number"', WHOLE),
    Bad("input.samples", "5", 'must be of type integer: "string"', WHOLE),
    Bad("input.samples", True, 'must be of type integer: "boolean"', WHOLE),
    Bad("input.uri", 7, NOT_TEXT, "write where the input is"),
    Bad("output", ["s3://out"], 'must be of type object: "array"', "write an object"),
    Bad("deadline", {"after": "30s", "at": "2026-11-22T10:00:00Z"}, ONE_OF),
    Bad("deadline", {}, ONE_OF),
    Bad("deadline", "30s", 'must be of type object: "string"', "write an object"),
    Bad("deadline.after", 30, NOT_TEXT, AFTER),
    Bad("deadline.after", "", AFTER),
    Bad("deadline.after", "30", AFTER),
    Bad("deadline.after", "-30s", AFTER),
    Bad("deadline.after", "30 s", AFTER),
    Bad("deadline.after", "5d", AFTER),
    Bad("deadline.after", "1us", AFTER),
    Bad("deadline.after", "0.0000001s", AFTER),
    Bad("deadline.after", "87841h", AFTER),
    Bad("deadline.after", "999999999999h", AFTER),
    Bad("deadline.after", "1s" * 33, "may not be more than 64", AFTER),
    *(
        Bad("deadline", {"at": at}, AT, named="deadline.at")
        for at in (
            "",
            "tomorrow",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22 10:00:00Z",
            "2026-13-22T10:00:00Z",
            "2026-02-30T10:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:00:60Z",
            "2026-11-22T10:00:00.1234567Z",
            "2026-11-22T10:00:00+24:00",
            "2026-11-22T10:00:00+05:99",
            "0000-01-01T00:00:00Z",
        )
    ),
    Bad("placement.hardware", "nvidia-t4", 'must be of type array: "string"', HARDWARE),
    Bad("placement.hardware", ["nvidia t4"], HARDWARE, named="placement.hardware"),
    Bad("placement.hardware", ["-t4"], HARDWARE),
    Bad("placement.hardware", ["a" * 64], "may not be more than 63", HARDWARE),
    Bad("placement.originSite", "plant 3", SITE),
    Bad("placement.originSite", "", SITE),
    Bad("placement.nodeSelector", {"rack": 3}, NOT_TEXT, "in quotes"),
    Bad("priorityClassName", "Batch", "write the name of a PriorityClass"),
    Bad("runtimeRef", {}, "Required value", "write the name of a runtime", "runtimeRef.name"),
    Bad("runtimeRef.name", "ORT", "write the name of a runtime"),
    Bad("runtimeRef.kind", "Deployment", 'supported values: "InferenceRuntime", "ClusterInferenceRuntime"',
        "write InferenceRuntime or ClusterInferenceRuntime"),
    Bad("backoffLimit", -1, "should be greater than or equal to 0", "from 0 to 99"),
    Bad("backoffLimit", 100, "should be less than or equal to 99", "from 0 to 99"),
    Bad("suspend", "yes", 'must be of type boolean: "string"', "true or false"),
    Bad("ttlSecondsAfterFinished", -1, "should be greater than or equal to 0", "from 0 to 316224000"),
    Bad("ttlSecondsAfterFinished", 316_224_001, "should be less than or equal to 316224000", "from 0 to 316224000"),
]  # fmt: skip

VARIANT = "variants.0"
TEMPLATE = f"{VARIANT}.template"
CONFIGURATION = f"{VARIANT}.configurations.0"
LEAST = "should have at least 1 items", "write at least 1"
QUANTITY = 'write a quantity such as "2", "500m" or "3Gi"'
CONTAINER = "write one of the template's containers"

BAD_RUNTIMES = [
    Bad("models", GONE, "Required value", "write at least 1"),
    Bad("models", [], *LEAST),
    Bad("models", ["resnet50"], 'must be of type object: "string"', "write an object"),
    Bad("models.0.name", GONE, "Required value", "write the model's name"),
    Bad("models.0.name", "res net", "write the model's name"),
    Bad("models.0.versions", [1], NOT_TEXT, 'versions in quotes, such as ["1"]'),
    Bad("models.0.versions", ["v 1"], 'versions in quotes, such as ["1"]'),
    Bad("priority", 0.5, 'must be of type integer: "number"', "from -1000000 to 1000000"),
    Bad("priority", 1_000_001, "should be less than or equal to 1000000", "from -1000000 to 1000000"),
    Bad("priority", -1_000_001, "should be greater than or equal to -1000000", "from -1000000 to 1000000"),
    Bad("variants", GONE, "Required value", "write at least 1"),
    Bad("variants", [], *LEAST),
    Bad("variants.1.name", "orin-trt", 'Duplicate value: {"name":"orin-trt"}', "write another name", "variants"),
    Bad("variants.1.hardware", ["nvidia-t4", "jetson-agx-orin-maxn"], "leave it in one of them", named="variants"),
    Bad(f"{VARIANT}.name", GONE, "Required value", "write a name for this variant"),
    Bad(f"{VARIANT}.name", "Orin", "write a name for this variant"),
    Bad(f"{VARIANT}.hardware", GONE, "Required value", "write at least one hardware class"),
    Bad(f"{VARIANT}.hardware", [], LEAST[0], "write at least one hardware class"),
    Bad(f"{VARIANT}.hardware", ["t 4"], HARDWARE),
    Bad(f"{VARIANT}.hardware", ["t4", "t4"], 'Duplicate value: "t4"', "leave it in one of them", "variants"),
    Bad(f"{VARIANT}.configurations", [], *LEAST),
    Bad(f"{CONFIGURATION}.name", GONE, "Required value", "write the configuration's name"),
    Bad(f"{CONFIGURATION}.name", "trt int8", "write the configuration's name"),
    Bad(f"{CONFIGURATION}.name", "trt-fp16-b8", 'Duplicate value: {"name":"trt-fp16-b8"}', "leave it in one of them",
        "variants"),
    Bad(f"{CONFIGURATION}.parameters", {"batch": 8}, NOT_TEXT, "in quotes"),
    Bad(f"{CONFIGURATION}.resources", {"cpu": 2}, NOT_TEXT, "in quotes"),
    *(
        Bad(f"{CONFIGURATION}.resources.memory", value, QUANTITY, named=f"{CONFIGURATION}.resources")
        for value in ("", "3G i", "3gi", "three", "-1", "1e", "0x10", "1,5", "NaN")
    ),
    Bad(f"{VARIANT}.container", "sidecar", CONTAINER),
    Bad(f"{VARIANT}.container", "", CONTAINER),
    Bad(f"{VARIANT}.container", 1, NOT_TEXT, CONTAINER),
    Bad(TEMPLATE, GONE, "Required value", "write at least 1"),
    Bad(TEMPLATE, "pod.yaml", 'must be of type object: "string"', "write an object"),
    Bad(f"{TEMPLATE}.spec", GONE, "Required value", "write at least 1"),
    Bad(f"{TEMPLATE}.spec", "pod", 'must be of type object: "string"', "write an object"),
    Bad(f"{TEMPLATE}.spec.containers", {}, 'must be of type array: "object"', "write a list"),
    Bad(f"{TEMPLATE}.spec.containers", [], *LEAST),
    Bad(f"{TEMPLATE}.spec.containers.0.name", GONE, "Required value", "write a name for the container"),
    Bad(f"{TEMPLATE}.spec.containers.0.name", "Runner", "write a name for the container"),
]  # fmt: skip

GOOD_JOBS: list[Json] = [
    {},
    {"model": {"name": "org/model.x_1-y"}, "input": {"samples": 1}},
    {"input.samples": 10**9},
    *(
        {name: GONE}
        for name in (
            "output",
            "deadline",
            "placement",
            "priorityClassName",
            "runtimeRef",
            "backoffLimit",
            "suspend",
        )
    ),
    *({"deadline.after": after} for after in ("0s", "250ms", "1.5m", "1h30m", "0.000001s", "87840h")),
    *(
        {"deadline": {"at": at}}
        for at in (
            "2026-11-22T10:00:00Z",
            "2026-11-22T10:00:00.250000Z",
            "2026-11-22t10:00:00.1z",
            "2026-11-22T10:00:00+05:30",
            "1999-12-31T23:59:59-23:59",
        )
    ),
    {"placement": {}},
    {"placement.hardware": []},
    {"runtimeRef": {"name": "ort"}},
    {"runtimeRef.kind": "ClusterInferenceRuntime"},
    {"backoffLimit": 0, "ttlSecondsAfterFinished": 0},
    {"backoffLimit": 99, "ttlSecondsAfterFinished": 316_224_000},
    {"suspend": True},
]
"""Changes that leave a job as good as it was."""
GOOD_RUNTIMES: list[Json] = [
    {},
    {"priority": GONE},
    {"priority": -1_000_000},
    {"models.0.versions": []},
    {f"{VARIANT}.container": GONE},
    {f"{CONFIGURATION}.resources": {"cpu": "0", "memory": "1.5Gi", "nvidia.com/gpu": "1e0"}},
    {f"{CONFIGURATION}.resources": {"cpu": ".5", "memory": "+3G", "a": "1.", "b": "5E", "c": "-0"}},
    {"variants.1.hardware": ["jetson-agx-orin-maxn"], "variants.1.configurations": [{"name": "other"}]},
    {f"{TEMPLATE}.spec.volumes": [{"name": "v", "emptyDir": {}}]},
]


def changed(good: Json, changes: Json) -> Json:
    """A copy with other fields below spec; `a.0.b` is b of the first a."""
    made = deepcopy(good)
    for path, value in changes.items():
        *above, last = path.split(".")
        place = made["spec"]
        for name in above:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = deepcopy(value)
    return made


def shown(place: str) -> str:
    """As people write it: spec.a[0].b."""
    name, *rest = place.split(".")
    return name + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)
