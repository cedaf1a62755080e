"""Every package has its link and its lines, and a wheel holds the code and the data that it reads."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
PACKAGES = ("offline_profiles", "envs", "agents", "training", "k8s_bridge", "benchmarks", "checkpoints")
FIXED = ("src/synergai/__init__.py", "src/synergai/__main__.py", "src/synergai/cli.py")


def test_the_list_of_packages_is_complete() -> None:
    found = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests"}
    assert found <= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_its_link(package: str) -> None:
    link = ROOT / "src" / "synergai" / package
    assert link.is_symlink(), f"src/synergai/{package} is not a link"
    assert link.resolve() == ROOT / package


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_in_only_include(package: str) -> None:
    assert package in WHEEL["only-include"]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_in_sources(package: str) -> None:
    assert WHEEL["sources"].get(package) == f"synergai/{package}"


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "checkpoints"])
def test_package_is_type_checked(package: str) -> None:
    assert package in SETTINGS["tool"]["pyright"]["include"]


@pytest.mark.parametrize("package", PACKAGES)
def test_ruff_reads_the_package_once_and_refuses_its_bare_name(package: str) -> None:
    ruff = SETTINGS["tool"]["ruff"]
    assert f"src/synergai/{package}" in ruff["extend-exclude"]
    assert package in ruff["lint"]["flake8-tidy-imports"]["banned-api"]


@pytest.mark.parametrize("file", FIXED)
def test_file_of_the_outer_package_is_in_the_wheel(file: str) -> None:
    assert file in WHEEL["only-include"]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "build", "--wheel", "--quiet", "--out-dir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(zipfile.ZipFile(next(out.glob("*.whl"))).namelist())


@pytest.mark.slow
@pytest.mark.parametrize(
    "package", ["offline_profiles", "envs", "agents", "training", "k8s_bridge", "benchmarks"]
)
def test_wheel_holds_every_file_of_the_package(package: str, wheel_names: set[str]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert {f"synergai/{name}" for name in listed if (ROOT / name).exists()} <= wheel_names


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "synergai/cli.py",
        "synergai/offline_profiles/data/profiles.csv",
        "synergai/offline_profiles/data/hardware.csv",
        "synergai/offline_profiles/data/reference.csv",
        "synergai/envs/scenarios/demo.yaml",
        "synergai/envs/traces/azure_conversation_2023.csv.gz",
    ],
)
def test_wheel_holds_the_data_that_code_reads(name: str, wheel_names: set[str]) -> None:
    assert name in wheel_names


@pytest.mark.slow
def test_wheel_has_nothing_outside_the_package(wheel_names: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel_names if ".dist-info" not in name} == {"synergai"}
