"""`python -m tests.e2e.real`: what docs/jetson.md tells a user to do, on three real kubelets of this machine.

A control plane and three nodes; profile each class as a Job; make runtimes of what was measured; send a trace through
the bridge under several schedulers; say how far the simulator predicted it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

from synergai.k8s_bridge.embedded.shipped import definitions
from tests.deploy.rendered import output, tool
from tests.e2e.cluster.control_plane import ControlPlaneError, control_plane
from tests.e2e.cluster.machines import machines
from tests.e2e.cluster.source import Unavailable, programs
from tests.e2e.real.ground import sizes, template

MODELS = "magika,ppocr-rec,resnet50-random,transformer-random"
GRID = ("--engines", "onnxruntime,openvino", "--threads", "1")
NAMESPACE = "default"


class Failed(Exception):
    """A step has ended badly; it has said why."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.real", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("out/real"), help="profiles, recordings, tables and pictures"
    )
    parser.add_argument("--models", default=MODELS, help="of those that `synergai profile models` writes")
    parser.add_argument("--schedulers", default="demo,edf_likely,slo_mael_greedy,least_allocated")
    parser.add_argument("--jobs", type=int, default=100, help="for each scheduler")
    parser.add_argument(
        "--calibrate", type=int, default=20, help="jobs that the cluster is measured with first"
    )
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument("--job-s", type=float, default=7.0, help="median run on the fastest class")
    parser.add_argument("--batches", default="1,8", help="that are profiled")
    parser.add_argument("--quick", action="store_true", help="profiles in seconds a point")
    parser.add_argument(
        "--keep-profiles", action="store_true", help="those of an earlier run in the same folder"
    )
    options = parser.parse_args()
    try:
        with control_plane(programs()) as kubeconfig, machines(kubeconfig, sizes()):
            go(Path(kubeconfig), options)
    except (ControlPlaneError, Unavailable, Failed) as error:
        sys.exit(f"error: {error}")


def go(kubeconfig: Path, options: argparse.Namespace) -> None:
    """All steps on a cluster that is there. Failed names the step."""
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    profiles, hardware = profile(kubeconfig, out, options)
    install(kubeconfig, out, profiles, hardware)
    compared = ("--schedulers", options.schedulers, "--jobs", options.jobs, "--calibrate", options.calibrate)
    asked = ("--models", options.models, "--load", options.load, "--job-s", options.job_s, *compared)
    files = ("--profiles", profiles, "--hardware", hardware, "--namespace", NAMESPACE)
    verb("sim-to-real", "run", "--kubeconfig", kubeconfig, *files, *asked, "--out", out)


def profile(kubeconfig: Path, out: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Files of profiles and of hardware classes, measured by a Job on each class."""
    found = out / "profiles.csv", out / "profiles-hardware.csv"
    verb("profile", "models", "--into", out / "models", "--only", options.models)
    if options.keep_profiles and all(path.exists() for path in found):
        return found
    command = ("-m", "synergai", "profile", "run")
    pod = template("profile", *command, folders={out / "models": "/models", scratch(out): "/cache"})
    path = out / "profile-pod.yaml"
    path.write_text(yaml.safe_dump(pod), encoding="utf-8")
    effort = ("--quick",) if options.quick else ("--most-seconds", "12")
    where = ("--kubeconfig", kubeconfig, "--namespace", NAMESPACE, "--template", path, "--unit", "cpu")
    verb(
        "profile",
        "cluster",
        *where,
        "--out",
        found[0],
        "--anew",
        "--",
        *GRID,
        "--batches",
        options.batches,
        *effort,
    )
    return found


def install(kubeconfig: Path, out: Path, profiles: Path, hardware: Path) -> None:
    """Our definitions, and a runtime of each model that runs what was profiled."""
    kubectl = [tool("kubectl"), "--kubeconfig", str(kubeconfig)]
    output([*kubectl, "apply", "--server-side", "-f", "-"], yaml.safe_dump_all(definitions()))
    output([*kubectl, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
    folders = {out / "models": "/models", scratch(out): "/cache"}
    pod = template("runner", "-m", "synergai.k8s_bridge.runner", "--cache", "/cache", folders=folders)
    path = out / "runner-pod.yaml"
    path.write_text(yaml.safe_dump(pod), encoding="utf-8")
    command = ("run", "runtimes", "--profiles", profiles, "--hardware", hardware, "--template", path)
    runtimes = verb("run", *command[1:], "--checksums", out / "models", quiet=True)
    (out / "runtimes.yaml").write_text(runtimes, encoding="utf-8")
    output([*kubectl, "apply", "--server-side", "-f", "-"], runtimes)


def scratch(out: Path) -> Path:
    """For what engines compile."""
    folder = out / "cache"
    folder.mkdir(exist_ok=True)
    return folder


def verb(*arguments: object, quiet: bool = False) -> str:
    """One command of ours, shown; what it prints where it is `quiet`."""
    words = [str(argument) for argument in arguments]
    print(f"$ synergai {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "synergai", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE if quiet else None, text=True, check=False)
    if done.returncode:
        raise Failed(f"synergai {words[0]} {words[1]} ended with exit code {done.returncode}")
    return done.stdout or ""


if __name__ == "__main__":
    main()
