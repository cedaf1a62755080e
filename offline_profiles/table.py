"""The profile table: what is known of every model on every hardware class."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import Placed, ProfileError, ReferenceRow, Row, read_rows, read_text

__all__ = ["ProfileError", "ProfileTable", "ReferenceRow", "address"]


def address(model: str, version: str) -> str:
    """How a model is called outside the table: its name, with `:version` unless that is 1."""
    return model if version == "1" else f"{model}:{version}"


def own_address(model: str, mark: str) -> str:
    """How a model is called where some of its jobs may run it in some of its ways only: `NAME@MARK:VERSION`."""
    name, colon, version = model.partition(":")
    return f"{name}@{mark}{colon}{version}"


def base_address(model: str) -> str:
    """The model itself."""
    name, at, rest = model.partition("@")
    _, colon, version = rest.partition(":")
    return f"{name}{colon}{version}" if at else model


class Need(NamedTuple):
    """What one configuration takes of a node."""

    cpu_milli: int
    memory_mib: int
    device_units: int

    def beyond(self, other: "Need") -> bool:
        """Whether it needs no less of anything, and more of something."""
        return self != other and all(mine >= theirs for mine, theirs in zip(self, other))


@dataclass(frozen=True)
class ProfileTable:
    """All profiles and hardware classes, and the reference that deadlines are measured against.

    Take one with `default()` or `load()`, which check every row. The reference stays the shipped one whatever
    hardware is added, so that a deadline means the same on every cluster.
    """

    profiles: tuple[Profile, ...]
    """Sorted by (model, hardware, configuration)."""
    hardware: dict[str, Hardware]
    """By name, sorted; read only."""
    reference: tuple[ReferenceRow, ...]

    @staticmethod
    @cache
    def default() -> "ProfileTable":
        """The table that ships with the package."""
        return ProfileTable.load()

    @staticmethod
    def load(*paths: Path | str, base: bool = True, hardware: Path | str | None = None) -> "ProfileTable":
        """The shipped rows (`base`) plus those of CSV files, which win over shipped rows of the same key.

        `hardware` names a CSV of hardware classes, needed for those that the base does not hold. Raises
        ProfileError with one line for each bad row; nothing is loaded by halves.
        """
        problems: list[str] = []
        classes = _shipped(Hardware, "hardware.csv", problems) if base else []
        profiles = _shipped(Profile, "profiles.csv", problems) if base else []
        reference = _shipped(ReferenceRow, "reference.csv", problems)
        added = _from_file(Hardware, Path(hardware), problems) if hardware else []
        rows = [row for path in paths for row in _from_file(Profile, Path(path), problems)]
        known = {row.value.name: row.value for row in [*classes, *added]}
        kept = {_profile_key(row.value): row.value for row in [*profiles, *rows]}
        problems += _twice(added, _hardware_key) + _twice(rows, _profile_key)
        problems += [problem for row in [*profiles, *rows] for problem in _misplaced(row, known)]
        if problems:
            raise ProfileError(problems)
        return ProfileTable(
            profiles=tuple(sorted(kept.values(), key=_sort_key)),
            hardware=dict(sorted(known.items())),
            reference=tuple(row.value for row in reference),
        )

    def beside(self, profiles: Iterable[Profile], reference: Iterable[ReferenceRow] = ()) -> "ProfileTable":
        """With more rows, of hardware that it knows."""
        ordered = sorted([*self.profiles, *profiles], key=_sort_key)
        return ProfileTable(tuple(ordered), self.hardware, (*self.reference, *reference))

    @cached_property
    def least(self) -> dict[str, dict[str, tuple["Need", ...]]]:
        """By model and hardware: what its configurations need, without those that need no less of anything than
        another."""
        found: dict[str, dict[str, tuple[Need, ...]]] = {model: {} for model in self.models}
        for model in self.models:
            for name in self.hardware:
                needs = {Need(p.cpu_milli, p.memory_mib, p.device_units) for p in self.of(model, name)}
                if needs:
                    found[model][name] = tuple(
                        sorted(n for n in needs if not any(n.beyond(o) for o in needs))
                    )
        return found

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Addresses of all models, sorted."""
        return tuple(sorted({_model(profile) for profile in self.profiles}))

    def of(self, model: str, hardware: str) -> tuple[Profile, ...]:
        """The profiles of a model on a hardware class, by configuration; empty if there are none."""
        return self._by_pair.get((model, hardware), ())

    def find(self, model: str, hardware: str, configuration: str) -> Profile:
        """One profile; KeyError names all three if there is none."""
        for profile in self.of(model, hardware):
            if profile.configuration == configuration:
                return profile
        raise KeyError(
            f"no profile of model {model!r} on hardware {hardware!r} with configuration {configuration!r}"
        )

    def best(self, model: str, hardware: str) -> Profile:
        """The configuration of highest throughput, SynergAI's dictionary; KeyError names both if none."""
        profiles = self.of(model, hardware)
        if not profiles:
            raise KeyError(f"no profile of model {model!r} on hardware {hardware!r}")
        return max(profiles, key=lambda profile: profile.throughput_sps)

    def reference_s(self, model: str, samples: int) -> float:
        """Median over hardware classes of the best configuration's run time, in seconds.

        Of the frozen reference; a model that it does not hold takes this table's rows instead.
        """
        return float(self.references_s(model, np.array([samples]))[0])

    def references_s(self, model: str, samples: np.ndarray) -> np.ndarray:
        """`reference_s` for many sizes at once. Shape (sizes,), that of `samples`."""
        if model not in self._references:
            raise KeyError(f"no profile of model {model!r}; known are {', '.join(self.models)}")
        rows = self._references[model]
        return np.median(np.minimum.reduceat(_run_times_s(rows, samples), rows.first_of_class), axis=0)

    @cached_property
    def sha256(self) -> str:
        """Hash of profiles and hardware, whatever files they came from."""
        return _sha256([*self.profiles, *self.hardware.values()])

    @cached_property
    def reference_sha256(self) -> str:
        """Hash of the frozen reference."""
        return _sha256(self.reference)

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], tuple[Profile, ...]]:
        pairs: defaultdict[tuple[str, str], list[Profile]] = defaultdict(list)
        for profile in self.profiles:
            pairs[_model(profile), profile.hardware].append(profile)
        return {pair: tuple(profiles) for pair, profiles in pairs.items()}

    @cached_property
    def _references(self) -> dict[str, "_Reference"]:
        frozen = {row.model for row in self.reference}
        own = [row for row in reference_rows(self.profiles) if row.model not in frozen]
        models: defaultdict[str, defaultdict[str, list[ReferenceRow]]]
        models = defaultdict(lambda: defaultdict(list))
        for row in [*self.reference, *own]:
            models[row.model][row.hardware].append(row)
        return {model: _reference(list(classes.values())) for model, classes in models.items()}


def reference_rows(profiles: Iterable[Profile]) -> list[ReferenceRow]:
    """What a reference keeps of profiles."""
    return [
        ReferenceRow(_model(p), p.hardware, p.configuration, p.batch, p.throughput_sps, p.latency_ms)
        for p in profiles
    ]


class _Reference(NamedTuple):
    """The reference's rows of one model, class by class."""

    throughput_sps: np.ndarray  # (rows, 1)
    batch: np.ndarray  # (rows, 1)
    latency_ms: np.ndarray  # (rows, 1)
    first_of_class: np.ndarray  # (classes,)


def _reference(classes: list[list[ReferenceRow]]) -> _Reference:
    rows = [row for mine in classes for row in mine]
    sizes = [len(mine) for mine in classes]
    return _Reference(
        np.array([[row.throughput_sps] for row in rows]),
        np.array([[row.batch] for row in rows]),
        np.array([[row.latency_ms] for row in rows]),
        np.cumsum([0, *sizes[:-1]]),
    )


def _run_times_s(rows: _Reference, samples: np.ndarray) -> np.ndarray:
    """Shape (rows, samples)."""
    # the formula of Profile.run_time_s, frozen with the rows
    return np.maximum(samples / rows.throughput_sps, np.ceil(samples / rows.batch) * rows.latency_ms / 1000.0)


def _model(profile: Profile) -> str:
    return address(profile.model, profile.model_version)


def _sort_key(profile: Profile) -> tuple[str, str, str]:
    return _model(profile), profile.hardware, profile.configuration


def _profile_key(profile: Profile) -> str:
    return " on ".join((_model(profile), profile.hardware)) + f" as {profile.configuration}"


def _hardware_key(hardware: Hardware) -> str:
    return hardware.name


def _shipped(kind: type[Row], name: str, problems: list[str]) -> list[Placed[Row]]:
    text = (files("synergai.offline_profiles") / "data" / name).read_text(encoding="utf-8")
    return read_rows(kind, text, f"shipped {name}", problems)


def _from_file(kind: type[Row], path: Path, problems: list[str]) -> list[Placed[Row]]:
    text = read_text(path, problems)
    return [] if text is None else read_rows(kind, text, str(path), problems)


def _twice(rows: Sequence[Placed[Row]], key: Callable[[Row], str]) -> list[str]:
    problems: list[str] = []
    first: dict[str, str] = {}
    for row in rows:
        name = key(row.value)
        if name in first:
            column = "name" if isinstance(row.value, Hardware) else "configuration"
            problems.append(f"{row.place}, column {column}: {name} is there twice, first in {first[name]}")
        first.setdefault(name, row.place)
    return problems


def _misplaced(row: Placed[Profile], known: dict[str, Hardware]) -> list[str]:
    """What is wrong with a profile on the hardware class it names."""
    profile = row.value
    hardware = known.get(profile.hardware)
    if hardware is None:
        reason = "is unknown; describe it in a hardware file"
        return [f"{row.place}, column hardware: {profile.hardware!r} {reason}"]
    if profile.device_units and not hardware.resource:
        return [
            f"{row.place}, column device_units: {profile.device_units}, but {hardware.name} has no resource"
        ]
    return []


def _sha256(rows: Iterable[Hardware | Profile | ReferenceRow]) -> str:
    return hashlib.sha256("\n".join(repr(astuple(row)) for row in rows).encode()).hexdigest()
