"""`python -m tests.e2e.cluster`: a real control plane until Ctrl-C, for work by hand, or while a command runs."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.cluster.control_plane import ControlPlaneError, control_plane
from tests.e2e.cluster.source import Unavailable, programs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.cluster", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="written when the cluster is ready")
    parser.add_argument(
        "--bare", action="store_true", help="without controllers: nobody calls a silent node lost"
    )
    parser.add_argument("command", nargs="*", help="after --, run with KUBECONFIG and KUBE_SCHEDULER")
    options = parser.parse_args()
    if bool(options.kubeconfig) == bool(options.command):
        parser.error("give either --kubeconfig FILE or -- COMMAND")
    try:
        with control_plane(programs(), options.bare) as kubeconfig:
            if options.command:
                scheduler = {"KUBE_SCHEDULER": str(programs() / "kube-scheduler")}
                named = {**os.environ, "KUBECONFIG": str(kubeconfig), **scheduler}
                sys.exit(subprocess.run(options.command, env=named, check=False).returncode)
            _stand(kubeconfig, options.kubeconfig)
    except (ControlPlaneError, Unavailable) as error:
        sys.exit(f"error: {error}")


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
