"""The control plane that faults are injected before."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.cluster.control_plane import Plane, running
from tests.e2e.cluster.source import Unavailable, programs


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """A module's own: these tests kill its parts, and the pods that other tests have left would be the bridge's too."""
    try:
        folder = programs()
    except Unavailable as reason:
        if os.environ.get("SYNERGAI_E2E") == "require":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    with running(folder) as made:
        yield made
