"""Candidate lists as they come up: random legal episodes on small random worlds, idle to overloaded."""

from functools import cache

import numpy as np
import torch
from worlds import at_random, play, random_world

from synergai.agents.scorer import Buffers, Weights, buffers, forward
from synergai.envs.candidates import DONE, Candidates
from synergai.training.network import Actor, Packed

LOADS = (0.3, 0.8, 1.2, 3.0)
WIDTH = 24


def idle(out: Candidates) -> int:
    """DONE wherever it may: the queue grows."""
    return DONE if out.mask[DONE] else int(out.mask.argmax())


@cache
def recorded(load: float, worlds: int = 3, most: int = 60) -> tuple[Candidates, ...]:
    """Copies of lists of some episodes, spread over each; at load 3 of episodes that put everything off."""
    kept: list[Candidates] = []
    for number in range(worlds):
        setting, tape = random_world(number, count=60, load=load)
        shown = play(setting, tape, at_random(number) if load < 3 else idle)
        lists = [Candidates(*(array.copy() for array in out)) for _, _, out in shown]
        lists = [out for out in lists if out.mask.sum() > 1]
        kept += lists[:: len(lists) // most + 1] + [max(lists, key=lambda out: int(out.n[0]))]
    return tuple(kept)


def actor(seed: int = 0, width: int = WIDTH) -> Actor:
    """Random weights, larger than at the start of training so that errors show."""
    torch.manual_seed(seed)
    made = Actor(width)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return made


def weights_of(network: Actor) -> Weights:
    return Weights(**{name: np.ascontiguousarray(value.numpy()) for name, value in network.weights().items()})


def compiled_logits(weights: Weights, out: Candidates, work: Buffers | None = None) -> np.ndarray:
    """What the served network says of one list. (129,)"""
    work = work or buffers(len(weights.bias))
    forward(weights, work, out.rows, out.job, out.klass, out.shared, out.mask, out.n[0])
    return work.logits.copy()


def observations(lists: list[Candidates]) -> dict[str, torch.Tensor]:
    """A batch as the rollout buffer gives it to the policy."""
    names = {"rows": "rows", "job": "job", "klass": "klass", "shared": "shared", "count": "n"}
    return {
        key: torch.as_tensor(np.stack([getattr(out, name) for out in lists])) for key, name in names.items()
    }


def torch_logits(network: Actor, lists: list[Candidates]) -> np.ndarray:
    """What the trained network says of all lists in one batch, masked actions included. (lists, 129)"""
    with torch.no_grad():
        return network(Packed(observations(lists))).numpy()
