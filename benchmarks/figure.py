"""A measured figure, and the table of those that can be measured; each is imported only when it is."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from synergai.benchmarks.machine import machine


class BenchError(ValueError):
    """A figure cannot be measured; one line that says why."""


class MissingExtra(BenchError):
    """The figure needs packages that are not installed."""


@dataclass(frozen=True)
class Figure:
    """What came out, and what it was measured on."""

    value: float
    unit: str
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Entry:
    """Where a figure's function of the same name is, and what it measures."""

    module: str
    what: str
    extra: str = "train"
    """Of this distribution: brings what may not be installed."""


FIGURES = {
    "sim_decisions_per_s": Entry(
        "simulator", "batched simulator, candidates and features included, one core"
    ),
    "sim_rule_decisions_per_s": Entry("simulator", "a rule alone on whole tapes, one core"),
    "gym_steps_per_s": Entry("environment", "the Gymnasium environment, one cluster"),
    "train_steps_per_s": Entry("learning", "decisions that PPO collects and learns from"),
    "train_over_stock": Entry("learning", "the same beside stable-baselines3's PPO as it comes"),
    "decision_us": Entry("decision", "state -> place -> features -> policy, p50 and p99"),
    "plan_us": Entry("planner", "the rollout planner's choice, p50 and p99"),
    "bridge_pods_per_s": Entry("bridge", "pods bound on a cluster, from a full queue"),
    "beside_kube_scheduler": Entry("beside", "the bridge beside kube-scheduler on a real API server"),
    "jobs_beside_kubernetes": Entry(
        "requested", "InferenceJobs beside batch/v1 Jobs and kube-scheduler on a real API server"
    ),
    "peers": Entry("peers", "the simulator beside public environments and SimPy, one core", extra="peers"),
}


def measure(name: str, options: Mapping[str, Any]) -> dict[str, object]:
    """The figure as one JSON object. BenchError for an unknown name or an option that the figure does not have."""
    function = function_of(name)
    known = inspect.signature(function).parameters
    for option in options:
        if option not in known:
            raise BenchError(
                f"{name} has no option --{option}; it has {', '.join(f'--{key}' for key in known)}"
            )
    figure = function(**options)
    return {"name": name, "value": round(figure.value, 3), "unit": figure.unit, **figure.facts, **machine()}


def function_of(name: str) -> Callable[..., Figure]:
    """BenchError for an unknown name, MissingExtra if it cannot be imported."""
    if name not in FIGURES:
        raise BenchError(f"no figure {name!r}; there are {', '.join(FIGURES)}")
    entry = FIGURES[name]
    try:
        return getattr(import_module(f"synergai.benchmarks.{entry.module}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{name} needs {error.name}: pip install 'synergai[{entry.extra}]'") from None


def options_of(name: str) -> tuple[str, ...]:
    """Names of the options that the figure has."""
    return tuple(inspect.signature(function_of(name)).parameters)
