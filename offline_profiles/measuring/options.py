"""Options that the verbs of `synergai profile` share."""

from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[
    Path,
    typer.Option(help="Folder with NAME/VERSION/model.onnx.", metavar="FOLDER", envvar="SYNERGAI_MODELS"),
]
Model = Annotated[
    list[str] | None,
    typer.Option(help="NAME or NAME:VERSION; may be repeated.", metavar="NAME", show_default="all"),
]
HardwareName = Annotated[
    str,
    typer.Option(help="Name of the hardware class.", metavar="NAME", show_default="as the host shows it"),
]
Engines = Annotated[str, typer.Option(help="onnxruntime, openvino, tensorrt.", metavar="A,B")]
Threads = Annotated[
    str, typer.Option(help="Of a CPU.", metavar="N,N", show_default="1, 1/4, 1/2 and all cores")
]
Batches = Annotated[str, typer.Option(help="Samples a query.", metavar="N,N")]
Precision = Annotated[
    float, typer.Option(help="Half width of the 95 % intervals, in per cent.", metavar="PERCENT")
]
MostSeconds = Annotated[
    float, typer.Option(help="Of measuring a point or a pair, whatever is reached.", metavar="S")
]
ImageMib = Annotated[
    float | None,
    typer.Option(help="Size of the container image.", metavar="MIB", show_default="assumed by the hardware"),
]
PullMibPerS = Annotated[
    float | None, typer.Option(help="How fast images come.", metavar="MIB", show_default="assumed likewise")
]
IdleW = Annotated[
    float | None,
    typer.Option(help="Power of the idle node.", metavar="W", show_default="measured, else assumed"),
]
PeakW = Annotated[
    float | None,
    typer.Option(help="Power of the busy node, if it shows none.", metavar="W", show_default="assumed"),
]
