"""One engine that runs when it is told, in a process of its own; `tenants` is the other end.

    python -m synergai.offline_profiles.measuring.tenant

The first line of standard input is a JSON object: path of the model, shapes, fields of the setting, cache. Each
further line is a number of seconds: it runs so long, and answers with a JSON line of samples and seconds. It ends when
its input does: it does not outlive who started it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any  # of JSON

from synergai.offline_profiles.engines.engine import EngineError, Setting, adapter
from synergai.offline_profiles.engines.samples import feeds

SEED = 1
WARM_S, WARM_QUERIES = 0.5, 3


def main() -> int:
    """The first answer is `{}` once the engine is warm, or its error; exit code 1."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print is not the answer
    try:
        query, batch = _loaded(json.loads(sys.stdin.readline()))
        _say(answers, {})
        for line in sys.stdin:
            _say(answers, _run(query, batch, float(line)))
    except (EngineError, MemoryError) as error:
        _say(answers, {"error": str(error) or "out of memory"})
        return 1
    return 0


def _loaded(job: Mapping[str, Any]) -> tuple[Callable[[], object], int]:
    setting = Setting(**job["setting"])
    session = adapter(setting.engine).load(Path(job["model"]), job["shapes"], setting, Path(job["cache"]))
    given = feeds(session.inputs, SEED)
    start_s, queries = time.perf_counter(), 0
    while queries < WARM_QUERIES or time.perf_counter() - start_s < WARM_S:
        session.run(given)
        queries += 1
    return lambda: session.run(given), setting.batch


def _run(query: Callable[[], object], batch: int, seconds: float) -> dict[str, float]:
    """Whole queries, the last one to its end."""
    start_s = time.perf_counter()
    samples, spent_s = 0, 0.0
    while spent_s < seconds:
        query()
        samples += batch
        spent_s = time.perf_counter() - start_s
    return {"samples": samples, "seconds": spent_s}


def _say(answers: Any, answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    sys.exit(main())
