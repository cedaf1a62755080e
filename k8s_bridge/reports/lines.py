"""One pod that waits, as the bridge writes it down and `synergai queue` reads it."""

from dataclasses import dataclass

from synergai.k8s_bridge.clock import format_time_us, parse_time_us
from synergai.k8s_bridge.pods import Json


@dataclass(frozen=True, slots=True)
class Line:
    """One pod that waits; times are the server's."""

    pod: str
    """`namespace/name`."""
    stage: str
    model: str = ""
    deadline_us: int | None = None
    latest_start_us: int | None = None
    """Deadline less the shortest run time; None where nothing is late."""
    held_for: str = ""
    """Hardware that it is held for, and until when it waits for that at most."""
    configuration: str = ""
    until_us: int | None = None
    why: str = ""
    """Why it is not in the queue."""

    def fields(self) -> Json:
        """As JSON, without what is not known."""
        times = {
            "deadline": self.deadline_us,
            "latestStart": self.latest_start_us,
            "heldUntil": self.until_us,
        }
        texts = {
            "model": self.model,
            "heldFor": self.held_for,
            "configuration": self.configuration,
            "why": self.why,
        }
        found = {"pod": self.pod, "stage": self.stage}
        found |= {name: text for name, text in texts.items() if text}
        return found | {name: format_time_us(us) for name, us in times.items() if us is not None}


def read_line(fields: Json) -> Line:
    """What `Line.fields` gave; KeyError, TypeError or ValueError where it did not."""

    def text(name: str) -> str:
        value = fields.get(name, "")
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}, no text")
        return value

    def time_us(name: str) -> int | None:
        return parse_time_us(text(name)) if name in fields else None

    if not fields["pod"]:
        raise ValueError("a line without a pod")
    return Line(
        text("pod"),
        text("stage"),
        text("model"),
        time_us("deadline"),
        time_us("latestStart"),
        text("heldFor"),
        text("configuration"),
        time_us("heldUntil"),
        text("why"),
    )
