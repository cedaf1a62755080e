"""`synergai jobs`."""

import re
import signal

import pytest
from job_world import (
    World,
    assert_one_line,
    at,
    attempt,
    complete,
    condition,
    failed,
    now_us,
    running,
)

from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.commands.book import Book
from synergai.k8s_bridge.inference.job import job_path


def table(world: World, *words: str) -> list[dict[str, str]]:
    """Rows by column, as they are printed where there is no terminal."""
    result = world.run("jobs", *words)
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    names = head.split()
    starts = [found.start() for found in re.finditer(r"\S+", head)]
    ends = [*starts[1:], 10_000]
    return [{n: line[a:b].strip() for n, a, b in zip(names, starts, ends)} for line in lines]


def test_a_job_is_a_row_with_what_it_asks_for_and_where_it_is(world: World) -> None:
    world.job("a", running(attempt(0, end={"reason": "NodeLost"}), attempt(1, "n1")), deadline={"at": at(60)})
    (row,) = table(world)
    assert (row["NAME"], row["MODEL"], row["SAMPLES"]) == ("a", "net", "100")
    assert (row["PHASE"], row["NODE"], row["ATTEMPTS"]) == ("Running", "n1", "2")
    assert row["HARDWARE/CONFIGURATION"] == "gpu-a/ort-b8"
    assert "(in " in row["DEADLINE"]
    assert row["AGE"].endswith(" s")


def test_what_goes_on_comes_first_by_its_deadline_and_what_has_ended_last(world: World) -> None:
    world.job("done-early", complete(finished=at(-50)))
    world.job("no-deadline")
    world.job("relaxed", running(), deadline={"at": at(100)})
    world.job("done-late", complete(finished=at(-10)))
    world.job("relative", deadline={"after": "50s"})
    world.job("urgent", deadline={"at": at(5)})
    order = ["urgent", "relative", "relaxed", "no-deadline", "done-late", "done-early"]
    assert [row["NAME"] for row in table(world)] == order


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (complete(at(-1), at(-4.2), True), "(in time by 3.2 s)"),
        (complete(at(-5), at(-3.7), False), "(late by 1.3 s)"),
        (complete(at(-5), at(-3.7), False) | {"excess": "1.300s"}, "(late by 1.3 s)"),
        (failed() | {"deadlineTime": at(-5)}, "(failed)"),
    ],
)
def test_of_a_job_that_has_ended_it_is_said_how_its_deadline_went(world: World, status, said: str) -> None:
    world.job("a", status)
    assert table(world)[0]["DEADLINE"].endswith(said)


def test_a_pending_job_says_why(world: World) -> None:
    conditions = [
        condition("Suspended", False, "JobResumed", in_s=-60),
        condition("Placed", False, "NoRuntime", "no runtime has a variant for net"),
    ]
    world.job("a", {"phase": "Pending", "conditions": conditions})
    assert table(world)[0]["WHY"] == "NoRuntime: no runtime has a variant for net"


@pytest.mark.parametrize("status", [None, {"phase": "Pending"}])
def test_a_job_that_no_bridge_has_looked_at_says_so(world: World, status: dict[str, str] | None) -> None:
    world.job("a", status)
    row = table(world)[0]
    assert (row["PHASE"], row["WHY"]) == ("Unseen", "no bridge has looked at it")


SPEC = {"model": {"name": "net"}, "input": {"samples": 1}}


def test_a_spec_that_cannot_be_used_is_in_the_table_with_what_is_wrong(world: World) -> None:
    world.job("a", deadline={"after": "30s", "at": "2026-11-22T10:00:00Z"})
    row = table(world)[0]
    assert (row["MODEL"], row["SAMPLES"]) == ("-", "-")
    assert "spec.deadline has" in row["WHY"]


def test_a_message_cannot_move_the_cursor(world: World) -> None:
    conditions = [condition("Placed", False, "X", "a\x1b[2Jb\nc")]
    world.job("a", {"phase": "Pending", "conditions": conditions})
    assert table(world)[0]["WHY"] == "X: a?[2Jb?c"


def test_a_namespace_has_its_own_jobs_and_all_are_told_apart(world: World) -> None:
    world.job("a")
    world.job("b", namespace="team-b")
    assert [row["NAME"] for row in table(world, "-n", "team-b")] == ["b"]
    assert {(row["NAMESPACE"], row["NAME"]) for row in table(world, "-A")} == {
        ("default", "a"),
        ("team-b", "b"),
    }


def test_none_is_a_line(world: World) -> None:
    assert world.run("jobs").stdout == "no InferenceJobs in namespace default; `synergai submit` makes one\n"


def test_watching_prints_the_table_again_when_a_job_changes_until_it_is_interrupted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.job("a")
    ticks = 0
    tick = Book.tick

    async def change(self: Book, most_s: float = 0.5) -> None:
        nonlocal ticks
        if self.listed:
            ticks += 1
            if ticks == 1:
                world.report("a", running())
            if ticks == 4:
                signal.raise_signal(signal.SIGINT)
        await tick(self, most_s)

    monkeypatch.setattr(Book, "tick", change)
    result = world.run("jobs", "--watch")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("NAME") == 2
    assert "Unseen" in result.stdout.splitlines()[1]
    assert "Running" in result.stdout.splitlines()[3]


def test_problems_are_a_line(world: World, bare: World) -> None:
    assert_one_line(world.run("jobs", user="nobody"), "no permission", "cannot list", "default")
    assert_one_line(world.run("jobs", "-A", "--watch", user="nobody"), "no permission", "cannot list")


def test_without_the_definitions_it_is_said_how_to_install_them(bare: World) -> None:
    assert_one_line(bare.run("jobs"), "does not know InferenceJobs", "kubectl apply -k")
    assert_one_line(bare.run("jobs", "--watch"), "does not know InferenceJobs", "kubectl apply -k")


def test_many_jobs_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergai.k8s_bridge.commands.listing.PAGE", 2)
    for name in "abcde":
        world.job(name)
    assert len(table(world)) == 5


# cancelling -----------------------------------------------------------------------------------------------------------
def test_cancelling_deletes_the_job_and_says_what_ran(world: World) -> None:
    world.job("a", running())
    result = world.run("cancel", "a")
    assert (result.exit_code, result.stdout) == (
        0,
        "a cancelled: it was Running on n0 (gpu-a) as ort-b8\n",
    ), result.output
    assert world.jobs() == {}


def test_unknown_names_are_named_and_the_others_are_cancelled(world: World) -> None:
    world.job("a")
    world.job("b", complete())
    result = world.run("cancel", "ghost", "a", "../pods", "b")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "synergai cancel: there is no InferenceJob ghost in namespace default",
        "synergai cancel: there is no InferenceJob ../pods in namespace default",
    ]
    assert result.stdout.splitlines() == [
        "a cancelled: it was Unseen",
        "b cancelled: it had ended (Succeeded), its record is deleted",
    ]
    assert world.jobs() == {}


def test_all_are_those_of_the_namespace_that_have_not_ended(world: World) -> None:
    world.job("a")
    world.job("b", complete())
    world.job("c", namespace="team-b")
    assert world.run("cancel", "--all").exit_code == 0
    assert sorted(world.jobs()) == ["b", "c"]
    assert world.run("cancel", "--all").stdout == "no InferenceJob goes on in namespace default\n"


def test_a_job_that_took_the_name_meanwhile_is_not_cancelled(world: World) -> None:
    world.job("a")

    async def replace(call) -> None:
        if call.verb == "delete":
            world.server.before = None
            await world._ask("DELETE", job_path("default", "a"))
            body = {"apiVersion": "synergai.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "a"}}
            await world._ask("POST", job_path("default"), body | {"spec": SPEC})

    world.before(replace)
    result = world.run("cancel", "a")
    assert result.exit_code == 1
    assert "a was replaced by another of its name" in result.stderr
    assert "a" in world.jobs()


def test_names_or_all_but_not_both(world: World) -> None:
    assert_one_line(world.run("cancel"), "name the jobs, or all")
    assert_one_line(world.run("cancel", "a", "--all"), "name the jobs, or all")


def test_a_right_that_is_missing_is_named(world: World) -> None:
    assert_one_line(world.run("cancel", "a", user="nobody"), "no permission", "cannot get", "default")


def test_a_time_is_written_with_its_date_where_it_is_another_day(world: World) -> None:
    world.job("a", deadline={"at": format_time_us(now_us(200_000))})
    assert table(world)[0]["DEADLINE"].startswith("20")
