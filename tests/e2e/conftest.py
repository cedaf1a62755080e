"""A control plane of a module's own."""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.e2e.cluster.control_plane import Plane, running
from tests.e2e.cluster.machine import Incapable, needs
from tests.e2e.cluster.source import Unavailable, programs


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """For tests that kill its parts or delete what others need, and where pods that others left would be in the way."""
    try:
        folder = programs()
    except Unavailable as reason:
        _not_here(reason)
    with running(folder) as made:
        yield made


@pytest.fixture(scope="session")
def kubelets() -> None:
    """Real machines can be made here: skipped where this system can have none, whatever is built."""
    try:
        needs()
    except Incapable as reason:
        pytest.skip(str(reason))
    except Unavailable as reason:
        _not_here(reason)


def _not_here(reason: Unavailable) -> NoReturn:
    """A skip, or with SYNERGAI_E2E=require a failure."""
    if os.environ.get("SYNERGAI_E2E") == "require":
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))
