"""Says when too many of the pods that were placed fail."""

from collections import deque

LAST = 50
"""Ended pods that are looked at, overall and of each hardware class."""


class Breaker:
    """Trips where more than `share` of the last 50 failed. It does not wait for 50: eleven failures are more than a
    fifth of whatever is in a window with them."""

    def __init__(self, share: float) -> None:
        """`share` 1 never trips."""
        self.share = share
        self._windows: dict[str, deque[bool]] = {}

    def take(self, hardware: str, failed: bool) -> str | None:
        """One placed pod has ended; why it trips, if it does. `hardware` is empty where no profile was used."""
        for name in dict.fromkeys(("", hardware)):
            window = self._windows.setdefault(name, deque(maxlen=LAST))
            window.append(failed)
        for name in dict.fromkeys((hardware, "")):
            failures = sum(self._windows[name])
            if failures > self.share * LAST:
                where = f" on {name}" if name else ""
                of = len(self._windows[name])
                return f"of the last {of} placed pods{where} {failures} failed or were rejected"
        return None

    def clear(self) -> None:
        """What ended until now is not looked at again."""
        self._windows.clear()
