"""`--profiles` and `--hardware`, the same for every verb that reads the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from synergai.offline_profiles.table import ProfileTable

ProfilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--profiles", help="CSV of profiles to add or override; may be repeated (docs/profiles.md)."
    ),
]
HardwareOption = Annotated[
    Path | None, typer.Option("--hardware", help="CSV of hardware classes to add or override.")
]


def fail(verb: str, message: str) -> NoReturn:
    """Every problem with what a person gave is a line and exit code 2."""
    for line in message.splitlines():
        typer.echo(f"synergai {verb}: {line}", err=True)
    raise typer.Exit(2)


def words(text: str) -> tuple[str, ...]:
    """Of a comma list, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def numbers(verb: str, option: str, text: str) -> tuple[int, ...]:
    """The same of whole numbers; fails with a line that names the option."""
    found = words(text)
    for word in found:
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            fail(verb, f"--{option}: {word!r} is not a whole number above 0")
    return tuple(dict.fromkeys(int(word) for word in found))


def positive(verb: str, **given: float | None) -> None:
    """Fails with a line that names the first that is neither None nor above 0."""
    for name, value in given.items():
        if value is not None and not 0 < value < 1e9:
            fail(verb, f"--{name.replace('_', '-')}: {value:g} is not above 0 and below 1e9")


def table_of(profiles: Sequence[Path] | None, hardware: Path | None) -> "ProfileTable":
    """The shipped table and what these files add. ProfileError names every bad row."""
    from synergai.offline_profiles.table import ProfileTable

    if not profiles and hardware is None:
        return ProfileTable.default()
    return ProfileTable.load(*(profiles or ()), hardware=hardware)
