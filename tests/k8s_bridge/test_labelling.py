"""`synergai node label`: on the embedded server what it sets, removes, keeps and refuses, and what it says."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.embedded import kubeconfig
from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.server import Server, Settings
from synergai.k8s_bridge.explain.api import AskError
from synergai.k8s_bridge.labelling import Wanted, change, nearest, read_map, wanted
from synergai.k8s_bridge.node_cli import app
from synergai.k8s_bridge.nodes import read_node
from synergai.offline_profiles.host.host import Cpu, Device, Host
from synergai.offline_profiles.table import ProfileTable
from tests.served import serving

RECORDED = Path(__file__).parents[1] / "offline_profiles" / "host" / "recorded"
HARDWARE = ProfileTable.default().hardware
P = keys.LABEL_HARDWARE_PREFIX
T4 = f"{P}nvidia-t4"
TEXT = st.text(alphabet="abc=-/", max_size=8)


@dataclass(frozen=True)
class Here:
    """A server with a node, and the command as somebody runs it there."""

    url: str
    folder: Path

    def run(self, *args: str, user: str = "admin") -> Result:
        path = self.folder / user
        kubeconfig.write(path, self.url, user)
        return CliRunner().invoke(app, ["label", "--kubeconfig", str(path), *args])

    def recorded(self, name: str, *args: str, **others: str) -> Result:
        return self.run("t4-0", "--from-dir", str(RECORDED / name), *args, **others)

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            async with ApiClient(load(str(self.folder / "admin"))) as client:
                return await client.request(method, path, body=body)

        return asyncio.run(ask())

    def node(self, labels: dict[str, str], kernel: str = "") -> None:
        status = {"nodeInfo": {"kernelVersion": kernel}} if kernel else {}
        body = {"metadata": {"name": "t4-0", "labels": labels}, "status": status}
        self.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **body})

    def labels(self) -> dict[str, str]:
        return self.request("GET", "/api/v1/nodes/t4-0")["metadata"].get("labels", {})


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    rules = {
        "admin": User("admin"),
        "reader": User("reader", (Rule(frozenset({"get", "list"}), frozenset({"nodes"})),)),
    }
    with serving(Server(Settings(access=Access(rules)))) as url:
        kubeconfig.write(tmp_path / "admin", url, "admin")
        yield Here(url, tmp_path)


def host(*devices: Device, problems: tuple[str, ...] = ()) -> Host:
    return Host(Cpu(), 0, 0, (), "", "", "", "", devices, problems)


def test_a_node_gets_its_devices_and_keeps_its_other_labels(here: Here) -> None:
    here.node({"a": "b", T4: "3", f"{P}nvidia-a2": "1"})
    result = here.recorded("t4-4x")
    assert result.exit_code == 0
    assert here.labels() == {"a": "b", T4: "4"}
    assert f"t4-0: {T4}: \"4\" is set, before '3'\n" in result.stdout
    assert f"t4-0: {P}nvidia-a2 is removed: this host has no such device\n" in result.stdout


def test_the_bridge_reads_the_labels_that_are_set(here: Here) -> None:
    here.node({keys.LABEL_DEDICATED: "true"})
    assert here.recorded("ryzen-7950x-rtx-4090").exit_code == 0
    facts = read_node(here.request("GET", "/api/v1/nodes/t4-0"), HARDWARE)
    assert facts.problem == ""
    assert {device.hardware: device.units for device in facts.devices} == {
        "nvidia-rtx-4090": 1,
        "amd-ryzen-9-7950x": 0,
    }


def test_a_second_run_changes_nothing(here: Here) -> None:
    here.node({})
    here.recorded("t4-4x")
    version = here.request("GET", "/api/v1/nodes/t4-0")["metadata"]["resourceVersion"]
    assert f'{T4}: "4" is there already' in here.recorded("t4-4x").stdout
    assert here.request("GET", "/api/v1/nodes/t4-0")["metadata"]["resourceVersion"] == version


def test_a_dry_run_changes_nothing_and_says_what_it_would(here: Here) -> None:
    here.node({f"{P}nvidia-a2": "1"})
    result = here.recorded("t4-4x", "--dry-run")
    assert here.labels() == {f"{P}nvidia-a2": "1"}
    assert f'{T4}: "4" would be set' in result.stdout
    assert "nvidia-a2 would be removed" in result.stdout


def test_labels_are_kept_where_a_tool_did_not_answer(here: Here) -> None:
    here.node({T4: "4"})
    result = here.recorded("broken-driver", "--map", "intel-core-i5-4590=amd-ryzen-9-7950x")
    assert here.labels() == {T4: "4", f"{P}amd-ryzen-9-7950x": "1"}
    assert f"{T4} is kept: whether it still holds could not be read" in result.stdout
    assert "Driver/library version mismatch" in result.stderr


def test_what_no_profile_knows_is_told_with_the_nearest_and_gets_no_label(here: Here) -> None:
    here.node({})
    result = here.recorded("a30-mig")
    assert here.labels() == {f"{P}nvidia-a30-mig-1g.6gb": "2"}
    assert "no label for nvidia-a30-mig-2g.12gb" in result.stderr
    assert "the nearest class that is known is nvidia-a30-mig-1g.6gb" in result.stderr


def test_an_unprofiled_device_is_labelled_when_asked(here: Here) -> None:
    here.node({})
    assert here.recorded("agx-orin-30w", "--unprofiled").exit_code == 0
    assert here.labels() == {f"{P}jetson-agx-orin-30w": "1"}


def test_a_device_may_take_anothers_profiles(here: Here) -> None:
    here.node({})
    assert here.recorded("agx-orin-30w", "--map", "jetson-agx-orin-30w=jetson-agx-orin-maxq").exit_code == 0
    assert here.labels() == {f"{P}jetson-agx-orin-maxq": "1"}


def test_a_host_without_a_known_device_changes_nothing(here: Here) -> None:
    here.node({T4: "4"})
    result = here.recorded("no-gpu")
    assert result.exit_code == 2
    assert "this host has no device that profiles know" in result.stderr
    assert here.labels() == {T4: "4"}


def test_a_node_that_runs_another_kernel_is_refused_unless_forced(here: Here) -> None:
    here.node({}, kernel="6.1.0-other")
    refused = here.recorded("agx-orin-maxn")
    assert refused.exit_code == 2
    assert "node t4-0 runs kernel 6.1.0-other, and what is described here 5.15.148-tegra" in refused.stderr
    assert here.labels() == {}
    assert here.recorded("agx-orin-maxn", "--force").exit_code == 0
    assert here.labels() == {f"{P}jetson-agx-orin-maxn": "1"}


def test_an_unknown_node_is_named_with_those_there_are(here: Here) -> None:
    here.node({})
    result = here.run("other", "--from-dir", str(RECORDED / "t4-4x"))
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "synergai node label: there is no node other; there are t4-0",
    )


def test_a_user_who_may_not_write_is_told_so(here: Here) -> None:
    here.node({})
    result = here.recorded("t4-4x", user="reader")
    assert result.exit_code == 2
    assert "synergai node label: node t4-0: no permission: " in result.stderr
    assert here.labels() == {}


def test_labels_are_printed_without_a_cluster(tmp_path: Path) -> None:
    args = ["label", "t4-0", "--from-dir", str(RECORDED / "t4-4x"), "--kubeconfig", str(tmp_path / "none")]
    shown = CliRunner().invoke(app, [*args, "--print"])
    assert yaml.safe_load(shown.stdout) == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "t4-0", "labels": {T4: "4"}},
    }
    assert CliRunner().invoke(app, [*args, "--features"]).stdout == f"{T4}=4\n"
    assert CliRunner().invoke(app, [*args, "--features", "--print"]).exit_code == 2


def test_a_class_of_ones_own_is_known_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "name,kind,resource,cpu_milli,memory_mib,idle_w,basis\nintel-core-i5-4590,cpu,,4000,8192,20,measured\n"
    )
    args = ["label", "x", "--from-dir", str(RECORDED / "no-gpu"), "--features"]
    assert CliRunner().invoke(app, [*args, "--hardware", str(file)]).stdout == f"{P}intel-core-i5-4590=1\n"


def test_a_host_of_fewer_cores_than_the_class_is_told(here: Here) -> None:
    result = here.recorded("no-gpu", "--map", "intel-core-i5-4590=amd-ryzen-9-7950x", "--features")
    assert "amd-ryzen-9-7950x has 16 cores where it was measured, and this host shows 4" in result.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a",), "--map 'a': expected OLD=NEW"),
        (("=b",), "--map '=b': expected OLD=NEW"),
        (("a=b", "a=c"), "--map: a is there twice"),
    ],
)
def test_a_map_that_is_none_is_refused(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(AskError, match=said):
        read_map(given)


def test_a_map_must_name_a_device_of_the_host_and_a_known_class() -> None:
    with pytest.raises(AskError, match="this host has no nvidia-t5; it has nvidia-t4"):
        wanted(host(Device("nvidia-t4", 1)), HARDWARE, {"nvidia-t5": "nvidia-t4"})
    with pytest.raises(
        AskError, match="no profile knows nvidia-t5; the nearest class that is known is nvidia-"
    ):
        wanted(host(Device("nvidia-t4", 1)), HARDWARE, {"nvidia-t4": "nvidia-t5"})


def test_two_devices_mapped_to_one_class_are_counted_together() -> None:
    both = host(Device("nvidia-t4", 3), Device("nvidia-l4", 2))
    assert wanted(both, HARDWARE, {"nvidia-l4": "nvidia-t4"}).labels == {T4: "5"}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("jetson-xavier-nx-15w-6core", "jetson-xavier-nx-maxn"),
        ("nvidia-a100-sxm-80gb-mig-2g.20gb", "nvidia-a100-sxm-80gb-mig-1g.10gb"),
        ("intel-xeon-platinum-8380", "intel-xeon-platinum-8380-2s"),
        ("arm-neoverse-n1", ""),
    ],
)
def test_the_nearest_class_begins_alike(name: str, known: str) -> None:
    assert nearest(name, HARDWARE) == known


@given(
    labels=st.dictionaries(
        st.sampled_from([f"{P}a", f"{P}b", "other", f"{P}c"]), st.sampled_from(["1", "2"])
    ),
    to=st.dictionaries(st.sampled_from([f"{P}a", f"{P}b", f"{P}d"]), st.sampled_from(["1", "2"])),
    certain=st.booleans(),
)
def test_a_patch_leaves_what_is_wanted_and_what_is_not_ours(
    labels: dict[str, str], to: dict[str, str], certain: bool
) -> None:
    patch = change(labels, Wanted(to, certain=certain)).patch()["metadata"]["labels"]
    after = {label: value for label, value in {**labels, **patch}.items() if value is not None}
    others = {label: value for label, value in labels.items() if not label.startswith(P)}
    assert after == ({**others, **to} if certain else {**labels, **to})


@given(st.lists(TEXT, max_size=4))
def test_any_map_is_read_or_refused_in_a_line(given: list[str]) -> None:
    try:
        found = read_map(given)
    except AskError as error:
        said = str(error)
    else:
        said = "--map" if all(old and new for old, new in found.items()) else ""
    assert said.startswith("--map")
