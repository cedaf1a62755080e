"""What holds a neighbour to its quota, and what else runs on the machine."""

import os
from pathlib import Path

import pytest

from synergai.offline_profiles.engines.engine import EngineError, Setting
from synergai.offline_profiles.engines.store import ModelStore
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.pairs import pairs
from synergai.offline_profiles.measuring.quota import limited
from synergai.offline_profiles.measuring.strangers import Strangers
from synergai.offline_profiles.measuring.tenants import Place, side_by_side, tenant
from tests.offline_profiles.measuring.places import place


def test_strangers_are_what_the_machine_does_beside_us(tmp_path: Path) -> None:
    stat = tmp_path / "proc/stat"
    stat.parent.mkdir()
    stat.write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")
    found = Strangers(tmp_path)
    stat.write_text("cpu  100000000 0 0 500 500 0 0 0 9 9\n")
    assert found.cores() > 1
    stat.write_text("cpu  0 0 0 900000 900000 0 0 0 0 0\n")  # idle
    assert found.cores() == 0
    stat.write_text("what else")
    assert found.cores() == 0


def test_a_quota_is_what_a_node_books() -> None:
    assert tenant(place(1, quota_milli=300), 2000).share == 0.15
    assert len(pairs([place(1, quota_milli=300), place(1, quota_milli=500)], 800)) == 2
    assert place(1, quota_milli=300).key == "m:1 onnxruntime-fp32-cpu-t1-b1 (300m)"


def group(root: Path, version: int) -> Path:
    """A mount in which the kernel makes no files, so that they are here before."""
    mount = root / "sys/fs/cgroup"
    (mount if version == 2 else mount / "cpu").mkdir(parents=True)
    if version == 2:
        (mount / "cgroup.controllers").write_text("cpu memory")
    return mount


@pytest.mark.parametrize("version", [1, 2])
def test_a_quota_that_cannot_be_set_is_told(tmp_path: Path, version: int) -> None:
    mount = group(tmp_path, version)
    with (
        pytest.raises(EngineError, match="--quotas: no CPU quota can be set"),
        limited(os.getpid(), 300, tmp_path),
    ):
        pytest.fail("the kernel makes no files here")
    assert list(mount.glob("**/synergai-*")) == []


@pytest.mark.slow
def test_a_quota_really_holds_a_process(store: ModelStore) -> None:
    setting = Setting("onnxruntime", "fp32", "cpu", 1, 1)
    small = Point(store.find("small"), setting)
    try:
        with side_by_side(Place(small, 100), Place(small), 0.5) as window:
            speeds = [window(True, False)[0], window(False, True)[1]]
    except EngineError as error:
        if "no CPU quota can be set" not in str(error):
            raise
        pytest.skip(str(error))
    assert speeds[0] < speeds[1] / 2
