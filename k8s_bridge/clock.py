"""Two clocks: what time it is at the API server, and what time that is in a scenario that runs faster."""

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

log = logging.getLogger(__name__)

SECOND_US = 1_000_000
_FURTHEST_US = 2**62
"""Times beyond are cut to it, so that sums of two still fit 64 bits."""
DOUBT_US = 10 * SECOND_US
"""A clock that was set is believed when for so long no reply has agreed with what it was."""
_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII)


def parse_time_us(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time with at most six decimals; ValueError otherwise."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 time such as 2026-11-22T10:00:00.250000Z")
    moment = datetime.fromisoformat(text.upper())
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND_US + delta.microseconds


def format_time_us(time_us: int) -> str:
    """RFC 3339 in UTC with six decimals."""
    clamped = min(max(time_us, 0), 253_402_300_799 * SECOND_US)  # 9999-12-31T23:59:59, datetime's end
    return f"{_second_text(clamped // SECOND_US)}.{clamped % SECOND_US:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """Most of what is written in a row lies in few seconds."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def elapsed_s() -> float:
    """Real seconds since some moment; where the system can tell (Linux), those that the machine slept count too."""
    return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()


class ScenarioClock:
    """Maps server time to scenario time, `speed` times as fast from `epoch_us` on; 1 is the identity.

    The `Cluster` lives in scenario time; the API server, and everything written there, in server time.
    """

    def __init__(self, speed: float = 1.0, epoch_us: int = 0) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed} is not above 0")
        self.speed = speed
        self.epoch_us = epoch_us

    def to_scenario(self, server_us: int) -> int:
        if self.speed == 1:
            return server_us
        return _cut(self.epoch_us + round((server_us - self.epoch_us) * self.speed))

    def to_server(self, scenario_us: int) -> int:
        if self.speed == 1:
            return scenario_us
        return _cut(self.epoch_us + round((scenario_us - self.epoch_us) / self.speed))

    def real_seconds(self, scenario_us: int) -> float:
        """How long a span of scenario time takes on a wall clock."""
        return scenario_us / SECOND_US / self.speed

    def span_us(self, real_s: float) -> int:
        """How much scenario time passes in real seconds."""
        return round(real_s * SECOND_US * self.speed)


def _cut(time_us: int) -> int:
    return min(max(time_us, -_FURTHEST_US), _FURTHEST_US)


@lru_cache(maxsize=8)
def _date_us(date: str) -> int:
    """Of a Date header; hundreds of replies have the same."""
    from email.utils import parsedate_to_datetime  # a runner, which needs no headers, would wait for it

    return round(parsedate_to_datetime(date).timestamp()) * SECOND_US


class ServerClock:
    """The API server's clock, as far as its `Date` headers (whole seconds) tell; never runs back.

    Each reply bounds the offset: the server's time lay in [date, date + 1 s) between sending and receiving.
    While the local clock agrees with all bounds seen it is taken as it is; else their middle is added.
    A reply that contradicts the others is of a server whose clock is wrong, unless nothing else comes for `DOUBT_US`.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._base_us = round((wall() - monotonic()) * SECOND_US)
        self._low_us = -_FURTHEST_US
        self._high_us = _FURTHEST_US
        self._doubted_us: int | None = None
        """When the first of the replies came that contradict the bounds; None while the last one agreed."""
        self._last_us = 0
        self._last_local_us = 0

    def local_us(self) -> int:
        """This machine's clock, undisturbed by steps of it since the start."""
        return self._base_us + round(self._monotonic() * SECOND_US)

    @property
    def offset_us(self) -> int:
        """What is added to the local clock."""
        if self._low_us <= 0 <= self._high_us:
            return 0
        return (self._low_us + self._high_us) // 2

    def observe(self, date: str, sent_us: int, received_us: int) -> None:
        """Learn from the Date header of a reply."""
        try:
            server_us = _date_us(date)
        except ValueError:
            return
        low, high = server_us - received_us, server_us + SECOND_US - sent_us
        if low <= self._high_us and high >= self._low_us:
            self._low_us, self._high_us = max(self._low_us, low), min(self._high_us, high)
            self._doubted_us = None
        elif self._doubted_us is None:
            self._doubted_us = received_us
        elif received_us - self._doubted_us >= DOUBT_US:
            stepped_s = ((low + high) // 2 - self.offset_us) / SECOND_US
            log.warning("the API server's clock was set by %+.1f s", stepped_s)
            self._low_us, self._high_us, self._doubted_us = low, high, None

    def now_us(self) -> int:
        """Where the server's clock was set back, ours goes on at half speed until that has come up to it: nothing
        that waits for a time waits for ever."""
        local_us = self.local_us()
        passed_us, self._last_local_us = max(local_us - self._last_local_us, 0), local_us
        self._last_us = max(
            self._last_us + (passed_us + 1) // 2 if self._last_us else 0, local_us + self.offset_us
        )
        return self._last_us
