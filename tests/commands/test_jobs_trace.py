"""`synergai submit --trace`."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_world import World, assert_one_line, at, complete, failed
from typer.testing import CliRunner

from synergai.cli import app
from synergai.envs import arrivals
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.commands.trace import read_arrivals
from synergai.k8s_bridge.commands.wish import Wish
from synergai.k8s_bridge.inference.job import PATH, PLURAL

FAST = ("--speed", "1000")


def trace(folder: Path, *lines: str) -> str:
    path = folder / "trace.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def refused(folder: Path, *lines: str, words: tuple[str, ...] = ()):
    file = trace(folder, *lines)
    return CliRunner().invoke(app, ["submit", "--trace", file, *words, "--kubeconfig", str(folder / "none")])


# what is sent ---------------------------------------------------------------------------------------------------------
def test_each_row_is_a_job_with_what_it_says_and_the_options_for_the_rest(
    world: World, tmp_path: Path
) -> None:
    file = trace(
        tmp_path,
        "arrival_s,model,samples,deadline_s,priority_class,namespace,hardware,site",
        "5,net,100,30,batch,team-b,,",
        "6.5,edge,20,,,,gpu-a,plant-1",
    )
    words = ("submit", "--trace", file, *FAST, "--deadline", "60s", "--hardware", "xeon", "--no-wait")
    result = world.run(*words)
    assert (result.exit_code, result.stdout) == (0, "2 of 2 jobs created\n"), result.output
    first, second = sorted(world.jobs().values(), key=lambda job: job.name, reverse=True)
    assert first.name.startswith("net-")
    assert first.name.endswith("-1")
    assert second.name.endswith("-2")
    assert (first.namespace, second.namespace) == ("team-b", "default")
    assert first.spec is not None
    assert second.spec is not None
    assert (first.spec.model, first.spec.samples, first.spec.priority_class) == ("net", 100, "batch")
    assert (second.spec.site, second.spec.hardware, first.spec.hardware) == ("plant-1", {"gpu-a"}, {"xeon"})


def test_deadlines_count_from_the_arrivals_and_are_divided_by_the_speed(world: World, tmp_path: Path) -> None:
    file = trace(tmp_path, "arrival_s,deadline_s", "100,30", "110,30")
    words = ("submit", "--trace", file, "--speed", "100", "--model", "net", "--samples", "1", "--no-wait")
    assert world.run(*words).exit_code == 0
    first, second = (job.spec for _, job in sorted(world.jobs().items()))
    assert first is not None
    assert second is not None
    assert (second.deadline_at_us or 0) - (first.deadline_at_us or 0) == 100_000


def test_a_trace_of_arrivals_and_tokens_takes_its_model_and_median_size_from_the_options(
    world: World, tmp_path: Path
) -> None:
    file = trace(tmp_path, "arrival_ms,tokens", "0,10", "10,20", "20,40")
    words = ("submit", "--trace", file, *FAST, "--model", "net", "--samples", "100", "--no-wait")
    assert world.run(*words).exit_code == 0
    sizes = [job.spec.samples for _, job in sorted(world.jobs().items()) if job.spec]
    assert sizes == [50, 100, 200]


def test_a_shipped_trace_is_known_by_its_name() -> None:
    name = next((Path(arrivals.__file__).parent / "traces").glob("*.csv.gz")).name.removesuffix(".csv.gz")
    found = read_arrivals(name, Wish(model="net", samples=100))
    assert len(found) == len(arrivals.read_trace(name)[0])
    assert found[0].at_s == 0
    assert 100 in {one.spec["input"]["samples"] for one in found}


def test_a_dry_run_prints_every_job(tmp_path: Path) -> None:
    file = trace(tmp_path, "arrival_s,model,samples", "0,net,1", "1,edge,2")
    result = CliRunner().invoke(app, ["submit", "--trace", file, "--dry-run"])
    assert [body["spec"]["input"]["samples"] for body in yaml.safe_load_all(result.stdout)] == [1, 2]


# what is refused before anything is sent ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (("arrival_s,model,samples", "0,net,1", "1,net,none"), "trace.csv line 3: samples is 'none'"),
        (("arrival_s,model,samples", "0,net,0"), "trace.csv line 2: samples (spec.input.samples) is '0'"),
        (("arrival_s,model,samples", "0,,1"), "trace.csv line 2: model (spec.model.name) is missing"),
        (("arrival_s,model,samples", "soon,net,1"), "trace.csv line 2: arrival_s is 'soon'"),
        (("arrival_s,model,samples", "nan,net,1"), "trace.csv line 2: arrival_s is 'nan'"),
        (("arrival_s,model,samples", "-1,net,1"), "trace.csv line 2: arrival_s is '-1'"),
        (("arrival_s,model,samples,deadline_s", "0,net,1,x"), "trace.csv line 2: deadline_s is 'x'"),
        (("arrival_s,model,samples,namespace", "0,net,1,A/B"), "trace.csv line 2: namespace is 'A/B'"),
        (("arrival_s,model,samples,site", "0,net,1,a b"), "line 2: site (spec.placement.originSite)"),
        (("arrival_s,model,samples", "0,net"), "trace.csv line 2: it has not as many values"),
        (("arrival_s,modell,samples", "0,net,1"), "trace.csv line 1: unknown column 'modell'"),
        (("model,samples", "net,1"), "trace.csv line 1: columns are model,samples; expected arrival_s"),
        (("arrival_s,model,samples",), "trace.csv: no arrivals"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(tmp_path: Path, lines: tuple[str, ...], named: str) -> None:
    assert_one_line(refused(tmp_path, *lines), named)


def test_several_bad_rows_are_a_line_each(tmp_path: Path) -> None:
    result = refused(tmp_path, "arrival_s,model,samples", *["0,net,0"] * 8)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [f"line {n}: " in line for n, line in enumerate(lines[:5], 2)] == [True] * 5
    assert lines[5] == "synergai submit: and 3 more"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    words = ["submit", "--trace", str(tmp_path / "none.csv"), "--kubeconfig", str(tmp_path / "none")]
    assert_one_line(CliRunner().invoke(app, words), "none.csv")


def test_an_unknown_trace(tmp_path: Path) -> None:
    words = ["submit", "--trace", "ghost", "--model", "net", "--samples", "1"]
    assert_one_line(CliRunner().invoke(app, words), "'ghost'", "ends in .csv")


def test_a_trace_has_its_own_names(tmp_path: Path) -> None:
    assert_one_line(refused(tmp_path, "arrival_s", "0", words=("--name", "a")), "--name")


# to the end -----------------------------------------------------------------------------------------------------------
def test_how_all_of_them_ended_is_counted(world: World, tmp_path: Path) -> None:
    world.plays(
        by_name={
            "met": complete(at(-1), at(-2), True),
            "late": complete(at(-5), at(-3.7), False),
            "free": complete(),
            "bad": failed(),
        }
    )
    rows = [f"{n},{name},1,5,{ns}" for n, (name, ns) in enumerate(
        [("met", ""), ("met", "team-b"), ("late", ""), ("free", ""), ("bad", "team-b")]
    )]  # fmt: skip
    file = trace(tmp_path, "arrival_s,model,samples,deadline_s,namespace", *rows)
    result = world.run("submit", "--trace", file, *FAST)
    assert result.exit_code == 1, result.output
    assert result.stdout.splitlines() == [
        "5 of 5 jobs created: 2 in time, 1 late, 1 complete, 1 failed",
        "the latest 1.3 s after its deadline",
    ]


def test_when_none_failed_the_exit_code_is_0(world: World, tmp_path: Path) -> None:
    world.plays(complete(at(-5), at(-3.7), False))
    file = trace(tmp_path, "arrival_s,model,samples", "0,net,1", "1,net,1")
    assert world.run("submit", "--trace", file, *FAST).exit_code == 0


def test_an_interrupt_stops_sending_and_says_how_many_were_created(world: World, tmp_path: Path) -> None:
    async def interrupt(call) -> None:
        if call.verb == "create" and call.target.resource.plural == PLURAL:
            world.server.before = None
            signal.pthread_kill(main, signal.SIGINT)

    main = threading.main_thread().ident
    assert main is not None
    world.before(interrupt)
    file = trace(tmp_path, "arrival_s,model,samples", "0,net,1", "1000,net,1", "2000,net,1")
    result = world.run("submit", "--trace", file)
    assert result.exit_code == 130, result.output
    assert result.stdout == "1 of 3 jobs created: 1 go on\n"
    assert len(world.jobs()) == 1


def test_lost_replies_create_nothing_twice(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, lost = ApiClient.post, []

    async def losing(self: ApiClient, path: str, body: object, **more: Any) -> Any:
        reply = await post(self, path, body, **more)
        if len(lost) < 3:
            lost.append(path)
            raise ApiError(0, "Disconnected", "the reply is lost")
        return reply

    monkeypatch.setattr(ApiClient, "post", losing)
    file = trace(tmp_path, "arrival_s,model,samples", *[f"{n},net,{n + 1}" for n in range(10)])
    words = ("submit", "--trace", file, *FAST, "--no-wait")
    result = world.run(*words)
    assert result.stdout == "10 of 10 jobs created\n", result.output
    assert len(lost) == 3
    sizes = sorted(job.spec.samples for job in world.jobs().values() if job.spec)
    assert sizes == list(range(1, 11))


def test_a_row_that_the_server_refuses_ends_the_sending_and_is_named(world: World, tmp_path: Path) -> None:
    rows = ["0,net,1,", "1,net,1,nowhere", "1000000,net,1,"]
    file = trace(tmp_path, "arrival_s,model,samples,namespace", *rows)
    result = world.run("submit", "--trace", file, *FAST, "--no-wait")
    assert result.exit_code == 2
    said = result.stderr.splitlines()[-1]
    assert "trace.csv line 3: " in said
    assert 'namespaces "nowhere" not found' in said
    assert result.stdout == "1 of 3 jobs created\n"


def test_who_may_create_and_not_watch_still_sends_all(world: World, tmp_path: Path) -> None:
    file = trace(tmp_path, "arrival_s,model,samples", "0,net,1", "1,net,1")
    result = world.run("submit", "--trace", file, *FAST, user="sender")
    assert result.exit_code == 2
    assert result.stdout == "2 of 2 jobs created\n"
    assert "the jobs cannot be followed: no permission" in result.stderr


def test_the_jobs_of_one_trace_can_be_selected(world: World, tmp_path: Path) -> None:
    file = trace(tmp_path, "arrival_s,model,samples", "0,net,1", "1,edge,1")
    world.run("submit", "--trace", file, *FAST, "--no-wait")
    found = world.ask("GET", f"{PATH}/{PLURAL}")["items"]
    assert len({item["metadata"]["labels"]["synergai.dev/submission"] for item in found}) == 1
