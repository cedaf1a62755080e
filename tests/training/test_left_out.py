"""A part that a run leaves out stays out, whatever is learned."""

import numpy as np
import pytest
import torch
from lists import observations, recorded, weights_of
from small_runs import small
from worlds import random_world

from synergai.envs.features import CANDIDATE, FIRST_PICK, JOB, N_CANDIDATE
from synergai.training.network import Actor, Packed
from synergai.training.train import build

NAMES = [feature.name for feature in CANDIDATE + JOB]
LEFT_OUT = {
    "picks": ("row", [k for k, name in enumerate(NAMES) if name.startswith("pick_")]),
    "history": (
        "row",
        [NAMES.index(name) for name in ("drift", "confidence", "seen_z", "seen_price", "job_chance")],
    ),
    "residual": ("prior", slice(None)),
    "pools": ("pool_job", slice(None)),
}


def learned(without: str) -> Actor:
    """An actor after some steps towards the first legal action."""
    torch.manual_seed(0)
    actor = Actor(8, without)
    packed = Packed(observations(list(recorded(1.2))[:20]))
    optimizer = torch.optim.Adam(actor.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (-torch.log_softmax(actor(packed), dim=1)[:, 0].mean()).backward()
        optimizer.step()
    return actor


@pytest.mark.parametrize("part", LEFT_OUT)
def test_its_weights_stay_zero_while_the_others_move(part: str) -> None:
    name, where = LEFT_OUT[part]
    found, whole = weights_of(learned(part)), weights_of(learned(""))
    assert not getattr(found, name)[where].any()
    assert getattr(whole, name)[where].any()
    assert not np.array_equal(found.own, weights_of(Actor(8)).own)


def test_it_stays_out_of_a_run_that_starts_from_a_checkpoint_with_it() -> None:
    actor = Actor(8, "picks")
    actor.take(weights_of(learned("")))
    assert not weights_of(actor).row[FIRST_PICK:N_CANDIDATE].any()


@pytest.mark.parametrize("part", ["time", "shaping"])
def test_ppo_goes_without_time_or_without_the_potential(part: str) -> None:
    setting, _ = random_world(1)
    buffers = {}
    for without in ("", part):
        torch.manual_seed(0)
        model, env = build(small(without=without, steps=16), [setting])
        model.learn(64)
        buffers[without] = model.rollout_buffer
        env.close()
    if part == "time":
        assert np.ptp(buffers[part].dt_taus) == 0.0 < np.ptp(buffers[""].dt_taus)
        assert np.isclose(buffers[part].dt_taus.mean(), buffers[""].dt_taus.mean())
    else:
        assert not buffers[part].potentials.any()
        assert buffers[""].potentials.any()
