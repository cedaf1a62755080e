"""What the weight of energy does to a policy that was trained on deadlines alone."""

import numpy as np
import pytest
import torch

from synergai.agents.learned import ENERGY, ENERGY_SCALE, LOGIT_COST, charge_energy, load, read
from synergai.agents.scorer import buffers
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import DONE, Candidates, empty_candidates, scratch_for
from synergai.envs.features import ENERGY_WEIGHT as WEIGHT
from synergai.envs.features import N_GLOBAL, N_ROW
from synergai.envs.metrics import measure
from synergai.envs.reward import ENERGY_WEIGHT
from synergai.envs.tape import make_tape, setting_of
from synergai.envs.world import new_sim
from synergai.training.network import Actor, Packed


def listed(ratios: list[float], weight: float) -> Candidates:
    """Candidates whose options take so many times the least energy."""
    out = empty_candidates()
    out.n[0] = len(ratios)
    out.rows[: len(ratios), ENERGY] = np.log(ratios) / ENERGY_SCALE
    out.shared[WEIGHT] = weight
    return out


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_an_option_pays_in_logits_for_what_it_takes_beyond_the_least(weight: float) -> None:
    work = buffers(4)
    work.logits[:] = 3.0
    charge_energy(work, listed([1.0, 2.0, 10.0], weight))
    paid = 3.0 - work.logits[[0, 1, 2, DONE]]
    price = weight * ENERGY_WEIGHT / LOGIT_COST
    assert paid == pytest.approx(np.array([0, 1, 9, 0]) * price, abs=1e-4)


def test_the_network_itself_does_not_heed_a_weight_that_training_never_showed() -> None:
    torch.manual_seed(0)
    actor, rng = Actor(8), np.random.default_rng(0)
    lists = {
        "rows": torch.as_tensor(rng.uniform(0, 1, (1, 128, N_ROW)).astype(np.float32)),
        "job": torch.zeros(1, 128, dtype=torch.int32),
        "klass": torch.zeros(1, 128, dtype=torch.int32),
        "shared": torch.zeros(1, N_GLOBAL),
        "count": torch.tensor([[5]]),
    }
    without = actor(Packed(lists))
    lists["shared"][0, WEIGHT] = 1.0
    assert torch.equal(actor(Packed(lists)), without)


def test_nor_does_the_released_one() -> None:
    weights = read("demo").weights
    assert not weights.shared[WEIGHT].any()
    assert not weights.done_shared[WEIGHT].any()


@pytest.mark.parametrize("name", ["demo", "edge", "datacenter"])
def test_where_energy_weighs_a_job_takes_less(name: str) -> None:
    setting, took = setting_of(scenarios.load(name)), []
    for weight in (0.0, 1.0):
        sim = new_sim(setting, make_tape(setting, 0, 600))
        sim.state.clock["energy_weight"] = weight
        load("demo").run(sim, scratch_for(sim.state))
        took.append(measure(setting, sim).energy_j_per_job)
    assert took[1] < 0.9 * took[0]
