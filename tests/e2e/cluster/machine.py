"""A machine for a test: containerd and a real kubelet in namespaces of their own, which end with one process.

It needs root, Linux, iproute2, util-linux and openssl, and what `build.sh machines` has built. Nothing is routed out of
it but the cable to this system, which the API server reaches its kubelet by; it reaches the API server through a unix
socket, at 127.0.0.1 and for its pods at the cluster's own address.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from tests.e2e.cluster import cgroups, images
from tests.e2e.cluster.control_plane import KUBELET_CLIENTS, ControlPlaneError, Part
from tests.e2e.cluster.source import Unavailable, programs

BUILT = ("kubelet", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "pause", "cni/bridge")
TOOLS = ("ip", "unshare", "mount", "hostname", "openssl")
HERE = Path(__file__).parent
PREFIX = "synergai-machine-"
"""Of the names of folders and cgroups, before the process that made them."""
CABLE = "synergai"
"""Of the network devices' names, before a number that no other machine of this system has."""
MACHINES = 250
EVICTION_MIB = 50
SOCKET_PATH_MAX = 107  # linux/un.h, less the ending zero
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 5.0


class Incapable(Unavailable):
    """This system cannot have a machine, whatever is built."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a node has to give, and what it says of itself."""

    name: str
    cpu_milli: int
    memory_mib: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    """`KEY=VALUE:EFFECT`, as kubectl writes them."""
    gpus: int = 0
    """So many `nvidia.com/gpu` are counted there; none has to be."""


def needs() -> None:
    """Unavailable where there is something missing, Incapable where no build helps; one line that says what."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Incapable("a real kubelet needs root on Linux")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    if missing:
        raise Incapable(f"a real kubelet needs {', '.join(missing)}")
    missing = [name for name in BUILT if not os.access(programs() / name, os.X_OK)]
    if missing:
        reason = f"a real kubelet needs {', '.join(missing)} in {programs()}"
        if os.environ.get("KUBEBUILDER_ASSETS") or not shutil.which("gcc"):
            raise Incapable(
                f"{reason}; tests/e2e/cluster/build.sh makes them, with gcc, not for KUBEBUILDER_ASSETS"
            )
        raise Unavailable(f"{reason}; run 'make machines'")


class Machine:
    """One that runs; it ends with `kill`, or with the thread that made it."""

    def __init__(self, size: Size, kubeconfig: Path) -> None:
        """Its kubelet registers a little later. ControlPlaneError where it cannot be started."""
        self.size = size
        self.folder = Path(mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._parts: list[Part] = []
        try:
            if len(f"{self.folder}/containerd.sock") > SOCKET_PATH_MAX:
                raise ControlPlaneError(
                    f"the path of {self.folder} is too long for a socket in it: set TMPDIR"
                )
            cgroups.make(self.folder.name, size.cpu_milli, size.memory_mib + EVICTION_MIB)
            self._start(kubeconfig)
        except BaseException:
            self.remove()
            raise

    def _start(self, kubeconfig: Path) -> None:
        server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        port = int(server.rsplit(":", 1)[1])
        self._write(kubeconfig)
        pair = f"unix:{self.folder}/api.sock=tcp:127.0.0.1:{port}"
        python = Path(sys.executable)
        self._parts.append(Part(python, ["-SE", str(HERE / "relay.py"), pair], self.folder))
        environment = {
            "NAME": self.size.name,
            "FOLDER": str(self.folder),
            "LABELS": ",".join(f"{key}={value}" for key, value in self.size.labels.items()),
            "PORT": str(port),
            "PYTHON": str(python),
            "RELAY": str(HERE / "relay.py"),
            "PATH": f"{self.folder}/bin:{programs()}:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        apart = ["--net", "--mount", "--propagation=slave", "--uts", "--ipc", "--pid", "--mount-proc"]
        apart += ["--fork", "--kill-child=SIGKILL", "sh", str(HERE / "init.sh")]
        unshare = Path(shutil.which("unshare") or "unshare")
        self._parts.append(Part(unshare, apart, self.folder, environment))
        self._connect(self._parts[-1])

    def _write(self, kubeconfig: Path) -> None:
        for inner in ("kubelet", "varlib", "varlog", "cni", "images", "bin"):
            (self.folder / inner).mkdir()
        (self.folder / "resolv.conf").touch()
        shutil.copy(kubeconfig, self.folder / "kubeconfig")
        shutil.copy(kubeconfig.parent / KUBELET_CLIENTS, self.folder / KUBELET_CLIENTS)
        images.write(self.folder / "images" / "pause.tar", images.PAUSE, programs() / "pause")
        images.write(self.folder / "images" / "empty.tar", images.EMPTY)
        runc = self.folder / "bin" / "runc"
        words = {"python": sys.executable, "filter": HERE / "without_seccomp.py", "runc": programs() / "runc"}
        runc.write_text(RUNC.format(**words))
        runc.chmod(0o755)
        (self.folder / "containerd.toml").write_text(
            CONTAINERD.format(folder=self.folder, programs=programs(), pause=images.PAUSE)
        )
        (self.folder / "kubelet.json").write_text(json.dumps(_kubelet(self.size, self.folder)))

    def _connect(self, inside: Part) -> None:
        """A cable from here, named by the first number that is free; it goes with the machine."""
        own, deadline_s = os.readlink("/proc/self/ns/net"), time.monotonic() + START_TIMEOUT_S
        while os.readlink(f"/proc/{inside.pid}/ns/net") == own:
            inside.check()
            if time.monotonic() > deadline_s:
                raise ControlPlaneError(f"machine {self.size.name} has no namespaces of its own")
            time.sleep(0.01)
        for number in range(1, MACHINES):
            here = f"{CABLE}{number}"
            added = _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", str(inside.pid))
            if not added:
                break
            if "File exists" not in added:
                raise ControlPlaneError(f"machine {self.size.name} gets no network: {added}")
        else:
            raise ControlPlaneError(f"{MACHINES - 1} machines are on this system already")
        gateway, self.address = f"10.200.{number}.1", f"10.200.{number}.2"
        for command in (
            ["addr", "add", gateway, "peer", self.address, "dev", here],
            ["link", "set", here, "alias", self.folder.name, "up"],
        ):
            if failed := _ip(*command):
                raise ControlPlaneError(f"machine {self.size.name} gets no network: {failed}")
        (self.folder / "cni" / "10-net.conflist").write_text(json.dumps(_network(self.folder, number)))
        (self.folder / "go.new").write_text(f"ADDRESS={self.address} GATEWAY={gateway}\n")
        (self.folder / "go.new").rename(self.folder / "go")

    def check(self) -> None:
        """ControlPlaneError if it has ended, with the last that its kubelet said."""
        try:
            for part in self._parts:
                part.check()
        except ControlPlaneError as error:
            raise ControlPlaneError(f"machine {self.size.name}: {self.last_words() or error}") from error

    def last_words(self) -> str:
        """Of its kubelet, or of what comes before it."""
        for log in ("kubelet.log", "containerd.log", "unshare.log"):
            with suppress(OSError):
                lines = (self.folder / log).read_text(encoding="utf-8", errors="replace").splitlines()
                if lines:
                    return f"{log}: {lines[-1]}"
        return ""

    def cpu_used_s(self) -> float:
        """By all of its pods, those that have ended included."""
        return cgroups.cpu_used_s(self.folder.name)

    def throttled_periods(self) -> int:
        """In how many tenths of a second its pods wanted more than it has."""
        return cgroups.throttled_periods(self.folder.name)

    def kill(self) -> None:
        """As by a power cut: all in it, at once."""
        for part in reversed(self._parts):
            part.kill()

    def remove(self) -> None:
        self.kill()
        remove(self.folder)


def remove(folder: Path) -> None:
    """What a machine that is dead has left."""
    give_up_s = time.monotonic() + END_TIMEOUT_S
    while not cgroups.remove(folder.name) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Of those whose process was killed: folders and cgroups; all else ended with it."""
    temporary = Path(gettempdir())
    left = {path.name for path in temporary.glob(f"{PREFIX}*")}
    dead = {name for name in left if not cgroups.alive(name.removeprefix(PREFIX))}
    for name in dead | cgroups.left_by_the_dead(PREFIX):
        remove(temporary / name)


def _ip(*words: str) -> str:
    """What it says against it; nothing where it is done."""
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    done = subprocess.run(["ip", *words], capture_output=True, text=True, env=environment, check=False)
    return " ".join(done.stderr.split()) or f"exit status {done.returncode}" if done.returncode else ""


RUNC = """#!/bin/sh
case " $* " in *" create "*) exec {python} -SE {filter} {runc} "$@" ;; esac
exec {runc} "$@"
"""
CONTAINERD = """version = 3
root = "{folder}/containerd"
state = "{folder}/state"
grpc = {{address = "{folder}/containerd.sock"}}
ttrpc = {{address = "{folder}/ttrpc.sock"}}
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  pinned_images = {{sandbox = "{pause}"}}
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  enable_unprivileged_ports = false
  enable_unprivileged_icmp = false
  cni = {{bin_dirs = ["{programs}/cni"], conf_dir = "{folder}/cni"}}
"""


def _network(folder: Path, number: int) -> Mapping[str, object]:
    ipam = {
        "type": "host-local",
        "dataDir": f"{folder}/ipam",
        "ranges": [[{"subnet": f"10.244.{number}.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def _kubelet(size: Size, folder: Path) -> Mapping[str, object]:
    """It keeps from its pods what this system has more than the machine."""
    cpus_milli, memory_kib = (os.cpu_count() or 1) * 1000, _memory_kib()
    kept_kib = memory_kib - ((size.memory_mib + EVICTION_MIB) << 10)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{folder}/{KUBELET_CLIENTS}"},
        },
        "authorization": {"mode": "Webhook"},
        "readOnlyPort": 0,
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.name}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": ["pods"],
        "systemReserved": {"cpu": f"{cpus_milli - size.cpu_milli}m", "memory": f"{kept_kib}Ki"},
        "registerWithTaints": [_taint(text) for text in size.taints],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "resolvConf": f"{folder}/resolv.conf",
        "nodeStatusUpdateFrequency": "2s",
        "eventRecordQPS": 0,
        "kubeAPIQPS": 50,
        "kubeAPIBurst": 100,
        "evictionHard": {
            "memory.available": f"{EVICTION_MIB}Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": f"{folder}/plugins",
    }


def _taint(text: str) -> Mapping[str, str]:
    what, _, effect = text.rpartition(":")
    key, _, value = what.partition("=")
    return {"key": key, "value": value, "effect": effect}


def _memory_kib() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemTotal"].split()[0])
