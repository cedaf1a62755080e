"""The explanation annotation: why a decision is what it is, for people; and the sentence an Event says of it.

What is booked stands in the decision annotation; nothing depends on this one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any  # JSON of any shape

from synergai.agents.explanation import Choice, Explanation
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.clock import SECOND_US, ScenarioClock, format_time_us, parse_time_us

MAX_BYTES = 1024
_MANY = 16
"""Entries of a list in an annotation beyond which it is none of ours."""
_SENTENCE = 400
"""Characters of an Event's sentence; the API server takes 1023 of a message."""


def to_server(explanation: Explanation, clock: ScenarioClock) -> Explanation:
    """The same with its times on the server's clock."""

    def moved(choice: Choice) -> Choice:
        at = choice.finish_us
        return choice if at is None else replace(choice, finish_us=clock.to_server(at))

    deadline_us = explanation.deadline_us
    return replace(
        explanation,
        deadline_us=None if deadline_us is None else clock.to_server(deadline_us),
        choices=tuple(moved(choice) for choice in explanation.choices),
        rule_choice=moved(explanation.rule_choice),
    )


# to and from the annotation -------------------------------------------------------------------------------------------
def to_json(explanation: Explanation) -> str:
    """The annotation's value, ASCII under 1 KiB: what does not fit is left out, least important first."""
    for smaller in _ever_smaller(explanation):
        value = json.dumps(_fields(smaller), separators=(",", ":"))
        if len(value) < MAX_BYTES:
            return value
    raise AssertionError("unreachable: the smallest always fits")


def _ever_smaller(explanation: Explanation) -> Iterator[Explanation]:
    yield explanation
    yield (few := replace(explanation, choices=_fewer(explanation.choices)))
    yield (bare := replace(few, closed=()))
    for most in (64, 16, 4):
        yield _clipped(bare, most)


def _fewer(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The one taken and the one before or after it."""
    others = [choice for choice in choices if not choice.taken][:1]
    return tuple(choice for choice in choices if choice.taken or choice in others)


def clip(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _clipped(explanation: Explanation, most: int) -> Explanation:
    def short(choice: Choice) -> Choice:
        return replace(
            choice, hardware=clip(choice.hardware, most), configuration=clip(choice.configuration, most)
        )

    return replace(
        explanation,
        by=clip(explanation.by, most),
        scheduler=clip(explanation.scheduler, most),
        reason=clip(explanation.reason, most),
        choices=tuple(short(choice) for choice in explanation.choices),
        rule=clip(explanation.rule, most),
        rule_choice=short(explanation.rule_choice),
    )


def _fields(explanation: Explanation) -> dict[str, object]:
    return {
        "by": explanation.by,
        "scheduler": explanation.scheduler,
        "reason": explanation.reason,
        "deadline": _time(explanation.deadline_us),
        "options": [_choice_fields(choice) for choice in explanation.choices],
        "rule": {"name": explanation.rule, **_choice_fields(explanation.rule_choice)},
        "closed": {cause: list(names) for cause, names in explanation.closed},
        "held": explanation.held,
    }


def _choice_fields(choice: Choice) -> dict[str, object]:
    """Without what a reader can tell from its absence."""
    fields: dict[str, object] = {"do": choice.do}
    if choice.chance is not None:
        fields["p"] = int(1000 * choice.chance) / 1000  # rounded down: together they are 1 at most
    if choice.do != "wait":
        fields |= {"hardware": choice.hardware, "configuration": choice.configuration}
        fields |= {"finish": _time(choice.finish_us), "own": choice.own}
    return fields | ({"taken": True} if choice.taken else {})


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_time_us(time_us)


def read_explanation(annotations: Mapping[str, str]) -> Explanation | None:
    """The explanation a pod carries, on the server's clock; None where there is none or it cannot be read."""
    try:
        value = json.loads(annotations[keys.ANNOTATION_EXPLANATION])
        rule = value["rule"]
        return Explanation(
            by=_text(value["by"]),
            scheduler=_text(value["scheduler"]),
            reason=_text(value["reason"]),
            deadline_us=_at(value["deadline"]),
            choices=tuple(_choice(choice) for choice in _list(value["options"])),
            rule=_text(rule["name"]),
            rule_choice=_choice(rule),
            closed=tuple((cause, _names(names)) for cause, names in value["closed"].items()),
            held=int(value["held"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None  # anybody may write an annotation


def _choice(value: Any) -> Choice:
    chance = value.get("p")
    return Choice(
        do=_text(value["do"]),
        own=value.get("own") is True,
        hardware=_text(value.get("hardware", "")),
        configuration=_text(value.get("configuration", "")),
        finish_us=_at(value.get("finish")),
        chance=None if chance is None else float(chance),
        taken=value.get("taken") is True,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MANY:
        raise TypeError("not a short list")
    return value


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(_text(name) for name in value)


def _at(value: object) -> int | None:
    return None if value is None else parse_time_us(_text(value))


# in words -------------------------------------------------------------------------------------------------------------
def who(explanation: Explanation) -> str:
    """`net demo (demo p=0.83)`, `guard of demo (unproven; edf_likely)`, `rule edf`."""
    name = f"{'of ' if explanation.by == 'guard' else ''}{explanation.scheduler}"
    said = "" if explanation.reason in ("", explanation.scheduler) else f" ({explanation.reason})"
    return f"{explanation.by} {name}{said}"


def seconds(span_us: int) -> str:
    return f"{span_us / SECOND_US:.1f} s"


def against(finish_us: int, deadline_us: int) -> str:
    """`3.2 s before the deadline`."""
    spare_us = deadline_us - finish_us
    return f"{seconds(abs(spare_us))} {'before' if spare_us >= 0 else 'after'} the deadline"


def what(choice: Choice) -> str:
    """`start it on nvidia-t4 as trt-b8`, `start another pod on nvidia-t4`, `wait`."""
    if choice.do == "wait":
        return "wait"
    where = f"{'on' if choice.do == 'start' else 'for'} {choice.hardware}"
    if not choice.own:
        return f"{choice.do} another pod {where}"
    return f"{choice.do} it {where} as {choice.configuration}"


def rule_in_words(explanation: Explanation) -> str:
    """What the rule would have done."""
    done = explanation.rule_choice
    return f"{explanation.rule} would {'have done the same' if done.taken else what(done)}"


def closed_in_words(explanation: Explanation) -> str:
    """`no room now: nvidia-t4, nvidia-a30; ageing share: jetson-nano`; empty where nothing was closed."""
    return "; ".join(f"{cause}: {', '.join(names)}" for cause, names in explanation.closed)


def sentence(explanation: Explanation, finish_us: int | None) -> str:
    """For an Event: who, finish against deadline, what the rule would have done, and what could not be had."""
    parts = [f"decided by {who(explanation)}"]
    if finish_us is not None and explanation.deadline_us is not None:
        parts.append(f"predicted to end {against(finish_us, explanation.deadline_us)}")
    parts.append(rule_in_words(explanation))
    if explanation.closed:
        parts.append(closed_in_words(explanation))
    return clip("; ".join(parts), _SENTENCE)
