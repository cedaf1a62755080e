"""One point of the grid in a process of its own, so that its memory and its start are its own.

    python -m synergai.offline_profiles.measuring.child < job.json

It reads a `Job` as one line of standard input, answers in one line of standard output, and ends when its input does:
it does not outlive who started it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any  # of JSON

from synergai.offline_profiles.engines.engine import EngineError, Session, Setting, adapter
from synergai.offline_profiles.engines.samples import feeds
from synergai.offline_profiles.host.process import peak_memory_mib

SEED = 1
WARM_S = 0.5
WARM_QUERIES = 3
"""Before anything counts, at least so long and so many."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is to do."""

    model: str
    """Path of the file."""
    shapes: Mapping[str, Sequence[int]]
    setting: Mapping[str, Any]
    """Fields of `Setting`."""
    cache: str
    effort: Mapping[str, Any] | None
    """Fields of `Effort`; None: it ends with the first answer."""


def main() -> int:
    """EngineErrors are part of the answer; exit code 1."""
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_input, daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print is not the answer
    try:
        answer: dict[str, Any] = _work(job)
    except EngineError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "out of memory"}
    print(json.dumps(answer), file=answers, flush=True)
    return 1 if "error" in answer else 0


def _work(job: Job) -> dict[str, Any]:
    setting = Setting(**job.setting)
    chosen = adapter(setting.engine)
    session = chosen.load(Path(job.model), job.shapes, setting, Path(job.cache))
    given = feeds(session.inputs, SEED)
    session.run(given)
    answer = {"answered_at_s": time.monotonic(), "engine_version": chosen.version}
    if job.effort is None:
        return answer
    from synergai.offline_profiles.measuring import meters
    from synergai.offline_profiles.measuring.effort import Effort
    from synergai.offline_profiles.measuring.repeats import measure

    effort, meter, query_s = Effort(**job.effort), meters.find(setting.unit), warm(session, given)
    found = measure(lambda: session.run(given), setting.batch, effort, query_s, meter)
    return {**answer, **asdict(found), "peak_memory_mib": peak_memory_mib() or 0.0}


def warm(session: Session, given: Mapping[str, Any]) -> float:
    """Seconds that a query takes once the engine is warm."""
    start_s, taken_s = time.perf_counter(), []
    while len(taken_s) < WARM_QUERIES or time.perf_counter() - start_s < WARM_S:
        before_s = time.perf_counter()
        session.run(given)
        taken_s.append(time.perf_counter() - before_s)
    return max(min(taken_s), 1e-6)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
