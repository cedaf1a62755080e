"""What finished runs have taught, by names: it outlives every numbering of the options, and nodes that go."""

from collections.abc import Iterable, Mapping
from math import log
from typing import NamedTuple

from synergai.envs.catalog import Catalog
from synergai.envs.state import ClusterState
from synergai.offline_profiles.table import base_address

WIDEST_RATIO = 8.0
"""No run, and no history, says more than that an option takes so many times as long as predicted, or that part of it:
a clock that jumped, or a paused machine, is not a profile's error."""
WIDEST_LOG = log(WIDEST_RATIO)


class OptionName(NamedTuple):
    """An option, apart from its number."""

    model: str
    hardware: str
    configuration: str
    site: str = ""


class Learnt(NamedTuple):
    """Of one option: how many runs were seen, and the log of observed over predicted run time."""

    runs: float
    log_ratio: float


def names_of(catalog: Catalog) -> list[OptionName]:
    """Of each option, in order: by model, group and configuration, as `build_catalog` numbers them. What one model has
    in common with another (`own_address`) has one name."""
    return [
        OptionName(base_address(model), profile.hardware, profile.configuration, catalog.sites[s])
        for model in catalog.models
        for h, s in catalog.groups
        for profile in catalog.table.of(model, catalog.classes[h])
    ]


class Memory:
    """What was learnt of every option that there has been."""

    def __init__(self) -> None:
        self._known: dict[OptionName, Learnt] = {}

    def note(self, catalog: Catalog, state: ClusterState) -> None:
        """Take over the history of a state."""
        for name, record in zip(names_of(catalog), state.history):
            if record["count"] > 0:
                self._known[name] = Learnt(float(record["count"]), float(record["log_ratio"]))

    def merge(self, learnt: Mapping[OptionName, Learnt]) -> None:
        """Of each option what stands on more runs stays."""
        for name, found in learnt.items():
            log_ratio = min(max(found.log_ratio, -WIDEST_LOG), WIDEST_LOG)
            if found.runs > self._known.get(name, Learnt(0.0, 0.0)).runs:
                self._known[name] = Learnt(found.runs, log_ratio)

    def forget(self, names: Iterable[OptionName]) -> None:
        for name in names:
            self._known.pop(name, None)

    def fill(self, catalog: Catalog, state: ClusterState) -> None:
        """The history of a state. An option that has not run at its site begins with what is known from the others,
        as the profile is the same."""
        elsewhere: dict[tuple[str, str, str], Learnt] = {}
        for name, found in self._known.items():
            if found.runs > elsewhere.get(name[:3], Learnt(0.0, 0.0)).runs:
                elsewhere[name[:3]] = found
        for name, record in zip(names_of(catalog), state.history):
            found = self._known.get(name) or elsewhere.get(name[:3])
            if found is not None:
                record["count"], record["log_ratio"] = found

    def known(self) -> dict[OptionName, Learnt]:
        """A copy."""
        return dict(self._known)
