"""How both verbs write times, spans and tables."""

from collections.abc import Sequence

from synergai.k8s_bridge.clock import SECOND_US, format_time_us


def clean(text: str) -> str:
    """Without characters that move a terminal's cursor: anybody may write an annotation."""
    return "".join(c if c.isprintable() else "?" for c in text)


def when(time_us: int, now_us: int) -> str:
    """`10:00:00.250 (in 3.2 s)`; the date where it is another day."""
    text, today = format_time_us(time_us)[:23].replace("T", " "), format_time_us(now_us)[:10]
    return f"{text.removeprefix(today).strip()} ({span(time_us - now_us)})"


def span(span_us: int) -> str:
    """`in 3.2 s` or `3.2 s ago`."""
    return f"in {duration(span_us)}" if span_us >= 0 else f"{duration(-span_us)} ago"


def duration(span_us: int) -> str:
    """`3.2 s`, `5 min`, `3.1 h`, `12 d`."""
    seconds = span_us / SECOND_US
    for limit, unit_s, form, unit in (
        (120, 1, ".1f", "s"),
        (7200, 60, ".0f", "min"),
        (172_800, 3600, ".1f", "h"),
    ):
        if abs(seconds) < limit:
            return f"{seconds / unit_s:{form}} {unit}"
    return f"{seconds / 86_400:.0f} d"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be, two spaces between."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
