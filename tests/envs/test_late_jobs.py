"""A policy that would do nothing more in a round serves a late job, and nothing else."""

import numpy as np
from scenes import Pick, Scene
from worlds import toy_profile, toy_table

from synergai.agents.learned import Checkpoint, Learned
from synergai.agents.scorer import Weights, shapes
from synergai.envs.types import Action, Decision

TABLE = toy_table(toy_profile("vision", "gpu-fast", 1.0), toy_profile("vision", "gpu-slow", 3.0))
MACHINES = [{"name": "fast", "hardware": {"gpu-fast": 1}}, {"name": "slow", "hardware": {"gpu-slow": 1}}]


def policy(done: float) -> Learned:
    """A network that likes every candidate alike, and DONE by so much more."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes(4).items()}
    zeros["offsets"][1] = done
    return Learned(Checkpoint("idle", Weights(**zeros), {}))


def decide(moment: Scene, learned: Learned) -> tuple[Pick | None, Decision]:
    out = moment.list()
    decision = learned.decide(moment.state, out)
    return (None if decision.action == Action.DONE else moment.name(out.pair[decision.candidate])), decision


def scene() -> Scene:
    """At 10 s; a run keeps the cluster from being idle, where DONE is not legal."""
    return Scene(TABLE, MACHINES, now_s=10.0).run("vision", "gpu-slow", "slow-0", since_s=9.5)


def test_a_late_job_is_served_instead_of_nothing() -> None:
    chosen, decision = decide(scene().wait("late", "vision", 8.0), policy(done=5.0))
    assert chosen == Pick("START", "late", "fast-0", "gpu-fast")
    assert decision.reason == "idle: late, and nothing in time to start"


def test_a_job_in_time_is_left_to_the_network() -> None:
    chosen, _ = decide(scene().wait("early", "vision", 60.0), policy(done=5.0))
    assert chosen is None


def test_a_late_job_does_not_take_the_room_that_the_network_gives_another() -> None:
    moment = scene().wait("late", "vision", 8.0).wait("early", "vision", 60.0)
    chosen, decision = decide(moment, policy(done=-5.0))
    assert chosen == Pick("START", "early", "fast-0", "gpu-fast")
    assert decision.reason == "idle: as edf_likely, nothing promises more"


def test_a_late_job_without_room_waits() -> None:
    moment = Scene(TABLE, MACHINES[:1], now_s=10.0).run("vision", "gpu-fast", "fast-0", since_s=9.5)
    chosen, _ = decide(moment.wait("late", "vision", 8.0), policy(done=5.0))
    assert chosen is None


def test_a_late_job_is_not_put_where_it_takes_forever() -> None:
    """Where the same network starts a job in time on the only free machine, five times as slow as the other, which
    takes no less energy."""
    thrifty = toy_profile("vision", "gpu-slow", 5.0, active_w=12.0)  # 2 W above idle, the fast one 10 W
    table = toy_table(toy_profile("vision", "gpu-fast", 1.0), thrifty)
    slow = Pick("START", "x", "slow-0", "gpu-slow")
    chosen = [
        decide(
            Scene(table, MACHINES, now_s=10.0)
            .run("vision", "gpu-fast", "fast-0", since_s=9.5)
            .wait("x", "vision", deadline_s),
            policy(done=-5.0),
        )[0]
        for deadline_s in (60.0, 8.0)
    ]
    assert chosen[0] == slow
    assert chosen[1] != slow
