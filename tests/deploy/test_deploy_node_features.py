"""The rules for node-feature-discovery: of the shipped classes, named as `synergai node label` names the device."""

import operator
import re
from typing import Any

import pytest

from synergai.k8s_bridge import keys
from synergai.offline_profiles.host.host import Gpu
from synergai.offline_profiles.host.names import gpu_name, slice_name
from synergai.offline_profiles.table import ProfileTable
from tests.deploy.rendered import helm, kustomize, objects, one

P = keys.LABEL_HARDWARE_PREFIX
HARDWARE = ProfileTable.default().hardware
KIND = "NodeFeatureRule"
NVIDIA = "10de"
PCI = {"1eb8": "Tesla T4", "2236": "NVIDIA A10", "2684": "NVIDIA GeForce RTX 4090"}
"""https://pci-ids.ucw.cz/read/PC/10de"""
COUNT_PCI = "{{ len .pci.device }}"
Features = dict[str, Any]


@pytest.fixture(scope="module")
def rules() -> list[dict]:
    return one(objects(kustomize("nfd")), KIND, "synergai-devices")["spec"]["rules"]


def matches(expression: dict, value: str | None) -> bool:
    """One of the operators of NFD that the rules use."""
    if expression["op"] == "DoesNotExist":
        return value is None
    if value is None:
        return False
    compare = {"In": lambda v, given: v in given, "Gt": lambda v, given: operator.gt(int(v), int(given[0]))}
    return compare[expression["op"]](value, expression["value"])


def labels_of(rules: list[dict], features: Features) -> dict[str, str]:
    """What NFD makes of a node's features: instances of pci.device are matched one by one, and counted."""
    made = {}
    for rule in rules:
        (term,) = rule["matchFeatures"]
        wanted, found = term["matchExpressions"], features.get(term["feature"], {})
        if term["feature"] == "pci.device":
            count = sum(all(matches(wanted[k], one.get(k)) for k in wanted) for one in found or [])
            if count:
                label, template = rule["labelsTemplate"].split("=")
                made[label] = template.replace(COUNT_PCI, str(count))
        elif all(matches(wanted[key], found.get(key)) for key in wanted):
            for label, value in rule["labels"].items():
                made[label] = found[value.removeprefix("@local.label.")]
    return made


def cards(*devices: str) -> Features:
    return {"pci.device": [{"vendor": NVIDIA, "device": device, "class": "0302"} for device in devices]}


def discovered(product: str, count: int, **slices: str) -> Features:
    """As gpu-feature-discovery writes it with the strategy `mixed`:
    https://github.com/NVIDIA/k8s-device-plugin/blob/main/docs/gpu-feature-discovery/README.md"""
    counts = {f"nvidia.com/mig-{name}.count": number for name, number in slices.items()}
    return {"local.label": {"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": str(count), **counts}}


def test_every_card_and_slice_of_the_shipped_classes_has_a_rule_and_nothing_else(rules: list[dict]) -> None:
    assert sorted(rule["name"] for rule in rules) == sorted(
        name for name, known in HARDWARE.items() if known.kind == "gpu"
    )


def test_a_rule_sets_the_label_of_its_name(rules: list[dict]) -> None:
    for rule in rules:
        labels = list(rule.get("labels", {})) or [rule["labelsTemplate"].split("=")[0]]
        assert labels == [f"{P}{rule['name']}"]


def test_a_rule_is_of_the_device_that_the_verb_names_so(rules: list[dict]) -> None:
    for rule in rules:
        wanted = rule["matchFeatures"][0]["matchExpressions"]
        if "device" in wanted:
            made = gpu_name(Gpu(PCI[wanted["device"]["value"][0]]))
        else:
            card = Gpu(wanted["nvidia.com/gpu.product"]["value"][0].replace("-", " "))
            found = [
                name
                for key, e in wanted.items()
                if e["op"] == "Gt"
                for name in re.findall(r"mig-(.*)\.count", key)
            ]
            made = slice_name(card, found[0]) if found else gpu_name(card)
        assert made == rule["name"]


def test_a_slices_rule_counts_the_resource_of_its_class(rules: list[dict]) -> None:
    slices = [rule for rule in rules if "mig" in rule["name"]]
    assert len(slices) == 2
    for rule in slices:
        assert rule["labels"] == {
            f"{P}{rule['name']}": f"@local.label.{HARDWARE[rule['name']].resource}.count"
        }


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (cards("1eb8", "1eb8", "1eb8", "1eb8"), {"nvidia-t4": "4"}),
        (cards("2684", "22ba"), {"nvidia-rtx-4090": "1"}),  # the card's sound is a device of its own
        ({"pci.device": [{"vendor": "8086", "device": "1eb8"}]}, {}),
        (discovered("NVIDIA-A2", 2), {"nvidia-a2": "2"}),
        (discovered("NVIDIA-A30", 1), {"nvidia-a30": "1"}),
        (discovered("NVIDIA-A30", 1, **{"1g.6gb": "2", "2g.12gb": "1"}), {"nvidia-a30-mig-1g.6gb": "2"}),
        (discovered("NVIDIA-A30-MIG-1g.6gb", 4), {}),  # the strategy `single` gives them as nvidia.com/gpu
        (discovered("NVIDIA-H100-PCIe", 8), {"nvidia-h100-pcie-80gb": "8"}),
        (
            discovered("NVIDIA-A100-SXM4-80GB", 4, **{"1g.10gb": "7"}),
            {"nvidia-a100-sxm-80gb-mig-1g.10gb": "7"},
        ),
        ({}, {}),
    ],
)
def test_a_node_gets_the_labels_of_its_cards(
    rules: list[dict], features: Features, labels: dict[str, str]
) -> None:
    assert labels_of(rules, features) == {f"{P}{name}": count for name, count in labels.items()}


def test_the_chart_makes_the_rules_only_when_asked(rules: list[dict]) -> None:
    asked = objects(helm("--set", "nodeFeatureRules=true"))
    assert one(asked, KIND, "synergai-devices")["spec"]["rules"] == rules
    assert [item for item in objects(helm()) if item["kind"] == KIND] == []
