"""Two networks exported from torch with seeded random weights: how long they take does not depend on the weights."""

import warnings
from pathlib import Path
from typing import Any  # torch is imported where it is used only

from synergai.offline_profiles.engines.engine import EngineError

SEED = 1
OPSET = 17
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Of ResNet-50, table 1 of https://arxiv.org/abs/1512.03385: width, blocks, stride."""
TOKENS, VOCABULARY, WIDTH, HEADS, LAYERS = 128, 30522, 256, 4, 4
"""Of the transformer: the size of BERT-mini, https://arxiv.org/abs/1908.08962, with 128 tokens a sample."""


def resnet50(to: Path) -> None:
    """25.6 million weights; input `image`, (batch, 3, 224, 224)."""
    torch = _torch()
    nn = torch.nn

    class Block(nn.Module):
        """A bottleneck; the stride is in its 3 x 3 convolution, as in common implementations."""

        def __init__(self, given: int, width: int, stride: int) -> None:
            super().__init__()
            made = 4 * width
            self.body = nn.Sequential(
                *_convolution(nn, given, width, 1, 1), nn.ReLU(),
                *_convolution(nn, width, width, 3, stride), nn.ReLU(),
                *_convolution(nn, width, made, 1, 1),
            )  # fmt: skip
            shortcut = stride != 1 or given != made
            self.skip = (
                nn.Sequential(*_convolution(nn, given, made, 1, stride)) if shortcut else nn.Identity()
            )

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + self.skip(x))

    torch.manual_seed(SEED)
    layers = [*_convolution(nn, 3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    given = 64
    for width, blocks, stride in STAGES:
        for at in range(blocks):
            layers.append(Block(given, width, stride if at == 0 else 1))
            given = 4 * width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, 1000))
    _export(network, torch.zeros(1, 3, 224, 224), "image", to)


def transformer(to: Path) -> None:
    """An encoder of 4 layers, 11 million weights; input `tokens`, whole numbers, (batch, 128)."""
    torch = _torch()
    nn = torch.nn
    torch.manual_seed(SEED)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    network = nn.Sequential(nn.Embedding(VOCABULARY, WIDTH), encoder, nn.Linear(WIDTH, 2))
    _export(network, torch.zeros(1, TOKENS, dtype=torch.int64), "tokens", to)


def _convolution(nn: Any, given: int, made: int, size: int, stride: int) -> tuple[Any, Any]:
    return nn.Conv2d(given, made, size, stride, size // 2, bias=False), nn.BatchNorm2d(made)


def _export(network: Any, example: Any, name: str, to: Path) -> None:
    torch = _torch()
    with warnings.catch_warnings():
        # the newer exporter needs onnxscript, and says so each time
        warnings.simplefilter("ignore")
        axes = {name: {0: "batch"}, "output": {0: "batch"}}
        torch.onnx.export(
            network.eval(), (example,), str(to), dynamo=False, opset_version=OPSET,
            input_names=[name], output_names=["output"], dynamic_axes=axes,
        )  # fmt: skip


def _torch() -> Any:
    try:
        import onnx  # noqa: F401  # torch's exporter wants it
        import torch
    except ImportError as error:
        raise EngineError(
            f"torch or onnx is not installed ({error}), which export this model: pip install 'synergai[train]'"
        ) from None
    return torch
