"""The runner's files: what the definitions, the API server and the bridge's own readers make of them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.embedded.server import Server
from synergai.k8s_bridge.embedded.shipped import definitions
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, PLURALS, read_runtime
from synergai.k8s_bridge.inference.templates import refusal
from synergai.k8s_bridge.jobs import read_ask
from synergai.k8s_bridge.pods import read_pod
from synergai.k8s_bridge.runner import runtimes
from synergai.k8s_bridge.runner.configuration import parameters_of, setting_of
from synergai.k8s_bridge.runner.order import read_order
from synergai.k8s_bridge.runner.refusal import Status
from synergai.offline_profiles.engines.engine import ADAPTERS
from synergai.offline_profiles.table import ProfileTable
from tests.deploy.rendered import DEPLOY, ROOT, Json
from tests.k8s_bridge.runner.runner_world import POD as ENVIRONMENT
from tests.k8s_bridge.runner.runner_world import store

FOLDER = DEPLOY / "runner"
TABLE = ProfileTable.default()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TEXT = re.sub(r"\\\n\s*", " ", (FOLDER / "Dockerfile").read_text(encoding="utf-8"))
STEPS = [tuple(line.split(maxsplit=1)) for line in TEXT.splitlines() if line and not line.startswith("#")]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DECISION = DecisionRecord(
    "d", "intel-xeon-platinum-8380-2s", "openvino-fp32-cpu-t20-b32", 0, 20_000, 1024, "p"
)
FIELD = re.compile(r"metadata\.annotations\['(?P<name>.+)'\]")


def loaded(name: str) -> Json:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


POD = loaded("pod")
(RUNNER,) = POD["spec"]["containers"]


async def created(path: str, body: Json) -> Json:
    """As an API server keeps it; ApiError where it does not take it."""
    async with Server() as server, ApiClient(Credentials(server.url)) as client:
        for definition in definitions():
            await client.post(DEFINITIONS, definition)
        return await client.post(path, body)


@pytest.mark.parametrize("engine", ADAPTERS)
def test_there_is_a_runtime_for_every_engine_and_the_bridge_can_use_it(engine: str) -> None:
    runtime = read_runtime(loaded(engine), CLUSTER_KIND)
    assert runtime.problem == ""
    for variant in runtime.variants:
        assert refusal(variant) == ""
        assert set(variant.hardware) <= TABLE.hardware.keys()
        for one in variant.configurations:
            setting = setting_of(one.name)
            assert setting is not None
            assert setting.engine == engine
            assert dict(one.parameters) == parameters_of(setting)


@pytest.mark.parametrize("engine", ADAPTERS)
def test_a_runtime_is_as_the_command_makes_it(engine: str) -> None:
    wanted = runtimes.Wanted(
        models={"hostPath": {"path": "/srv/models", "type": "Directory"}},
        cache={"hostPath": {"path": "/var/cache/synergai", "type": "Directory"}},
    )
    for variant in loaded(engine)["spec"]["variants"]:
        (name,) = variant["hardware"]
        (container,) = variant["template"]["spec"]["containers"]
        made = runtimes.Wanted({"": container["image"]}, wanted.models, wanted.cache)
        assert variant["template"] == runtimes.template(TABLE.hardware[name], made)


@pytest.mark.parametrize("engine", ADAPTERS)
async def test_a_runtime_is_taken_by_an_api_server(engine: str) -> None:
    path = f"/apis/{keys.PREFIX}/{keys.API_VERSION}/{PLURALS[CLUSTER_KIND]}"
    assert (await created(path, loaded(engine)))["spec"] == loaded(engine)["spec"] | {"priority": 0}


async def test_the_pod_is_one_that_the_bridge_decides_on() -> None:
    raw = await created("/api/v1/namespaces/default/pods", POD)
    pod = read_pod(raw)
    ask = read_ask(pod, TABLE, ScenarioClock(), pod.created_us)
    assert (ask.reason, ask.message) == ("", "")
    assert ask.job is not None
    assert (ask.job.model, ask.job.samples) == ("resnet50", 2000)
    assert ask.job.deadline_us == pod.created_us + 60_000_000
    assert pod.main is not None, "it can be given what the configuration takes"


def test_the_pod_tells_its_runner_by_the_downward_api() -> None:
    annotations = POD["metadata"]["annotations"] | {keys.ANNOTATION_DECISION: DECISION.to_json()}
    environment = {
        one["name"]: annotations[FIELD.fullmatch(one["valueFrom"]["fieldRef"]["fieldPath"])["name"]]  # type: ignore[index]
        for one in RUNNER["env"]
    }
    order = read_order(environment)
    assert (order.model, order.samples, order.setting.threads) == ("resnet50", 2000, 20)


def test_the_jobs_template_is_the_pod() -> None:
    template = loaded("job")["spec"]["template"]
    named = {name: value for name, value in POD["metadata"].items() if name != "name"}
    assert (template["metadata"], template["spec"]) == (named, POD["spec"])


def test_the_job_gives_up_at_what_the_runner_would_refuse_again() -> None:
    (rule,) = loaded("job")["spec"]["podFailurePolicy"]["rules"]
    refusals = [int(status) for status in Status if Status.ORDER <= status < Status.FAILED]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"containerName": RUNNER["name"], "operator": "In", "values": refusals}


def test_the_image_copies_what_the_wheel_is_made_of() -> None:
    copied = {name for word, rest in STEPS if word == "COPY" for name in rest.split()[:-1]}
    folders = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert copied == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src"} | {
        name for name in folders if "/" not in name
    }


def test_the_image_runs_the_light_entry_as_the_user_of_the_pods() -> None:
    assert dict(STEPS)["ENTRYPOINT"] == '["/opt/synergai/bin/python", "-m", "synergai.k8s_bridge.runner"]'
    context = POD["spec"]["securityContext"]
    assert dict(STEPS)["USER"] == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["runAsUser"] == runtimes.USER


def test_images_are_of_this_version() -> None:
    tag = f"synergai-runner:{PROJECT['project']['version']}"
    assert RUNNER["image"] == tag
    assert f"--tag {tag} ." in (FOLDER / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_has_no_more_than_the_runner_needs_at_pinned_versions() -> None:
    (install,) = (rest for word, rest in STEPS if word == "RUN")
    pinned, own = re.findall(r"pip install --no-cache-dir (.+?) +&&", install)
    assert pinned == "--constraint constraints.txt numpy pyyaml ${ENGINES}"
    assert own == "--no-deps ."


@pytest.mark.slow
def test_what_the_image_installs_runs_a_model(tmp_path: Path) -> None:
    uv, python = str(Path(sys.executable).with_name("uv")), str(tmp_path / "venv" / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", python]
    commands = [
        [uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")],
        [*install, "--constraint", "constraints.txt", "numpy", "pyyaml", "onnxruntime"],
        [*install, "--no-deps", "."],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    environment = ENVIRONMENT | {"SYNERGAI_MODELS": str(store(tmp_path / "models"))}
    command = [python, "-m", "synergai.k8s_bridge.runner"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"engine":"onnxruntime"' in done.stdout
