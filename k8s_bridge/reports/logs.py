"""The log as text for people, or as one JSON object per line for machines."""

import json
import logging
from typing import Any, Literal, TextIO  # fields of a line are JSON of any shape

from synergai.k8s_bridge.clock import format_time_us

Format = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
DECISIONS = logging.getLogger("synergai.k8s_bridge.decisions")
"""One line per decision, with all that is known of it; as text the events on pods say enough."""
_OWN = ("ts", "level", "logger", "msg", "error")


def about(**fields: object) -> dict[str, Any]:
    """`extra` of a line: what it is about, without what is empty."""
    return {"fields": {name: value for name, value in fields.items() if value not in (None, "")}}


class JsonFormatter(logging.Formatter):
    """`ts`, `level`, `logger`, `msg`, the fields of `about`, and `error` with a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": format_time_us(round(record.created * 1e6)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        fields: dict[str, object] = getattr(record, "fields", {})
        line |= {name: value for name, value in fields.items() if name not in _OWN}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, separators=(",", ":"), default=str)


def set_up(level: str, form: Format, stream: TextIO | None = None) -> None:
    """Of a process that has no handler yet; to standard error where no stream is given."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("numba").setLevel(logging.WARNING)
    DECISIONS.setLevel(logging.WARNING if form == "text" and level != "debug" else logging.NOTSET)
