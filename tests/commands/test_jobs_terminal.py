"""What the commands for InferenceJobs look like, in their help and on a terminal."""

import io

import pytest
from job_world import World, running
from rich.console import Console
from typer.testing import CliRunner

from synergai.cli import app
from synergai.k8s_bridge.commands.following import teller
from synergai.k8s_bridge.commands.listing import nothing, print_table, rows
from synergai.k8s_bridge.commands.sending import Tally, _bar
from synergai.k8s_bridge.inference.job import read_job


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=200)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("verb", "named"),
    [
        (("submit",), ("Create an InferenceJob", "--deadline", "--trace", "--dry-run", "--no-wait")),
        (("jobs",), ("most urgent first", "--watch", "--all-namespaces")),
        (("cancel",), ("Delete InferenceJobs", "--all")),
        (("explain", "job"), ("its attempts", "--namespace")),
        ((), ("submit", "jobs", "cancel")),
    ],
)
def test_help_names_what_a_verb_does(verb: tuple[str, ...], named: tuple[str, ...]) -> None:
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})
    said = " ".join(runner.invoke(app, [*verb, "--help"]).stdout.split())
    assert [part for part in named if part not in said] == []


def test_on_a_terminal_the_line_is_kept_up_to_date_and_brackets_are_no_markup() -> None:
    console = terminal()
    with teller(console) as tell:
        tell("Running", "")
        tell("Pending: [red]taken[/red] by [others]", "; deadline in 3.0 s")
    assert "Pending: [red]taken[/red] by [others]; deadline in 3.0 s" in shown(console)


def test_without_a_terminal_there_is_a_line_for_each_thing_that_is_new() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=20)
    with teller(console) as tell:
        for rest in ("; deadline in 3.0 s", "; deadline in 2.5 s"):
            tell("Pending: a reason that is longer than a line", rest)
        tell("Running [0]", "")
    first = "Pending: a reason that is longer than a line; deadline in 3.0 s"
    assert shown(console).splitlines() == [first, "Running [0]"]


def test_the_table_on_a_terminal_has_the_same_cells(world: World) -> None:
    world.job("a", running())
    job = world.jobs()["a"]
    console = terminal()
    print_table(console, rows([job], job.created_us, False), nothing("default"))
    assert [
        cell for cell in ("a", "net", "100", "Running", "n0", "gpu-a/ort-b8") if cell not in shown(console)
    ] == []


def test_the_bar_of_a_trace_counts_what_is_created_and_what_has_ended() -> None:
    console = terminal()
    raw = {"metadata": {"name": "a", "uid": "u"}, "spec": {}}
    with _bar(console, 2) as show:
        show(Tally(2, {"u": read_job(raw)}), 1)
    assert "1/2" in shown(console)
    assert "1 ended" in shown(console)
