"""The jobs of a recording in the simulator, on its nodes: with the decisions that were taken, which leaves the world's
error alone, or with a scheduler deciding anew, which adds the policy's."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from synergai.agents.logged import mix_of_jobs, widest_nodes
from synergai.agents.replay import (
    Picture,
    Window,
    begin,
    picture_of,
    play,
    setting_of_picture,
    tape_of_window,
)
from synergai.agents.scheduler import Scheduler
from synergai.benchmarks.sim_to_real.parameters import Parameters
from synergai.benchmarks.sim_to_real.stages import Recording, Stages
from synergai.envs import noise
from synergai.envs.candidates import scratch_for
from synergai.envs.cluster import Cluster
from synergai.envs.simulator import start_job
from synergai.envs.state import NONE
from synergai.envs.tape import TRUTH
from synergai.envs.world import Sim, next_event_us, pass_time, step_events
from synergai.offline_profiles.table import ProfileTable, address, base_address

FOREVER_US = 1 << 60


@dataclass(frozen=True)
class Predicted:
    """Of the jobs of a recording, in its order."""

    flow_s: np.ndarray  # (jobs,) from arrival to finish; of a job that does not finish to the end of the play
    late: np.ndarray  # (jobs,) bool
    excess_s: np.ndarray  # (jobs,)
    node: tuple[str, ...]


def observed(recording: Recording) -> Predicted:
    """What really happened, in the same terms."""
    runs = recording.stages
    finish_us = np.array([run.finished_us for run in runs])
    return Predicted(
        flow_s=(finish_us - np.array([run.arrival_us for run in runs])) * 1e-6,
        late=np.array([run.late for run in runs]),
        excess_s=np.maximum(finish_us - np.array([run.deadline_us for run in runs]), 0) * 1e-6,
        node=tuple(run.node for run in runs),
    )


class World:
    """A recording's jobs and nodes, with what is known of the cluster."""

    def __init__(self, recording: Recording, table: ProfileTable, parameters: Parameters) -> None:
        keys = {run.key for run in recording.stages}
        jobs = [replace(job, model=base_address(job.model)) for job in recording.log.jobs if job.key in keys]
        jobs.sort(key=lambda job: (job.arrival_us, job.key))
        self.recording = recording
        self.parameters = parameters
        self.window = Window(tuple(jobs), 0, len(jobs))
        self.picture = _picture(recording, table, parameters)

    def with_its_decisions(self, seed: int = 0) -> Predicted:
        """Each job starts where it did when it did: nobody waits for room that the simulator would give later, so the
        error of one job is no other's."""
        sim = self._sim(seed)
        scratch = scratch_for(sim.state)
        from_us = self.window.jobs[0].arrival_us
        runs = enumerate(self.recording.stages)
        due = deque(
            sorted(((run.decided_us - from_us, job, run) for job, run in runs), key=lambda one: one[:2])
        )
        while True:
            sim.progress[0]["in_round"] = 0  # nobody else decides
            if due and due[0][0] < next_event_us(sim):
                at_us, job, run = due.popleft()
                pass_time(sim, max(at_us, int(sim.state.clock[0]["now_us"])))
                self._start(sim, job, run)
            elif not step_events(sim, scratch):
                return self._what_became(sim)

    def _start(self, sim: Sim, job: int, run: Stages) -> None:
        state, catalog = sim.state, self.picture.catalog
        (queued,) = np.flatnonzero(state.queue["job"][: int(state.clock[0]["n_queued"])] == job)
        node, klass = catalog.node_index[run.node], catalog.class_index[run.hardware]
        start_job(sim, int(queued), self._option(run, node), catalog.device_index[node, klass], 0)

    def _option(self, run: Stages, node: int) -> int:
        catalog, state = self.picture.catalog, self.picture.state
        for o, profile in enumerate(catalog.profiles):
            model = address(profile.model, profile.model_version)
            site = catalog.sites[int(state.groups[state.options[o]["group"]]["site"])]
            named = (model, profile.hardware, profile.configuration, site)
            if named == (run.model, run.hardware, run.configuration, catalog.nodes[node].site):
                return o
        raise ValueError(f"{run.key}: {run.configuration} on {run.hardware} is not in the profiles")

    def under(self, scheduler: Scheduler, seed: int = 0) -> Predicted:
        """With this scheduler deciding."""
        return self._what_became(self.played(scheduler, seed))

    def played(self, scheduler: Scheduler, seed: int = 0) -> Sim:
        """The simulator at the end of that; job i is the i-th by arrival."""
        sim = self._sim(seed)
        play(sim, scheduler)
        return sim

    def _sim(self, seed: int) -> Sim:
        setting = setting_of_picture(self.picture)
        tape = tape_of_window(self.picture, self.window, seed)
        tape = tape._replace(truth=_truth(self.picture, self.parameters), drift=np.ones_like(tape.drift))
        sim = begin(self.picture, self.window, setting, tape)
        sim.progress[0]["level"] = self.parameters.level
        sim.progress[0]["stragglers"] = 0.0
        sim.progress[0]["release_us"] = self.parameters.release_s * 1e6
        sim.progress[0]["end_us"] = FOREVER_US
        sim.state.clock[0]["start_gap_us"] = self.parameters.start_gap_s * 1e6
        sim.state.clock[0]["slowdown"] = self.parameters.slowdown
        return sim

    def _what_became(self, sim: Sim) -> Predicted:
        now_us = int(sim.state.clock[0]["now_us"])
        rows, outcomes = sim.tape.jobs, sim.outcomes
        finish_us = np.where(outcomes["finish_us"] == NONE, now_us, outcomes["finish_us"])
        names = [node.name for node in self.picture.catalog.nodes]
        return Predicted(
            flow_s=(finish_us - rows["arrival_us"]) * 1e-6,
            late=finish_us > rows["deadline_us"],
            excess_s=np.maximum(finish_us - rows["deadline_us"], 0) * 1e-6,
            node=tuple("" if n == NONE else names[n] for n in outcomes["node"]),
        )


def _picture(recording: Recording, table: ProfileTable, parameters: Parameters) -> Picture:
    """The nodes of the log, and options whose start-up is as it was measured."""
    jobs = [replace(job, model=base_address(job.model)) for job in recording.log.jobs]
    cluster = Cluster(table, mix_of_jobs(jobs), 0.0, parameters.pod_start_s)
    cluster.set_nodes(widest_nodes(recording.log, table))
    cluster.refresh(jobs[0].arrival_us)
    picture = picture_of(cluster)
    for o, profile in enumerate(picture.catalog.profiles):
        model = address(profile.model, profile.model_version)
        extra_s = parameters.startup_of(profile.hardware, model, profile.configuration)
        picture.state.options[o]["startup_us"] += max(extra_s, -profile.startup_cached_s) * 1e6
    return picture


def _truth(picture: Picture, parameters: Parameters) -> np.ndarray:
    """How many times longer than profiled each option's compute takes. Shape (options,) TRUTH."""
    truth = np.zeros(len(picture.state.options), TRUTH)
    for o, profile in enumerate(picture.catalog.profiles):
        keys = noise.option_keys(profile)
        model = address(profile.model, profile.model_version)
        factor = parameters.compute_of(profile.hardware, model, profile.configuration)
        truth[o] = (factor, keys["hardware"], keys["configuration"])
    return truth
