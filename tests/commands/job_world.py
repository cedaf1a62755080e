"""An embedded API server that knows InferenceJobs, in a thread, and what a bridge would write there."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from synergai.cli import app
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.embedded import kubeconfig
from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.server import Server, Settings
from synergai.k8s_bridge.inference.job import KIND, PATH, PLURAL, InferenceJob, job_path, read_job

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITIONS = Path(__file__).parents[2] / "k8s_bridge" / "manifests" / "crds"
USERS: Mapping[str, User] = {
    "admin": User("admin", (Rule(frozenset({"*"}), frozenset({"*"}), frozenset({"*"})),)),
    "nobody": User("nobody", ()),
    "sender": User("sender", (Rule(frozenset({"create"}), frozenset({PLURAL}), frozenset({keys.PREFIX})),)),
}


def now_us(in_s: float = 0.0) -> int:
    return round((time.time() + in_s) * 1e6)


def at(in_s: float = 0.0) -> str:
    return format_time_us(now_us(in_s))


def condition(kind: str, status: bool, reason: str, message: str = "", in_s: float = 0.0) -> Json:
    since = at(in_s)[:19] + "Z"
    return {
        "type": kind,
        "status": str(status),
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }


def attempt(index: int, node: str = "n0", end: Json | None = None, **more: Any) -> Json:
    made = {
        "index": index,
        "podRef": {"name": f"a-pod-{index}", "uid": ""},
        "node": node,
        "hardware": "gpu-a",
        "configuration": "ort-b8",
        "decidedBy": "policy",
    }
    return made | ({"end": end} if end else {}) | more


def running(*attempts: Json) -> Json:
    return {
        "phase": "Running",
        "attempts": list(attempts) or [attempt(0)],
        "conditions": [condition("Placed", True, "PodCreated")],
    }


def complete(deadline: str = "", finished: str = "", met: bool | None = None) -> Json:
    """A status."""
    done = attempt(0, end={"reason": "Completed", "finishedAt": finished or at(), "runMilliseconds": 4210})
    conditions = [condition("Complete", True, "Completed")]
    if met is not None:
        conditions.append(condition("DeadlineMet", met, "DeadlineMet" if met else "DeadlineExceeded"))
    return {
        "phase": "Succeeded",
        "deadlineTime": deadline or None,
        "attempts": [done],
        "conditions": conditions,
    }


def failed(reason: str = "BackoffLimitExceeded", message: str = "3 attempts failed") -> Json:
    ended = attempt(0, end={"reason": "OOMKilled", "message": "exit code 137"})
    return {
        "phase": "Failed",
        "attempts": [ended],
        "conditions": [condition("Failed", True, reason, message)],
    }


class World:
    """A server in a thread, and what is done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(Settings(access=Access(USERS)))
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self._do(self.server.start())
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": keys.BRIDGE_NAMESPACE}})
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "team-b"}})

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _ask(self, method: str, path: str, body: object = None, media_type: str = "") -> Json:
        credentials = Credentials(self.server.url, token_source=lambda: "Bearer admin")
        async with ApiClient(credentials) as client:
            return await client.request(
                method, path, body=body, media_type=media_type or "application/json", retry="never"
            )

    def ask(self, method: str, path: str, body: object = None, media_type: str = "") -> Json:
        """As an administrator."""
        return self._do(self._ask(method, path, body, media_type))

    def knows_jobs(self) -> None:
        for file in sorted(DEFINITIONS.glob("*.yaml")):
            self.ask("POST", CRDS, yaml.safe_load(file.read_text(encoding="utf-8")))

    def job(self, name: str, status: Json | None = None, namespace: str = "default", **spec: Any) -> Json:
        """Created by others."""
        spec = {"model": {"name": "net"}, "input": {"samples": 100}} | spec
        body = {
            "apiVersion": f"{keys.PREFIX}/{keys.API_VERSION}",
            "kind": KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        made = self.ask("POST", job_path(namespace), body)
        if status is not None:
            self.report(name, status, namespace)
        return made

    def report(self, name: str, status: Json, namespace: str = "default") -> None:
        """As the bridge writes it."""
        self._do(self._report(name, status, namespace))

    async def _report(self, name: str, status: Json, namespace: str = "default") -> None:
        await self._ask("PATCH", f"{job_path(namespace, name)}/status", {"status": status}, MERGE)

    def jobs(self) -> dict[str, InferenceJob]:
        """By name."""
        found = [read_job(item) for item in self.ask("GET", f"{PATH}/{PLURAL}")["items"]]
        return {job.name: job for job in found}

    def plays(self, *statuses: Json, by_name: Mapping[str, Json] | None = None, gap_s: float = 0.0) -> None:
        """Every job that is created gets these, one after the other, as from a bridge."""

        async def bridge() -> None:
            seen: set[str] = set()
            while True:
                items = (await self._ask("GET", f"{PATH}/{PLURAL}"))["items"]
                for job in items:
                    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
                    if name not in seen:
                        seen.add(name)
                        chosen = [s for key, s in (by_name or {}).items() if key in name] or statuses
                        for status in chosen:
                            await asyncio.sleep(gap_s)
                            await self._report(name, status, namespace)
                await asyncio.sleep(0.02)

        async def begin() -> None:
            self.bridge = asyncio.create_task(bridge())

        self._do(begin())

    def before(self, check: Any) -> None:
        """`check(call)` is awaited before each request."""
        self.server.before = check

    def run(self, *words: str, user: str = "admin") -> Result:
        """A command, as this user."""
        config = self.folder / user
        kubeconfig.write(config, self.server.url, user)
        runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})
        return runner.invoke(app, [*words, "--kubeconfig", str(config)])

    def stop(self) -> None:
        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await self.server.stop()

        self._do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def assert_one_line(result: Result, *named: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    for name in named:
        assert name in line
