"""MLPerf LoadGen's SingleStream and Offline over one loaded model; its sample is one query of the engine."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # the package is compiled, without types

from synergai.offline_profiles.engines.engine import EngineError

HEADROOM = 2.0
"""LoadGen prepares its queries beforehand, from how long one is expected to take, and ends early without more."""
LATENCY = re.compile(rb'"issue_start_ns":(\d+),"complete_ns":(\d+)')
RESULT = re.compile(r'"key": "result_samples_per_second", "value": ([0-9.eE+-]+)')


@dataclass(frozen=True, slots=True)
class LoadGen:
    """LoadGen about one way to run a query."""

    query: Callable[[], object]
    batch: int
    """Samples a query."""

    def single_stream(self, run_s: float, query_s: float) -> list[float]:
        """Latencies, in seconds, of queries one after the other for `run_s`; `query_s` is what one takes about."""
        lg = module()
        settings = _settings(lg, lg.TestScenario.SingleStream, run_s)
        settings.single_stream_expected_latency_ns = max(1, int(query_s / HEADROOM * 1e9))
        with tempfile.TemporaryDirectory() as folder:
            self._run(lg, settings, Path(folder))
            trace = (Path(folder) / "mlperf_log_trace.json").read_bytes()
        found = [(int(end) - int(start)) / 1e9 for start, end in LATENCY.findall(trace)]
        if not found:
            raise EngineError("LoadGen wrote no latencies")
        return found

    def offline(self, run_s: float, query_s: float) -> float:
        """Samples a second with all of `run_s` at hand."""
        lg = module()
        settings = _settings(lg, lg.TestScenario.Offline, run_s)
        settings.offline_expected_qps = 1 / query_s
        with tempfile.TemporaryDirectory() as folder:
            self._run(lg, settings, Path(folder))
            detail = (Path(folder) / "mlperf_log_detail.txt").read_text(encoding="utf-8")
        found = RESULT.search(detail)
        if found is None:
            raise EngineError("LoadGen wrote no throughput")
        return float(found[1]) * self.batch

    def _run(self, lg: Any, settings: Any, folder: Path) -> None:
        failed: list[Exception] = []

        def issue(samples: list[Any]) -> None:
            for sample in samples:
                try:
                    if not failed:
                        self.query()
                except Exception as error:  # through compiled code it would arrive as another; raised below
                    failed.append(error)
                lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0)])

        system = lg.ConstructSUT(issue, _nothing)
        library = lg.ConstructQSL(1, 1, _nothing, _nothing)
        try:
            lg.StartTestWithLogSettings(system, library, settings, _log(lg, folder), "")
        finally:
            lg.DestroyQSL(library)
            lg.DestroySUT(system)
        if failed:
            raise failed[0]


def module() -> Any:
    """LoadGen; EngineError where it is not installed."""
    try:
        # the package's own alias for it hides it
        import mlperf_loadgen
    except ImportError as error:
        raise EngineError(
            f"mlcommons-loadgen is not installed ({error}): pip install 'synergai[engines]'"
        ) from None
    return mlperf_loadgen


def version() -> str:
    """As its package says it."""
    from importlib.metadata import version as version_of

    module()
    return version_of("mlcommons-loadgen")


def _settings(lg: Any, scenario: Any, run_s: float) -> Any:
    settings = lg.TestSettings()
    settings.scenario, settings.mode = scenario, lg.TestMode.PerformanceOnly
    settings.min_duration_ms, settings.min_query_count = int(run_s * 1000), 2
    return settings


def _log(lg: Any, folder: Path) -> Any:
    output, log = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    log.log_output, log.enable_trace = output, True
    return log


def _nothing(*_: object) -> None:
    """LoadGen has samples loaded and flushed; ours are there already."""
