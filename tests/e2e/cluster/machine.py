"""A machine for a test: containerd and a real kubelet in namespaces of their own, which end with one process.

It needs root, Linux, and the system's containerd, runc, CNI plugins, socat, busybox and iproute2; the kubelet is the
one that `build.sh kubelet` has built. Nothing is routed out of the machine: the API server is reached through a unix
socket, from its pods at the cluster's own address.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from tests.e2e.cluster.source import Unavailable, programs

TOOLS = ("containerd", "ctr", "runc", "socat", "busybox", "ip", "nsenter", "unshare")
PLUGINS = Path("/usr/lib/cni")
PAUSE, BUSYBOX = "local.test/pause:1", "local.test/busybox:1"
LINKS = ("sh", "cat", "cp", "echo", "env", "id", "ls", "sleep", "touch", "true")
FOLDERS = ("dev", "etc", "proc", "sys", "tmp", "usr", "root", "cache", "opt")
SERVICE_IP = "10.96.0.1"
START_TIMEOUT_S = 60.0


def needs() -> None:
    """Unavailable where there is something missing; one line that says what."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Unavailable("a real kubelet needs root on Linux")
    if missing or not (PLUGINS / "bridge").exists():
        raise Unavailable(f"a real kubelet needs {', '.join(missing or ['CNI plugins in /usr/lib/cni'])}")
    if not os.access(programs() / "kubelet", os.X_OK):
        raise Unavailable(f"no kubelet in {programs()}; run 'tests/e2e/cluster/build.sh kubelet'")


@contextmanager
def machine(name: str, kubeconfig: Path) -> Iterator[Path]:
    """A node of this name at the cluster of the kubeconfig, an administrator's; its folder, with its logs."""
    needs()
    folder = Path(mkdtemp(prefix="synergai-machine-"))
    server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    port = int(server.rsplit(":", 1)[1])
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_remove_cgroups)
        _write(folder, name, kubeconfig, port)
        outside = f"UNIX-LISTEN:{folder}/api.sock,fork,unlink-early"
        stack.enter_context(_running(["socat", outside, f"TCP:127.0.0.1:{port}"], folder / "api.log"))
        inside = ["unshare", "--net", "--mount", "--propagation=slave", "--uts", "--ipc", "--pid", "--fork"]
        inside += ["--kill-child=SIGKILL", "--mount-proc", "sh", str(folder / "init.sh")]
        stack.enter_context(_running(inside, folder / "init.log"))
        yield folder


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _write(folder: Path, name: str, kubeconfig: Path, port: int) -> None:
    for inner in ("kubelet", "varlib", "varlog", "cni", "images"):
        (folder / inner).mkdir()
    (folder / "resolv.conf").touch()
    shutil.copy(kubeconfig, folder / "kubeconfig")
    image(folder / "images" / "pause.tar", PAUSE, ["/bin/busybox", "sleep", "2147483647"])
    image(folder / "images" / "busybox.tar", BUSYBOX)
    (folder / "containerd.toml").write_text(CONTAINERD.format(folder=folder))
    (folder / "cni" / "10-net.conflist").write_text(json.dumps(_network(folder)))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(folder)))
    words = {"folder": folder, "name": name, "port": port, "ip": SERVICE_IP, "programs": programs()}
    (folder / "init.sh").write_text(INIT.format(**words))


CONTAINERD = """version = 2
root = "{folder}/containerd"
state = "{folder}/state"
grpc = {{address = "{folder}/containerd.sock"}}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "local.test/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  cni = {{bin_dir = "/usr/lib/cni", conf_dir = "{folder}/cni"}}
"""

INIT = """hostname {name}
ip link set lo up
ip addr add {ip}/32 dev lo
ip link add node0 type dummy; ip addr add 10.200.0.1/24 dev node0; ip link set node0 up
sysctl -qw net.ipv4.ip_forward=1
for d in /run/netns /run/containerd /var/lib/cni; do mkdir -p $d; mount -t tmpfs tmpfs $d; done
mkdir -p /var/lib/kubelet
mount --bind {folder}/varlib /var/lib/kubelet
mount --bind {folder}/varlog /var/log
socat TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr UNIX-CONNECT:{folder}/api.sock &
socat TCP-LISTEN:443,bind={ip},fork,reuseaddr UNIX-CONNECT:{folder}/api.sock &
containerd -c {folder}/containerd.toml >{folder}/containerd.log 2>&1 &
ctl="ctr -a {folder}/containerd.sock"
until $ctl version >/dev/null 2>&1; do sleep 0.1; done
for t in {folder}/images/*.tar; do $ctl -n k8s.io images import $t; done
exec {programs}/kubelet --config={folder}/kubelet.json --kubeconfig={folder}/kubeconfig --hostname-override={name} \\
  --node-ip=10.200.0.1 --root-dir={folder}/kubelet --cert-dir={folder}/pki >{folder}/kubelet.log 2>&1
"""


def _network(folder: Path) -> Mapping[str, object]:
    ipam = {
        "type": "host-local",
        "dataDir": f"{folder}/ipam",
        "ranges": [[{"subnet": "10.244.1.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def _kubelet(folder: Path) -> Mapping[str, object]:
    """Nobody may ask it anything; it takes the whole machine for its own."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "readOnlyPort": 0,
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "resolvConf": f"{folder}/resolv.conf",
        "nodeStatusUpdateFrequency": "2s",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": f"{folder}/plugins",
    }


def image(path: Path, name: str, command: list[str] | None = None) -> None:
    """Busybox, and folders to mount the system's own programs into, as an archive for `ctr images import`."""
    busybox = shutil.which("busybox")
    assert busybox, "asked for before"
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder in ("bin", *FOLDERS):
            _add(archive, folder, type=tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        _add(archive, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        links = {f"bin/{link}": "busybox" for link in LINKS} | {"lib": "usr/lib", "lib64": "usr/lib64"}
        for link, target in links.items():
            _add(archive, link, type=tarfile.SYMTYPE, linkname=target)
    content = layer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    settings = {"Env": ["PATH=/bin:/usr/bin"], "Entrypoint": command}
    config = json.dumps(
        {
            "architecture": {"aarch64": "arm64"}.get(os.uname().machine, "amd64"),
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, "config.json", config)
        _add(archive, "layer.tar", content)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes | None = None, **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content or b"")
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, None if content is None else io.BytesIO(content))


def _remove_cgroups() -> None:
    """Those that the containers leave behind: empty, a moment after their end."""
    time.sleep(0.5)
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        left = hierarchy / "k8s.io"
        for folder in sorted(left.rglob("*"), reverse=True) if left.is_dir() else ():
            if folder.is_dir():
                with suppress(OSError):
                    folder.rmdir()
        with suppress(OSError):
            left.rmdir()
