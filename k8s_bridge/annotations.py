"""What a pod asks for and what was decided for it, as annotations: strict, one message per bad value."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.clock import SECOND_US, format_time_us, parse_time_us

MAX_SAMPLES = 10**9
MAX_DURATION_US = 10 * 366 * 86_400 * SECOND_US
MAX_DECISION_BYTES = 1024
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,126}(:[A-Za-z0-9][A-Za-z0-9._-]{0,62})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_SAMPLES = re.compile(r"[0-9]{1,10}", re.ASCII)
_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_UNIT_US = {"ms": 1_000, "s": SECOND_US, "m": 60 * SECOND_US, "h": 3_600 * SECOND_US}
_DEADLINE_FORM = "a duration such as 30s, 1.5m, 250ms or 2h, or a time such as 2026-11-22T10:00:00.250000Z"


class AnnotationError(ValueError):
    """One bad annotation; the message names the key, the value and the form expected."""

    def __init__(self, key: str, value: str | None, expected: str) -> None:
        found = "is missing" if value is None else f"is {value[:80]!r}"
        super().__init__(f"annotation {key} {found}; expected {expected}")


@dataclass(frozen=True, slots=True)
class Request:
    """What the annotations of one pod say; what was missing or bad is None and has a line in `problems`."""

    model: str | None = None
    samples: int | None = None
    deadline_after_us: int | None = None
    """Scenario time from creation."""
    deadline_at_us: int | None = None
    """Server time."""
    site: str = ""
    hardware: frozenset[str] | None = None
    problems: tuple[str, ...] = ()


def read_request(annotations: Mapping[str, str]) -> Request:
    """Everything the annotations say, good and bad; never raises."""
    problems: list[str] = []

    def read(key, parse, missing):
        try:
            return parse(key, annotations[key]) if key in annotations else missing(key)
        except AnnotationError as error:
            problems.append(str(error))
            return None

    read(keys.ANNOTATION_SCHEMA, _schema, lambda _: None)
    model = read(keys.ANNOTATION_MODEL, _model, _missing("name or name:version"))
    samples = read(keys.ANNOTATION_SAMPLES, _samples, _missing(f"a whole number from 1 to {MAX_SAMPLES}"))
    after, at = read(keys.ANNOTATION_DEADLINE, _deadline, lambda _: (None, None)) or (None, None)
    site = read(keys.ANNOTATION_ORIGIN_SITE, _site, lambda _: "") or ""
    hardware = read(keys.ANNOTATION_HARDWARE, _hardware, lambda _: None)
    return Request(model, samples, after, at, site, hardware, tuple(problems))


def _missing(expected: str):
    def refuse(key: str):
        raise AnnotationError(key, None, expected)

    return refuse


def _schema(key: str, value: str) -> str:
    if value != keys.SCHEMA:
        raise AnnotationError(key, value, f"{keys.SCHEMA!r}, the only schema this version reads")
    return value


def _model(key: str, value: str) -> str:
    if not _MODEL.fullmatch(value):
        raise AnnotationError(key, value, "name or name:version of letters, digits and ._/-")
    return value


def _samples(key: str, value: str) -> int:
    samples = int(value) if _SAMPLES.fullmatch(value) else 0
    if not 1 <= samples <= MAX_SAMPLES:
        raise AnnotationError(key, value, f"a whole number from 1 to {MAX_SAMPLES}")
    return samples


def parse_duration_us(text: str) -> int:
    """Microseconds of `30s`, `1.5m`, `250ms`, `2h` or several such parts; ValueError otherwise."""
    if len(text) > 64 or not _DURATION.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not a duration such as 30s, 1.5m, 250ms or 2h")
    total = sum(float(number) * _UNIT_US[unit] for number, unit in _DURATION_PART.findall(text))
    if total > MAX_DURATION_US:
        raise ValueError(f"{text!r} is longer than ten years")
    return round(total)


def _deadline(key: str, value: str) -> tuple[int | None, int | None]:
    """(duration, None) or (None, absolute time)."""
    try:
        if "T" in value.upper():
            return None, parse_time_us(value)
        return parse_duration_us(value), None
    except (ValueError, OverflowError) as error:
        raise AnnotationError(key, value, _DEADLINE_FORM) from error


def _site(key: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise AnnotationError(key, value, f"a site as in the node label {keys.LABEL_SITE}")
    return value


def _hardware(key: str, value: str) -> frozenset[str]:
    names = [name.strip() for name in value.split(",")]
    if not all(_NAME.fullmatch(name) for name in names):
        raise AnnotationError(
            key, value, "hardware classes with commas between, such as nvidia-t4,jetson-agx-orin-maxn"
        )
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """The decision annotation: what was chosen for a pod and what is booked for it, also after a restart."""

    id: str
    hardware: str
    configuration: str
    device_units: int
    cpu_milli: int
    memory_mib: int
    decided_by: str
    decided_us: int = 0
    """Server time, as the next one."""
    finish_us: int | None = None
    """Predicted; None where nobody knows."""
    resized: bool = False
    """Whether the pod itself was given `cpu_milli` and `memory_mib`; else the bridge books what it does not request."""

    def to_json(self) -> str:
        """The annotation's value, under 1 KiB."""
        value = json.dumps(
            {
                "id": self.id,
                "hardware": self.hardware,
                "configuration": self.configuration,
                "deviceUnits": self.device_units,
                "cpuMilli": self.cpu_milli,
                "memoryMib": self.memory_mib,
                "resized": self.resized,
                "decidedAt": format_time_us(self.decided_us),
                "predictedFinish": None if self.finish_us is None else format_time_us(self.finish_us),
                "decidedBy": self.decided_by,
            },
            separators=(",", ":"),
        )
        if len(value.encode()) >= MAX_DECISION_BYTES:
            raise ValueError(
                f"decision {self.id} takes {len(value)} bytes, the limit is {MAX_DECISION_BYTES}"
            )
        return value


def read_decision(annotations: Mapping[str, str]) -> DecisionRecord | None:
    """The decision a pod carries, None where there is none or it cannot be read."""
    try:
        value = json.loads(annotations[keys.ANNOTATION_DECISION])
        return DecisionRecord(
            id=_text(value["id"]),
            hardware=_text(value["hardware"]),
            configuration=_text(value["configuration"]),
            device_units=_whole(value["deviceUnits"]),
            cpu_milli=_whole(value["cpuMilli"]),
            memory_mib=_whole(value["memoryMib"]),
            decided_by=_text(value["decidedBy"]),
            decided_us=parse_time_us(value["decidedAt"]),
            finish_us=None if value["predictedFinish"] is None else parse_time_us(value["predictedFinish"]),
            resized=value.get("resized") is True,
        )
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        return (
            None  # anybody may write an annotation; without a readable one the pod's own requests are booked
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**40:
        raise ValueError(f"{value!r} is not a count")
    return value
