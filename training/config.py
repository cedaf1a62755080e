"""Settings of a training run: one frozen model, defaults in code, a YAML file overrides them, an unknown key is an
error. The full set is written beside every run."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synergai.training.evaluation.matrix import Block

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class ConfigError(ValueError):
    """A training configuration cannot be read; the message names file and key."""


class TrainConfig(BaseModel):
    """One run, from cloning to the exported checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")] = "demo"
    scenarios: Annotated[list[str], Field(min_length=1)] = ["demo"]
    loads: Annotated[list[Positive], Field(min_length=1)] = [0.6, 0.7, 0.8, 0.9, 1.0]
    """Each scenario at each of these; clusters of the batch take them in turn."""
    also: list[Block] = []
    """More to train on, written like the blocks of a matrix (docs/evaluation.md): other loads, arrivals, profile
    errors, sizes."""
    profiles: list[str] = []
    """CSV files that add to the shipped profiles (docs/profiles.md)."""
    hardware: str | None = None
    """CSV file of hardware classes that they need."""
    seed: Annotated[int, Field(ge=0)] = 0
    width: Annotated[int, Field(ge=4, le=512)] = 32
    without: Literal["", "picks", "residual", "history", "pools", "time", "shaping"] = ""
    """What to leave out, to see what it is worth: the features that say which rules pick an action, what such picks add
    to its logit, features of what was seen of runs, pools over a job's and a class's candidates; of PPO time (discount
    and trace by decisions, with the same mean) or the potential that the critic starts from."""
    environments: Count = 128
    siblings: Count = 1
    """Environments that share a tape; their mean fortune is taken out of each one's advantages."""
    arrivals: Annotated[int, Field(ge=20)] = 500
    """Of one episode."""
    warm_start: Annotated[int, Field(ge=0)] = 100
    """Episodes start after up to so many arrivals under the fallback rule; one in five starts empty."""
    threads: Count = 2
    """That label states."""
    torch_threads: Count = 1
    """More of them wait for each other many times an update, wherever anything else runs."""
    checkpoint_every_s: NonNegative = 60.0
    """Between snapshots, which `--resume` goes on from."""

    start: str = ""
    """Checkpoint that the actor begins as, a folder or a released name; empty: random weights."""
    teacher: str = "synergai"
    clone_decisions: Annotated[int, Field(ge=0)] = 200_000
    clone_minibatch: Count = 512
    clone_learning_rate: Positive = 2e-3

    improve_decisions: Annotated[int, Field(ge=0)] = 80_000
    """States on which moves are compared in sampled futures; about a millisecond each."""
    rule: str = "best"
    """What the actor learns to do after the clone, and pays for leaving: a rule, or `best` for the best one of each
    setting."""
    match_decisions: Annotated[int, Field(ge=0)] = 150_000
    """On which it learns to do what that rule does."""
    improve_taus: Positive = 2.5
    """How far futures go, in mean run times."""
    improve_futures: Annotated[int, Field(ge=1)] = 16
    """In which moves are compared."""
    improve_minibatch: Count = 512
    improve_learning_rate: Positive = 2e-3
    improve_epochs: Count = 6
    """Passes over all states that were gathered, at the end of a part."""
    improve_prices: Annotated[list[NonNegative], Field(min_length=1)] = [0.01]
    """What a nat of distance from the rule costs: one for each of `loads`, with straight lines between them, or one for
    all."""
    improve_passes: Count = 2
    """Parts of the stage; the policy is evaluated after each, and gathers the next one's states."""

    critic_decisions: Annotated[int, Field(ge=0)] = 80_000
    """Decisions with the cloned policy during which only the critic learns."""
    decisions: Annotated[int, Field(ge=0)] = 200_000
    """PPO's own."""
    steps: Count = 64
    """Per environment and rollout."""
    minibatch: Count = 2048
    epochs: Count = 2
    learning_rate: Positive = 3e-4
    clip: Positive = 0.2
    entropy: NonNegative = 0.003
    target_kl: Positive = 0.02
    discount_taus: Positive = 20.0
    """1 / beta, in mean run times of the scenario."""
    trace_taus: Positive = 0.5
    """1 / kappa."""
    reward_scale: Positive = 0.2

    evaluate_every: Annotated[int, Field(ge=0)] = 50_000
    """Decisions between evaluations on selection tapes; 0 evaluates at the end only."""
    evaluation_tapes: Count = 8
    evaluation_arrivals: Annotated[int, Field(ge=20)] = 600


def read(path: str | Path) -> TrainConfig:
    """Settings from a YAML file. ConfigError names the file and each bad key."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of settings")
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(str(part) for part in e['loc'])}: "
            + ("unknown key" if e["type"] == "extra_forbidden" else f"{e['msg']} (value {e['input']!r})")
            for e in error.errors()
        ]
        raise ConfigError("\n".join(problems)) from None
