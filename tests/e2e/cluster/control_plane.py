"""A Kubernetes control plane on this machine: etcd, kube-apiserver, and kube-controller-manager where there is one.

It needs no root, listens on free ports of 127.0.0.1, keeps its data in a temporary folder, and ends with the process
that started it, however that ends.
"""

import ctypes
import json
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

NEEDED = ("etcd", "kube-apiserver")
CONTROLLERS = "kube-controller-manager"
START_TIMEOUT_S = 120.0
POLL_S = 0.1
ADMIN_GROUP = "system:masters"
DEFAULT_NAMESPACE = "/api/v1/namespaces/default"
READY = f"{DEFAULT_NAMESPACE}/serviceaccounts/default", f"{DEFAULT_NAMESPACE}/configmaps/kube-root-ca.crt"
"""What the controllers have made when pods can be created."""
WITHOUT_CONTROLLERS = "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"
"""Nobody would make the accounts that the first asks for, or lift the taint that the second sets."""
KUBELET_CLIENTS = "kubelet-client.crt"
"""Beside the kubeconfig where this system has openssl: whom a kubelet may trust, which is the API server alone."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ControlPlaneError(Exception):
    """The control plane does not start; one line that says which part, and why."""


class Part:
    """One program, its log beside its data."""

    def __init__(
        self,
        program: Path,
        options: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = program.name
        self._command = [program, *options]
        self._environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", **(environment or {})}
        self._folder = folder
        self._log = folder / f"{program.name}.log"
        self._log.unlink(missing_ok=True)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_die_with_parent if LIBC else None,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """ControlPlaneError if it has ended."""
        code = self._process.poll()
        if code is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            said = lines[-1] if lines else "it said nothing"
            raise ControlPlaneError(f"{self.name} ended with exit code {code}: {said}")

    def kill(self) -> None:
        """At once: what it would save is thrown away."""
        self._process.kill()
        self._process.wait()

    def start_again(self) -> None:
        """After `kill`."""
        self._process = self._start()

    def pause(self) -> None:
        """It keeps its connections, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


class Plane:
    """A control plane that runs."""

    def __init__(self, kubeconfig: Path, parts: Sequence[Part], answers: Callable[[], bool]) -> None:
        self.kubeconfig = kubeconfig
        self.parts = {part.name: part for part in parts}
        self.answers = answers
        """Whether the API server says at this moment that it is ready."""


def _die_with_parent() -> None:
    """The kernel kills this process when the thread that started it ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def control_plane(programs: Path, bare: bool = False) -> Iterator[Path]:
    """Start what is in the folder `programs`, `bare` without controllers; the kubeconfig of an administrator."""
    with running(programs, bare) as plane:
        yield plane.kubeconfig


@contextmanager
def running(programs: Path, bare: bool = False) -> Iterator[Plane]:
    """The same, for those who are going to ill-treat its parts."""
    folder = Path(mkdtemp(prefix="synergai-cluster-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        parts: list[Part] = []

        def start(program: str, options: Sequence[str]) -> None:
            parts.append(Part(programs / program, options, folder))
            stack.callback(parts[-1].kill)

        etcd_port, peer_port, port = _free_ports(3)
        token = secrets.token_hex(16)
        (folder / "tokens.csv").write_text(f'{token},admin,admin,"{ADMIN_GROUP}"\n')
        with_controllers = not bare and (programs / CONTROLLERS).exists()
        start("etcd", _etcd_options(folder, etcd_port, peer_port))
        start("kube-apiserver", _api_options(folder, etcd_port, port, with_controllers))
        certificate = folder / "certificates" / "apiserver.crt"
        server = f"https://127.0.0.1:{port}"
        _wait(parts, certificate, server, token, ["/readyz"])
        kubeconfig = folder / "kubeconfig"
        _write_kubeconfig(kubeconfig, server, certificate, token)
        if with_controllers:
            start(CONTROLLERS, _controller_options(kubeconfig, certificate))
            _wait(parts, certificate, server, token, READY)
        yield Plane(kubeconfig, parts, lambda: _answers(certificate, f"{server}/readyz", token))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _etcd_options(folder: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync", "--log-level=error",
    ]  # fmt: skip


def _api_options(folder: Path, etcd_port: int, port: int, with_controllers: bool) -> list[str]:
    """The server signs its own certificate, and the accounts' tokens with the same key."""
    certificates = folder / "certificates"
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}",
        "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
        f"--cert-dir={certificates}", f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={certificates / 'apiserver.key'}",
        f"--service-account-key-file={certificates / 'apiserver.key'}",
        "--authorization-mode=RBAC",
        "--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000",
        *_kubelet_options(folder),
        *([] if with_controllers else [WITHOUT_CONTROLLERS]),
    ]  # fmt: skip


def _kubelet_options(folder: Path) -> list[str]:
    """How the server shows real kubelets who it is, as it fetches logs; simulated ones are asked for none."""
    openssl = shutil.which("openssl")
    if not openssl:
        return []
    certificate, key = folder / KUBELET_CLIENTS, folder / "kubelet-client.key"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", f"/O={ADMIN_GROUP}/CN=kube-apiserver", "-addext", "extendedKeyUsage=clientAuth",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return [
        f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}",
        "--kubelet-preferred-address-types=InternalIP",
    ]  # fmt: skip


def _controller_options(kubeconfig: Path, certificate: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0",
        f"--root-ca-file={certificate}", "--node-monitor-period=1s",
        "--kube-api-qps=200", "--kube-api-burst=400",
    ]  # fmt: skip


def _write_kubeconfig(path: Path, server: str, certificate: Path, token: str) -> None:
    """JSON, which every reader of YAML takes."""
    authority = b64encode(certificate.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))


def _wait(parts: Sequence[Part], certificate: Path, server: str, token: str, paths: Sequence[str]) -> None:
    """Until each path answers 200."""
    give_up_s = time.monotonic() + START_TIMEOUT_S
    for path in paths:
        while not _answers(certificate, server + path, token):
            for part in parts:
                part.check()
            if time.monotonic() > give_up_s:
                raise ControlPlaneError(f"{server}{path} did not answer 200 within {START_TIMEOUT_S:g} s")
            time.sleep(POLL_S)


def _answers(certificate: Path, url: str, token: str) -> bool:
    if not certificate.exists():
        return False
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        tls = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(request, context=tls, timeout=5):
            return True
    except (urllib.error.URLError, OSError):  # not up, not ready, or its certificate is half written
        return False
