"""From a trained policy to a checkpoint folder: weights that run no code when they are loaded, and a card."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from synergai import __version__
from synergai.agents.learned import FORMAT, WEIGHTS_FILE
from synergai.agents.scorer import Weights
from synergai.envs.features import FEATURES_VERSION, schema_hash
from synergai.training.card import write_card
from synergai.training.commit import commit
from synergai.training.config import TrainConfig
from synergai.training.onnx_model import ONNX_FILE, write_onnx
from synergai.training.policy import ScorerPolicy


def export(policy: ScorerPolicy, directory: Path, config: TrainConfig, facts: dict[str, Any]) -> None:
    """Write weights, ONNX model and card; `facts` are figures and hashes that only the run knows."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = policy.actor.weights()
    save_file(tensors, str(directory / WEIGHTS_FILE))
    weights = Weights(**{name: value.numpy() for name, value in tensors.items()})
    card = {
        "format": FORMAT,
        "name": config.name,
        "synergai": __version__,
        "features": schema_hash(),
        "features_version": FEATURES_VERSION,
        "network": {"kind": "candidate-scorer", "width": config.width},
        "commit": commit(),
        "onnx_sha256": write_onnx(weights, directory / ONNX_FILE),
        "config": config.model_dump(mode="json"),
        **facts,
    }
    write_card(directory, card)
