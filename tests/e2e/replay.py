"""A stretch of a trace replayed on a real API server: the bridge as its own process, and all that was seen of it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from synergai.envs.tape import Setting, make_tape
from synergai.k8s_bridge.api.watch import OWN_PODS, Reflector, WatchEvent
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.submit import PodRequest, submit
from tests.e2e.ground import Ground, Json, Nodes, ground

JOBS, SEED, SPEED = 60, 7, 20.0
TIMEOUT_S = 240.0
"""For anything that is waited for: the first start after a change of the kernels compiles them."""


@dataclass(frozen=True)
class Plan:
    """Who schedules, and after how many binds it is killed (and started again, or followed by a standby)."""

    options: tuple[str, ...]
    kill_after: tuple[int, ...] = ()
    standby: bool = False


@dataclass(frozen=True)
class Replay:
    """What is known when all pods have ended."""

    requests: Sequence[PodRequest]
    pods: list[Json]
    """As the API server has them at the end."""
    history: list[Json]
    """Every state of every pod, in the order of the watch."""
    nodes: list[Json]
    events: list[Json]
    kills: list["Kill"]


@dataclass(frozen=True)
class Kill:
    """SIGKILL, and a new start."""

    at_us: int
    """Server time."""
    running: int
    """Pods, at the kill and until the daemon is ready again."""
    waiting: int
    """Pods not bound when it is ready again."""


class Watched:
    """Every state of the pods of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.history: list[Json] = []
        self._namespace = namespace

    def see(self, event: WatchEvent) -> None:
        if event.kind != "DELETED" and event.object["metadata"]["namespace"] == self._namespace:
            self.history.append(event.object)

    def bound(self) -> int:
        return len({pod["metadata"]["name"] for pod in self.history if pod["spec"].get("nodeName")})

    def ended(self) -> int:
        return len({pod["metadata"]["name"] for pod in self.history if has_ended(pod)})

    def waiting(self) -> int:
        return len({pod["metadata"]["name"] for pod in self.history}) - self.bound()


def has_ended(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def requests(setting: Setting, namespace: str) -> list[PodRequest]:
    """The tape's jobs as pods; each third may run on one kind of hardware only."""
    models = setting.catalog.models
    return [
        PodRequest(
            name=f"job-{i:04d}",
            model=models[job["model"]],
            samples=int(job["samples"]),
            arrival_s=float(job["arrival_us"]) * 1e-6,
            deadline_s=float(job["deadline_us"]) * 1e-6,
            namespace=namespace,
            hardware=_one_kind(setting, models[job["model"]], i) if i % 3 == 0 else None,
            sim_job=i,
            sim_seed=SEED,
        )
        for i, job in enumerate(make_tape(setting, SEED, JOBS, tail=0.0).jobs)
    ]


def _one_kind(setting: Setting, model: str, i: int) -> frozenset[str]:
    """All classes of a kind (Jetson, CPU, GPU) that are here and can run the model; another kind for the next `i`."""
    here = {device.hardware for node in setting.catalog.nodes for device in node.devices}
    kinds: dict[str, set[str]] = {}
    for hardware in here:
        if setting.table.of(model, hardware):
            kinds.setdefault(setting.table.hardware[hardware].kind, set()).add(hardware)
    return frozenset(kinds[sorted(kinds)[i // 3 % len(kinds)]])


async def replay(admin_kubeconfig: str, setting: Setting, plan: Plan, folder: Path) -> Replay:
    """All of it, from an empty namespace to the last pod's end."""
    async with (
        ground(admin_kubeconfig, folder) as where,
        Nodes(where, admin_kubeconfig, setting, SPEED) as nodes,
        watched(where) as seen,
        Bridge(where, plan.options, folder) as bridge,
        standby(where, plan, bridge, folder) as other,
    ):
        await bridge.ready()
        made = requests(setting, where.name)
        sending = asyncio.create_task(submit(where.client, made, speed=SPEED))
        kills: list[Kill] = []
        for count in plan.kill_after:
            await bridge.until(lambda count=count: seen.bound() >= count, f"{count} pods bound")
            at_us = where.client.now_us()
            await bridge.kill()
            if other is not None:
                kills.append(Kill(at_us, seen.bound() - seen.ended(), JOBS - seen.bound()))
                bridge = other
                continue
            async with (
                nodes.silent()
            ):  # else all that runs has ended before a busy machine has started the daemon
                running = seen.bound() - seen.ended()
                await bridge.start()
                await bridge.ready()
                kills.append(Kill(at_us, running, seen.waiting()))
        await sending
        await bridge.until(lambda: seen.ended() == JOBS, f"the end of {JOBS} pods")
        return Replay(
            requests=made,
            pods=(await where.client.get(where.pods))["items"],
            history=seen.history,
            nodes=[n for n in (await where.client.get("/api/v1/nodes"))["items"] if _is_of(where, n)],
            events=(await where.client.get(f"/api/v1/namespaces/{where.name}/events"))["items"],
            kills=kills,
        )


def _is_of(where: Ground, node: Json) -> bool:
    return node["metadata"]["name"].startswith(where.name)


@asynccontextmanager
async def watched(where: Ground) -> AsyncIterator[Watched]:
    """Somebody who only looks."""
    seen = Watched(where.name)
    task = asyncio.create_task(Reflector(where.client, OWN_PODS, seen.see).run())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def standby(
    where: Ground, plan: Plan, leader: "Bridge", folder: Path
) -> AsyncIterator["Bridge | None"]:
    """A second daemon, where the plan has one, started when the first one leads."""
    if not plan.standby:
        yield None
        return
    await leader.until(lambda: " leading: " in leader.said(), "leader")
    other = folder / "standby"
    other.mkdir()
    async with Bridge(where, plan.options, other) as made:
        await made.ready()
        yield made


class Bridge:
    """The daemon as a user starts it, with the rights of the manifest."""

    def __init__(self, where: Ground, options: Sequence[str], folder: Path) -> None:
        self._command = [
            sys.executable, "-m", "synergai", "bridge", "--kubeconfig", str(where.bridge_kubeconfig),
            "--speed", str(SPEED), "--epoch", format_time_us(where.client.now_us()),
            "--metrics-port", "0", *options,
        ]  # fmt: skip
        self._log = folder / "bridge.log"
        self._process: asyncio.subprocess.Process
        self._starts = 0

    async def __aenter__(self) -> "Bridge":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        self._starts += 1
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, env=os.environ
            )

    async def stop(self) -> None:
        """As a kubelet does."""
        self._process.send_signal(signal.SIGTERM)
        assert await self.ended() == 0

    async def kill(self) -> None:
        """As a power cut would."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def ready(self) -> None:
        """Its first round is over, as its log says in either form."""

        def readies() -> int:
            return sum(self.said().count(mark) for mark in (" ready: ", '"ready: '))

        await self.until(lambda: readies() == self._starts, "daemon that is ready")

    async def ended(self) -> int:
        """Its exit code, when it ends by itself."""
        return await asyncio.wait_for(self._process.wait(), TIMEOUT_S)

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def until(self, fact: Callable[[], bool], what: str) -> None:
        """Wait while the daemon lives."""
        give_up_s = time.monotonic() + TIMEOUT_S
        while not fact():
            assert self._process.returncode is None, f"the bridge ended; its log: {self.said()[-2000:]}"
            assert time.monotonic() < give_up_s, (
                f"no {what} within {TIMEOUT_S:g} s; the log: {self.said()[-2000:]}"
            )
            await asyncio.sleep(0.02)
