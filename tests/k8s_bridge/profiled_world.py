"""An API server that knows nodes, Jobs, pods and their logs, for `synergai profile cluster`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from synergai.offline_profiles.measuring.cli import frame
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import write_rows

Json = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/team/jobs"


def node(name: str, *hardware: str, ready: bool = True, cpu: str = "1500m") -> Json:
    taints = [{"key": "synergai.dev/dedicated", "value": "true", "effect": "NoSchedule"}]
    if not ready:
        taints.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    return {
        "metadata": {"name": name, "labels": {f"hardware.synergai.dev/{one}": "1" for one in hardware}},
        "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": cpu, "memory": "2Gi", "pods": "10", "nvidia.com/gpu": "1"}},
    }


def measured(hardware: str, batch: int = 1) -> Profile:
    return Profile(
        "magika", "1", hardware, f"onnxruntime-fp32-cpu-t1-b{batch}", "onnxruntime", "fp32", "cpu", batch, 1, 1000, 128,
        0, 100.0, 10.0, 9.0, 10.0, 11.0, 12.0, 13.0, 3.0, 2.0, 1.0, 20.0, 10.0, "measured", "measured",
        "derived: x", "assumed: x", "derived: x", "test", "own measurement",
    )  # fmt: skip


def log_of(hardware: str) -> str:
    """As a pod's log has it: what went to standard error is in it too."""
    described = Hardware(hardware, "cpu", "", 2000, 9000, 10.0, "derived: x")
    text = frame(
        write_rows(Profile, [measured(hardware)]),
        write_rows(Hardware, [described]),
        json.dumps({"host": 1}) + "\n",
    )
    return f"2 of 2 points\n{text}written\n"


@dataclass
class Api:
    """What is there, and what becomes of a Job by the hardware class that it is for."""

    nodes: list[Json]
    logs: dict[str, str] = field(default_factory=dict)
    states: dict[str, Json] = field(default_factory=dict)
    """Of the container, where it is not as in a log that ends well."""
    jobs: dict[str, Json] = field(default_factory=dict)
    made: list[Json] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    on_job: Callable[[], None] = lambda: None

    def app(self) -> web.Application:
        served = web.Application()
        served.router.add_get("/api/v1/nodes", self._nodes)
        served.router.add_post(JOBS, self._create)
        served.router.add_get(JOBS + "/{name}", self._job)
        served.router.add_delete(JOBS + "/{name}", self._delete)
        served.router.add_get("/api/v1/namespaces/team/pods", self._pods)
        served.router.add_get("/api/v1/namespaces/team/pods/{name}/log", self._log)
        return served

    async def _nodes(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.nodes})

    async def _create(self, request: web.Request) -> web.Response:
        job = await request.json()
        self.jobs[job["metadata"]["name"]] = job
        self.made.append(job)
        self.on_job()
        return web.json_response(job, status=201)

    def _class(self, name: str) -> str:
        args = self.jobs[name]["spec"]["template"]["spec"]["containers"][-1]["args"]
        return args[args.index("--hardware") + 1]

    async def _job(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        hardware, kind = self._class(name), "Complete"
        state = self.states.get(hardware, {})
        if "terminated" in state or hardware not in self.logs:
            kind = "Failed"
        conditions = (
            [] if "waiting" in state else [{"type": kind, "status": "True", "message": "backoff limit"}]
        )
        return web.json_response({**self.jobs[name], "status": {"conditions": conditions}})

    async def _delete(self, request: web.Request) -> web.Response:
        assert request.query["propagationPolicy"] == "Background"
        self.deleted.append(request.match_info["name"])
        return web.json_response({})

    async def _pods(self, request: web.Request) -> web.Response:
        name = request.query["labelSelector"].removeprefix("batch.kubernetes.io/job-name=")
        state = self.states.get(self._class(name), {"terminated": {"exitCode": 0}})
        status = {"containerStatuses": [{"name": "profile", "state": state}]}
        pod = {"metadata": {"name": f"{name}-x", "namespace": "team"}, "status": status}
        return web.json_response({"items": [pod]})

    async def _log(self, request: web.Request) -> web.Response:
        assert request.query["container"] == "profile"
        hardware = self._class(request.match_info["name"].removesuffix("-x"))
        text = self.logs.get(hardware, "starting\nsynergai profile run: no point could be measured\n")
        return web.Response(text=text)
