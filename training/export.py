"""From a trained policy to a checkpoint folder: weights that run no code when they are loaded, and a card."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from synergai import __version__
from synergai.agents.learned import CARD_FILE, FORMAT, WEIGHTS_FILE
from synergai.envs.features import FEATURES_VERSION, schema_hash
from synergai.training.commit import commit
from synergai.training.config import TrainConfig
from synergai.training.policy import ScorerPolicy


def export(policy: ScorerPolicy, directory: Path, config: TrainConfig, facts: dict[str, Any]) -> None:
    """Write `weights.safetensors` and `card.json`; `facts` are figures and hashes that only the run knows."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(policy.actor.weights(), str(directory / WEIGHTS_FILE))
    card = {
        "format": FORMAT,
        "name": config.name,
        "synergai": __version__,
        "features": schema_hash(),
        "features_version": FEATURES_VERSION,
        "network": {"kind": "candidate-scorer", "width": config.width},
        "commit": commit(),
        "config": config.model_dump(mode="json"),
        **facts,
    }
    (directory / CARD_FILE).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")
