"""The Dockerfile, which nothing here can build: the rules that matter, and what its steps make without an image."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.deploy.rendered import DEPLOY, NAME, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TEXT = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
STEPS = [tuple(line.split(maxsplit=1)) for line in TEXT.splitlines() if line and not line.startswith("#")]
LAST = STEPS[max(i for i, (word, _) in enumerate(STEPS) if word == "FROM") :]
"""The stage that is shipped."""
COPIED = {
    name for word, rest in STEPS if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
}
NEEDED = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src"} | {
    name for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"] if "/" not in name
}


def deployment() -> dict:
    return yaml.safe_load((DEPLOY / "base" / "deployment.yaml").read_text(encoding="utf-8"))


def environment(steps: list[tuple[str, ...]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for word, rest in steps if word == "ENV" for pair in rest.split())


def test_every_word_is_known_and_nothing_is_fetched_past_pip() -> None:
    assert {word for word, _ in STEPS} <= {
        "ARG", "FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    assert not re.search(r"https?://|curl|wget|sudo|apt|ADD ", TEXT)


def test_both_stages_are_of_one_slim_python_that_has_a_version() -> None:
    bases = [rest.split()[0] for word, rest in STEPS if word == "FROM"]
    assert bases == ["python:${PYTHON}"] * 2
    (version,) = (rest.removeprefix("PYTHON=") for word, rest in STEPS if word == "ARG")
    assert re.fullmatch(r"3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", version)


def test_it_installs_the_core_at_the_pinned_versions() -> None:
    (install,) = (rest for word, rest in STEPS if word == "RUN" and " install " in rest)
    assert "--constraint constraints.txt" in install
    assert "--no-cache-dir" in install
    assert install.split()[-1] == "."


def test_it_runs_as_a_user_without_a_name_the_one_of_the_deployment() -> None:
    (user,) = (rest for word, rest in LAST if word == "USER")
    context = deployment()["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["runAsUser"] != 0


def test_signals_reach_the_bridge() -> None:
    assert dict(LAST)["ENTRYPOINT"] == '["synergai"]'  # no shell between


def test_kernels_are_run_as_they_were_compiled() -> None:
    build, shipped = environment(STEPS[: -len(LAST)]), environment(LAST)
    assert build == {key: shipped[key] for key in build}
    pod = deployment()["spec"]["template"]["spec"]
    (links,), (bridge,) = pod["initContainers"], pod["containers"]
    assert links["command"][-2:] == [shipped["XDG_CACHE_HOME"] + "/.", bridge["env"][0]["value"]]
    assert bridge["env"][0]["name"] == "XDG_CACHE_HOME"


def test_it_copies_what_the_wheel_is_made_of_and_nothing_else() -> None:
    assert COPIED == NEEDED
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in kept if line.startswith("!")} == NEEDED
    assert kept[1] == "*"


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    chart, values = (
        yaml.safe_load((DEPLOY / "chart" / name).read_text(encoding="utf-8"))
        for name in ("Chart.yaml", "values.yaml")
    )
    pod = deployment()["spec"]["template"]["spec"]
    images = {container["image"] for container in pod["initContainers"] + pod["containers"]}
    assert images | {values["image"]} == {f"{NAME}:{version}"}
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert f"--tag {NAME}:{version} ." in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_pinned_version_has_a_wheel_for_the_machine(machine: str, tmp_path: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    platform = ["--python-platform", f"{machine}-manylinux_2_28", "--python-version", "3.11"]
    pinned = ["--only-binary", ":all:", "--constraint", "constraints.txt", "pyproject.toml"]
    command = [uv, "pip", "compile", "--quiet", *platform, *pinned, "-o", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "numba==" in (tmp_path / "out").read_text()


@pytest.mark.slow
def test_what_is_installed_starts_and_has_no_torch(tmp_path: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    commands = [
        [uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")],
        [uv, "pip", "install", "--quiet", "--python", python, "--constraint", "constraints.txt", "."],
        [python, "-c", "import synergai.k8s_bridge.warm"],
        [str(Path(python).with_name("synergai")), "bridge", "--help"],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [uv, "pip", "list", "--python", python], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"^(torch|stable-baselines3|sb3-contrib|onnx|ray|pytest)\b", listed, re.MULTILINE)
