"""What one tape, under one scheduler or several, looks like to a person."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from synergai.envs.metrics import Measures, counted_jobs, node_energy_j
from synergai.envs.tape import Setting
from synergai.envs.world import Sim


def of_one(setting: Setting, sim: Sim, measured: Measures, title: str) -> Table:
    """Every measure of a run that is over."""
    table = Table("measure", "value", title=title)
    wait_s, flow_s = spans_s(sim)
    table.add_row("jobs counted", f"{measured.jobs}")
    table.add_row("QoS violations", f"{measured.violations} ({100 * measured.violation_rate:.2f} %)")
    table.add_row("excess mean, p99", f"{measured.excess_mean_s:.3f} s, {measured.excess_p99_s:.3f} s")
    for name, values in (("wait", wait_s), ("arrival to finish", flow_s)):
        p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
        table.add_row(
            f"{name} mean, p50, p95, p99", f"{values.mean():.2f}, {p50:.2f}, {p95:.2f}, {p99:.2f} s"
        )
    table.add_row(
        "energy above idle",
        f"{measured.energy_j_per_job:.1f} J a job, {1000 * measured.energy_j_per_sample:.2f} mJ a sample",
    )
    idle_j, active_j = node_energy_j(setting, sim).sum(axis=0)
    table.add_row("energy of all nodes", f"{1e-3 * idle_j:.1f} kJ idle, {1e-3 * active_j:.1f} kJ above it")
    table.add_row("devices in use", f"{100 * in_use(setting, sim):.1f} % of their time")
    table.add_row("time simulated", f"{measured.span_s:.1f} s")
    table.add_row("not finished", f"{measured.unfinished}")
    lost = int(sim.outcomes["attempt"].sum())
    if lost:
        table.add_row("runs lost with their node", f"{lost}")
    return table


def of_many(rows: Sequence[tuple[str, Measures]], title: str) -> Table:
    """A line per scheduler, the fewest violations first; `left` jobs were not finished."""
    table = Table(title=title)
    table.add_column("scheduler", no_wrap=True)
    for column in ("viol. %", "late s mean", "p99", "wait s mean", "p95", "J/job", "left"):
        table.add_column(column, justify="right")
    for name, m in sorted(rows, key=lambda row: row[1].violations):
        figures = (100 * m.violation_rate, m.excess_mean_s, m.excess_p99_s, m.wait_mean_s, m.wait_p95_s)
        table.add_row(name, *(f"{x:.2f}" for x in figures), f"{m.energy_j_per_job:.0f}", f"{m.unfinished}")
    return table


def of_nodes(setting: Setting, sim: Sim) -> Table:
    """A line per node: what ran there last, how long it was dead, what it used."""
    table = Table("node", "hardware", title="nodes")
    for column in ("runs", "dead s", "idle kJ", "above idle kJ"):
        table.add_column(column, justify="right")
    energy_j = node_energy_j(setting, sim)
    for n, node in enumerate(setting.catalog.nodes):
        hardware = ", ".join(f"{max(d.units, 1)} {d.hardware}" for d in node.devices)
        runs = int((sim.outcomes["node"] == n).sum())
        idle_j, active_j = 1e-3 * energy_j[n]
        dead_s = 1e-6 * sim.machines[n]["dead_us"]
        table.add_row(node.name, hardware, f"{runs}", f"{dead_s:.0f}", f"{idle_j:.1f}", f"{active_j:.1f}")
    return table


def of_scenarios(names: Sequence[str], title: str) -> Table:
    """A line per scenario, a column per scheduler; `add_scenario` fills it in."""
    table = Table(title=title)
    table.add_column("scenario", no_wrap=True)
    table.add_column("load")
    for name in names:
        table.add_column(name, justify="right", min_width=4, overflow="fold")
    return table


def add_scenario(table: Table, setting: Setting, measured: Sequence[Measures]) -> None:
    """Violations of each scheduler in percent, the fewest bold."""
    rates = [100 * m.violation_rate for m in measured]
    best = min(rates)
    cells = [f"[bold]{rate:.1f}[/bold]" if rate == best else f"{rate:.1f}" for rate in rates]
    table.add_row(setting.scenario.name, f"{setting.scenario.load:g}", *cells)


def spans_s(sim: Sim) -> tuple[np.ndarray, np.ndarray]:
    """Arrival to start and arrival to finish of the counted jobs, so far where they have not come. (jobs,) each"""
    jobs, outcomes = counted_jobs(sim)
    now_us = int(sim.state.clock[0]["now_us"])

    def since_arrival_s(at_us: np.ndarray) -> np.ndarray:
        return (np.where(at_us >= 0, at_us, now_us) - jobs["arrival_us"]) * 1e-6

    return since_arrival_s(outcomes["start_us"]), since_arrival_s(outcomes["finish_us"])


def in_use(setting: Setting, sim: Sim) -> float:
    """Share of all devices' time, from the start to now, in which jobs had them."""
    now_us = int(sim.state.clock[0]["now_us"])
    started = sim.outcomes["start_us"] >= 0
    outcomes = sim.outcomes[started]
    end_us = np.where(outcomes["finish_us"] >= 0, outcomes["finish_us"], now_us)
    taken_us = (end_us - outcomes["start_us"]) * sim.state.options["load"][outcomes["option"]]
    devices = float(sim.state.classes["capacity"].sum())
    return float(taken_us.sum() / max(devices * now_us, 1.0))
