"""Worlds for the commands' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from job_world import World


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[World]:
    """A server without the definition of InferenceJobs."""
    made = World(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def world(bare: World) -> World:
    bare.knows_jobs()
    return bare
