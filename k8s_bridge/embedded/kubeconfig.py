"""Kubeconfig files: written for the embedded server, read for another one."""

import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

NAME = "synergai"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where an API server is and how to be let in."""

    url: str
    token: str = ""
    tls: ssl.SSLContext | None = None

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


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
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def read(path: Path) -> Connection:
    """The current context of a kubeconfig; ValueError names what is missing. Exec plugins are not run."""
    config = yaml.safe_load(path.read_text())
    if not isinstance(config, dict):
        raise ValueError(f"{path}: no kubeconfig")
    context = _named(config, "contexts", config.get("current-context", ""), path)["context"]
    cluster = _named(config, "clusters", context.get("cluster", ""), path)["cluster"]
    user = _named(config, "users", context.get("user", ""), path).get("user") or {}
    return Connection(cluster["server"], user.get("token", ""), _tls(cluster, user, path.parent))


def _named(config: dict[str, Any], key: str, name: str, path: Path) -> dict[str, Any]:
    """`Any`: a file of the user's."""
    for entry in config.get(key) or []:
        if entry.get("name") == name:
            return entry
    raise ValueError(f"{path}: {key} has no entry named {name!r}")


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> ssl.SSLContext | None:
    if not cluster["server"].startswith("https:"):
        return None
    authority = _material(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _material(user, "client-certificate", folder), _material(user, "client-key", folder)
    if certificate and key:
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(certificate + b"\n" + key)
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


def _material(entry: dict[str, Any], key: str, folder: Path) -> bytes | None:
    if f"{key}-data" in entry:
        return base64.b64decode(entry[f"{key}-data"])
    return (folder / entry[key]).read_bytes() if key in entry else None
