"""The kubeconfig file of an embedded server."""

import os
from pathlib import Path

import yaml

NAME = "synergai"


def write(path: Path, url: str, token: str = "") -> None:
    """A kubeconfig that `kubectl --kubeconfig PATH` takes; readable by its owner only."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": url}}],
        "users": [{"name": NAME, "user": {"token": token} if token else {}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    }
    unfinished = path.with_name(
        f"{path.name}.{os.getpid()}"
    )  # whoever waits for the file must not find half of it
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    unfinished.replace(path)
