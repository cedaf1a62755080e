"""What limits a cluster on its declared mix: scarce resources, busy classes, prices, jobs that nothing could serve."""

from dataclasses import dataclass
from typing import Any  # a JSON object holds anything

import numpy as np
from rich.table import Table

from synergai.envs import capacity
from synergai.envs.program import Program, Resource, resources
from synergai.envs.tape import Setting, empty_cluster, make_tape
from synergai.envs.world import enqueue, new_sim

SAMPLE = 4000
"""Jobs drawn to see how many are born hopeless."""
SCARCE = 1e-9
"""A smaller dual price is nought."""


@dataclass(frozen=True)
class Limits:
    """Of one setting, at lambda*."""

    setting: Setting
    use: dict[str, float]
    """Busy share of each hardware class: of its units, or of its hosts' cpu where it has none."""
    duals: list[tuple[Resource, float]]
    """Jobs per second that one more pool's worth of the resource would bring; binding resources first."""
    born_hopeless: dict[str, float]
    """Share of each model's jobs that no option could serve in time on the empty cluster."""

    def as_json(self) -> dict[str, Any]:
        found = self.setting.capacity
        return {
            "scenario": self.setting.scenario.name,
            "lambda_star_per_s": found.jobs_per_s,
            "tau_s": found.tau_s,
            "load": self.setting.scenario.load,
            "arrivals_per_s": self.setting.rate_sps,
            "utilisation": self.use,
            "duals": [
                {"resource": r.what, "nodes": list(r.nodes), "amount": r.amount, "jobs_per_s": dual}
                for r, dual in self.duals
            ],
            "prices": {
                f"{p.model}/{p.hardware}/{p.configuration}": float(price)
                for p, price in zip(self.setting.catalog.profiles, found.prices)
            },
            "born_hopeless": self.born_hopeless,
        }

    def tables(self) -> list[Table]:
        """What binds, how busy each class is, and what each option costs."""
        binding = Table("resource", "nodes", "jobs/s per 1 % more", title="what binds at lambda*")
        for resource, dual in self.duals:
            if dual > SCARCE:
                binding.add_row(resource.what, ", ".join(resource.nodes), f"{0.01 * dual:.4f}")
        catalog, prices = self.setting.catalog, self.setting.capacity.prices
        busy = Table("", *catalog.classes, title="busy share of each class at lambda*")
        busy.add_row("", *(f"{self.use[name]:.2f}" for name in catalog.classes))
        costs = Table(
            "model",
            *catalog.classes,
            "born hopeless",
            title="log of opportunity cost over the cheapest option (0: use it)",
        )
        for model in catalog.models:
            cells = []
            for hardware in catalog.classes:
                mine = [
                    price
                    for price, p in zip(prices, catalog.profiles)
                    if (p.model, p.hardware) == (model, hardware)
                ]
                cells.append(f"{min(mine):.2f}" if mine else "-")
            costs.add_row(model, *cells, f"{100 * self.born_hopeless[model]:.1f} %")
        return [binding, busy, costs]


def limits_of(setting: Setting) -> Limits:
    """Solve once more for the declared mix and read everything off."""
    catalog, program = setting.catalog, setting.program
    state = empty_cluster(setting.scenario, catalog, jobs=1)
    capacity.solve(catalog, state, program)
    found = list(zip(resources(catalog), program.duals.tolist(), strict=True))
    servers = _servers(program)
    used = np.zeros(len(found))
    np.add.at(used, program.need, program.amount * servers[:, None])  # an unused place has amount 0
    return Limits(
        setting=setting,
        use={name: _use(setting, name, [r for r, _ in found], used) for name in catalog.classes},
        duals=sorted(found, key=lambda pair: -pair[1]),
        born_hopeless=_born_hopeless(setting),
    )


def _use(setting: Setting, klass: str, found: list[Resource], used: np.ndarray) -> float:
    what = klass if any(resource.what == klass for resource in found) else "cpu"
    hosts = {n.name for n in setting.catalog.nodes if any(d.hardware == klass for d in n.devices)}
    mine = [i for i, resource in enumerate(found) if resource.what == what and hosts & {*resource.nodes}]
    amounts = np.array([found[i].amount for i in mine])
    return float((used[mine] * amounts).sum() / amounts.sum())


def _servers(program: Program) -> np.ndarray:
    """How many servers are busy with each column at lambda*, after a solution that left no model out. (columns,)"""
    m = int(program.n[0]) + len(program.models)
    n = 1 + len(program.columns) - len(program.models)
    value = np.zeros(m + n)
    value[program.table.rows[:m]] = program.table.cells[:m, n]
    return value[program.columns["variable"]]


def _born_hopeless(setting: Setting) -> dict[str, float]:
    """By sampling, on predicted run times."""
    tape = make_tape(setting, 0, SAMPLE, tail=0.0)
    sim = new_sim(setting, tape)
    late = np.zeros(len(tape.jobs), np.bool_)
    for i, job in enumerate(tape.jobs):
        best_us = enqueue(sim, i)["best_us"]
        late[i] = best_us > job["deadline_us"] - job["arrival_us"]
    models = tape.jobs["model"]
    return {
        name: float(late[models == m].mean()) if (models == m).any() else 0.0
        for m, name in enumerate(setting.catalog.models)
    }
