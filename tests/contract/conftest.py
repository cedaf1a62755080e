"""Each test runs against the embedded server and against a real one: what it says is true of both.

Where the two differ the embedded one is wrong.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import yaml

from synergai.k8s_bridge.api.credentials import Credentials, load
from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.server import Server, Settings
from tests import kube_api
from tests.contract.space import Space
from tests.contract.things import CRDS, SHARED
from tests.kube_api import Api, Json

ADMIN_TOKEN = "admin"
Login = Callable[[str], Credentials]


class Real:
    """A real cluster, and the namespaces that tests made there."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.credentials = load(str(kubeconfig))
        self.spaces: set[str] = set()

    def login(self, token: str, folder: Path) -> Credentials:
        """The credentials of a bearer token; the folder keeps its kubeconfig."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return load(str(path))

    async def clear(self) -> None:
        """Let go what finalizers hold, and delete the namespaces."""
        async with kube_api.client(self.credentials) as api:
            for plural in ("things", "works", "worlds"):
                await api.delete(f"{CRDS}/{plural}.{SHARED}")
            for plural in ("pods", "configmaps"):
                for item in (await api.get(f"/api/v1/{plural}")).json["items"]:
                    meta = item["metadata"]
                    if meta["namespace"] in self.spaces and meta.get("finalizers"):
                        path = f"/api/v1/namespaces/{meta['namespace']}/{plural}/{meta['name']}"
                        await api.merge(path, {"metadata": {"finalizers": None}})
            await asyncio.gather(*(api.delete(f"/api/v1/namespaces/{name}") for name in self.spaces))


@pytest.fixture(scope="session")
def real(real_kubeconfig: str) -> Iterator[Real]:
    """The real cluster; `real_kubeconfig` says what happens where there is none."""
    found = Real(Path(real_kubeconfig))
    yield found
    if os.environ.get("KUBECONFIG"):  # any other cluster ends here
        asyncio.run(found.clear())


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.e2e)])
def which(request: pytest.FixtureRequest) -> str:
    """The server that a test runs against."""
    if request.param == "real":
        request.getfixturevalue("real")
    return request.param


@pytest.fixture
def users() -> dict[str, User]:
    """Who may speak to the embedded server, by token."""
    return {ADMIN_TOKEN: User("admin")}


@pytest.fixture
async def api(which: str, users: dict[str, User], request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """An administrator's client of the server."""
    if which == "real":
        async with kube_api.client(request.getfixturevalue("real").credentials) as api:
            yield api
        return
    async with Server(Settings(access=Access(users))) as server:
        credentials = Credentials(server.url, token_source=lambda: f"Bearer {ADMIN_TOKEN}")
        async with kube_api.client(credentials) as api:
            yield api


@pytest.fixture
async def space(which: str, api: Api, request: pytest.FixtureRequest) -> Space:
    """A fresh namespace with its service account, without which pods are refused."""
    made = (await api.post("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})).json
    found = Space(api, made["metadata"]["name"])
    if which == "real":
        request.getfixturevalue("real").spaces.add(found.name)
    await api.post(found.accounts, {"metadata": {"name": "default"}})
    return found


@pytest.fixture
async def controllers(api: Api) -> None:
    """Skips a test of what controllers do where nobody runs them: a bare API server makes no service accounts."""
    if (await api.get("/api/v1/namespaces/default/serviceaccounts/default")).status == 404:
        pytest.skip("the real cluster has no kube-controller-manager")


@pytest.fixture
async def login(which: str, api: Api, tmp_path: Path, request: pytest.FixtureRequest) -> Login:
    """Makes credentials of a bearer token; an empty one is nobody's."""
    if which == "real":
        real: Real = request.getfixturevalue("real")
        return lambda token: real.login(token, tmp_path)
    return lambda token: Credentials(api.url, token_source=lambda: f"Bearer {token}" if token else None)


@pytest.fixture
async def reader(which: str, space: Space, login: Login, users: dict[str, User]) -> AsyncIterator[Api]:
    """The client of a service account that may only list and watch the pods of the namespace."""
    if which == "real":
        token = await _token_of_reader(space)
    else:
        token = "reader"
        rule = Rule(frozenset({"list", "watch"}), frozenset({"pods"}), namespaces=frozenset({space.name}))
        users[token] = User(f"system:serviceaccount:{space.name}:reader", (rule,))
    async with kube_api.client(login(token)) as api:

        async def is_known() -> bool:
            return (await api.get(space.pods)).status == 200

        await kube_api.eventually(is_known)
        yield api


async def _token_of_reader(space: Space) -> str:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space.name}"
    named: Json = {"metadata": {"name": "reader"}}
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": space.name}
    await space.made(space.accounts, named)
    await space.made(f"{rbac}/roles", {**named, "rules": [rule]})
    await space.made(f"{rbac}/rolebindings", {**named, "roleRef": role, "subjects": [subject]})
    made = await space.made(f"{space.accounts}/reader/token", {"spec": {}})
    return made["status"]["token"]
