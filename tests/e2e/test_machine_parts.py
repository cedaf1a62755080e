"""What machines are made of, without a machine."""

import asyncio
import tarfile
from pathlib import Path

import pytest

from tests.e2e.cluster import cgroups, images
from tests.e2e.cluster.control_plane import ControlPlaneError
from tests.e2e.cluster.machine import PREFIX, Size, needs, remove_leftovers
from tests.e2e.cluster.machines import machines, parse
from tests.e2e.cluster.relay import connect, listen, relay
from tests.e2e.cluster.source import Unavailable

ENDED = 2**22 + 1
"""No process has this number: the kernel's highest is 2**22."""


def test_sizes_are_read_from_one_line() -> None:
    text = "edge-0=300m:1Gi:hardware.synergai.dev/x=1,gpu=1:512Mi:d/x=true:NoSchedule:nvidia.com/gpu=2"
    edge, gpu = parse(text)
    assert edge == Size("edge-0", 300, 1024, {"hardware.synergai.dev/x": "1"})
    dedicated = {"d/x": "true"}
    assert gpu == Size("gpu", 1000, 512, dedicated, ("d/x=true:NoSchedule",), 2)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("edge-0", "NAME=CPU:MEMORY"),
        ("edge-0=300m", "NAME=CPU:MEMORY"),
        ("edge-0=300m:1Gi:NoSchedule", "'NoSchedule'"),
        ("edge-0=300m:1Gi:a=b:Never", "'Never'"),
        ("edge-0=lots:1Gi", "'lots'"),
        ("edge-0=300m:1Gi:nvidia.com/gpu=two", "nvidia.com/gpu"),
        ("edge-0=0:1Gi", "edge-0"),
        ("a=100m:1Gi,", "NAME=CPU:MEMORY"),
    ],
)
def test_a_size_that_cannot_be_read_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse(text)


def _possible() -> None:
    try:
        needs()
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_machines_larger_than_the_system_are_refused(tmp_path: Path) -> None:
    _possible()
    with pytest.raises(ValueError, match="together"), machines(tmp_path / "none", [Size("big", 10**6, 64)]):
        pass


def test_machines_of_one_name_are_refused(tmp_path: Path) -> None:
    _possible()
    with pytest.raises(ValueError, match="one name"), machines(tmp_path / "none", [Size("a", 1, 64)] * 2):
        pass


def test_a_cluster_that_was_not_started_here_is_refused(tmp_path: Path) -> None:
    _possible()
    with pytest.raises(ControlPlaneError, match="not started here"), machines(tmp_path / "none", []):
        pass


def test_what_a_killed_process_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _possible()
    monkeypatch.setattr("tests.e2e.cluster.machine.gettempdir", lambda: str(tmp_path))
    dead, living = f"{PREFIX}{ENDED}-a", f"{PREFIX}1-a"
    for name in (dead, living):
        cgroups.make(name, 100, 64)
        (tmp_path / name / "kubelet").mkdir(parents=True)
    try:
        remove_leftovers()
        assert [path.name for path in tmp_path.iterdir()] == [living]
        assert not any(cgroups.folders(dead))
        assert any(cgroups.folders(living))
    finally:
        cgroups.remove(living)


def test_an_image_has_folders_links_and_its_program(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"program")
    images.write(tmp_path / "image.tar", images.PAUSE, program)
    with tarfile.open(tmp_path / "image.tar") as archive:
        layer = archive.extractfile("layer.tar")
        assert layer
        with tarfile.open(fileobj=layer) as inside:
            assert inside.getmember("usr").isdir()
            assert inside.getmember("bin").linkname == "usr/bin"
            content = inside.extractfile("pause")
            assert content
            assert content.read() == b"program"


def test_host_folders_are_mounted_into_every_container_unwritable() -> None:
    spec = {"initContainers": [{"name": "a"}], "containers": [{"name": "b"}]}
    images.mount_host(spec, {Path("/models"): "/work/models"})
    for container in (*spec["initContainers"], *spec["containers"]):
        places = {mount["mountPath"]: mount["readOnly"] for mount in container["volumeMounts"]}
        assert places["/work/models"] is places["/usr"] is True
        assert container["image"] == images.EMPTY


async def _answering(place: str) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.read())
        writer.close()

    return await listen(place, serve)


async def test_the_relay_carries_both_ways_and_tells_each_end_of_the_others_end(tmp_path: Path) -> None:
    far, near = f"unix:{tmp_path}/far", f"unix:{tmp_path}/near"
    async with await _answering(far), await relay(near, far):
        reader, writer = await connect(near)
        writer.write(b"a" * 1_000_000)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"heard " + b"a" * 1_000_000
        writer.close()


async def test_the_relay_hangs_up_where_nobody_is_at_the_other_end(tmp_path: Path) -> None:
    near = f"unix:{tmp_path}/near"
    async with await relay(near, "tcp:127.0.0.1:1"):
        reader, writer = await connect(near)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
