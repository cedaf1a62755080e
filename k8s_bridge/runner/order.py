"""What a runner is told to do: by the environment of its container, and for plain pods by the decision annotation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import (
    MAX_SAMPLES,
    DecisionRecord,
    parse_duration_us,
    read_decision,
)
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.runner.configuration import FORM, parameters_of, setting_of
from synergai.k8s_bridge.runner.refusal import Refusal, Status

if TYPE_CHECKING:
    from synergai.offline_profiles.engines.engine import Setting

PREFIX = "SYNERGAI_"
PARAMETER = f"{PREFIX}PARAMETER_"
SHA256 = "MODEL_SHA256"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_MODEL = re.compile(rf"(?P<name>{_LABEL})(?::(?P<version>{_LABEL}))?", re.ASCII)
_HARDWARE = re.compile(_LABEL, re.ASCII)
_CONFIGURATION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,126}[A-Za-z0-9])?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Order:
    """All that is asked for, checked; what was odd and does no harm is in `warnings`."""

    model: str
    """As it was given: name or name:version."""
    name: str
    version: str
    samples: int
    hardware: str
    configuration: str
    setting: "Setting"
    sha256: str = ""
    """Of the model's file; empty where any will do."""
    deadline_us: int | None = None
    """Server time."""
    input_uri: str = ""
    output_uri: str = ""
    warnings: tuple[str, ...] = ()


def read_order(environment: Mapping[str, str], decision: str = "") -> Order:
    """`decision` is the text of the decision annotation, which wins over SYNERGAI_DECISION where both are there.

    Refusal names the variable, its value and what was expected.
    """
    model = _given(environment, "MODEL", _MODEL, "name or name:version of letters, digits, '-', '_' and '.'")
    found = _MODEL.fullmatch(model)
    assert found is not None, "it was matched"
    record = _decision(decision or environment.get(f"{PREFIX}DECISION", ""))
    hardware, configuration = _chosen(environment, record)
    warnings: list[str] = []
    parameters = _parameters(environment)
    return Order(
        model=model,
        name=found["name"],
        version=found["version"] or "1",
        samples=_samples(environment),
        hardware=hardware,
        configuration=configuration,
        setting=_setting(configuration, parameters),
        sha256=_sha256(parameters),
        deadline_us=_deadline_us(environment.get(f"{PREFIX}DEADLINE", ""), warnings),
        input_uri=environment.get(f"{PREFIX}INPUT_URI", ""),
        output_uri=environment.get(f"{PREFIX}OUTPUT_URI", ""),
        warnings=tuple(warnings),
    )


def _bad(name: str, value: str, expected: str, status: Status = Status.ORDER) -> Refusal:
    found = f"is {value[:80]!r}" if value else "is missing"
    return Refusal(status, f"{PREFIX}{name} {found}; expected {expected}")


def _given(environment: Mapping[str, str], name: str, form: re.Pattern[str], expected: str) -> str:
    value = environment.get(f"{PREFIX}{name}", "")
    if not form.fullmatch(value):
        raise _bad(name, value, expected)
    return value


def _samples(environment: Mapping[str, str]) -> int:
    value = environment.get(f"{PREFIX}SAMPLES", "")
    samples = int(value) if re.fullmatch(r"[0-9]{1,10}", value, re.ASCII) else 0
    if not 1 <= samples <= MAX_SAMPLES:
        raise _bad("SAMPLES", value, f"a whole number from 1 to {MAX_SAMPLES}")
    return samples


def _decision(text: str) -> DecisionRecord | None:
    if not text.strip():
        return None
    record = read_decision({keys.ANNOTATION_DECISION: text})
    if record is None:
        why = f"the annotation {keys.ANNOTATION_DECISION} is {text[:80]!r}; expected what the bridge writes"
        raise Refusal(Status.DISAGREE, why)
    return record


def _chosen(environment: Mapping[str, str], record: DecisionRecord | None) -> tuple[str, str]:
    """Hardware and configuration, by the environment or the decision; by both where they say the same."""
    told = {name: environment.get(f"{PREFIX}{name}", "") for name in ("HARDWARE", "CONFIGURATION")}
    if record is not None:
        decided = {"HARDWARE": record.hardware, "CONFIGURATION": record.configuration}
        for name, value in decided.items():
            if told[name] and told[name] != value:
                why = f"{PREFIX}{name} is {told[name][:80]!r}, and the decision {record.id[:40]} says {value[:80]!r}"
                raise Refusal(Status.DISAGREE, why)
        told = decided
    if not _HARDWARE.fullmatch(told["HARDWARE"]):
        raise _bad("HARDWARE", told["HARDWARE"], "a hardware class, here or in the decision annotation")
    if not _CONFIGURATION.fullmatch(told["CONFIGURATION"]):
        raise _bad("CONFIGURATION", told["CONFIGURATION"], f"{FORM}, here or in the decision annotation")
    return told["HARDWARE"], told["CONFIGURATION"]


def _parameters(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(PARAMETER): value
        for name, value in environment.items()
        if name.startswith(PARAMETER) and value
    }


def _setting(configuration: str, parameters: Mapping[str, str]) -> "Setting":
    """By the configuration's name; parameters that are there must say the same."""
    setting = setting_of(configuration)
    if setting is None:
        raise _bad("CONFIGURATION", configuration, FORM, Status.DISAGREE)
    for name, expected in parameters_of(setting).items():
        value = parameters.get(name.upper(), expected)
        if value != expected:
            variable = f"PARAMETER_{name.upper()}"
            raise _bad(
                variable, value, f"{expected!r}, as configuration {configuration} says", Status.DISAGREE
            )
    return setting


def _sha256(parameters: Mapping[str, str]) -> str:
    value = parameters.get(SHA256, "").lower()
    if value and not _SHA256.fullmatch(value):
        raise _bad(f"PARAMETER_{SHA256}", value, "64 hexadecimal digits")
    return value


def _deadline_us(text: str, warnings: list[str]) -> int | None:
    """None where there is none, or only the bridge knows when it passes; what cannot be read stops nothing."""
    if not text:
        return None
    try:
        return parse_time_us(text)
    except (ValueError, OverflowError):
        pass
    try:
        parse_duration_us(text)
        warnings.append(f"{PREFIX}DEADLINE is {text!r}, from a creation that is not known here")
    except (ValueError, OverflowError):
        warnings.append(
            f"{PREFIX}DEADLINE is {text[:80]!r}; expected a time such as 2026-11-22T10:00:00.250000Z"
        )
    return None
