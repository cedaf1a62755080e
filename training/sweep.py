"""Many training runs side by side on Ray: the same settings with several seeds, and values of other settings.

Every run has a folder of its own under the sweep's, as `synergai train` alone would make it. What is finished is left
alone and what was cut off goes on, so a sweep that was killed is started again with the same command.
"""

import itertools
import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from pydantic import ValidationError

from synergai.training.config import ConfigError, TrainConfig
from synergai.training.folder import RunFolder, write_atomically

REPORT_FILE = "sweep.json"


class SweepError(ValueError):
    """There is no Ray cluster, or runs of a sweep failed, each with a line of its own; the others are complete."""


@dataclass(frozen=True)
class Variant:
    """One run of a sweep."""

    name: str
    """Of its folder, e.g. `seed-3` or `width-48,seed-3`."""
    group: str
    """The same without the seed."""
    config: TrainConfig


def variants(config: TrainConfig, seeds: int, values: Sequence[str] = ()) -> list[Variant]:
    """Every combination of `KEY=VALUE,VALUE` settings, each with so many seeds from the configuration's own on.
    ConfigError names what is no setting or no value of it."""
    axes = [_axis(text) for text in values]
    found = []
    for chosen in itertools.product(*axes):
        changes = dict(chosen)
        if "seed" in changes:
            raise ConfigError("--sweep: seed is what --seeds is for")
        group = ",".join(f"{key}-{_name(value)}" for key, value in chosen)
        for seed in range(config.seed, config.seed + seeds):
            name = f"{group},seed-{seed}" if group else f"seed-{seed}"
            found.append(Variant(name, group, _changed(config, {**changes, "seed": seed})))
    names = [run.name for run in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--sweep: two runs would be in the same folder: {', '.join(twice)}")
    return found


def _axis(text: str) -> list[tuple[str, Any]]:
    """One setting and its values, each as it would stand in a YAML file."""
    key, found, values = text.partition("=")
    try:
        chosen = yaml.safe_load(f"[{values}]") if found else []
    except yaml.YAMLError:
        chosen = []
    if not chosen:
        raise ConfigError(f"--sweep: {text!r} is not of the form KEY=VALUE,VALUE")
    return [(key, value) for value in chosen]


def _name(value: Any) -> str:
    """What a folder's name may hold of it."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", str(value)).strip("-")


def _changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    try:
        return TrainConfig.model_validate(config.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = "unknown key" if first["type"] == "extra_forbidden" else f"{first['msg']} ({first['input']!r})"
        raise ConfigError(f"--sweep: {key}: {said}") from None


def sweep(
    runs: Sequence[Variant],
    out: Path,
    address: str = "",
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train all of them on Ray, each on as many cores as its settings ask for; returns what `sweep.json` says.

    `address` is that of a Ray cluster whose machines see `out` under the same path; empty: this machine, for itself
    alone. SweepError names the runs that failed, after all others are through.
    """
    if address and address != "auto":
        knock(address)
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    alone: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(address=address or "local", log_to_driver=False, **({} if address else alone))
    try:
        rates, failed = _train_all(runs, out, tell)
    finally:
        ray.shutdown()
    report = summary(runs, rates)
    write_atomically(out / REPORT_FILE, (json.dumps(report, indent=2) + "\n").encode())
    if failed:
        raise SweepError("\n".join(f"{out / name}: {why}" for name, why in failed.items()))
    return report


def _train_all(
    runs: Sequence[Variant], out: Path, tell: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, str]]:
    """Violation rates of the runs that ended, and why the others did not, by name. Ray must be up."""
    import ray
    from ray.exceptions import RayError

    cores = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    waiting = {}
    for run in runs:
        wanted = min(max(run.config.threads, run.config.torch_threads), cores)
        task = ray.remote(num_cpus=wanted, max_retries=0)(train_one)
        waiting[task.remote(run.config.model_dump(mode="json"), str((out / run.name).absolute()))] = run
    rates: dict[str, float] = {}
    failed = {}
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        run = waiting.pop(done)
        try:
            rates[run.name] = ray.get(done)
            tell(f"{run.name}: violations {100 * rates[run.name]:.2f} % on selection tapes")
        except RayError as error:
            failed[run.name] = " ".join(str(getattr(error, "cause", None) or error).split())
            tell(f"{run.name}: failed: {failed[run.name]}")
    return rates, failed


def knock(address: str) -> None:
    """SweepError if nobody answers there: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise SweepError(f"--ray-address: {address!r} is not of the form HOST:PORT, and not `auto`")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except (OSError, OverflowError) as error:
        raise SweepError(f"--ray-address: nobody answers at {address}: {error}") from None


def train_one(settings: dict[str, Any], out: str) -> float:
    """One run, from where it is to its end, in a process of its own; returns the selected policy's violation rate."""
    from synergai.training.train import resume, train

    config, folder = TrainConfig.model_validate(settings), RunFolder(Path(out))
    if folder.finished or folder.snapshot.exists():
        resume(folder.path, dict(config), quiet=True)
    else:
        train(config, folder.path, quiet=True)
    return float(json.loads(folder.stages.read_text())["selected"]["violation_rate"])


def summary(runs: Sequence[Variant], rates: dict[str, float]) -> dict[str, Any]:
    """Rates of all runs that ended, best, median and worst of each group, and the run to ship: the best on selection
    tapes. Rates are shares of jobs, not percent."""
    ended = [run for run in runs if run.name in rates]
    groups = {}
    for group in dict.fromkeys(run.group for run in ended):
        found = sorted(rates[run.name] for run in ended if run.group == group)
        groups[group or "all"] = {
            "runs": len(found), "best": found[0], "median": median(found), "worst": found[-1],
        }  # fmt: skip
    best = min(ended, key=lambda run: rates[run.name], default=None)
    return {
        "violation_rate": {run.name: rates[run.name] for run in ended},
        "groups": groups,
        "best": best.name if best else None,
    }
