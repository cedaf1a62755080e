"""`synergai profile`: measure this machine; models to try it with."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from synergai.offline_profiles.measuring.options import (
    Batches,
    Engines,
    HardwareName,
    IdleW,
    ImageMib,
    Model,
    Models,
    MostSeconds,
    PeakW,
    Precision,
    PullMibPerS,
    Threads,
)
from synergai.offline_profiles.options import fail, numbers, positive, words

if TYPE_CHECKING:
    from synergai.offline_profiles.measuring.run import Request

app = typer.Typer(
    help="Measure what this machine does with your models, as profiles that everything else reads.",
    no_args_is_help=True,
)
RUN = "profile run"
BEGIN, END = "-----BEGIN SYNERGAI {}-----", "-----END SYNERGAI {}-----"
"""Lines around PROFILE, HARDWARE and HOST with --framed: a pod's log holds what others say too."""


@app.command()
def run(
    models: Models,
    out: Annotated[
        str,
        typer.Option(
            help="CSV of profiles to write, with -hardware.csv and -host.json beside it; - prints the CSV alone.",
            metavar="FILE",
        ),
    ],
    model: Model = None,
    hardware: HardwareName = "",
    engines: Engines = "onnxruntime",
    unit: Annotated[str, typer.Option(help="cpu or gpu.", metavar="UNIT")] = "cpu",
    threads: Threads = "",
    batches: Batches = "1,8",
    precisions: Annotated[
        str, typer.Option(help="fp32, fp16, bf16, int8.", metavar="A,B", show_default="the model's own")
    ] = "",
    precision: Precision = 2.0,
    most_seconds: MostSeconds = 60.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds a point, to see that all works; overrides the two above.")
    ] = False,
    image_mib: ImageMib = None,
    pull_mib_per_s: PullMibPerS = None,
    idle_w: IdleW = None,
    peak_w: PeakW = None,
    resource: Annotated[
        str,
        typer.Option(
            help="Extended resource of the accelerator.", metavar="NAME", show_default="of the class"
        ),
    ] = "",
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget what an interrupted run has measured.")
    ] = False,
    framed: Annotated[
        bool,
        typer.Option("--framed", help="With --out -: all three files, each between marker lines (for pods)."),
    ] = False,
) -> None:
    """Measure speed, latency, start-up, memory and power of models on this machine, point by point of a grid.

    An interrupted run goes on where it stopped when it is started again in the same way.
    """
    from synergai.offline_profiles.engines.store import ModelStore
    from synergai.offline_profiles.measuring.assumed import Given
    from synergai.offline_profiles.measuring.effort import QUICK, Effort
    from synergai.offline_profiles.measuring.grid import Grid
    from synergai.offline_profiles.measuring.run import Request

    positive(RUN, precision=precision, most_seconds=most_seconds)
    positive(RUN, image_mib=image_mib, pull_mib_per_s=pull_mib_per_s, idle_w=idle_w, peak_w=peak_w)
    if unit not in ("cpu", "gpu"):
        fail(RUN, f"--unit: {unit!r} is neither cpu nor gpu")
    if framed and out != "-":
        fail(RUN, "--framed is for --out -")
    effort = QUICK if quick else Effort(precision=precision / 100, most_s=most_seconds)
    grid = Grid(unit, words(precisions), numbers(RUN, "threads", threads), numbers(RUN, "batches", batches))
    given = Given(idle_w, peak_w, image_mib, pull_mib_per_s)
    store, names = ModelStore(models), tuple(model or ())
    _measure(
        Request(store, names, words(engines), grid, effort, hardware, resource, given), out, anew, framed
    )


def _measure(request: "Request", out: str, anew: bool, framed: bool) -> None:
    from synergai.offline_profiles.engines.engine import EngineError
    from synergai.offline_profiles.measuring.progress import Told
    from synergai.offline_profiles.measuring.run import Places
    from synergai.offline_profiles.measuring.run import run as measure
    from synergai.offline_profiles.rows import ProfileError

    places = None if out == "-" else Places(Path(out))
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with Told(request.effort) as told:
            files = measure(request, told, places, anew)
    except (EngineError, ProfileError) as error:
        fail(RUN, str(error))
    except OSError as error:
        fail(RUN, f"{error.filename or out}: {error.strerror or error}")
    except KeyboardInterrupt:
        typer.echo(f"synergai {RUN}: interrupted; what is finished is kept, run it again to go on", err=True)
        raise typer.Exit(130) from None
    if places:
        for path in (places.profiles, places.hardware, places.host):
            typer.echo(f"written: {path}", err=True)
    elif framed:
        typer.echo(frame(files.profiles, files.hardware, files.host), nl=False)
    else:
        typer.echo(files.profiles, nl=False)


@app.command()
def models(
    into: Annotated[Path, typer.Option(help="Folder to write NAME/VERSION/model.onnx to.", metavar="FOLDER")],
    only: Annotated[str, typer.Option(help="Of these names.", metavar="A,B", show_default="all six")] = "",
) -> None:
    """Write models to try things with: magika and PP-OCR from installed packages, two of random weights from torch."""
    from synergai.offline_profiles.engines.engine import EngineError
    from synergai.offline_profiles.engines.shipped import write_models

    try:
        for path in write_models(into, words(only)):
            typer.echo(path)
    except EngineError as error:
        fail("profile models", str(error))
    except OSError as error:
        fail("profile models", f"{error.filename or into}: {error.strerror or error}")


def frame(profiles: str, hardware: str, host: str) -> str:
    """The three files as one text."""
    parts = (("PROFILE", profiles), ("HARDWARE", hardware), ("HOST", host))
    return "".join(f"{BEGIN.format(name)}\n{text}{END.format(name)}\n" for name, text in parts)


def _terminated(*_: object) -> NoReturn:
    """A pod that is deleted: the child ends with us."""
    sys.exit(143)
