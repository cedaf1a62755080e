"""What the features of a run's settings are like where its policy decides."""

from collections.abc import Sequence

import numpy as np

from synergai.agents.learned import Learned, choose
from synergai.agents.ranges import TAIL, Ranges
from synergai.envs.candidates import empty_candidates, scratch_for
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE
from synergai.envs.tape import Setting, make_tape
from synergai.envs.world import new_sim
from synergai.training.vec_env import FIRST_TAPE

DECISIONS = 600
"""Of each setting."""
ROWS = 3
"""Of each decision, drawn: rows of one decision are much alike."""


def seen_ranges(settings: Sequence[Setting], policy: Learned, arrivals: int, seed: int = 0) -> Ranges:
    """Play one training tape of each setting; the range of every feature but for a `TAIL` at either end."""
    rng = np.random.default_rng(seed)
    rows, shared = [], []
    for turn, setting in enumerate(settings):
        sim = new_sim(setting, make_tape(setting, FIRST_TAPE + seed + turn, arrivals))
        scratch, out = scratch_for(sim.state), empty_candidates()
        for _ in range(DECISIONS):
            if not advance(sim, scratch, out, NONE):
                break
            rows.append(out.rows[rng.integers(out.n[0], size=ROWS)].copy())
            shared.append(out.shared.copy())
            apply_action(sim, scratch, out, choose(policy.checkpoint.weights, policy.work, out))
    ends = [
        np.concatenate([np.quantile(np.concatenate(rows), q, axis=0), np.quantile(shared, q, axis=0)])
        for q in (TAIL, 1.0 - TAIL)
    ]
    return Ranges(*ends)
