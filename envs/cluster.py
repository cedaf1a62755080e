"""The one mutable picture of a cluster outside the simulator's own loop. The bridge feeds it with what the API server
says, asks it for a round, and carries the decisions out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from synergai.envs import ageing, capacity, epochs
from synergai.envs.candidates import (
    DONE,
    Candidates,
    Scratch,
    empty_candidates,
    list_candidates,
    only_action,
    scratch_for,
)
from synergai.envs.catalog import Catalog, build_catalog, new_state
from synergai.envs.learnt import WIDEST_RATIO, Learnt, Memory, OptionName, names_of
from synergai.envs.mix import ModelLoad
from synergai.envs.place import choose_dictionary
from synergai.envs.program import Program, program_of
from synergai.envs.shares import share_out
from synergai.envs.state import (
    MODEL,
    NEVER_US,
    NONE,
    OF_CATALOG,
    ClusterState,
    append_queued,
    book,
    compute_us,
    count_arrival,
    hold,
    observe,
    release,
    remove_queued,
    set_best,
    start,
    take_slot,
    touch,
)
from synergai.envs.tape import best_effort_deadline_us
from synergai.envs.types import ANYWHERE, Action, Decision, Job, Node, Reach
from synergai.envs.waiting import Waiting, in_order
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileTable

FIRST_JOBS = 256
CLOSED = 2**32
"""Reach for pods that are taken from a closed node: more than any has."""
_ROOM = (("cpu_free", "cpu_milli"), ("memory_free", "memory_mib"), ("pods_free", "pods"))
MANY_SIGNATURES = 256
"""Sets of admitted nodes; beyond, those of no job that waits are forgotten when the tables are made anew."""


class Decider(Protocol):
    """What a round needs of a scheduler; `agents.scheduler.Scheduler` is one."""

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision: ...


class UnknownModel(ValueError):
    """No hardware of the cluster has a profile of the job's model."""


def _same(old: Catalog, new: Catalog) -> bool:
    """Whether both number the same nodes and profiles."""
    return old.nodes == new.nodes and old.table is new.table


def _profile(table: ProfileTable, name: OptionName) -> Profile | None:
    rows = table.of(name.model, name.hardware) if name.model in table.models else ()
    return next((row for row in rows if row.configuration == name.configuration), None)


def _shape(node: Node) -> tuple[object, ...]:
    """What of a node decides how everything is numbered."""
    return node.devices, node.site, node.ready


@dataclass
class _Booked:
    """What runs (or occupies room), and in which slot."""

    slot: int
    node: str
    job: Job | None
    hardware: str = ""
    configuration: str = ""
    earned_us: float = 0.0
    """What its START did to the ageing credit of its class; taken back with it."""


class Cluster:
    """Nodes, queue, running jobs and history of one cluster, kept as a `ClusterState`.

    Unknown nodes or jobs raise KeyError; a job of a model without a profile raises UnknownModel (subclass of
    ValueError) from `enqueue`. All times are microseconds on the caller's clock and never run back.
    """

    def __init__(
        self,
        table: ProfileTable,
        mix: dict[str, ModelLoad] | None = None,
        energy_weight: float = 0.0,
        pod_start_s: float = 0.0,
    ) -> None:
        """`mix` is the workload that is declared; what arrives is shrunk towards it (`capacity.mix_of`)."""
        self.table = table
        self.energy_weight = energy_weight
        self.pod_start_s = pod_start_s
        self._mix = {name: load for name, load in (mix or {}).items() if name in table.models}
        self._nodes: dict[str, Node] = {}
        self._jobs: dict[int, Job] = {}
        self._numbers: dict[str, int] = {}
        self._booked: dict[str, _Booked] = {}
        self._signatures: dict[Reach, int] = {ANYWHERE: 0}
        self._closed: set[str] = set()
        self._owners: dict[str, int] = {}
        self._next_number = 0
        self._waiting: dict[str, Node] | None = None
        self._memory = Memory()
        self.on_node: Callable[[str, Node | None], None] = lambda name, node: None
        """Hears of every node that comes, changes or goes (None)."""
        self._rebuild()

    def twin(self) -> "Cluster":
        """Another cluster of the same profiles, without nodes and jobs."""
        return Cluster(self.table, self._mix, self.energy_weight, self.pod_start_s)

    # nodes -----------------------------------------------------------------------------------------------------------
    def set_node(self, node: Node) -> None:
        """Add the node or change it. Capacity is what is ours to give: without what other schedulers' pods use."""
        self.set_nodes([node])

    def set_nodes(self, nodes: Iterable[Node]) -> None:
        """Add or change many at once: one renumbering for all of them."""
        if self._waiting is not None:
            self._waiting |= {node.name: node for node in nodes}
            return
        renumber, resized = False, []
        for node in nodes:
            before = self._nodes.get(node.name)
            self._nodes[node.name] = node
            if before != node:
                self.on_node(node.name, node)
            if before is None or _shape(before) != _shape(node):
                renumber = True
            elif before != node:
                resized.append(node)
        if renumber:
            self._rebuild()
        elif resized:
            self._resize(resized)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is set of nodes within it is set at its end, at once: each renumbering costs as much as there are
        nodes. Nothing else may be asked or told meanwhile."""
        self._waiting = {}
        try:
            yield
        finally:
            nodes, self._waiting = self._waiting, None
            self.set_nodes(nodes.values())

    def remove_node(self, name: str) -> list[str]:
        """Forget the node; returns the keys of the jobs that ran there (they are forgotten too)."""
        return self.remove_nodes([name])

    def remove_nodes(self, names: Iterable[str]) -> list[str]:
        """The same for many at once, with one renumbering for all of them."""
        gone = set(names)
        for name in gone:
            del self._nodes[name]
        lost = [key for key, booked in self._booked.items() if booked.node in gone]
        for key in lost:
            self._forget(key)
        if gone:
            self._rebuild()
        for name in gone:
            self.on_node(name, None)
        return lost

    def known_nodes(self) -> list[Node]:
        """As they are now."""
        return list(self._nodes.values())

    def close_node(self, name: str, closed: bool = True) -> None:
        """Start nothing there for the moment, or start again. A node that is not known stays as it will come."""
        if (name in self._closed) == closed:
            return
        (self._closed.add if closed else self._closed.discard)(name)
        if name in self.catalog.node_index:
            self._take_places(name, CLOSED if closed else -CLOSED)

    def refit(
        self, table: ProfileTable, mix: dict[str, ModelLoad] | None = None, pod_start_s: float = 0.0
    ) -> None:
        """Go on with other profiles. What runs stays booked as it is; what was learnt of a configuration stays where
        its profile is the same. ValueError, and nothing is changed, where the table lacks a queued job's model."""
        lost = sorted({job.model for job in self._jobs.values()} - set(table.models))
        if lost:
            raise ValueError(f"jobs wait for {', '.join(lost)}, of which there is no profile any more")
        self._unlearn(table)
        self.table = table
        self.pod_start_s = pod_start_s
        self._mix = {name: load for name, load in (mix or {}).items() if name in table.models}
        self._rebuild()

    def extend(self, table: ProfileTable) -> None:
        """Go on with a table that has more models or fewer, and the same mix."""
        self.refit(table, self._mix, self.pod_start_s)

    def _unlearn(self, table: ProfileTable) -> None:
        """Forget what runs have taught of configurations whose profile is another in this table."""
        self._memory.note(self.catalog, self.state)
        changed = {
            name for name in self._memory.known() if _profile(self.table, name) != _profile(table, name)
        }
        self._memory.forget(changed)
        for name, record in zip(names_of(self.catalog), self.state.history):
            if name in changed:
                record["count"] = 0

    # jobs ------------------------------------------------------------------------------------------------------------
    def enqueue(self, job: Job, again: bool = False) -> None:
        """The job waits from now on; its key must be new. `again`: it waited before and is no new arrival."""
        if job.key in self._numbers or job.key in self._booked:
            raise ValueError(f"job {job.key!r} is already known")
        if job.model not in self.table.models:
            raise UnknownModel(f"no profile of model {job.model!r}; known are {', '.join(self.table.models)}")
        if job.samples < 1:
            raise ValueError(f"job {job.key!r}: samples is {job.samples}, must be at least 1")
        self._add(job, fresh=not again)

    def waiting_jobs(self) -> list[Job]:
        """In the order in which they began to wait."""
        return list(self._jobs.values())

    def withdraw(self, key: str) -> None:
        """A queued job is gone (deleted before it started)."""
        number = self._numbers.pop(key)
        del self._jobs[number]
        remove_queued(self.state, self._row(number))

    def adopt(self, job: Job, node: str, hardware: str, configuration: str, started_us: int) -> None:
        """A job found running (after a restart, or bound by a rival): booked as if we had started it."""
        n = self.catalog.node_index[node]
        option = self._option(job.model, hardware, configuration, self._nodes[node].site)
        device = self._device(n, hardware)
        if job.key in self._numbers:
            self.withdraw(job.key)
        if option == NONE or device == NONE:
            self.occupy(job.key, node, job.cpu_milli, job.memory_mib)
            return
        record = self.state.options[option]
        cpu = max(int(record["cpu_milli"]), job.cpu_milli)
        memory = max(int(record["memory_mib"]), job.memory_mib)
        took = int(np.ceil(record["startup_us"] + compute_us(record, job.samples)))
        self._book(job.key, node, cpu, memory, option, device, int(record["units"]), started_us, took, job)
        booked = self._booked[job.key]
        booked.job, booked.hardware, booked.configuration = job, hardware, configuration

    def occupy(
        self, key: str, node: str, cpu_milli: int, memory_mib: int, hardware: str = "", units: int = 0
    ) -> None:
        """Book room for something that has no profile; `release` gives it back."""
        device = self._device(self.catalog.node_index[node], hardware) if hardware else NONE
        now_us = int(self.state.clock[0]["now_us"])
        self._book(key, node, cpu_milli, memory_mib, NONE, device, units, now_us, 0, None)
        self._booked[key].hardware = hardware

    def release(
        self, key: str, now_us: int, observed_run_s: float | None = None, cause: str = "done"
    ) -> None:
        """A started, adopted or occupying job has ended: its room is free; a run time feeds the history, as far as
        one run may (`learnt.WIDEST_RATIO`)."""
        self._at(now_us)
        booked = self._booked[key]
        record = self.state.running[booked.slot]
        if cause == "done" and observed_run_s is not None and record["option"] != NONE and observed_run_s > 0:
            predicted_us = max(int(record["run_us"]), 1)
            observed_us = min(
                max(observed_run_s * 1e6, predicted_us / WIDEST_RATIO), predicted_us * WIDEST_RATIO
            )
            observe(self.state, record["option"], predicted_us, round(observed_us))
            for o in self._same_runs.get(int(record["option"]), ()):
                self.state.history[o] = self.state.history[record["option"]]
        self._forget(key)

    def finish_us(self, key: str) -> int:
        """When what is booked is predicted to end."""
        return int(self.state.running[self._booked[key].slot]["finish_us"])

    def predicted_s(self, key: str) -> float | None:
        """How long the profiles said that what is booked under this key would run; None without a profile."""
        record = self.state.running[self._booked[key].slot]
        return float(record["run_us"]) * 1e-6 if record["option"] != NONE else None

    # what runs have taught -------------------------------------------------------------------------------------------
    def learnt(self) -> dict[OptionName, Learnt]:
        """Of every option that has run, also those whose nodes are gone."""
        self._memory.note(self.catalog, self.state)
        return self._memory.known()

    def learn(self, learnt: Mapping[OptionName, Learnt]) -> None:
        """What was learnt before: of each option what stands on more runs counts from now on."""
        self._memory.note(self.catalog, self.state)
        self._memory.merge(learnt)
        self._memory.fill(self.catalog, self.state)

    def requeue(self, key: str) -> None:
        """A START could not be carried out (bind failed): take the booking back, the job waits again."""
        job = self._booked[key].job
        if job is None:
            raise KeyError(f"{key}: occupies room but is no job")
        h = self.catalog.class_index.get(self._booked[key].hardware)
        if h is not None:
            klass = self.state.classes[h]
            klass["credit_us"] = max(float(klass["credit_us"]) - self._booked[key].earned_us, 0.0)
        self._forget(key)
        self._add(job, fresh=False)

    # decisions -------------------------------------------------------------------------------------------------------
    def round(self, now_us: int, scheduler: Decider) -> Iterator[Decision]:
        """One round at `now_us`: yields each START and HOLD (already applied as assumed) until DONE.

        `scheduler` is an `agents.scheduler.Scheduler`; an index that the mask forbids raises ValueError.
        """
        self.refresh(now_us)
        epochs.begin_round(self.state, self.scratch.survey)
        while self.state.clock[0]["n_queued"] > 0:
            legal = list_candidates(
                self.state, self.scratch, self.out, getattr(scheduler, "extra_rule", NONE)
            )
            legal = self._shared(legal)
            if legal > 1:
                decision = scheduler.decide(self.state, self.out)
            else:
                action = int(only_action(self.out))
                kind = Action.DONE if action == DONE else self._kind(action)
                decision = Decision(
                    kind, -1 if action == DONE else action, decided_by="forced", reason="only legal action"
                )
            if decision.action == Action.DONE:
                if decision.wake_at_us >= 0:  # else what a rule without a bit asked for stands
                    self.state.clock[0]["wake_us"] = decision.wake_at_us
                return
            yield self._apply(decision)

    def refresh(self, now_us: int) -> None:
        """Solve for lambda*, tau and prices if that is due: every minute, and after a change of nodes. `round` and
        `enqueue` do so too; called between rounds, it keeps the work out of them."""
        self._at(now_us)
        if self.program is None:
            self.program = program_of(self.catalog, self.state, self._mix)
        capacity.refresh(self.state, self.program)

    def least_allocated_node(
        self, cpu_milli: int, memory_mib: int, nodes: frozenset[str] | None = None
    ) -> str | None:
        """kube-scheduler's default choice for a job without a profile: most free room after it, None if none fits."""
        best, best_share = None, -1.0
        for n, node in enumerate(self.catalog.nodes):
            record = self.state.nodes[n]
            if not node.ready or (nodes is not None and node.name not in nodes) or record["pods_free"] < 1:
                continue
            cpu, memory = int(record["cpu_free"]) - cpu_milli, int(record["memory_free"]) - memory_mib
            share = 0.5 * (cpu / max(node.cpu_milli, 1) + memory / max(node.memory_mib, 1))
            if cpu >= 0 and memory >= 0 and share > best_share:
                best, best_share = node.name, share
        return best

    def next_epoch_us(self, now_us: int) -> int | None:
        """The next instant at which a round is due by itself (hold expiry, latest start, wake-up, 1 s tick)."""
        self._at(now_us)
        at_us = int(epochs.next_timer_us(self.state))
        return None if at_us >= NEVER_US else at_us

    def queued(self) -> int:
        """Jobs that wait, held ones included."""
        return int(self.state.clock[0]["n_queued"])

    def in_order(self, limit: int) -> list[Waiting]:
        """What waits, held jobs included, most urgent first."""
        return in_order(self.state, self.catalog, self._jobs, limit)

    def running(self) -> int:
        """Jobs that are booked on nodes."""
        return int(self.state.clock[0]["n_running"])

    def job_at(self, row: int) -> Job:
        """What waits in this row of the queue."""
        return self._jobs[int(self.state.queue[row]["job"])]

    # inside ----------------------------------------------------------------------------------------------------------
    def _at(self, now_us: int) -> None:
        clock = self.state.clock[0]
        clock["now_us"] = max(int(clock["now_us"]), now_us)

    def _row(self, number: int) -> int:
        used = self.state.queue["job"][: self.queued()]
        return int(np.flatnonzero(used == number)[0])

    def _shared(self, legal: int) -> int:
        """The same list, or a fairer one; the number of its legal actions."""
        fair = share_out(self.state, self.scratch, self.out) if legal > 1 else None
        return legal if fair is None else fair

    def _kind(self, candidate: int) -> Action:
        return (
            Action.START if self.scratch.survey.pairs[self.out.pair[candidate]]["start"] == 1 else Action.HOLD
        )

    def _add(self, job: Job, fresh: bool) -> None:
        self._make_room()
        self._signature(job.reach)  # may number everything anew: before the row is taken
        number = self._next_number
        self._next_number += 1
        row = append_queued(self.state)
        queued = self.state.queue[row]
        self._fill(queued, job, number)
        self._jobs[number] = job
        self._numbers[job.key] = number
        if not set_best(self.state, queued):
            queued["best_us"] = int(self.table.reference_s(job.model, job.samples) * 1e6)
            queued["best_energy_j"] = 1.0
        if fresh:
            self.refresh(job.arrival_us)
            count_arrival(self.state, queued)

    def _fill(self, queued: Any, job: Job, number: int) -> None:
        queued["job"] = number
        queued["samples"] = job.samples
        queued["arrival_us"] = job.arrival_us
        queued["counted"] = job.deadline_us is not None
        queued["deadline_us"] = (
            job.deadline_us
            if job.deadline_us is not None
            else best_effort_deadline_us(self.table, job.model, job.samples, job.arrival_us)
        )
        queued["classes"] = self.catalog.class_mask(job.hardware)
        queued["cpu_floor"], queued["memory_floor"] = job.cpu_milli, job.memory_mib
        queued["model"] = self.catalog.model_index[job.model]
        queued["priority"] = job.priority
        queued["namespace"] = self._owners.setdefault(job.namespace, len(self._owners))
        queued["site"] = self.catalog.site_index.get(job.site, 0)
        queued["signature"] = self._signature(job.reach)
        queued["attempt"] = job.attempt

    def _apply(self, decision: Decision) -> Decision:
        i = decision.candidate
        if not (0 <= i < self.out.n[0]) or not self.out.mask[i]:
            raise ValueError(f"scheduler chose candidate {i}, which is not legal")
        pair = self.scratch.survey.pairs[self.out.pair[i]].copy()
        option = self.state.options[pair["option"]]
        profile = self.catalog.profiles[pair["option"]]
        job = self._jobs[int(self.state.queue[pair["j"]]["job"])]
        now_us = int(self.state.clock[0]["now_us"])
        node = self.catalog.nodes[self.state.devices[pair["device"]]["node"]].name
        told = replace(
            decision,
            action=self._kind(i),
            job=job.key,
            node=node,
            hardware=profile.hardware,
            configuration=profile.configuration,
            device_units=int(option["units"]),
            cpu_milli=max(int(option["cpu_milli"]), job.cpu_milli),
            memory_mib=max(int(option["memory_mib"]), job.memory_mib),
            run_s=float(pair["e_us"]) * 1e-6,
            finish_us=now_us + int(pair["wait_us"] + pair["e_us"]),
        )
        if told.action == Action.HOLD:
            hold(self.state, pair["j"], pair["option"], pair["wait_us"], pair["e_us"])
            return replace(told, until_us=int(self.state.queue[pair["j"]]["hold_until_us"]))
        klass = self.state.classes[option["klass"]]
        credit_us = float(klass["credit_us"])
        ageing.account(self.state, self.scratch.survey, self.scratch.survey.pairs[self.out.pair[i]])
        earned_us = float(klass["credit_us"]) - credit_us
        slot = start(self.state, pair["j"], pair["option"], pair["device"])
        number = self._numbers.pop(job.key)
        del self._jobs[number]
        self._booked[job.key] = _Booked(
            int(slot), node, job, profile.hardware, profile.configuration, earned_us
        )
        return told

    def _book(
        self,
        key: str,
        node: str,
        cpu: int,
        memory: int,
        option: int,
        device: int,
        units: int,
        start_us: int,
        took_us: int,
        job: Job | None,
    ) -> None:
        if key in self._booked:
            raise ValueError(f"{key!r} is already booked on {self._booked[key].node}")
        self._make_room()
        deadline = job.deadline_us if job is not None and job.deadline_us is not None else NEVER_US
        slot = take_slot(self.state)
        book(
            self.state,
            slot,
            NONE,
            option,
            device,
            self.catalog.node_index[node],
            cpu,
            memory,
            units,
            start_us,
            took_us,
            deadline,
        )
        self._booked[key] = _Booked(int(slot), node, job)

    def _forget(self, key: str) -> None:
        release(self.state, self._booked.pop(key).slot)

    def _option(self, model: str, hardware: str, configuration: str, site: str) -> int:
        return self._options.get((model, hardware, configuration, site), NONE)

    def _options_by_name(self) -> dict[tuple[str, str, str, str], int]:
        found = {}
        for o, profile in enumerate(self.catalog.profiles):
            option = self.state.options[o]
            site = self.catalog.sites[self.catalog.groups[option["group"]][1]]
            names = (self.catalog.models[option["model"]], profile.hardware, profile.configuration, site)
            found.setdefault(names, o)
        return found

    def _options_alike(self) -> dict[int, list[int]]:
        """Options that are the same of several models, each with all of them."""
        found: dict[OptionName, list[int]] = {}
        for o, name in enumerate(names_of(self.catalog)):
            found.setdefault(name, []).append(o)
        return {o: alike for alike in found.values() if len(alike) > 1 for o in alike}

    def _device(self, node: int, hardware: str) -> int:
        h = self.catalog.class_index.get(hardware)
        return NONE if h is None else self.catalog.device_index.get((node, h), NONE)

    def _signature(self, reach: Reach) -> int:
        if reach not in self._signatures:
            if len(self._signatures) >= len(self.state.admitted):
                self._signatures[reach] = len(self._signatures)
                self._rebuild()
            self._signatures[reach] = self._signatures.get(reach, len(self._signatures))
            self._admit(reach)
        return self._signatures[reach]

    def _admit(self, reach: Reach) -> None:
        row = self.state.admitted[self._signatures[reach]]
        row[: len(self.catalog.devices)] = self.catalog.admitted(reach)

    def _make_room(self) -> None:
        """Double the tables before they are full. One round may start all that waits, and asks for no room."""
        clock = self.state.clock[0]
        if clock["n_queued"] + clock["running_top"] + 1 >= len(self.state.queue):
            self._allocate(2 * len(self.state.queue))

    def _resize(self, nodes: Iterable[Node]) -> None:
        known = list(self.catalog.nodes)
        for node in nodes:
            n = self.catalog.node_index[node.name]
            record = self.state.nodes[n]
            for free, total in _ROOM:
                record[free] += getattr(node, total) - record[total]
                record[total] = getattr(node, total)
            touch(self.state, n)
            known[n] = self._usable(node)
        choose_dictionary(self.state)
        self.catalog = replace(self.catalog, nodes=tuple(known))
        self._nodes_changed()

    def _take_places(self, name: str, places: int) -> None:
        n = self.catalog.node_index[name]
        self.state.nodes[n]["pods_free"] -= places
        touch(self.state, n)

    def _usable(self, node: Node) -> Node:
        """The node with those devices that the table knows."""
        return replace(node, devices=tuple(d for d in node.devices if d.hardware in self.table.hardware))

    def _nodes_changed(self) -> None:
        self.program: Program | None = None
        self.state.clock[0]["solved_us"] = NONE

    def _rebuild(self) -> None:
        """Number everything anew after nodes changed, and put back what waits, runs and was learnt."""
        self._allocate(len(self.state.queue) if hasattr(self, "state") else FIRST_JOBS)

    def _allocate(self, jobs: int) -> None:
        before: ClusterState | None = getattr(self, "state", None)
        old: Catalog | None = getattr(self, "catalog", None)
        known = tuple(self._nodes.values())
        if len(self._signatures) > MANY_SIGNATURES:
            newest = next(reversed(self._signatures))
            used = dict.fromkeys([ANYWHERE, *(job.reach for job in self._jobs.values()), newest])
            self._signatures = {reach: row for row, reach in enumerate(used)}
        self.catalog = build_catalog(self.table, [self._usable(node) for node in known])
        rows = max(2 * len(self._signatures), 16)
        self.state = new_state(self.catalog, jobs, rows)
        self.state.options["startup_us"] += self.pod_start_s * 1e6
        self._options = self._options_by_name()
        self._same_runs = self._options_alike()
        self.state.clock[0]["energy_weight"] = self.energy_weight
        for reach in self._signatures:
            self._admit(reach)
        for name in self._closed & self.catalog.node_index.keys():
            self._take_places(name, CLOSED)
        if before is not None and old is not None:
            self._memory.note(old, before)
            self._carry_over(before, old)
        self._memory.fill(self.catalog, self.state)
        self.scratch: Scratch = scratch_for(self.state)
        self.out: Candidates = empty_candidates()
        if old is None or not _same(old, self.catalog):
            self._nodes_changed()

    def _carry_over(self, before: ClusterState, old: Catalog) -> None:
        clock, past = self.state.clock[0], before.clock[0]
        for name in CARRIED:
            clock[name] = past[name]
        if _same(old, self.catalog):
            clock["solved_us"] = past["solved_us"]
            self.state.options["price"] = before.options["price"]
        for m, model in enumerate(self.catalog.models):
            if model not in old.model_index:
                continue
            for name in set(MODEL.names or ()) - OF_CATALOG:
                self.state.models[m][name] = before.models[old.model_index[model]][name]
        for h, name in enumerate(self.catalog.classes):
            if name in old.class_index:
                self.state.classes[h]["credit_us"] = before.classes[old.class_index[name]]["credit_us"]
        self._carry_queue(before, self._carry_groups(before, old))
        self._carry_running(before)

    def _carry_groups(self, before: ClusterState, old: Catalog) -> dict[int, int]:
        """What MAEL knows of each group; returns the groups' new numbers by the old ones."""
        names = {
            (self.catalog.classes[h], self.catalog.sites[s]): g
            for g, (h, s) in enumerate(self.catalog.groups)
        }
        numbers = {}
        for g, (h, s) in enumerate(old.groups):
            new = names.get((old.classes[h], old.sites[s]))
            if new is not None:
                numbers[g] = new
                for name in ("backlog_us", "picks"):
                    self.state.groups[new][name] = before.groups[g][name]
        return numbers

    def _carry_queue(self, before: ClusterState, groups: dict[int, int]) -> None:
        n = int(before.clock[0]["n_queued"])
        self.state.queue[:n] = before.queue[:n]
        self.state.clock[0]["n_queued"] = n
        for row in range(n):
            queued = self.state.queue[row]
            self._fill(queued, self._jobs[int(queued["job"])], int(queued["job"]))
            queued["hold_option"] = NONE
            queued["assigned"] = groups.get(int(queued["assigned"]), NONE)
            if not set_best(self.state, queued):
                job = self._jobs[int(queued["job"])]
                queued["best_us"] = int(self.table.reference_s(job.model, job.samples) * 1e6)
                queued["best_energy_j"] = 1.0

    def _carry_running(self, before: ClusterState) -> None:
        for booked in self._booked.values():
            record = before.running[booked.slot]
            option = NONE
            node = self.catalog.node_index[booked.node]
            device = self._device(node, booked.hardware) if booked.hardware else NONE
            if booked.job is not None and record["option"] != NONE:
                site = self._nodes[booked.node].site
                option = self._option(booked.job.model, booked.hardware, booked.configuration, site)
            booked.slot = int(take_slot(self.state))
            book(
                self.state,
                booked.slot,
                record["job"],
                option,
                device,
                node,
                record["cpu_milli"],
                record["memory_mib"],
                record["units"],
                record["start_us"],
                record["run_us"],
                record["deadline_us"],
            )


CARRIED = (
    "now_us",
    "round",
    "wake_us",
    "last_round_us",
    "last_arrival_us",
    "seq",
    "draws",
    "seed",
    "cursor",
    "window_us",
    "planned_us",
    "tau_us",
    "capacity_sps",
    "work_short",
    "work_long",
    "gap_mean_s",
    "gap_square_s2",
)
"""Fields of the clock that outlive a change of nodes."""
