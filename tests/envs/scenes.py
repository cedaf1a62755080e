"""One moment of a toy cluster, set up by hand: who waits, what runs, what is free."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from worlds import toy_setting

from synergai.envs import capacity
from synergai.envs.candidates import Candidates, Scratch, candidates, scratch_for
from synergai.envs.catalog import new_state
from synergai.envs.rules import pick
from synergai.envs.state import (
    NEVER_US,
    NONE,
    ClusterState,
    append_queued,
    book,
    compute_us,
    set_best,
    take_slot,
)
from synergai.envs.survey import take_survey
from synergai.envs.switches import rule_number
from synergai.envs.tape import Setting
from synergai.offline_profiles.table import ProfileTable


@dataclass(frozen=True)
class Pick:
    """What a rule says: START or HOLD of a job on a node's device."""

    action: str
    job: str
    node: str
    hardware: str


class Scene:
    """The clock stands at `now_s`; jobs are known by the names they are given."""

    def __init__(
        self, table: ProfileTable, machines: Sequence[dict[str, object]], now_s: float = 0.0, jobs: int = 512
    ) -> None:
        self.setting: Setting = toy_setting(table, machines)
        self.catalog = self.setting.catalog
        self.state: ClusterState = new_state(self.catalog, jobs)
        capacity.apply(self.state, self.setting.capacity)
        self.state.clock["now_us"] = round(now_s * 1e6)
        self.state.clock["round"] = 1
        self.scratch: Scratch = scratch_for(self.state)
        self.names: list[str] = []

    def wait(
        self,
        name: str,
        model: str,
        deadline_s: float,
        arrival_s: float = 0.0,
        samples: int = 1,
        priority: int = 0,
        classes: Sequence[str] | None = None,
    ) -> "Scene":
        """A job in the queue."""
        queued = self.state.queue[append_queued(self.state)]
        queued["job"] = len(self.names)
        self.names.append(name)
        queued["model"] = self.catalog.model_index[model]
        queued["samples"] = samples
        queued["arrival_us"] = round(arrival_s * 1e6)
        queued["deadline_us"] = round(deadline_s * 1e6)
        queued["classes"] = self.catalog.class_mask(None if classes is None else frozenset(classes))
        queued["priority"] = priority
        queued["counted"] = 1
        set_best(self.state, queued)
        return self

    def run(self, model: str, hardware: str, node: str, since_s: float = 0.0, samples: int = 1) -> "Scene":
        """A job that runs on the node's device of this class."""
        o = self.option(model, hardware)
        option = self.state.options[o]
        n = self.catalog.node_index[node]
        device = self.catalog.devices.index((n, self.catalog.class_index[hardware]))
        took = int(np.ceil(option["startup_us"] + compute_us(option, samples)))
        amounts = (option["cpu_milli"], option["memory_mib"], option["units"])
        slot = take_slot(self.state)
        book(self.state, slot, NONE, o, device, n, *amounts, round(since_s * 1e6), took, NEVER_US)
        return self

    def owe(self, hardware: str, credit_s: float) -> "Scene":
        """Give the ageing share of a class this much credit."""
        self.state.classes[self.catalog.class_index[hardware]]["credit_us"] = credit_s * 1e6
        return self

    def option(self, model: str, hardware: str) -> int:
        """Its only option, or its dictionary one."""
        options = self.state.options
        mine = options["model"] == self.catalog.model_index[model]
        mine &= options["klass"] == self.catalog.class_index[hardware]
        return int(np.flatnonzero(mine & (options["dictionary"] == 1))[0])

    def pick(self, rule: str) -> Pick | None:
        """What the rule says of it; None is DONE."""
        take_survey(self.state, self.scratch.survey)
        p = int(pick(self.state, self.scratch.survey, rule_number(rule)))
        return None if p == NONE else self.name(p)

    def name(self, p: int) -> Pick:
        """A pair of the last survey in words."""
        pair = self.scratch.survey.pairs[p]
        device = self.state.devices[pair["device"]]
        return Pick(
            "START" if pair["start"] == 1 else "HOLD",
            self.names[self.state.queue[pair["j"]]["job"]],
            self.catalog.nodes[device["node"]].name,
            self.catalog.classes[device["klass"]],
        )

    def list(self) -> Candidates:
        """The candidate list."""
        return candidates(self.state, self.scratch)
