"""The cluster that the bridge keeps sees, decides and remembers what the simulator does."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from worlds import fresh, random_world, toy_profile, toy_table

from synergai.agents.heuristics import Rule
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import DONE, N_RULES, Candidates, empty_candidates
from synergai.envs.cluster import Cluster, UnknownModel
from synergai.envs.mix import ModelLoad
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, ClusterState
from synergai.envs.tape import Setting, Tape, make_tape, mix_of, setting_of
from synergai.envs.types import Action, Decision, Device, Job, Node
from synergai.offline_profiles.table import ProfileTable

# the seam ---------------------------------------------------------------------------------------------
RULES = ("fcfs", "llf", "sjf_feasible", "affinity", "slo_mael_greedy", "synergai", "round_robin")


@dataclass(frozen=True)
class Seen:
    """One decision: when, what was shown, what was done."""

    now_us: int
    capacity: tuple[float, float, bytes]
    """lambda*, tau, prices."""
    jobs: tuple[int, ...]
    arrays: tuple[bytes, ...]
    action: int


def shown(state: ClusterState, out: Candidates, action: int) -> Seen:
    n = int(out.n[0])
    jobs = tuple(state.queue["job"][out.job[:n]].tolist())
    arrays = (out.rows, out.option, out.klass, out.shared, out.mask, out.picks)
    clock = state.clock[0]
    solved = (float(clock["capacity_sps"]), float(clock["tau_us"]), state.options["price"].tobytes())
    return Seen(int(clock["now_us"]), solved, jobs, tuple(array.tobytes() for array in arrays), action)


@dataclass
class Watched:
    """A rule that writes down what it saw."""

    name: str
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rule = Rule(self.name)
        self.extra_rule = self.rule.extra_rule

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        decision = self.rule.decide(state, candidates)
        self.seen.append(
            shown(state, candidates, DONE if decision.action == Action.DONE else decision.candidate)
        )
        return decision


def of_the_mix(setting: Setting) -> ProfileTable:
    """Only the models of the mix, so that options have the same numbers on both sides."""
    profiles = tuple(p for p in setting.table.profiles if p.model in setting.scenario.jobs)
    return ProfileTable(profiles, setting.table.hardware, setting.table.reference)


def by_simulator(setting: Setting, tape: Tape, rule: str) -> tuple[list[Seen], np.ndarray]:
    number = RULE_NUMBER[rule]
    column = min(number, N_RULES)
    sim, scratch = fresh(setting, tape)
    out, seen = empty_candidates(), []
    while advance(sim, scratch, out, number if number >= N_RULES else NONE):
        seen.append(shown(sim.state, out, int(out.picks[column])))
        apply_action(sim, scratch, out, int(out.picks[column]))
    return seen, sim.outcomes


@dataclass
class Replay:
    """A cluster fed with the arrivals of a tape and with the true run times that a simulation found."""

    setting: Setting
    tape: Tape
    outcomes: np.ndarray
    watched: Watched

    def __post_init__(self) -> None:
        scenario = self.setting.scenario
        mix = mix_of(scenario)
        self.cluster = Cluster(
            of_the_mix(self.setting), mix, scenario.energy_weight, scenario.delays.pod_start_s
        )
        for node in scenario.nodes(self.setting.table):
            self.cluster.set_node(node)
        list(self.cluster.round(0, self.watched))  # solves, so that the first arrival finds tau
        self.release_us = int(scenario.delays.release_s * 1e6)
        self.ends: list[tuple[int, str]] = []
        self.starts: dict[int, tuple[int, str]] = {}

    def job(self, i: int) -> Job:
        row = self.tape.jobs[i]
        return Job(
            key=str(i),
            model=self.setting.catalog.models[row["model"]],
            samples=int(row["samples"]),
            arrival_us=int(row["arrival_us"]),
            deadline_us=int(row["deadline_us"]),
            priority=int(row["priority"]),
        )

    def run(self, until_us: int) -> None:
        """Rounds at the same instants as in the simulator."""
        arrivals = [int(at_us) for at_us in self.tape.jobs["arrival_us"]]
        i, now_us = 0, 0
        while True:
            timer = self.cluster.next_epoch_us(now_us)
            times = [at for at in (timer, self.ends[0][0] if self.ends else None) if at is not None]
            times += arrivals[i : i + 1]
            if not times or min(times) > until_us:
                return
            now_us = min(times)
            due = timer is not None and timer <= now_us
            while self.ends and self.ends[0][0] == now_us:
                key = heapq.heappop(self.ends)[1]
                ran_us = now_us - self.release_us - self.starts[int(key)][0]
                self.cluster.release(key, now_us, (ran_us + 0.25) * 1e-6)
                due = True
            while i < len(arrivals) and arrivals[i] <= now_us:
                self.cluster.enqueue(self.job(i))
                i, due = i + 1, True
            if due and self.cluster.queued():
                self.round(now_us)

    def round(self, now_us: int) -> None:
        for decision in self.cluster.round(now_us, self.watched):
            if decision.action == Action.START:
                job = int(decision.job)
                took = int(self.outcomes[job]["finish_us"] - self.outcomes[job]["start_us"])
                self.starts[job] = (now_us, decision.node)
                if self.outcomes[job]["finish_us"] >= 0:
                    heapq.heappush(self.ends, (now_us + took + self.release_us, decision.job))


@pytest.mark.parametrize("number", [2, 8, 11, 20, 33])
@pytest.mark.parametrize("rule", [*RULES, "mael", "slo_mael"])
def test_cluster_and_simulator_show_and_decide_the_same(rule: str, number: int) -> None:
    setting, tape = random_world(number)
    seen, outcomes = by_simulator(setting, tape, rule)
    replay = Replay(setting, tape, outcomes, Watched(rule))
    last_us = max(int(outcomes["start_us"].max()), seen[-1].now_us)
    replay.run(last_us)
    assert len(seen) > 3
    for i, (theirs, ours) in enumerate(zip(seen, replay.watched.seen)):
        assert ours == theirs, f"decision {i}"
    assert len(replay.watched.seen) == len(seen)
    names = [node.name for node in setting.catalog.nodes]
    started = {
        i: (int(row["start_us"]), names[row["node"]])
        for i, row in enumerate(outcomes)
        if row["start_us"] >= 0
    }
    assert replay.starts == started


@pytest.mark.parametrize("name", ["demo", "edge"])
def test_cluster_and_simulator_solve_the_same_at_the_same_minutes(name: str) -> None:
    setting = setting_of(scenarios.load(name).model_copy(update={"arrivals_per_tape": 300}))
    tape = make_tape(setting, 5)
    seen, outcomes = by_simulator(setting, tape, "sjf_feasible")
    replay = Replay(setting, tape, outcomes, Watched("sjf_feasible"))
    replay.run(seen[-1].now_us)
    assert [(s.now_us, s.capacity) for s in replay.watched.seen] == [(s.now_us, s.capacity) for s in seen]
    assert len({s.capacity for s in seen}) >= 4


# the facade ---------------------------------------------------------------------------------------------
TOY = toy_table(
    toy_profile("m", "fast", 1.0),
    toy_profile("m", "slow", 2.0),
    toy_profile("n", "slow", 5.0),
)
FCFS = Rule("fcfs")


def node(name: str, hardware: str = "fast", units: int = 1, **changes: object) -> Node:
    return replace(Node(name, (Device(hardware, units),), 8000, 8192), **changes)


def job(
    key: str, model: str = "m", arrival_s: float = 0.0, deadline_s: float | None = 99.0, **changes: object
) -> Job:
    deadline_us = None if deadline_s is None else round(deadline_s * 1e6)
    return replace(Job(key, model, 1, round(arrival_s * 1e6), deadline_us), **changes)


def cluster(*nodes: Node) -> Cluster:
    made = Cluster(TOY)
    for each in nodes or (node("a"),):
        made.set_node(each)
    return made


def started(made: Cluster, now_s: float = 0.0) -> list[tuple[str, str]]:
    """One round under fcfs: which jobs were started where."""
    decisions: Iterator[Decision] = made.round(round(now_s * 1e6), FCFS)
    return [(d.job, d.node) for d in decisions if d.action == Action.START]


def free_units(made: Cluster, name: str) -> int:
    n = made.catalog.node_index[name]
    return int(made.state.devices["units_free"][made.state.devices["node"] == n][0])


def free_cpu(made: Cluster, name: str) -> int:
    return int(made.state.nodes["cpu_free"][made.catalog.node_index[name]])


def test_a_job_is_started_where_there_is_room() -> None:
    made = cluster()
    made.enqueue(job("x"))
    assert started(made) == [("x", "a")]
    assert (made.queued(), made.running(), free_units(made, "a")) == (0, 1, 0)


def test_a_decision_says_all_that_is_needed_to_carry_it_out() -> None:
    made = cluster()
    made.enqueue(job("x", cpu_milli=1500))
    (decision,) = made.round(5_000_000, FCFS)
    told = (
        decision.hardware,
        decision.configuration,
        decision.device_units,
        decision.cpu_milli,
        decision.memory_mib,
    )
    assert told == ("fast", "only", 1, 1500, 1024)
    assert (decision.run_s, decision.finish_us) == (1.0, 6_000_000)


def test_a_hold_says_until_when() -> None:
    made = cluster(node("a"), node("b", "slow"))
    made.enqueue(job("x"))
    started(made)
    made.enqueue(job("y", deadline_s=2.4))
    decisions = list(made.round(500_000, Rule("sjf_feasible")))
    held = next(d for d in decisions if d.action == Action.HOLD)
    # d - e - max(0.1 s, half of sigma e) = 2.4 - 1 - half of sigma
    sigma = float(made.state.options["sigma"][0])
    assert (held.job, held.node) == ("y", "a")
    assert held.until_us == pytest.approx(1_400_000 - 0.5 * sigma * 1e6, abs=1)


def test_a_rule_over_windows_is_asked_again_when_its_window_ends() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.enqueue(job("y", arrival_s=0.5))
    mael = Rule("mael")
    assert list(made.round(500_000, mael)) == []
    ends_us = 500_000 + int(0.1 * made.state.clock[0]["tau_us"])
    assert made.next_epoch_us(500_000) == ends_us
    assert made.state.queue["assigned"][0] == -1
    assert list(made.round(ends_us, mael)) == []  # its group is busy
    assert made.state.queue["assigned"][0] == 0


def test_an_assignment_outlives_a_renumbering_of_the_groups() -> None:
    made, mael = cluster(node("b", "slow")), Rule("mael")
    made.enqueue(job("x"))
    made.enqueue(job("y"))
    list(made.round(0, mael))
    assert made.state.queue["assigned"][0] == 0
    backlog_us = float(made.state.groups["backlog_us"][0])
    made.set_node(node("a", "fast"))
    assert [made.catalog.classes[h] for h, _ in made.catalog.groups] == ["fast", "slow"]
    assert made.state.queue["assigned"][0] == 1
    assert made.state.groups["backlog_us"].tolist() == [0.0, backlog_us]


def test_an_assignment_to_a_group_that_is_gone_is_forgotten() -> None:
    made, mael = cluster(node("a"), node("b", "slow")), Rule("mael")
    for key in ("x", "y"):
        made.enqueue(job(key))
    list(made.round(0, mael))
    assert made.state.queue["assigned"][0] == 0
    made.remove_node("a")
    assert made.state.queue["assigned"][0] == -1


def test_released_room_can_be_taken_again() -> None:
    made = cluster()
    made.enqueue(job("x"))
    made.enqueue(job("y"))
    assert started(made) == [("x", "a")]
    made.release("x", 1_000_000, 1.0)
    assert started(made, 1.0) == [("y", "a")]


def test_an_observed_run_time_feeds_the_history() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.release("x", 2_000_000, 2.0)
    assert made.state.history["count"].sum() == 1
    assert made.state.history["log_ratio"].sum() == pytest.approx(np.log(2.0), abs=1e-5)


def test_a_failed_run_feeds_no_history() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.release("x", 2_000_000, 2.0, cause="failed")
    assert made.state.history["count"].sum() == 0


def test_a_job_that_could_not_be_bound_waits_again() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.requeue("x")
    assert (made.queued(), made.running(), free_units(made, "a")) == (1, 0, 1)
    assert started(made, 0.1) == [("x", "a")]


def test_a_requeued_job_keeps_its_place_by_arrival() -> None:
    made = cluster()
    made.enqueue(job("x", arrival_s=0.0))
    started(made)
    made.enqueue(job("y", arrival_s=0.5))
    made.requeue("x")
    assert started(made, 0.6) == [("x", "a")]


def test_a_withdrawn_job_is_gone() -> None:
    made = cluster()
    made.enqueue(job("x"))
    made.withdraw("x")
    assert made.queued() == 0
    assert started(made) == []


def test_a_removed_node_returns_what_ran_there() -> None:
    made = cluster(node("a"), node("b", "slow"))
    made.enqueue(job("x"))
    made.enqueue(job("y"))
    assert started(made) == [("x", "a"), ("y", "b")]
    assert made.remove_node("a") == ["x"]
    assert made.running() == 1
    assert free_units(made, "b") == 0


def test_a_removed_node_leaves_the_queue_as_it_was() -> None:
    made = cluster(node("a"), node("b", "slow"))
    for key in ("x", "y", "z"):
        made.enqueue(job(key))
    made.remove_node("a")
    assert made.queued() == 3
    assert started(made) == [("x", "b")]


def test_unknown_node_and_job_raise_key_error() -> None:
    made = cluster()
    for call in (
        lambda: made.remove_node("nope"),
        lambda: made.release("nope", 0),
        lambda: made.withdraw("nope"),
        lambda: made.requeue("nope"),
        lambda: made.occupy("k", "nope", 1, 1),
    ):
        with pytest.raises(KeyError):
            call()


def test_unknown_model_is_named_with_those_known() -> None:
    with pytest.raises(UnknownModel, match=r"no profile of model 'q'; known are m, n"):
        cluster().enqueue(job("x", "q"))


def test_a_key_is_known_once() -> None:
    made = cluster()
    made.enqueue(job("x"))
    with pytest.raises(ValueError, match="'x' is already known"):
        made.enqueue(job("x"))


def test_samples_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="samples is 0"):
        cluster().enqueue(job("x", samples=0))


def test_a_model_that_no_node_serves_now_waits_until_one_comes() -> None:
    made = cluster()
    made.enqueue(job("x", "n"))
    assert started(made) == []
    made.set_node(node("b", "slow"))
    assert started(made, 1.0) == [("x", "b")]


def test_a_job_goes_only_where_its_constraints_allow() -> None:
    made = cluster(node("a"), node("b", "slow"), node("c", "slow"))
    made.enqueue(job("x", nodes=frozenset({"c"})))
    made.enqueue(job("y", hardware=frozenset({"slow"})))
    assert started(made) == [("x", "c"), ("y", "b")]


def test_a_node_that_is_not_ready_gets_nothing_and_keeps_what_runs() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.set_node(node("a", ready=False))
    made.enqueue(job("y"))
    assert started(made, 1.0) == []
    assert made.running() == 1
    made.release("x", 1_500_000)
    assert started(made, 2.0) == []


def test_a_resized_node_changes_what_is_free_by_the_difference() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.set_node(node("a", cpu_milli=5000))
    assert free_cpu(made, "a") == 4000
    made.set_node(node("a", cpu_milli=500))
    assert free_cpu(made, "a") == -500
    made.release("x", 1_000_000)
    assert free_cpu(made, "a") == 500


def test_an_adopted_job_takes_its_configurations_room() -> None:
    made = cluster()
    made.adopt(job("x"), "a", "fast", "only", started_us=0)
    assert (made.running(), free_units(made, "a"), free_cpu(made, "a")) == (1, 0, 7000)
    made.release("x", 1_000_000)
    assert (made.running(), free_units(made, "a"), free_cpu(made, "a")) == (0, 1, 8000)


def test_a_queued_job_that_is_adopted_waits_no_more() -> None:
    made = cluster()
    made.enqueue(job("x"))
    made.adopt(job("x"), "a", "fast", "only", started_us=0)
    assert (made.queued(), made.running()) == (0, 1)


def test_an_adopted_job_of_an_unknown_configuration_takes_its_own_request() -> None:
    made = cluster()
    made.adopt(job("x", cpu_milli=2000), "a", "fast", "older", started_us=0)
    assert free_cpu(made, "a") == 6000


def test_what_occupies_room_gives_it_back() -> None:
    made = cluster()
    made.occupy("daemon", "a", 3000, 1000, "fast", 1)
    assert (free_cpu(made, "a"), free_units(made, "a")) == (5000, 0)
    made.enqueue(job("x"))
    assert started(made) == []
    made.release("daemon", 1_000_000)
    assert started(made, 1.0) == [("x", "a")]


def test_what_occupies_room_cannot_be_requeued() -> None:
    made = cluster()
    made.occupy("daemon", "a", 3000, 1000)
    with pytest.raises(KeyError, match="is no job"):
        made.requeue("daemon")


@pytest.mark.parametrize("count", [255, 256, 257, 600])
def test_the_tables_grow_with_the_queue(count: int) -> None:
    made = cluster(node("a", units=8))
    for i in range(count):
        made.enqueue(job(f"j{i}", arrival_s=0.001 * i))
    assert made.queued() == count
    assert started(made, 1.0) == [(f"j{i}", "a") for i in range(8)]


def test_the_tables_grow_with_what_runs() -> None:
    made = cluster(node("a", units=400, cpu_milli=10**6, memory_mib=10**6, pods=500))
    for i in range(300):
        made.enqueue(job(f"j{i}", arrival_s=0.001 * i))
        started(made, 0.001 * i)
    assert (made.running(), free_units(made, "a")) == (300, 100)
    for i in range(300):
        made.release(f"j{i}", 2_000_000)
    assert (made.running(), free_units(made, "a")) == (0, 400)


@pytest.mark.parametrize("at_once", [3, 7, 100])
def test_a_round_that_starts_many_has_room_for_all_of_them(at_once: int) -> None:
    made = cluster(node("a", units=600, cpu_milli=10**6, memory_mib=10**6, pods=700))
    for i in range(560):
        made.enqueue(job(f"j{i}", arrival_s=0.001 * i))
        if i % at_once == at_once - 1:
            started(made, 0.001 * i)
        assert made.state.clock[0]["running_top"] <= len(made.state.running)
    started(made, 1.0)
    assert (made.running(), free_units(made, "a")) == (560, 40)


def test_growth_keeps_the_order_and_what_runs() -> None:
    made = cluster(node("a"))
    made.enqueue(job("first"))
    started(made)
    for i in range(300):
        made.enqueue(job(f"j{i}", arrival_s=0.001 * (300 - i)))
    made.release("first", 1_000_000)
    assert started(made, 1.0) == [("j299", "a")]


def test_a_node_change_keeps_history_and_work_rates() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    made.release("x", 2_000_000, 2.0)
    work = float(made.state.clock[0]["work_short"])
    made.set_node(node("b", "slow"))
    assert made.state.history["count"].max() == 1
    assert made.state.clock[0]["work_short"] == work > 0


def test_a_job_without_a_deadline_has_an_internal_one_and_is_not_counted() -> None:
    made = cluster()
    made.enqueue(job("x", arrival_s=1.0, deadline_s=None))
    queued = made.state.queue[0]
    # a hundred times its reference: the median over `fast` (1 s) and `slow` (2 s)
    assert (queued["counted"], queued["deadline_us"]) == (0, 151_000_000)


class Says:
    """A scheduler that always says the same."""

    name = "says"

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        return self.decision


@pytest.mark.parametrize("candidate", [-1, 2, 127, 128])
def test_a_decision_that_the_mask_forbids_is_refused(candidate: int) -> None:
    made = cluster(node("a"), node("b", "slow"))
    made.enqueue(job("x"))
    with pytest.raises(ValueError, match=f"candidate {candidate}, which is not legal"):
        list(made.round(0, Says(Decision(Action.START, candidate))))


def test_done_ends_the_round_and_may_ask_for_the_next() -> None:
    made = cluster(node("a", units=2), node("b", "slow"))
    made.enqueue(job("x"))
    started(made)
    made.enqueue(job("y"))
    assert list(made.round(0, Says(Decision(Action.DONE, wake_at_us=300_000)))) == []
    assert made.next_epoch_us(0) == 300_000


def test_a_round_is_due_each_second_while_something_waits() -> None:
    made = cluster()
    made.enqueue(job("x"))
    made.enqueue(job("y"))
    started(made, 5.0)
    assert made.next_epoch_us(5_000_000) == 6_000_000


def test_no_round_is_due_while_nothing_waits() -> None:
    made = cluster()
    made.enqueue(job("x"))
    started(made)
    assert made.next_epoch_us(0) is None


def test_a_round_is_due_at_the_latest_start() -> None:
    made = cluster()
    made.enqueue(job("x"))
    made.enqueue(job("y", deadline_s=1.4))
    started(made)
    assert made.next_epoch_us(0) == 400_000


def test_a_round_is_due_when_a_hold_expires() -> None:
    made = cluster(node("a"), node("b", "slow"))
    made.enqueue(job("x"))
    started(made)
    made.enqueue(job("y", deadline_s=2.05))
    (held, *_) = list(made.round(500_000, Rule("sjf_feasible")))
    assert held.action == Action.HOLD
    assert made.next_epoch_us(500_000) == held.until_us


def test_the_only_legal_action_is_taken_without_asking() -> None:
    made = cluster()
    made.enqueue(job("x"))
    (decision,) = made.round(0, Says(Decision(Action.DONE)))
    assert (decision.action, decision.job, decision.decided_by) == (Action.START, "x", "forced")


LEAST: dict[str, tuple[int, int, frozenset[str] | None, str | None]] = {
    "the emptier node": (1000, 1000, None, "b"),
    "only among those asked for": (1000, 1000, frozenset({"a"}), "a"),
    "none where it does not fit": (9000, 1000, None, None),
}


@pytest.mark.parametrize("name", LEAST)
def test_node_for_a_pod_without_a_profile(name: str) -> None:
    cpu, memory, nodes, expected = LEAST[name]
    made = cluster(node("a"), node("b", "slow"), node("c", ready=False))
    made.occupy("daemon", "a", 4000, 100)
    assert made.least_allocated_node(cpu, memory, nodes) == expected


def test_time_never_runs_back() -> None:
    made = cluster()
    made.enqueue(job("x", arrival_s=5.0))
    started(made, 3.0)
    assert made.state.clock[0]["now_us"] == 5_000_000


def test_the_cluster_solves_for_the_mix_it_is_told_to_expect() -> None:
    made = Cluster(TOY, {"m": ModelLoad(1.0, 1.0, 0.0)})
    made.set_node(node("a"))
    list(made.round(0, FCFS))
    assert made.state.clock[0]["capacity_sps"] == pytest.approx(1.0)


def test_many_different_constraints_are_kept_apart() -> None:
    made = cluster(node("a"), node("b", "slow"))
    for i in range(40):
        made.enqueue(job(f"j{i}", arrival_s=0.001 * i, nodes=frozenset({"b", f"gone-{i}"})))
    made.enqueue(job("last", arrival_s=1.0, nodes=frozenset({"a"})))
    assert started(made, 1.0) == [("j0", "b"), ("last", "a")]


def test_occupied_units_outlive_a_change_of_nodes() -> None:
    made = cluster()
    made.occupy("daemon", "a", 1000, 100, "fast", 1)
    made.set_node(node("b", "slow"))
    assert free_units(made, "a") == 0


def test_the_first_arrival_finds_tau() -> None:
    made = Cluster(TOY, {"m": ModelLoad(1.0, 1.0, 0.0)})
    made.set_node(node("a"))
    made.enqueue(job("x"))
    assert made.state.clock[0]["work_short"] < 1.0


def test_gaps_are_averaged_from_the_first_one_on() -> None:
    made = cluster()
    for i, at_s in enumerate((0.0, 1.0, 4.0)):
        made.enqueue(job(f"j{i}", arrival_s=at_s))
    assert made.state.clock[0]["gap_mean_s"] == pytest.approx(2.0)
