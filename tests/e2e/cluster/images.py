"""Images without a registry: empty folders, into which a pod mounts the machine's own programs."""

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAUSE, EMPTY = "local.test/pause:1", "local.test/empty:1"
FOLDERS = ("dev", "etc", "proc", "sys", "tmp", "usr", "var", "root", "home", "cache", "opt", "work")
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
PYTHON = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
"""Where `mount_host` puts it: this one without its packages."""
PATH = "/usr/local/bin:/usr/bin:/bin"


def write(path: Path, name: str, program: Path | None = None) -> None:
    """As `ctr images import` reads it: folders, and `program`, which it runs."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder in FOLDERS:
            _add(archive, folder, type=tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        for link, target in LINKS.items():
            _add(archive, link, type=tarfile.SYMTYPE, linkname=target)
        if program:
            _add(archive, program.name, program.read_bytes(), mode=0o755)
    content = layer.getvalue()
    config = {
        "architecture": {"aarch64": "arm64"}.get(os.uname().machine, "amd64"),
        "os": "linux",
        "config": {"Env": [f"PATH={PATH}"], "Entrypoint": [f"/{program.name}"] if program else None},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, "config.json", json.dumps(config).encode())
        _add(archive, "layer.tar", content)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes | None = None, **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content or b"")
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, None if content is None else io.BytesIO(content))


def mount_host(spec: dict[str, Any], more: Mapping[Path, str] | None = None) -> None:
    """All containers of the pod run EMPTY with this system's /usr and Python, and `more`, where by what.

    None of it can be written. `sh` and what else is in /usr/bin is found by its name.
    """
    places = {"/usr": "/usr", sys.base_prefix: sys.base_prefix}
    places |= {str(source): to for source, to in (more or {}).items()}
    names = {source: f"host-{n}" for n, source in enumerate(places)}
    mounts = [{"name": names[source], "mountPath": to, "readOnly": True} for source, to in places.items()]
    spec.setdefault("volumes", []).extend({"name": names[s], "hostPath": {"path": s}} for s in places)
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        container["image"] = EMPTY
        container.setdefault("volumeMounts", []).extend(mounts)
