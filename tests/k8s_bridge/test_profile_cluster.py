"""`synergai profile cluster` against an API server that knows nodes, Jobs, pods and their logs."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from typer.testing import CliRunner, Result

from synergai.cli import app
from synergai.k8s_bridge.profiling import pods
from synergai.k8s_bridge.profiling.jobs import job_stem
from synergai.k8s_bridge.profiling.merged import framed
from synergai.k8s_bridge.profiling.pods import Failed
from synergai.offline_profiles.measuring.cli import frame
from synergai.offline_profiles.table import ProfileTable
from tests.k8s_bridge.profiled_world import Api, log_of, node

Json = dict[str, Any]


@pytest.fixture
def serve() -> Iterator[Callable[[Api], str]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runners: list[web.AppRunner] = []

    async def start(api: Api) -> str:
        runners.append(web.AppRunner(api.app()))
        await runners[-1].setup()
        site = web.TCPSite(runners[-1], "127.0.0.1", 0)
        await site.start()
        return runners[-1].addresses[0][1]

    yield lambda api: f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(api), loop).result()}"
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def ask(serve: Callable[[Api], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pods, "POLL_S", 0.01)
    monkeypatch.setattr(pods, "PULLING_S", 0.05)

    def asked(api: Api, *more: str) -> Result:
        config = tmp_path / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": serve(api)}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}
        config.write_text(
            yaml.safe_dump(
                {"clusters": [cluster], "users": [{"name": "u", "user": {"token": "t"}}], "contexts": [context],
                 "current-context": "c"},
            )
        )  # fmt: skip
        given = ["--kubeconfig", str(config), "--out", str(tmp_path / "all.csv"), "--image", "i", *more]
        return CliRunner().invoke(app, ["profile", "cluster", *given], catch_exceptions=False)

    return asked


def table(folder: Path) -> ProfileTable:
    return ProfileTable.load(folder / "all.csv", base=False, hardware=folder / "all-hardware.csv")


def test_each_class_is_measured_once_on_its_first_ready_node(ask, tmp_path: Path) -> None:
    nodes = [node("c", "x"), node("b", "x", "y"), node("a", "x", ready=False)]
    api = Api(nodes, {name: log_of(name) for name in "xy"})
    done = ask(api, "--models-volume", "hostPath:/srv/models", "--", "--quick", "--engines", "openvino")
    assert done.exit_code == 0, done.stderr
    assert [row.hardware for row in table(tmp_path).profiles] == ["x", "y"]
    (one, two) = api.made
    for job in (one, two):
        spec = job["spec"]["template"]["spec"]
        assert (spec["nodeName"], spec["restartPolicy"], job["spec"]["backoffLimit"]) == ("b", "Never", 0)
        assert {"key": "synergai.dev/dedicated", "operator": "Exists"} in spec["tolerations"]
        assert spec["volumes"] == [{"name": "synergai-models", "hostPath": {"path": "/srv/models"}}]
        (container,) = spec["containers"]
        assert container["resources"]["limits"] == {"cpu": "1500m", "memory": "2048Mi"}
        assert container["command"] == ["synergai", "profile", "run"]
        assert container["args"][:2] == ["--models", "/models"]
        assert container["args"][-3:] == ["--quick", "--engines", "openvino"]
    assert sorted(api.deleted) == sorted(job["metadata"]["name"] for job in api.made)


def test_the_class_has_what_its_node_gives_to_pods(ask, tmp_path: Path) -> None:
    assert ask(Api([node("a", "x", cpu="300m")], {"x": log_of("x")})).exit_code == 0
    described = table(tmp_path).hardware["x"]
    assert (described.cpu_milli, described.memory_mib) == (300, 2048)
    assert json.loads((tmp_path / "all-host.json").read_text())["hosts"]["x"]["node"] == "a"


def test_a_class_that_fails_is_told_and_only_it_is_measured_again(ask, tmp_path: Path) -> None:
    nodes = [node("a", "x"), node("b", "y"), node("c", "z", ready=False)]
    first = Api(nodes, {"x": log_of("x")})
    done = ask(first)
    assert done.exit_code == 1
    assert "y: left out: no point could be measured" in done.stderr
    assert "z: left out: none of its nodes is ready: c" in done.stderr
    assert [row.hardware for row in table(tmp_path).profiles] == ["x"]
    second = Api(nodes[:2], {"y": log_of("y")})
    done = ask(second)
    assert done.exit_code == 0, done.stderr
    assert "there from before: x" in done.stderr
    assert len(second.made) == 1
    assert [row.hardware for row in table(tmp_path).profiles] == ["x", "y"]
    third = Api(nodes[:2], {name: log_of(name) for name in "xy"})
    assert ask(third, "--anew", "--only", "x").exit_code == 0
    assert len(third.made) == 1
    assert [row.hardware for row in table(tmp_path).profiles] == ["x", "y"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"waiting": {"reason": "InvalidImageName", "message": "bad\nname"}}, "InvalidImageName: bad name"),
        ({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}, "ImagePullBackOff: no such image"),
        ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "OOMKilled: it needs more memory"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_come_to_measure_says_why(ask, state: Json, said: str) -> None:
    api = Api([node("a", "x")], {"x": log_of("x")}, {"x": state})
    done = ask(api)
    assert done.exit_code == 1
    assert f"x: left out: {said}" in done.stderr
    assert api.deleted == [api.made[0]["metadata"]["name"]]


def test_an_interrupt_takes_the_jobs_away(ask, tmp_path: Path) -> None:
    api = Api(
        [node("a", "x"), node("b", "y")], {}, {name: {"waiting": {"reason": "Creating"}} for name in "xy"}
    )
    api.on_job = lambda: os.kill(os.getpid(), signal.SIGINT) if len(api.made) == 2 else None
    assert ask(api).exit_code == 130
    assert sorted(api.deleted) == sorted(job["metadata"]["name"] for job in api.made)
    assert not (tmp_path / "all.csv").exists()


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "its log has no -----BEGIN SYNERGAI PROFILE-----"),
        (log_of("y"), "its pod measured something else"),
        (log_of("x").replace("-----END SYNERGAI HARDWARE-----", ""), "no -----END SYNERGAI HARDWARE-----"),
        (log_of("x").replace("onnxruntime-fp32", "a/b"), "'a/b-cpu-t1-b1' is not a label value"),
        (log_of("x").replace('{"host": 1}', "{"), "what its pod says of its host is no JSON"),
    ],
)
def test_a_log_that_is_not_one_of_ours_is_told(ask, tmp_path: Path, log: str, said: str) -> None:
    done = ask(Api([node("a", "x")], {"x": log}))
    assert done.exit_code == 1
    assert said in done.stderr
    assert not (tmp_path / "all.csv").exists()


def test_an_accelerator_is_asked_for_where_the_node_has_one(ask) -> None:
    api = Api([node("a", "nvidia-t4")], {"nvidia-t4": log_of("nvidia-t4")})
    assert ask(api, "--cpu", "2", "--memory", "1Gi").exit_code == 0
    (container,) = api.made[0]["spec"]["template"]["spec"]["containers"]
    wanted = {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}
    assert container["resources"] == {"limits": wanted, "requests": wanted}
    assert container["args"][container["args"].index("--unit") + 1] == "gpu"


def test_the_template_is_the_users(ask, tmp_path: Path) -> None:
    given = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "tolerations": [{"key": "edge", "operator": "Exists"}],
            "volumes": [{"name": "usr", "hostPath": {"path": "/usr"}}],
            "containers": [
                {"name": "other", "image": "o"},
                {"name": "profile", "image": "mine", "command": ["python", "-m", "synergai", "profile", "run"],
                 "args": ["--quick"], "resources": {"limits": {"cpu": "250m"}}},
            ],
        },
    }  # fmt: skip
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump(given))
    api = Api([node("a", "x")], {"x": log_of("x")})
    assert ask(api, "--template", str(path), "--image", "").exit_code == 0
    template = api.made[0]["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "a"
    assert [one["key"] for one in template["spec"]["tolerations"]] == ["edge", "synergai.dev/dedicated"]
    assert template["spec"]["volumes"] == given["spec"]["volumes"]
    container = template["spec"]["containers"][1]
    assert (container["image"], container["command"][0], container["args"][0]) == (
        "mine",
        "python",
        "--quick",
    )
    assert container["resources"]["limits"]["cpu"] == "250m"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--image", ""], "name the image with --image"),
        (["--models-volume", "nfs:x"], "--models-volume: 'nfs:x' is neither claim:NAME nor hostPath:/FOLDER"),
        (["--template", "/none.yaml"], "/none.yaml: cannot be read"),
        (["--only", "q"], "no node has the label of q"),
        (["--unit", "tpu"], "--unit: 'tpu' is neither cpu nor gpu"),
        (["--", "--hardware", "y"], "--hardware is set for each class by itself"),
    ],
)
def test_a_slip_is_one_line_and_no_job(ask, more: list[str], said: str) -> None:
    api = Api([node("a", "x")], {"x": log_of("x")})
    done = ask(api, *more)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("synergai profile cluster: ")
    assert said in line
    assert not api.made


def test_a_cluster_without_labels_says_how_to_get_them(ask) -> None:
    done = ask(Api([node("a")]))
    assert (done.exit_code, "synergai node label" in done.stderr) == (2, True)


def test_a_file_that_is_not_ours_is_left_alone(ask, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("my,notes\n1,2\n")
    api = Api([node("a", "x")], {"x": log_of("x")})
    assert ask(api).exit_code == 2
    assert (tmp_path / "all.csv").read_text() == "my,notes\n1,2\n"
    assert ask(api, "--anew").exit_code == 0
    assert [row.hardware for row in table(tmp_path).profiles] == ["x"]


def test_the_last_frame_of_a_log_counts() -> None:
    text = frame("a\n", "b\n", "c\n") + "noise\n" + frame("d\n", "e\n", "f\n")
    assert framed(text, "PROFILE") == "d\n"
    with pytest.raises(Failed, match="OTHER"):
        framed(text, "OTHER")


@pytest.mark.parametrize("name", ["Intel.Xeon_8380-2s", "a" * 63, "nvidia-a30-mig-1g.6gb"])
def test_a_job_is_named_as_kubernetes_has_it(name: str) -> None:
    stem = job_stem(name)
    assert len(stem) <= 48
    assert stem == stem.lower()
    assert stem.replace("-", "").isalnum()
    assert not stem.endswith("-")
