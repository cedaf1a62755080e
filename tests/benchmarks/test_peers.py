"""The simulator beside others: the same queue is the same queue, and whoever is absent is named."""

import json
import sys

import pytest
from typer.testing import CliRunner, Result

from synergai.benchmarks import figure
from synergai.benchmarks.queueing import like_servers, simpy_starts_us, simulated, tape_of
from synergai.cli import app


def run(*args: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}).invoke(app, ["bench", *args])


@pytest.mark.parametrize("servers", [1, 3, 8])
@pytest.mark.parametrize("load", [0.7, 0.95])
def test_each_job_starts_in_simpy_when_it_starts_in_the_simulator(servers: int, load: float) -> None:
    setting = like_servers(servers, load)
    tape = tape_of(setting, 1, 300)
    outcomes = simulated(setting, tape).outcomes
    run_us = outcomes["finish_us"] - outcomes["start_us"]
    starts_us = simpy_starts_us(tape.jobs["arrival_us"].tolist(), run_us.tolist(), servers)
    assert (outcomes["start_us"] > tape.jobs["arrival_us"]).any(), "no job waits"
    assert starts_us == outcomes["start_us"].tolist()


@pytest.fixture
def one_peer_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "synergai.benchmarks.peers", raising=False)
    monkeypatch.setitem(sys.modules, "gpu_choochoo", None)


@pytest.mark.usefixtures("one_peer_is_absent")
def test_the_figure_names_the_peer_that_is_absent_and_the_extra() -> None:
    result = run("peers")
    assert result.exit_code == 2, result.output
    assert result.stderr == "synergai bench: peers needs gpu_choochoo: pip install 'synergai[peers]'\n"


@pytest.mark.usefixtures("one_peer_is_absent")
def test_all_figures_but_the_one_whose_packages_are_absent_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = {name: figure.FIGURES[name] for name in ("peers", "gym_steps_per_s")}
    monkeypatch.setattr(figure, "FIGURES", two)
    result = run("all", "--seconds", "0.01")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["name"] for line in result.stdout.splitlines()] == ["gym_steps_per_s"]
    assert "left out" in result.stderr
    assert "gpu_choochoo" in result.stderr
