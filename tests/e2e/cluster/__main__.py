"""`python -m tests.e2e.cluster`: a real control plane until Ctrl-C, for work by hand."""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from tests.e2e.cluster.control_plane import ControlPlaneError, control_plane
from tests.e2e.cluster.source import Unavailable, programs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.cluster", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="written when the cluster is ready")
    path = parser.parse_args().kubeconfig
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        with control_plane(programs()) as kubeconfig:
            shutil.copy(kubeconfig, path)
            print(f"Kubernetes is ready; try: kubectl --kubeconfig {path} get namespaces", flush=True)
            signal.sigwait(stop)
    except (ControlPlaneError, Unavailable) as error:
        sys.exit(f"error: {error}")
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
