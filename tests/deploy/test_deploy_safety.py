"""What the shipped bridge never does: run what it reads, start programs, or trust a server that it cannot check."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.rendered import Json, helm, kustomize, objects, pod_of

LOADED = """
import json, sys
from synergai.k8s_bridge import cli, startup
from synergai.agents import learned, policies, trial
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
print(json.dumps({name: file for name, file in files.items() if file and name.startswith("synergai.")}))
"""
UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "joblib",
    "subprocess",
    "pty",
}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen",
    "numpy.load", "np.load", "ssl._create_unverified_context",
}  # fmt: skip


def shipped() -> dict[str, Path]:
    """Modules of ours that a bridge loads, with the policy."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    return {name: Path(file) for name, file in json.loads(done.stdout).items()}


def unsafe(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
            yield from (f"import {name}" for name in names if name in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in UNSAFE_CALLS:
            yield f"{ast.unparse(node.func)}()"
        elif isinstance(node, ast.Attribute) and node.attr in ("CERT_NONE", "create_subprocess_exec"):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield "allow_pickle"


def test_what_a_bridge_loads_of_ours_runs_nothing_that_it_reads() -> None:
    """`credentials` alone starts a program: the kubeconfig's own exec plugin, through the Kubernetes client."""
    modules = shipped()
    assert {
        "synergai.k8s_bridge.daemon",
        "synergai.agents.learned",
        "synergai.envs.cluster",
    } <= modules.keys()
    found = {name: list(unsafe(ast.parse(file.read_text()))) for name, file in modules.items()}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import pickle", "import pickle"),
        ("from subprocess import run", "from subprocess"),
        ("yaml.load(text)", "yaml.load()"),
        ("np.load(f, allow_pickle=True)", "np.load()"),
        ("tls.verify_mode = ssl.CERT_NONE", "CERT_NONE"),
    ],
)
def test_the_look_finds_what_is_unsafe(source: str, said: str) -> None:
    assert said in list(unsafe(ast.parse(source)))


@pytest.fixture(params=["kustomize", "helm"])
def rendered(request: pytest.FixtureRequest) -> list[Json]:
    return objects(kustomize("base") if request.param == "kustomize" else helm())


def test_every_container_has_no_more_than_it_needs(rendered: list[Json]) -> None:
    spec = pod_of(rendered)["spec"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["initContainers"] + spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert [kind for volume in spec["volumes"] for kind in volume.keys() - {"name"}] == [
        "configMap",
        "emptyDir",
    ]
