"""Power of a configuration: measured in its run, else derived from the nearest measured run, else assumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from synergai.offline_profiles.choose import Figure, Source, accelerators, place_of, round_of

# Share of the span from idle to peak that a run is assumed to draw where nothing is published; a CPU run
# leaves a Jetson's accelerator idle. docs/profiles.md sets them beside what measured runs draw.
LOAD = {"Offline": 0.8, "SingleStream": 0.55}
CPU_LOAD_ON_JETSON = 0.4


class Power(NamedTuple):
    """Watts of the node, and where they come from."""

    active_w: float
    idle_w: float
    basis: str


@dataclass(frozen=True, slots=True)
class PowerTable:
    """What is known of the power of one hardware class."""

    rows: Sequence[Source]
    kind: str
    idle_w: float
    peak_w: float

    def of(self, figure: Figure) -> Power:
        """Power of a figure on all the cores or the whole accelerator."""
        alike = [row for row in self.rows if self._is_alike(row, figure)]
        own = [row for row in alike if figure.source == place_of(row) and accelerators(row) == 1]
        if own and own[0]["idle_power_w_est"]:
            return Power(float(own[0]["power_w"]), float(own[0]["idle_power_w_est"]), "measured")
        if own:
            return Power(
                self.idle_w + self._above_idle_w(own[0]), self.idle_w, "derived: load measured, idle assumed"
            )
        same_model = [row for row in alike if row["model_family"] == figure.model]
        if same_model:
            newest = max(same_model, key=round_of)
            shared = f", one share of {accelerators(newest)} accelerators" if accelerators(newest) > 1 else ""
            why = f"derived: above idle as in the {newest['mlperf_version']} run{shared}"
            return Power(self.idle_w + self._above_idle_w(newest), self.idle_w, why)
        if alike:
            above_idle_w = median(self._above_idle_w(row) for row in alike)
            why = f"derived: above idle as in this hardware's {figure.scenario} runs, median of {len(alike)}"
            return Power(self.idle_w + above_idle_w, self.idle_w, why)
        return self._assumed(figure)

    def class_idle_w(self) -> float | None:
        """Median measured idle power of single-accelerator runs, None if there is none."""
        idle = [
            float(r["idle_power_w_est"]) for r in self.rows if r["idle_power_w_est"] and accelerators(r) == 1
        ]
        return median(idle) if idle else None

    def _is_alike(self, row: Source, figure: Figure) -> bool:
        on_cpu = (row["compute_unit"] == "cpu") == (figure.unit == "cpu")
        return bool(row["power_w"]) and on_cpu and row["scenario"] == figure.scenario

    def _above_idle_w(self, row: Source) -> float:
        idle_w = float(row["idle_power_w_est"] or self.idle_w)
        return max(0.0, float(row["power_w"]) - idle_w) / accelerators(row)

    def _assumed(self, figure: Figure) -> Power:
        on_jetson_cpu = self.kind == "jetson" and figure.unit == "cpu"
        load = CPU_LOAD_ON_JETSON if on_jetson_cpu else LOAD[figure.scenario]
        why = f"assumed: {load:g} of the span from {self.idle_w:g} W idle to {self.peak_w:g} W"
        return Power(self.idle_w + load * (self.peak_w - self.idle_w), self.idle_w, why)


def of_share(power: Power, share: float) -> Power:
    """Power of a run on a share of the cores."""
    if share >= 1:
        return power
    above_idle_w = (power.active_w - power.idle_w) * share
    basis = power.basis.removeprefix("derived: ").removeprefix("assumed: ")
    word = "assumed" if power.basis.startswith("assumed") else "derived"
    return Power(
        power.idle_w + above_idle_w, power.idle_w, f"{word}: {share:g} of all cores' power ({basis})"
    )
