"""Gives a pod the cpu and memory of its configuration before it is bound: PATCH pods/NAME/resize."""

import logging

from synergai.k8s_bridge.api.client import ApiClient, ApiError, Permit
from synergai.k8s_bridge.pods import Json, Pod
from synergai.k8s_bridge.sizes import Resize

log = logging.getLogger(__name__)

_NO_RIGHT = 'cannot patch resource "pods/resize"'


class Resizer:
    """Which pods may be resized: all, until the server or somebody's rights say otherwise."""

    def __init__(self, wanted: bool = False) -> None:
        self._on = wanted
        self._denied: set[str] = set()

    async def ask(self, client: ApiClient) -> None:
        """Once at the start: whether the server has pods/resize."""
        if not self._on:
            return
        try:
            served = (await client.get("/api/v1")).get("resources") or ()
            why = "" if any(_is_resize(found) for found in served) else "the API server has no pods/resize"
        except ApiError as error:
            why = f"the API server does not say whether it has pods/resize: {error}"
        if why:
            self._on = False
            log.warning("pods are not resized to their configuration: %s", why)

    def may(self, pod: Pod) -> bool:
        """Whether this pod may be tried."""
        return self._on and pod.namespace not in self._denied

    @property
    def on(self) -> bool:
        return self._on

    def deny(self, namespace: str, message: str) -> bool:
        """The bridge has no right to resize there; whether that is news. Until the next start."""
        if namespace in self._denied:
            return False
        self._denied.add(namespace)
        log.warning("pods of namespace %s are not resized to their configuration: %s", namespace, message)
        return True


def _is_resize(found: Json) -> bool:
    return found.get("name") == "pods/resize" and "patch" in (found.get("verbs") or ())


def lacks_right(error: ApiError) -> bool:
    """Whether RBAC refused a resize; quotas and limit ranges are 403 too."""
    return error.status == 403 and _NO_RIGHT in error.message


async def patch(
    client: ApiClient,
    path: str,
    resize: Resize,
    uid: str,
    version: str,
    timeout_s: float,
    permit: Permit | None,
) -> Json:
    """The pod as it is after the resize, or ApiError; Withheld without a permit. `path` is the pod's."""
    return await client.request(
        "PATCH",
        f"{path}/resize",
        params={"fieldManager": resize.manager},
        body=resize.body(uid, version),
        media_type="application/strategic-merge-patch+json",
        retry="throttled",
        timeout_s=timeout_s,
        permit=permit,
    )
