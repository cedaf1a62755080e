"""Fixtures of all tests."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.e2e.cluster.source import Unavailable, cluster
from tests.e2e.definitions import defined

# How long an example takes is no fact about behaviour, and two files are tested at a time.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")


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


@pytest.fixture(scope="session")
def definitions(real_kubeconfig: str) -> Iterator[str]:
    """The same, where our CustomResourceDefinitions are served."""
    with asyncio.Runner() as runner:
        made = defined(real_kubeconfig)
        runner.run(made.__aenter__())
        yield real_kubeconfig
        runner.run(made.__aexit__(None, None, None))
