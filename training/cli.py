"""`synergai train`, `synergai export`, `synergai certify`: one line and exit code 2 for what is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail

if TYPE_CHECKING:
    from synergai.training.config import TrainConfig


def train(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, curves and settings of this run.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; docs/training.md lists them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's.")] = None,
    decisions: Annotated[int | None, typer.Option(min=0, help="Of PPO, instead of the file's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in OUT, with the settings it began with.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Train so many runs, from the seed of the settings on, side by side on Ray."
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,VALUE",
            help="A run for each value of a setting, on Ray; may be repeated for all combinations.",
        ),
    ] = None,
    ray_address: Annotated[
        str,
        typer.Option(help="Of a Ray cluster that sees OUT under the same path. Default: this machine alone."),
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train: clone the SynergAI heuristic, then improve it. Watch it with `tensorboard --logdir OUT`."""
    try:
        import torch  # noqa: F401 - the extra may not be installed
    except ImportError:
        fail(
            "train",
            ImportError("needs torch and stable-baselines3: pip install 'synergai[train]', or make install"),
        )
    from synergai.envs.scenario import ScenarioError
    from synergai.training import train as verbs
    from synergai.training.config import ConfigError, read
    from synergai.training.folder import RunError, RunFolder

    changes = {key: value for key, value in (("seed", seed), ("decisions", decisions)) if value is not None}
    try:
        settings = None if config is None else read(config).model_copy(update=changes)
        if seeds is not None or sweep:
            if settings is None or resume:
                raise ConfigError(
                    "a sweep needs --config, and no --resume: the same command again goes on with what was cut off"
                )
            train_many(settings, out, seeds or 1, sweep or [], ray_address, quiet)
            return
        if ray_address:
            raise ConfigError("--ray-address is for --seeds and --sweep; one run is one process")
        if resume:
            finished = RunFolder(out).finished
            folder = verbs.resume(out, changes if settings is None else dict(settings), quiet)
            if finished:
                typer.echo(f"{out}: the run is complete, there is nothing to resume")
        elif settings is None:
            raise ConfigError("--config is missing: a YAML file of settings; or go on with a run by --resume")
        else:
            folder = verbs.train(settings, out, quiet)
    except (ConfigError, RunError, ScenarioError, OSError, ValueError) as error:
        fail("train", error)
    typer.echo(f"checkpoint: {folder}\ncurves: tensorboard --logdir {out}")


def train_many(
    settings: "TrainConfig", out: Path, seeds: int, values: list[str], address: str, quiet: bool
) -> None:
    """Several runs on Ray, and what they came to."""
    from synergai.training import sweep as sweeps

    try:
        import ray  # noqa: F401 - the extra may not be installed
    except ImportError:
        fail(
            "train",
            ImportError("--seeds and --sweep need Ray: pip install 'synergai[train,scale]', or make install"),
        )
    runs = sweeps.variants(settings, seeds, values)
    tell = (lambda line: None) if quiet else typer.echo
    report = sweeps.sweep(runs, out, address, tell)
    for name, found in report["groups"].items():
        best, middle, worst = (100 * found[key] for key in ("best", "median", "worst"))
        typer.echo(
            f"{name}: best {best:.2f} %, median {middle:.2f} %, worst {worst:.2f} % of {found['runs']} runs"
        )
    typer.echo(f"checkpoint: {out / report['best'] / 'checkpoint'}\ncurves: tensorboard --logdir {out}")


def export(
    checkpoint: Annotated[str, typer.Option(help="Folder, or a released name.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """A checkpoint's network as an ONNX model, which a run also writes beside its weights."""
    from synergai.agents.learned import CheckpointError, read

    try:
        from synergai.training.onnx_model import write_onnx
    except ImportError:
        fail("export", ImportError("needs onnx: pip install 'synergai[train]', or make install"))
    try:
        sha256 = write_onnx(read(checkpoint).weights, out)
    except (CheckpointError, OSError) as error:
        fail("export", error)
    typer.echo(f"written: {out} (sha256 {sha256})")


def certify(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the checkpoint.")],
    evaluation: Annotated[Path, typer.Option(help="Folder that `synergai evaluate --out` wrote.")],
) -> None:
    """Write into a checkpoint's card in which cells an evaluation found it no worse than every rule."""
    from synergai.agents.learned import CheckpointError
    from synergai.training.card import CertifyError
    from synergai.training.card import certify as write

    try:
        found = write(checkpoint, evaluation)
    except (CertifyError, CheckpointError, OSError) as error:
        fail("certify", error)
    for policy, cells in found.items():
        typer.echo(f"{policy}: certified in {cells} cells")
