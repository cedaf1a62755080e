"""`synergai uninstall` on the embedded server: what it lets go of, what it deletes, and what it says."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.cli import uninstall
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.embedded import kubeconfig
from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.server import Server, Settings
from synergai.k8s_bridge.inference.job import PATH, job_path
from tests.contract.refused import JOB, RUNTIME
from tests.e2e.definitions import CRDS, shipped
from tests.kube_api import pod
from tests.served import serving

APP = typer.Typer()
APP.command()(uninstall)
FOREIGN = "example.com/other"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{keys.BRIDGE_NAMESPACE}/leases"


@dataclass(frozen=True)
class Here:
    """A server, and the command as somebody runs it there."""

    url: str
    path: str
    """Of a kubeconfig."""

    def run(self, *args: str, given: str = "") -> Result:
        return CliRunner().invoke(APP, ["--kubeconfig", self.path, *args], input=given)

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            async with ApiClient(load(self.path)) as client:
                return await client.request(method, path, body=body)

        return asyncio.run(ask())

    def attempt(self, name: str, namespace: str, *others: str) -> str:
        """A pod as the bridge makes them for an InferenceJob; its path."""
        metadata = {"labels": {keys.LABEL_JOB: "u"}, "finalizers": [*others, keys.FINALIZER_OUTCOME]}
        pods = f"/api/v1/namespaces/{namespace}/pods"
        self.request("POST", pods, pod(name, metadata))
        return f"{pods}/{name}"

    def is_there(self, path: str) -> bool:
        try:
            self.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    rules = {
        "admin": User("admin"),
        "reader": User("reader", (Rule(frozenset({"list"}), frozenset({"pods"})),)),
    }
    with serving(Server(Settings(access=Access(rules)))) as url:
        path = tmp_path / "config"
        kubeconfig.write(path, url, "admin")
        made = Here(url, str(path))
        for name in ("team-a", "team-b", keys.BRIDGE_NAMESPACE):
            made.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        yield made


@pytest.fixture
def defined(here: Here) -> Here:
    """With our definitions, and objects of them."""
    for item in shipped():
        here.request("POST", CRDS, item)
    for name in ("a", "b"):
        here.request("POST", job_path("team-a"), JOB | {"metadata": {"name": name}})
    here.request("POST", f"{PATH}/namespaces/team-b/inferenceruntimes", RUNTIME)
    return here


def test_pods_of_jobs_are_let_go_and_counted_by_namespace(here: Here) -> None:
    paths = [here.attempt("x", "team-a"), here.attempt("y", "team-b"), here.attempt("z", "team-b")]
    result = here.run()
    assert (result.exit_code, result.stdout) == (0, "released 3 pods: 1 in team-a, 2 in team-b\n")
    assert all("finalizers" not in here.request("GET", path)["metadata"] for path in paths)


def test_more_pods_than_one_page_holds_are_let_go(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergai.k8s_bridge.uninstall._PAGE", "2")
    for name in "abcde":
        here.attempt(name, "team-a")
    assert here.run().stdout == "released 5 pods: 5 in team-a\n"


def test_a_pod_that_was_being_deleted_is_gone_and_so_is_its_namespace(here: Here) -> None:
    path = here.attempt("x", "team-a")
    here.request("DELETE", path)
    here.request("DELETE", "/api/v1/namespaces/team-a")
    assert here.is_there(path)
    assert here.run().exit_code == 0
    assert not here.is_there(path)
    assert not here.is_there("/api/v1/namespaces/team-a")


def test_a_second_time_there_is_nothing_to_do(here: Here) -> None:
    here.attempt("x", "team-a")
    here.run()
    assert here.run().stdout == "no pod carries the finalizer synergai.dev/outcome\n"


def test_others_finalizers_and_others_pods_are_left_alone(here: Here) -> None:
    path = here.attempt("x", "team-a", FOREIGN)
    plain = {"finalizers": [FOREIGN]}
    here.request("POST", "/api/v1/namespaces/team-a/pods", pod("plain", plain))
    assert here.run().stdout == "released 1 pod: 1 in team-a\n"
    for one in (path, "/api/v1/namespaces/team-a/pods/plain"):
        assert here.request("GET", one)["metadata"]["finalizers"] == [FOREIGN]


def test_definitions_stay_unless_asked_for(defined: Here) -> None:
    assert defined.run().exit_code == 0
    assert len(defined.request("GET", CRDS)["items"]) == len(shipped())


def test_definitions_are_deleted_with_their_objects_once_that_is_agreed_to(defined: Here) -> None:
    result = defined.run("--delete-crds", given="y\n")
    assert result.exit_code == 0, result.output
    assert "2 InferenceJobs, 1 InferenceRuntime, 0 ClusterInferenceRuntimes?" in result.stdout
    assert (
        "deleted the definitions of InferenceJob, InferenceRuntime, ClusterInferenceRuntime" in result.stdout
    )
    assert defined.request("GET", CRDS)["items"] == []


def test_without_consent_nothing_at_all_is_done(defined: Here) -> None:
    path = defined.attempt("x", "team-a")
    assert defined.run("--delete-crds", given="n\n").exit_code == 1
    assert len(defined.request("GET", CRDS)["items"]) == len(shipped())
    assert defined.request("GET", path)["metadata"]["finalizers"] == [keys.FINALIZER_OUTCOME]


def test_yes_asks_nothing_and_a_second_time_finds_nothing(defined: Here) -> None:
    assert "?" not in defined.run("--delete-crds", "--yes").stdout
    again = defined.run("--delete-crds")
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "no definition is left")


def lease(here: Here, age_s: int, holder: str = "bridge-0") -> None:
    async def now_us() -> int:
        async with ApiClient(load(here.path)) as client:
            await client.get("/version")
            return client.now_us()

    renewed = format_time_us(asyncio.run(now_us()) - age_s * SECOND_US)
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 3600, "renewTime": renewed}
    here.request("POST", LEASES, {"metadata": {"name": keys.SCHEDULER_NAME}, "spec": spec})


def test_while_a_bridge_runs_it_is_refused(here: Here) -> None:
    path = here.attempt("x", "team-a")
    lease(here, age_s=0)
    result = here.run()
    assert result.exit_code == 2
    assert "a bridge runs, bridge-0: stop it first" in result.stderr
    assert here.request("GET", path)["metadata"]["finalizers"] == [keys.FINALIZER_OUTCOME]


@pytest.mark.parametrize(("age_s", "holder"), [(3601, "bridge-0"), (0, "")], ids=["dead", "stopped"])
def test_a_bridge_that_died_or_stopped_is_in_nobodys_way(here: Here, age_s: int, holder: str) -> None:
    lease(here, age_s, holder)
    assert here.run().exit_code == 0


def test_a_missing_right_is_one_line(here: Here, tmp_path: Path) -> None:
    here.attempt("x", "team-a")
    path = tmp_path / "reader"
    kubeconfig.write(path, here.url, "reader")
    result = Here(here.url, str(path)).run()
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "synergai uninstall: no permission: " in line
    assert 'cannot patch resource "pods/status"' in line


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    kubeconfig.write(path, "http://127.0.0.1:9")
    result = CliRunner().invoke(APP, ["--kubeconfig", str(path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "synergai uninstall: no cluster: " in line
