"""The server's time, in the forms that the API uses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

Clock = Callable[[], float]
"""Seconds since the epoch."""


def seconds_text(now_s: float) -> str:
    """RFC 3339 with whole seconds: metav1.Time."""
    return datetime.fromtimestamp(int(now_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micros_text(now_s: float) -> str:
    """RFC 3339 with microseconds: metav1.MicroTime."""
    whole = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(now_s * 1e6))
    return whole.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def http_date(now_s: float) -> str:
    """The value of a `Date` header."""
    return formatdate(int(now_s), usegmt=True)


def parse_s(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 time, None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
