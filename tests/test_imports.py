"""Imports go one way, heavy libraries stay where they belong, and nobody imports relatively."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "offline_profiles": set(),
    "envs": {"offline_profiles"},
    "agents": {"offline_profiles", "envs"},
    "training": {"offline_profiles", "envs", "agents", "checkpoints"},
    "k8s_bridge": {"offline_profiles", "envs", "agents", "checkpoints"},
    "benchmarks": {"offline_profiles", "envs", "agents", "training", "k8s_bridge", "checkpoints"},
}
HOME = {
    "torch": "training",
    "stable_baselines3": "training",
    "sb3_contrib": "training",
    "onnx": "training",
    "kubernetes": "k8s_bridge",
}
GUEST = {("offline_profiles/engines/exported.py", "torch"), ("offline_profiles/engines/exported.py", "onnx")}
"""Away from home, within a function: the models that torch exports for whoever has it."""
FILES = sorted(file for package in MAY_IMPORT for file in (ROOT / package).rglob("*.py"))
NAMES = [str(file.relative_to(ROOT)) for file in FILES]


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Absolute names that a file imports anywhere, and `.` for a relative import, with their lines."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level > 0 or node.module is None:
                yield node.lineno, "."
            elif node.module == "synergai":
                yield from ((node.lineno, f"synergai.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


@pytest.mark.parametrize("name", NAMES)
def test_a_file_imports_only_packages_to_its_left(name: str) -> None:
    package = name.split("/")[0]
    allowed = MAY_IMPORT[package] | {package}
    for line, module in imported(ROOT / name):
        if module.startswith("synergai.") and module != "synergai.__version__":
            assert module.split(".")[1] in allowed, f"{name}:{line} imports {module}"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_keeps_heavy_libraries_in_their_package(name: str) -> None:
    for line, module in imported(ROOT / name):
        library = module.split(".")[0]
        home = HOME.get(library, name.split("/")[0])
        assert name.split("/")[0] == home or (name, library) in GUEST, (
            f"{name}:{line} imports {module}, which belongs to {home}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_imports_absolutely(name: str) -> None:
    for line, module in imported(ROOT / name):
        assert module != ".", f"{name}:{line} imports relatively"
        assert module.split(".")[0] not in MAY_IMPORT, f"{name}:{line} imports {module} without synergai"


def modules(package: str) -> list[str]:
    names = [file.relative_to(ROOT).with_suffix("") for file in sorted((ROOT / package).rglob("*.py"))]
    return ["synergai." + ".".join(name.parts) for name in names if name.name not in ("__init__", "__main__")]


@pytest.mark.parametrize("package", ["offline_profiles", "envs", "agents", "k8s_bridge"])
def test_importing_every_module_of_a_served_package_loads_no_torch(package: str) -> None:
    code = "import importlib, sys\n"
    code += "".join(f"importlib.import_module({name!r})\n" for name in modules(package))
    code += "print([n for n in ('torch', 'stable_baselines3', 'sb3_contrib') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
