"""A person's commands for InferenceJobs on a real API server; the test is the bridge that writes their statuses."""

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from synergai.cli import app
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.inference.job import PATH, PLURAL, job_path
from tests.e2e.cluster.source import NAME

pytestmark = pytest.mark.e2e

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = Path(__file__).parents[2] / "k8s_bridge" / "manifests" / "crds" / f"{PLURAL}.yaml"
ENDED = {"reason": "Completed", "runMilliseconds": 4210}
ATTEMPT = {"index": 0, "podRef": {"name": "a", "uid": "u"}, "node": "n0", "hardware": "gpu-a", "end": ENDED}
COMPLETE = {"type": "Complete", "status": "True", "reason": "Completed", "message": ""}
STATUS = {"phase": "Succeeded", "attempts": [ATTEMPT]}


class Ground:
    """A namespace of a real cluster."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = f"{NAME}-{secrets.token_hex(3)}"

    def ask(self, method: str, path: str, body: object = None, **more: Any) -> dict[str, Any]:
        return self.do(lambda client: client.request(method, path, body=body, **more))

    def do(self, work: Callable[[ApiClient], Coroutine[Any, Any, Any]]) -> Any:
        async def connected() -> Any:
            async with ApiClient(load(self.kubeconfig)) as client:
                return await work(client)

        return asyncio.run(connected())

    def run(self, *words: str) -> Result:
        words = (*words, "-n", self.namespace, "--kubeconfig", self.kubeconfig)
        return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))

    def complete(self, name: str) -> None:
        """As a bridge would say it, once the job is there."""

        async def report(client: ApiClient) -> None:
            path = job_path(self.namespace, name)
            async with asyncio.timeout(30):
                while True:
                    try:
                        made = await client.get(path)
                        break
                    except ApiError:
                        await asyncio.sleep(0.1)
            since = made["metadata"]["creationTimestamp"]
            status = STATUS | {"conditions": [COMPLETE | {"lastTransitionTime": since}]}
            media = "application/merge-patch+json"
            await client.request("PATCH", f"{path}/status", body={"status": status}, media_type=media)

        self.do(report)


@pytest.fixture
def ground(real_kubeconfig: str) -> Iterator[Ground]:
    made = Ground(real_kubeconfig)
    made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": made.namespace}})
    yield made
    made.ask("DELETE", f"/api/v1/namespaces/{made.namespace}")


@pytest.fixture
def defined(ground: Ground) -> Iterator[Ground]:
    """With the definition of InferenceJobs, by whomever."""
    known = {one["metadata"]["name"] for one in ground.ask("GET", CRDS)["items"]}
    definition = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    ours = definition["metadata"]["name"] not in known
    if ours:
        ground.ask("POST", CRDS, definition)

    async def served(client: ApiClient) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.get(f"{PATH}/{PLURAL}")
                    return
                except ApiError:
                    await asyncio.sleep(0.1)

    ground.do(served)
    yield ground
    if ours:
        ground.ask("DELETE", f"{CRDS}/{PLURAL}.{keys.PREFIX}")


def test_a_job_is_submitted_followed_listed_explained_and_cancelled(defined: Ground) -> None:
    bridge = threading.Thread(target=defined.complete, args=("a",))
    bridge.start()
    sent = defined.run("submit", "--model", "net", "--samples", "100", "--deadline", "30s", "--name", "a")
    bridge.join()
    assert sent.exit_code == 0, sent.output
    assert sent.stdout.splitlines() == ["a", "a is complete on n0 (gpu-a)"]
    again = defined.run("submit", "--model", "net", "--samples", "100", "--name", "a")
    assert "there is an InferenceJob a" in again.stderr
    assert "Succeeded" in defined.run("jobs").stdout.splitlines()[1]
    assert "Completed after 4.210 s" in defined.run("explain", "job", "a").stdout
    gone = defined.run("cancel", "a", "ghost")
    assert (gone.exit_code, gone.stdout) == (
        1,
        "a cancelled: it had ended (Succeeded), its record is deleted\n",
    )
    assert "there is no InferenceJob ghost" in gone.stderr
    assert defined.run("jobs").stdout.startswith("no InferenceJobs in namespace")


def test_without_the_definition_every_command_says_how_to_install_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synergai.k8s_bridge.inference.job.PATH", "/apis/nobody.synergai.dev/v1")
    for words in (
        ("submit", "--model", "net", "--samples", "100"),
        ("jobs",),
        ("jobs", "--watch"),
        ("cancel", "a"),
        ("cancel", "--all"),
        ("explain", "job", "a"),
    ):
        result = ground.run(*words)
        assert result.exit_code == 2, result.output
        assert "does not know InferenceJobs" in result.stderr
