"""`python -m tests.e2e.cluster`: a real control plane until Ctrl-C, for work by hand, or while a command runs."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.cluster.control_plane import ControlPlaneError, control_plane
from tests.e2e.cluster.machine import Size
from tests.e2e.cluster.machines import machines, parse
from tests.e2e.cluster.source import Unavailable, programs

OTHERS = ("kube-scheduler", "kube-controller-manager")
"""Programs that a command is told of: KUBE_SCHEDULER and so on."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.cluster", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="written when the cluster is ready")
    parser.add_argument(
        "--bare", action="store_true", help="without controllers: nobody calls a silent node lost"
    )
    parser.add_argument(
        "--machines", metavar="NAME=CPU:MEMORY[:LABEL=VALUE[:EFFECT]]...,...", type=_sizes, default=(),
        help="real nodes, as root; an effect such as NoSchedule makes its label a taint, nvidia.com/gpu=N is a count",
    )  # fmt: skip
    parser.add_argument(
        "command", nargs="*", help="after --, run with KUBECONFIG and where the other programs are"
    )
    options = parser.parse_args()
    if bool(options.kubeconfig) == bool(options.command):
        parser.error("give either --kubeconfig FILE or -- COMMAND")
    try:
        with _cluster(options.bare, options.machines) as kubeconfig:
            if options.command:
                others = {name.replace("-", "_").upper(): str(programs() / name) for name in OTHERS}
                named = {**os.environ, "KUBECONFIG": str(kubeconfig), **others}
                sys.exit(subprocess.run(options.command, env=named, check=False).returncode)
            _stand(kubeconfig, options.kubeconfig)
    except (ControlPlaneError, Unavailable, ValueError) as error:
        sys.exit(f"error: {error}")


def _sizes(text: str) -> tuple[Size, ...]:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@contextmanager
def _cluster(bare: bool, sizes: tuple[Size, ...]) -> Iterator[Path]:
    with control_plane(programs(), bare) as kubeconfig:
        if not sizes:
            yield kubeconfig
            return
        with machines(kubeconfig, sizes):
            yield kubeconfig


def _stand(kubeconfig: Path, path: Path) -> None:
    """Until Ctrl-C."""
    stop = {signal.SIGINT, signal.SIGTERM}
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, stop)
        shutil.copy(kubeconfig, path)
        print(f"Kubernetes is ready; try: kubectl --kubeconfig {path} get namespaces", flush=True)
        signal.sigwait(stop)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
