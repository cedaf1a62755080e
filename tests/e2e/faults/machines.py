"""Faults of the machines themselves: the API server, etcd, and the certificate in front of them."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from time import monotonic

from tests.e2e.cluster.control_plane import Plane
from tests.e2e.faults.proxy import Fault, Proxy

PATIENCE_S = 60.0


def api_server_restarted(plane: Plane) -> Fault:
    """Killed, and started again a moment later; it is over when the server says that it is ready."""
    server = plane.parts["kube-apiserver"]

    async def begin(proxy: Proxy) -> None:
        proxy.strike("the API server restarted")
        server.kill()

    async def end(proxy: Proxy) -> None:
        server.start_again()
        await _ready(plane)

    return Fault("the API server restarted", begin=begin, end=end, halts_all=True)


def etcd_paused(plane: Plane) -> Fault:
    """The API server answers from its cache what it can, and lets the rest wait."""
    etcd = plane.parts["etcd"]

    async def begin(proxy: Proxy) -> None:
        proxy.strike("etcd paused")
        etcd.pause()

    async def end(proxy: Proxy) -> None:
        etcd.resume()

    return Fault("etcd paused", begin=begin, end=end, halts_all=True)


async def _ready(plane: Plane) -> None:
    give_up_s = monotonic() + PATIENCE_S
    while not await asyncio.to_thread(plane.answers):
        plane.parts["kube-apiserver"].check()
        assert monotonic() < give_up_s, "the API server does not come back"
        await asyncio.sleep(0.1)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """For 127.0.0.1, signed by itself, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def server_tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What the proxy serves with, and whom its clients trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    right = certificate(folder, "right")
    context.load_cert_chain(*right)
    return context, right[0]


def another_certificate(context: ssl.SSLContext, folder: Path) -> Fault:
    """A stranger answers in the server's place."""

    async def begin(proxy: Proxy) -> None:
        context.load_cert_chain(*certificate(folder, "wrong"))
        await proxy.cut()
        proxy.strike("another's certificate")

    async def end(proxy: Proxy) -> None:
        context.load_cert_chain(folder / "right.crt", folder / "right.key")

    return Fault("another's certificate", begin=begin, end=end)
