"""`--profiles` and `--hardware`, the same for every verb that reads the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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


def table_of(profiles: Sequence[Path] | None, hardware: Path | None) -> "ProfileTable":
    """The shipped table and what these files add. ProfileError names every bad row."""
    from synergai.offline_profiles.table import ProfileTable

    if not profiles and hardware is None:
        return ProfileTable.default()
    return ProfileTable.load(*(profiles or ()), hardware=hardware)
