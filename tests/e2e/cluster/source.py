"""Which real cluster the tests run on.

1. The one that KUBECONFIG names. Tests register nodes and create pods there, all of names of their own, and remove
   them. A cluster where SynergAI is at work is refused: the tests' scheduler would bind its pods.
2. A control plane started from the programs in the folder that KUBEBUILDER_ASSETS names.
3. The same, from the programs that build.sh has put into its cache.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synergai.k8s_bridge import keys
from tests.e2e.cluster.control_plane import NEEDED, control_plane

DEFAULT_VERSION = "1.36.3"  # as in build.sh
NAME = "synergai-e2e"
"""How all that these tests create on a cluster begins."""


class Unavailable(Exception):
    """There is no cluster to test on; one line that says what to do."""


@contextmanager
def cluster() -> Iterator[str]:
    """The kubeconfig of an administrator of the cluster; Unavailable, or ControlPlaneError where it does not start."""
    named = os.environ.get("KUBECONFIG", "")
    if named:
        _refuse_one_at_work(named)
        yield named
    else:
        with control_plane(programs()) as kubeconfig:
            yield str(kubeconfig)


def programs() -> Path:
    """The folder of etcd and kube-apiserver, or Unavailable."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    folder = Path(assets) if assets else cached()
    missing = [name for name in NEEDED if not os.access(folder / name, os.X_OK)]
    if not missing:
        return folder
    if assets:
        raise Unavailable(f"KUBEBUILDER_ASSETS={assets} has no {' and no '.join(missing)}")
    raise Unavailable(
        f"no real API server: {folder} has no {' and no '.join(missing)}; run 'make kubernetes'"
    )


def cached() -> Path:
    """Where build.sh puts what it makes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "synergai" / "kubernetes" / (os.environ.get("K8S_VERSION") or DEFAULT_VERSION)


def _refuse_one_at_work(kubeconfig: str) -> None:
    # Imported here, as it takes longer than most runs of a few tests.
    from kubernetes.client import ApiException, CoreV1Api
    from kubernetes.config import ConfigException, new_client_from_config
    from urllib3.exceptions import HTTPError

    try:
        api = CoreV1Api(new_client_from_config(kubeconfig))
        nodes = api.list_node(_request_timeout=10).to_dict()["items"]
    except (ConfigException, ApiException, HTTPError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise Unavailable(f"the cluster of KUBECONFIG={kubeconfig} cannot be used: {said}") from error
    for node in (item["metadata"] for item in nodes):
        if keys.LABEL_DEDICATED in (node.get("labels") or {}) and not node["name"].startswith(NAME):
            raise Unavailable(
                f"the cluster of KUBECONFIG={kubeconfig} has a node dedicated to SynergAI, {node['name']}, and these "
                "tests would schedule its pods: name another cluster, or unset KUBECONFIG"
            )
