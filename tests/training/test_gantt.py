"""The picture of a run: what is drawn is what ran, and what cannot be drawn is said."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from synergai.envs import scenario
from synergai.envs.candidates import scratch_for
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import run_rule
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.world import Sim, new_sim
from synergai.training.evaluation import gantt


@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(scenario.load("demo").model_copy(update={"load": 0.9}))


@pytest.fixture(scope="module")
def sim(setting: Setting) -> Sim:
    """A run that holds jobs and is late with some."""
    sim = new_sim(setting, make_tape(setting, 3, 120))
    run_rule(sim, scratch_for(sim.state), RULE_NUMBER["synergai"], 1 << 60)
    return sim


def test_every_job_that_started_has_a_bar(sim: Sim) -> None:
    assert len(gantt.bars_of(sim)) == (sim.outcomes["start_us"] >= 0).sum()


def test_bars_of_a_lane_do_not_overlap(sim: Sim) -> None:
    lanes: dict[tuple[int, int], list[gantt.Bar]] = {}
    for bar in gantt.bars_of(sim):
        lanes.setdefault((bar.node, bar.lane), []).append(bar)
    for bars in lanes.values():
        assert all(a.finish_s <= b.start_s for a, b in itertools.pairwise(bars))


def test_as_many_bars_are_late_as_jobs_violated_and_ran(sim: Sim) -> None:
    ran = sim.outcomes["start_us"] >= 0
    assert sum(bar.late for bar in gantt.bars_of(sim)) == sim.outcomes["violated"][ran].sum() > 0


def test_a_job_that_was_held_waited_on_hold_from_its_first_hold_on(sim: Sim) -> None:
    held = sim.outcomes["held_us"] >= 0
    assert held.any()
    arrival_us = sim.tape.jobs["arrival_us"]
    assert (sim.outcomes["held_us"][held] >= arrival_us[held]).all()
    started = held & (sim.outcomes["start_us"] >= 0)
    assert (sim.outcomes["held_us"][started] <= sim.outcomes["start_us"][started]).all()
    assert sum(bar.held_s < bar.start_s for bar in gantt.bars_of(sim)) == np.sum(
        sim.outcomes["held_us"][started] < sim.outcomes["start_us"][started]
    )


@pytest.mark.parametrize("suffix", gantt.SUFFIXES)
def test_it_is_drawn(setting: Setting, sim: Sim, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"gantt{suffix}"
    gantt.draw(setting, sim, path, "a <run>")
    assert path.stat().st_size > 5000


def test_a_page_loads_nothing(setting: Setting, sim: Sim, tmp_path: Path) -> None:
    path = tmp_path / "gantt.html"
    gantt.draw(setting, sim, path, "a <run>")
    text = path.read_text()
    assert "a &lt;run&gt;" in text
    assert not re.search(r"<(script|link|img|iframe)\b|src=|url\(http", text)


def test_another_kind_of_file_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"out\.pdf: the name must end in \.png, \.svg, \.html"):
        gantt.check(Path("out.pdf"), 3)


def test_more_nodes_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2000 nodes do not fit a picture, at most 300 do"):
        gantt.check(Path("out.png"), 2000)
