"""A trained checkpoint as a scheduler: loaded without torch and without running any code from it."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from synergai.agents.heuristics import ROOM, as_decision
from synergai.agents.scorer import Buffers, Weights, best_action, buffers, forward, shapes
from synergai.envs.candidates import DONE, Candidates, Scratch, empty_candidates
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.features import CANDIDATE, JOB, N_CANDIDATE, schema_hash
from synergai.envs.features import ENERGY_WEIGHT as WEIGHT
from synergai.envs.reward import ENERGY_WEIGHT
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, ClusterState
from synergai.envs.types import Decision
from synergai.envs.world import Sim

WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "card.json"
FORMAT = 2
"""Of the checkpoint folder."""
RULE = RULE_NUMBER["edf_likely"]
"""What the policy leaves where it knows better, and which late job is served where it would serve nothing more."""
LEAST_GAIN = 0.01
"""In violations, that a move must promise over the rule's: labels of less are noise."""
LOGIT_COST = 0.01
"""What a move must cost more, in violations, to have a logit of one less (`training/improve.py` fits them so)."""
ENERGY = [feature.name for feature in CANDIDATE].index("energy")
"""log(E / least E of the job) / ENERGY_SCALE."""
ENERGY_SCALE = np.float32(6.0)
LATE = N_CANDIDATE + [feature.name for feature in JOB].index("job_late")
SPEED = [feature.name for feature in CANDIDATE].index("speed")
SLOWEST_LATE = np.float32(np.log(4.0) / 5.0)
"""Of `speed`, log(e / e*) / 5: four times a job's shortest run time. Labels charge little for jobs that are late
already, so that the network puts them where they are in nobody's way, however long they take there."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; one line that says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A checked folder: weights and what its card says."""

    name: str
    weights: Weights
    card: dict[str, Any]

    @property
    def width(self) -> int:
        return len(self.weights.bias)


def released() -> tuple[str, ...]:
    """Names of the checkpoints that ship."""
    folder = files("synergai.checkpoints")
    return tuple(sorted(entry.name for entry in folder.iterdir() if (entry / CARD_FILE).is_file()))


def read(directory: str | Path) -> Checkpoint:
    """Read and check a checkpoint folder, or a released one by name. CheckpointError says what is wrong with it."""
    folder: Any = Path(directory)
    if not folder.is_dir():
        if str(directory) not in released():
            raise CheckpointError(
                f"no checkpoint folder {str(directory)!r}; released are {', '.join(released()) or 'none'}"
            )
        folder = files("synergai.checkpoints") / str(directory)
    card = _read_card(folder, str(directory))
    try:
        tensors = load_tensors((folder / WEIGHTS_FILE).read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"checkpoint {directory}: {WEIGHTS_FILE} cannot be read: {error}") from None
    return Checkpoint(str(directory), _check(tensors, str(directory)), card)


def _read_card(folder: Any, name: str) -> dict[str, Any]:
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {name}: {CARD_FILE} cannot be read: {error}") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {name}: {CARD_FILE} is not of format {FORMAT}")
    if card.get("features") != schema_hash():
        raise CheckpointError(
            f"checkpoint {name}: made for features {card.get('features')!r}, this version has {schema_hash()!r}: "
            "retrain it, or use the version it came with"
        )
    return card


def _check(tensors: dict[str, np.ndarray], name: str) -> Weights:
    """Every parameter there, of the right shape, finite."""
    if "bias" not in tensors or tensors["bias"].ndim != 1 or len(tensors["bias"]) == 0:
        raise CheckpointError(f"checkpoint {name}: parameter 'bias' is missing, empty or not a vector")
    expected = shapes(len(tensors["bias"]))
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))
        raise CheckpointError(f"checkpoint {name}: parameters do not match the network: {', '.join(odd)}")
    for key, shape in expected.items():
        if tensors[key].dtype != np.float32:
            raise CheckpointError(
                f"checkpoint {name}: parameter {key!r} is {tensors[key].dtype}, not float32"
            )
        if tensors[key].shape != shape:
            raise CheckpointError(
                f"checkpoint {name}: parameter {key!r} has shape {tensors[key].shape}, not {shape}"
            )
        if not np.isfinite(tensors[key]).all():
            raise CheckpointError(f"checkpoint {name}: parameter {key!r} holds numbers that are not finite")
    return Weights(**{key: np.ascontiguousarray(tensors[key], np.float32) for key in expected})


@kernel
def late_start(out):
    """The START of a late job that the rule picks; NONE if it picks anything else."""
    pick = out.picks[RULE]
    if pick == DONE or not out.mask[pick] or out.rows[pick, LATE] < 0.5 or out.rows[pick, ROOM] < 0.5:
        return NONE
    return pick


@kernel
def keep_late_off_slow(work, out):
    """Take out of the logits what would give a late job a run of over SLOWEST_LATE times its shortest one."""
    for i in range(out.n[0]):
        if out.rows[i, LATE] > 0.5 and out.rows[i, SPEED] > SLOWEST_LATE:
            work.logits[i] = np.float32(-np.inf)


@kernel
def charge_energy(work, out):
    """Take from the logits what each option's energy costs beyond the least that its job could do with, by the weight
    of energy: the network knows of deadlines alone, and logits are costs. DONE costs none, as a job that waits may yet
    have the least."""
    price = np.float32(ENERGY_WEIGHT / LOGIT_COST) * out.shared[WEIGHT]
    if price == np.float32(0.0):
        return
    for i in range(out.n[0]):
        work.logits[i] -= price * (np.exp(ENERGY_SCALE * out.rows[i, ENERGY]) - np.float32(1.0))


@small_kernel
def worth_leaving(work, out, action):
    """Whether an action promises so much more than the rule's pick that it takes its place."""
    pick = out.picks[RULE]
    return not out.mask[pick] or work.logits[action] >= work.logits[pick] + np.float32(
        LEAST_GAIN / LOGIT_COST
    )


@kernel
def choose(weights, work, out):
    """The policy's action for one candidate list; the network's logits stay in `work`, less what energy costs and those
    of slow options for late jobs unless nothing else is legal. It is the rule's pick unless the network is sure of
    something better; and where it would end the round and the rule would serve a late job, that is served: nothing that
    could be in time wants the room, and what the network has learned of late jobs is little."""
    forward(weights, work, out.rows, out.job, out.klass, out.shared, out.mask, out.n[0])
    charge_energy(work, out)
    keep_late_off_slow(work, out)
    action = best_action(work.logits)
    if work.logits[action] == np.float32(-np.inf):
        forward(weights, work, out.rows, out.job, out.klass, out.shared, out.mask, out.n[0])
        return best_action(work.logits)
    if not worth_leaving(work, out, action):
        action = out.picks[RULE]
    late = late_start(out) if action == DONE else NONE
    return action if late == NONE else late


@kernel
def likeliest_of(logits):
    """The action of the largest logit and its probability; 0 if none is finite."""
    best = best_action(logits)
    if not np.isfinite(logits[best]):
        return best, 0.0
    total = 0.0
    for logit in logits:
        if np.isfinite(logit):
            total += np.exp(logit - logits[best])
    return best, 1.0 / total


@kernel
def best_actions(weights, work, out, actions):
    """The network's likeliest actions, best first; NONE where there are fewer legal ones."""
    actions[:] = NONE
    actions[0] = choose(weights, work, out)
    for k in range(1, len(actions)):
        work.logits[actions[k - 1]] = np.float32(-np.inf)
        following = best_action(work.logits)
        if work.logits[following] == np.float32(-np.inf):
            return
        actions[k] = following


@kernel
def run_network(sim, scratch, out, weights, work):
    """Run a whole tape under the network."""
    while advance(sim, scratch, out, NONE):
        apply_action(sim, scratch, out, choose(weights, work, out))


class Learned:
    """The trained policy, greedy."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = checkpoint.name
        self.checkpoint = checkpoint
        self.work: Buffers = buffers(checkpoint.width)

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        """What `choose` says, with its reason: the probability of the highest logit, or why it is another action."""
        action = int(choose(self.checkpoint.weights, self.work, candidates))
        likeliest, share = likeliest_of(self.work.logits)
        if share == 0.0:
            raise FloatingPointError("the network gave no finite logit")
        if action != likeliest:
            late = action != DONE and candidates.rows[action, LATE] > 0.5
            why = "late, and nothing in time to start" if late else "as edf_likely, nothing promises more"
            return as_decision(action, candidates, "policy", f"{self.name}: {why}")
        return as_decision(action, candidates, "policy", f"{self.name} p={share:.2f}")

    def run(self, sim: Sim, scratch: Scratch) -> None:
        """A whole tape of the simulator in one compiled call."""
        run_network(sim, scratch, empty_candidates(), self.checkpoint.weights, self.work)


def load(directory: str | Path) -> Learned:
    """The scheduler of a checkpoint folder, or of a released checkpoint by name."""
    return Learned(read(directory))


__all__ = ["CheckpointError", "Learned", "load", "read", "released"]
