"""`synergai profiles`: build the shipped table, show what it says of a model."""

from pathlib import Path
from typing import Annotated

import typer

from synergai.offline_profiles.options import HardwareOption, ProfilesOption, fail, table_of

app = typer.Typer(
    help="The measured profiles: build the shipped table, show who is fastest.", no_args_is_help=True
)

SHIPPED = Path(__file__).resolve().parent


@app.command()
def build(
    sources: Annotated[Path, typer.Option(help="Folder of source tables.")] = SHIPPED / "sources",
    out: Annotated[Path, typer.Option(help="Folder to write the three CSV files to.")] = SHIPPED / "data",
) -> None:
    """Build profiles.csv, hardware.csv and reference.csv from the source tables."""
    from synergai.offline_profiles.build import build as build_texts
    from synergai.offline_profiles.build import counts, read_sources, write
    from synergai.offline_profiles.table import ProfileError, ProfileTable

    try:
        texts = build_texts(read_sources(sources))
        for name, sha256 in write(texts, out).items():
            typer.echo(f"{sha256}  {out / name}")
        table = ProfileTable.load(out / "profiles.csv", base=False, hardware=out / "hardware.csv")
        for kind, words in counts(table.profiles).items():
            typer.echo(f"{kind}: " + ", ".join(f"{number} {word}" for word, number in sorted(words.items())))
    except (OSError, ProfileError) as error:
        fail("profiles build", str(error))
    except (KeyError, ValueError) as error:
        fail("profiles build", f"{sources}: a source table has a bad cell or lacks a column: {error}")


@app.command()
def show(
    model: Annotated[str, typer.Option(help="Model, as in `synergai profiles show --model resnet50`.")],
    samples: Annotated[
        int | None, typer.Option(min=1, help="One job size instead of 1, 32 and 2000.")
    ] = None,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it too, to a .png, .svg or .pdf file.")] = None,
) -> None:
    """Who is fastest and most frugal for a model, and where the order flips with the size of the job."""
    from rich.console import Console

    from synergai.offline_profiles.show import show as render

    try:
        table = table_of(profiles, hardware)
        shown = render(table, model, samples)
        if plot is not None:
            from synergai.offline_profiles.picture import draw

            draw(table, model, plot)
    except OSError as error:
        fail("profiles show", f"{plot}: cannot be written: {error.strerror or error}")
    except ValueError as error:
        fail("profiles show", str(error))
    except KeyError as error:
        fail("profiles show", str(error.args[0]))
    Console().print(shown)
    if plot is not None:
        typer.echo(f"written: {plot}")
