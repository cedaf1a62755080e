"""A piece of a real cluster for one run: a namespace, the bridge's rights in it, and a scenario's nodes.

Everything in it has a name of its own, and is removed at the end.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from synergai.envs.tape import Setting
from synergai.envs.types import Node
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
from synergai.k8s_bridge.embedded.node_lifecycle import LEASE_NAMESPACE
from synergai.k8s_bridge.embedded.worlds import world_run_time
from tests.e2e.cluster.source import NAME

MANIFEST = Path(__file__).parents[2] / "k8s_bridge" / "manifests" / "rbac.yaml"
ACCOUNT = "synergai-bridge"
"""In the manifest, the name of the namespace and the account, and the beginning of all others."""
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}
Json = dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """Where one run takes place."""

    client: ApiClient
    """An administrator."""
    name: str
    """Of the namespace, and the beginning of the name of everything outside of it."""
    bridge_kubeconfig: Path
    """Of the account that the manifest makes."""

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.name}/pods"

    def path(self, kind: str, ending: str = "") -> str:
        """Of the object of the manifest that is the only one of its kind whose name ends so."""
        (found,) = (
            item
            for item in manifest(self.name)
            if item["kind"] == kind and item["metadata"]["name"].endswith(ending)
        )
        return f"{_collection(found)}/{found['metadata']['name']}"


@asynccontextmanager
async def ground(
    admin_kubeconfig: str, folder: Path, change: Callable[[list[Json]], list[Json]] = lambda items: items
) -> AsyncIterator[Ground]:
    """A namespace where the bridge may bind; `change` is made to the manifest before it is applied."""
    name = f"{NAME}-{secrets.token_hex(3)}"
    async with ApiClient(load(admin_kubeconfig)) as client:
        items = change(manifest(name))
        try:
            for item in items:
                await client.post(_collection(item), item)
            await _make_default_account(client, name)
            yield Ground(client, name, await bridge_kubeconfig(client, name, admin_kubeconfig, folder))
        finally:
            for item in items:
                await _delete(client, f"{_collection(item)}/{item['metadata']['name']}")


def manifest(name: str) -> list[Json]:
    """The shipped rights under another name; the namespace to bind in is the account's own."""
    text = MANIFEST.read_text(encoding="utf-8")
    return list(
        yaml.safe_load_all(text.replace(ACCOUNT, name).replace("namespace: default", f"namespace: {name}"))
    )


def _collection(item: Json) -> str:
    return COLLECTIONS[item["kind"]].format(namespace=item["metadata"].get("namespace"))


async def _make_default_account(client: ApiClient, namespace: str) -> None:
    """Pods are refused without it; a controller makes it too, a moment later, where there is one."""
    try:
        await client.post(
            f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}}
        )
    except ApiError as error:
        if error.status != 409:
            raise


async def bridge_kubeconfig(client: ApiClient, name: str, admin_kubeconfig: str, folder: Path) -> Path:
    """Of the bridge's account, written into the folder."""
    return await account_kubeconfig(client, name, name, admin_kubeconfig, folder / "bridge.kubeconfig")


async def account_kubeconfig(
    client: ApiClient, namespace: str, account: str, admin_kubeconfig: str, path: Path
) -> Path:
    """Of any account, with its namespace."""
    token = await _token(client, namespace, account)
    _write_kubeconfig(path, admin_kubeconfig, token, namespace)
    return path


async def _token(client: ApiClient, namespace: str, account: str) -> str:
    """Good for an hour."""
    accounts = COLLECTIONS["ServiceAccount"].format(namespace=namespace)
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    reply = await client.post(f"{accounts}/{account}/token", kind | {"spec": {"expirationSeconds": 3600}})
    return reply["status"]["token"]


def _write_kubeconfig(path: Path, admin_kubeconfig: str, token: str, namespace: str) -> None:
    """The administrator's way to the cluster, with another's token and namespace (a pod has its account's)."""
    config = yaml.safe_load(Path(admin_kubeconfig).read_text(encoding="utf-8"))
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    context["namespace"] = namespace
    config["users"] = [{"name": context["user"], "user": {"token": token}}]
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


class Nodes:
    """A scenario's nodes, played by simulated kubelets."""

    def __init__(self, where: Ground, admin_kubeconfig: str, setting: Setting, speed: float) -> None:
        table, noise = setting.table, setting.scenario.noise
        self._where = where
        self._nodes = [replace(node, name=f"{where.name}-{node.name}") for node in setting.catalog.nodes]
        resources = {name: hardware.resource for name, hardware in table.hardware.items()}
        arm = [name for name, hardware in table.hardware.items() if hardware.kind == "jetson"]
        run_time_s = world_run_time(table, 0, noise.profile_error, noise.level, noise.stragglers)
        settings = KubeletSettings(speed=speed)
        credentials = load(admin_kubeconfig)
        self._make = lambda: Kubelets(credentials, self._nodes, resources, run_time_s, settings, arm)
        self._kubelets = self._make()

    async def __aenter__(self) -> "Nodes":
        await self._kubelets.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kubelets.stop()
        await _remove_nodes(self._where.client, self._nodes)

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[None]:
        """Meanwhile no pod starts or ends; those that run are run again from the beginning."""
        await self._kubelets.stop()
        yield
        self._kubelets = self._make()
        await self._kubelets.start()


async def _remove_nodes(client: ApiClient, here: list[Node]) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases"
    for node in here:
        await _delete(client, f"/api/v1/nodes/{node.name}")
        await _delete(client, f"{leases}/{node.name}")


async def _delete(client: ApiClient, path: str) -> None:
    try:
        await client.request("DELETE", path)
    except ApiError as error:
        if error.status != 404:
            raise
