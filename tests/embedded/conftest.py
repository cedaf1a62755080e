"""The embedded server alone, and a client of it; what Kubernetes does is held by tests/contract."""

from collections.abc import AsyncIterator

import pytest

from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded.server import Server, Settings
from tests import kube_api
from tests.kube_api import Api


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The embedded server, with bookmarks soon."""
    async with Server(Settings(bookmark_s=0.05)) as running:
        yield running


@pytest.fixture
async def embedded(server: Server) -> AsyncIterator[Api]:
    """A client of it."""
    async with kube_api.client(Credentials(server.url)) as api:
        yield api


@pytest.fixture
def eventually():
    return kube_api.eventually


@pytest.fixture
def make_pod():
    return kube_api.pod
