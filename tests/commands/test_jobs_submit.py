"""`synergai submit` of one job."""

import signal
from pathlib import Path

import pytest
import yaml
from job_world import World, assert_one_line, at, attempt, complete, condition, failed, now_us, running
from typer.testing import CliRunner

from synergai.cli import app
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.commands.wish import OPTIONS
from synergai.k8s_bridge.embedded.errors import ApiError
from synergai.k8s_bridge.inference.job import RuntimeRef, job_path

SIMPLE = ("submit", "--model", "net", "--samples", "100")
UNSEEN = ("Unseen: no bridge has looked at it",)


def waiting(reason: str, message: str = "") -> dict:
    return {"phase": "Pending", "conditions": [condition("Placed", False, reason, message)]}


# what is created ------------------------------------------------------------------------------------------------------
def test_every_option_is_in_the_job(world: World) -> None:
    result = world.run(
        *("submit", "--model", "net:2", "--samples", "100", "--deadline", "2026-11-22T10:00:00.250000Z"),
        *(
            "--hardware",
            "gpu-a, xeon",
            "--site",
            "plant-3",
            "--node-selector",
            "a=b",
            "--node-selector",
            "c=d",
        ),
        *("--priority-class", "batch", "--runtime", "ClusterInferenceRuntime/ort", "--input", "s3://in"),
        *("--output", "s3://out", "--backoff-limit", "0", "--ttl", "1h", "--name", "mine", "-n", "team-b"),
        "--no-wait",
    )
    assert (result.exit_code, result.stdout) == (0, "mine\n"), result.output
    job = world.jobs()["mine"]
    assert job.namespace == "team-b"
    spec = job.spec
    assert spec is not None
    assert (spec.model, spec.samples, spec.site, spec.priority_class) == ("net:2", 100, "plant-3", "batch")
    assert spec.hardware == {"gpu-a", "xeon"}
    assert spec.selector == (("a", "b"), ("c", "d"))
    assert spec.runtime == RuntimeRef("ClusterInferenceRuntime", "ort")
    assert (spec.input_uri, spec.output_uri) == ("s3://in", "s3://out")
    assert (spec.backoff_limit, spec.ttl_s, spec.deadline_at_us) == (0, 3600, 1_795_341_600_250_000)


def test_a_job_without_a_name_is_called_like_its_model(world: World) -> None:
    result = world.run("submit", "--model", "Org/Net_1", "--samples", "1", "--no-wait")
    assert result.stdout.startswith("org-net-1-")
    assert list(world.jobs()) == [result.stdout.strip()]


def test_a_relative_deadline_becomes_a_time_on_the_servers_clock(world: World) -> None:
    early_us = now_us(30)
    world.run(*SIMPLE, "--deadline", "30s", "--name", "a", "--no-wait")
    spec = world.jobs()["a"].spec
    assert spec is not None
    assert spec.deadline_at_us is not None
    assert early_us <= spec.deadline_at_us <= now_us(30)


def test_a_dry_run_prints_a_job_that_can_be_created_and_asks_nobody(tmp_path: Path) -> None:
    words = [*SIMPLE, "--deadline", "30s", "--dry-run", "--kubeconfig", str(tmp_path / "none")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    body = yaml.safe_load(result.stdout)
    assert body["apiVersion"] == "synergai.dev/v1alpha1"
    assert body["kind"] == "InferenceJob"
    assert body["spec"] == {"model": {"name": "net"}, "input": {"samples": 100}, "deadline": {"after": "30s"}}


# what is refused before anything is sent ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--samples", "0"), "--samples (spec.input.samples) is '0'; write a whole number"),
        (("--model", ""), "--model (spec.model.name) is missing"),
        (("--model", "net:"), "--model (spec.model.version)"),
        (("--model", "no spaces"), "--model (spec.model.name) is 'no spaces'"),
        (("--deadline", "soon"), "--deadline (spec.deadline.after) is 'soon'"),
        (("--deadline", "2026-13-01T00:00:00Z"), "--deadline (spec.deadline.at)"),
        (("--hardware", "gpu-a,,b"), "--hardware (spec.placement.hardware)"),
        (("--site", "a b"), "--site (spec.placement.originSite)"),
        (("--node-selector", "a"), "--node-selector 'a' is not LABEL=VALUE"),
        (("--priority-class", "UP"), "--priority-class (spec.priorityClassName)"),
        (("--runtime", "Pod/a"), "--runtime (spec.runtimeRef.kind) is 'Pod'"),
        (("--runtime", "InferenceRuntime/"), "--runtime (spec.runtimeRef.name)"),
        (("--backoff-limit", "-1"), "--backoff-limit (spec.backoffLimit) is '-1'"),
        (("--ttl", "later"), "--ttl: 'later' is not a duration"),
        (("--name", "Big"), "--name 'Big' is no name"),
        (("-n", "../x"), "--namespace '../x' is no namespace"),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_sent(
    tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    result = CliRunner().invoke(app, [*SIMPLE, *words, "--kubeconfig", str(tmp_path / "none")])
    assert_one_line(result, "synergai submit: ", named)


def test_each_field_that_an_option_fills_is_an_option(tmp_path: Path) -> None:
    said = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["submit", "--help"]).stdout
    assert [option for option in OPTIONS.values() if option not in said] == []


# waiting --------------------------------------------------------------------------------------------------------------
def test_what_happens_is_told_once_each_and_a_deadline_that_was_met_by_how_much(world: World) -> None:
    deadline, finished = at(30), at(26.8)
    world.plays(
        waiting("NoRoom", "all gpu-a are taken"),
        running() | {"deadlineTime": deadline},
        complete(deadline, finished, True),
        gap_s=0.3,
    )
    result = world.run(*SIMPLE, "--deadline", "30s", "--name", "a")
    assert result.exit_code == 0, result.output
    name, end = result.stdout.splitlines()
    assert name == "a"
    assert end == "a is complete on n0 (gpu-a) as ort-b8, in time by 3.2 s"
    lines = [line.partition(";")[0] for line in result.stderr.splitlines()]
    told = ["Pending: NoRoom: all gpu-a are taken", "Running on n0 (gpu-a) as ort-b8, attempt 1"]
    assert [line for line in lines if line not in UNSEEN] == told
    assert all("; deadline in " in line for line in result.stderr.splitlines())


def test_a_deadline_that_was_missed_is_complete_and_told_by_how_much(world: World) -> None:
    world.plays(complete(at(-5), at(-3.7), False))
    result = world.run(*SIMPLE, "--name", "a")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith("late by 1.3 s")


def test_a_job_without_a_deadline_is_just_complete(world: World) -> None:
    world.plays(complete())
    result = world.run(*SIMPLE, "--name", "a")
    assert result.stdout.splitlines()[-1] == "a is complete on n0 (gpu-a) as ort-b8"


def test_a_job_that_fails_is_exit_code_1_with_the_reason(world: World) -> None:
    world.plays(failed())
    result = world.run(*SIMPLE, "--name", "a")
    assert result.exit_code == 1
    assert "a failed: BackoffLimitExceeded: 3 attempts failed" in result.stderr
    assert "synergai explain job a -n default" in result.stderr


def test_the_next_attempt_is_told(world: World) -> None:
    lost = attempt(0, end={"reason": "NodeLost"})
    world.plays(running(), running(lost, attempt(1, "n1")), complete(), gap_s=0.2)
    result = world.run(*SIMPLE, "--name", "a")
    assert "Running on n1 (gpu-a) as ort-b8, attempt 2" in result.stderr


def test_a_job_that_somebody_deletes_is_told(world: World) -> None:
    async def delete(call) -> None:
        if call.verb == "watch":
            world.server.before = None
            await world._ask("DELETE", job_path("default", "a"))

    world.before(delete)
    result = world.run(*SIMPLE, "--name", "a")
    assert result.exit_code == 1
    assert "a was deleted before it ended" in result.stderr


def test_an_end_that_is_deleted_at_once_is_still_seen(world: World) -> None:
    async def end(call) -> None:
        if call.verb == "watch":
            world.server.before = None
            await world._report("a", complete())
            await world._ask("DELETE", job_path("default", "a"))

    world.before(end)
    assert world.run(*SIMPLE, "--name", "a", "--ttl", "0").exit_code == 0


def test_a_server_that_is_away_for_a_while_is_waited_for(world: World) -> None:
    lost = 0

    async def away(call) -> None:
        nonlocal lost
        if call.verb == "watch" and lost < 2:
            lost += 1
            raise ApiError(503, "ServiceUnavailable", "not now")
        if call.verb == "watch" and lost == 2:
            lost += 1
            await world._report("a", complete())

    world.before(away)
    result = world.run(*SIMPLE, "--name", "a")
    assert result.exit_code == 0, result.output
    assert "the API server does not answer" in result.stderr


def test_an_interrupt_leaves_the_job_and_says_how_to_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synergai.k8s_bridge.commands.book import Book

    tick = Book.tick

    async def interrupt(self: Book, most_s: float = 0.5) -> None:
        signal.raise_signal(signal.SIGINT)
        await tick(self, most_s)

    monkeypatch.setattr(Book, "tick", interrupt)
    result = world.run(*SIMPLE, "--name", "a")
    assert result.exit_code == 130
    assert "a goes on. `synergai jobs -n default --watch` watches it" in result.stderr
    assert "`synergai cancel a -n default` ends it" in result.stderr
    assert "a" in world.jobs()


# replies that are lost ------------------------------------------------------------------------------------------------
def losing_the_reply(world: World, **labels: str) -> None:
    """The first create is carried out, under these labels, and its reply lost."""

    async def lose(call) -> None:
        if call.verb == "create":
            world.server.before = None
            body = {
                "apiVersion": "synergai.dev/v1alpha1",
                "kind": "InferenceJob",
                "metadata": {"name": "a", "labels": labels},
                "spec": {"model": {"name": "net"}, "input": {"samples": 100}},
            }
            await world._ask("POST", job_path("default"), body)
            raise ApiError(503, "ServiceUnavailable", "lost")

    world.before(lose)


def test_a_lost_reply_is_a_job_that_was_created(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergai.k8s_bridge.commands.wish.made_up", lambda: "mine1")
    losing_the_reply(world, **{keys.LABEL_SUBMISSION: "mine1"})
    result = world.run(*SIMPLE, "--name", "a", "--no-wait")
    assert (result.exit_code, result.stdout) == (0, "a\n"), result.output


def test_anothers_job_is_not_taken_for_the_one_whose_reply_was_lost(world: World) -> None:
    losing_the_reply(world)
    assert_one_line(world.run(*SIMPLE, "--name", "a", "--no-wait"), "there is an InferenceJob a")


# problems -------------------------------------------------------------------------------------------------------------
def test_a_name_that_is_taken_is_refused(world: World) -> None:
    world.job("a")
    assert_one_line(
        world.run(*SIMPLE, "--name", "a"), "there is an InferenceJob a in namespace default already"
    )


def test_without_the_definitions_it_is_said_how_to_install_them(bare: World) -> None:
    assert_one_line(bare.run(*SIMPLE), "does not know InferenceJobs", "kubectl apply -k", "synergai cluster")


def test_a_right_that_is_missing_is_named_with_its_namespace(world: World) -> None:
    said = ("no permission", "cannot create", "inferencejobs", "team-b")
    assert_one_line(world.run(*SIMPLE, "-n", "team-b", user="nobody"), *said)


def test_who_may_create_and_not_watch_gets_a_job_and_is_told(world: World) -> None:
    result = world.run(*SIMPLE, "--name", "a", user="sender")
    assert (result.exit_code, result.stdout) == (2, "a\n")
    said = result.stderr.splitlines()[-1]
    assert "default/a was created and goes on, but cannot be followed: no permission" in said


def test_a_namespace_that_does_not_exist_is_named(world: World) -> None:
    assert_one_line(world.run(*SIMPLE, "-n", "nowhere"), 'namespaces "nowhere" not found')


def test_without_a_cluster(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*SIMPLE, "--kubeconfig", str(tmp_path / "none")])
    assert_one_line(result, "synergai submit", "none")


def test_a_cluster_that_does_not_answer(bare: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergai.k8s_bridge.api.client.FIRST_DELAY_S", 0.0)
    monkeypatch.setattr("synergai.k8s_bridge.api.client.LAST_DELAY_S", 0.0)
    bare.server.url = "http://127.0.0.1:1"
    assert_one_line(bare.run(*SIMPLE), "no cluster", "name another with --kubeconfig")
