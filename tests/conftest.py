"""Fixtures of all tests."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.cluster.source import Unavailable, cluster


@pytest.fixture(scope="session")
def real_kubeconfig() -> Iterator[str]:
    """Of an administrator of a real cluster; skipped where there is none, failed if SYNERGAI_E2E=require."""
    try:
        with cluster() as kubeconfig:
            yield kubeconfig
    except Unavailable as reason:
        if os.environ.get("SYNERGAI_E2E") == "require":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
