"""What `deploy/` makes of its files, by the tools that its users run."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster.source import cached

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NAME = "synergai-bridge"
"""Of the namespace, the account and the workload."""
HELMS = "helm.sh/resource-policy"
"""The annotation that only the chart writes."""
Json = dict[str, Any]


def tool(name: str) -> str:
    """Where a program is; skipped where there is none, failed if SYNERGAI_E2E=require."""
    found = shutil.which(name) or shutil.which(name, path=cached())
    if found:
        return found
    reason = f"no {name} here; run 'make kubernetes'"
    pytest.fail(reason, pytrace=False) if os.environ.get("SYNERGAI_E2E") == "require" else pytest.skip(reason)


def run(command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def output(command: list[str], given: str = "") -> str:
    done = run(command, given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kustomize(folder: str) -> str:
    return output([tool("kubectl"), "kustomize", str(DEPLOY / folder)])


def helm(*options: str, namespace: str = NAME) -> str:
    chart = str(DEPLOY / "chart")
    return output([tool("helm"), "template", NAME, chart, "--namespace", namespace, *options])


def objects(text: str) -> list[Json]:
    return [item for item in yaml.safe_load_all(text) if item]


def one(items: list[Json], kind: str, name: str | None = None) -> Json:
    """The only one of its kind, or of its kind and name."""
    (found,) = (item for item in items if item["kind"] == kind and name in (None, item["metadata"]["name"]))
    return found


def pod_of(items: list[Json]) -> Json:
    return one(items, "Deployment")["spec"]["template"]


def same(items: list[Json]) -> dict[tuple[str, str, str], Json]:
    """By what names an object; the hash that ends a generated name is left out, and settings are read."""
    text = re.sub(rf"{NAME}-[0-9a-z]{{10}}\b", f"{NAME}-HASH", yaml.safe_dump_all(items))
    made = {}
    for item in objects(text):
        if item["kind"] == "ConfigMap":
            item["data"] = {key: yaml.safe_load(value) for key, value in item["data"].items()}
        metadata = item["metadata"]
        if HELMS in (metadata.get("annotations") or {}):
            del metadata["annotations"][HELMS]
        if not metadata.get("annotations"):
            metadata.pop("annotations", None)
        made[item["kind"], metadata.get("namespace", ""), metadata["name"]] = item
    return made
