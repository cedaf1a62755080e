"""A crowd: nodes, pods and jobs by the ten thousand, as an API server lists them, without a server that stores them.

`python bridge_crowd.py NODES OWN OTHERS JOBS` serves them on a free port of 127.0.0.1, which it prints, until it is
ended.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.inference.attempts import attempt_name
from synergai.k8s_bridge.inference.profiled import profiled_runtimes
from synergai.offline_profiles.table import ProfileTable

Json = dict[str, Any]
CREATED = "2026-11-18T11:06:40Z"
TABLE = ProfileTable.default()
HARDWARE = ("nvidia-t4", "jetson-agx-orin-maxn", "intel-xeon-platinum-8380-2s")
MODELS = ("resnet50", "bert-99", "retinanet")
WAITING_PART = 10
"""One of so many of our pods waits; the others run. And of our jobs, of which the others have ended."""


def managed(size: int) -> list[Json]:
    """The field owners that a real server sends along, of about so many bytes."""
    fields = {f"f:field-{n:03}": {".": {}, "f:value": {}} for n in range(size // 40)}
    return [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:spec": fields}}]


MANAGED = managed(1200)


def node(n: int) -> Json:
    name = f"node-{n:05}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{n % 7}",
        keys.LABEL_DEDICATED: "true",
        f"{keys.LABEL_HARDWARE_PREFIX}{HARDWARE[n % 3]}": "4",
    }
    room = {
        "cpu": "96",
        "memory": "256Gi",
        "pods": "110",
        "ephemeral-storage": "100Gi",
        "nvidia.com/gpu": "4",
    }
    images = [
        {"names": [f"registry.example/image-{i}@sha256:{i:064}"], "sizeBytes": 10**9 + i} for i in range(50)
    ]
    conditions = [
        {"type": t, "status": "False", "lastHeartbeatTime": CREATED, "lastTransitionTime": CREATED}
        for t in ("MemoryPressure", "DiskPressure", "PIDPressure")
    ]
    return {
        "metadata": {
            "name": name,
            "uid": f"node-uid-{n}",
            "resourceVersion": f"{n + 1}",
            "creationTimestamp": CREATED,
            "labels": labels,
            "managedFields": MANAGED,
        },
        "spec": {"taints": [{"key": keys.LABEL_DEDICATED, "value": "true", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room, "conditions": conditions, "images": images},
    }


def pod(n: int, scheduler: str, node_name: str = "", annotations: dict[str, str] | None = None) -> Json:
    name = f"{scheduler}-{n:06}"
    mounts = [
        {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    ]
    size = {"cpu": f"{100 + n % 8 * 50}m", "memory": f"{64 + n % 4 * 64}Mi"}
    container = {
        "name": "runner",
        "image": "registry.example/runner@sha256:" + "0" * 64,
        "env": [{"name": f"SETTING_{i}", "value": "value" * 4} for i in range(10)],
        "resources": {"requests": size, "limits": size},
        "volumeMounts": mounts,
    }
    tolerations = [{"key": keys.LABEL_DEDICATED, "operator": "Exists", "effect": "NoSchedule"}]
    conditions = [
        {"type": t, "status": "True", "lastTransitionTime": CREATED}
        for t in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": f"team-{n % 20}",
            "uid": f"{scheduler}-uid-{n}",
            "resourceVersion": f"{n + 1}",
            "creationTimestamp": CREATED,
            "labels": {"app": f"app-{n % 100}", "batch.kubernetes.io/job-name": name},
            "annotations": annotations or {},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": "u", "controller": True}
            ],
            "managedFields": MANAGED,
        },
        "spec": {
            "schedulerName": scheduler,
            "restartPolicy": "Never",
            "containers": [container],
            "tolerations": tolerations,
            "volumes": [
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
            ],
            **({"nodeName": node_name} if node_name else {}),
        },
        "status": {"phase": "Running" if node_name else "Pending", "conditions": conditions},
    }


def nodes(count: int) -> Iterator[Json]:
    return (node(n) for n in range(count))


def own_pods(count: int, node_count: int) -> Iterator[Json]:
    """One in ten waits; the others run where a decision put them."""
    for n in range(count):
        asks = {keys.ANNOTATION_MODEL: MODELS[n % 3], keys.ANNOTATION_SAMPLES: str(1000 + n)}
        if n % WAITING_PART == 0:
            yield pod(n, keys.SCHEDULER_NAME, annotations=asks)
            continue
        on = n % node_count
        record = DecisionRecord(f"id-{n}", HARDWARE[on % 3], "none", 1, 100, 64, "rule", 1, 2)
        decided = {keys.ANNOTATION_SCHEMA: keys.SCHEMA, keys.ANNOTATION_DECISION: record.to_json()}
        yield pod(n, keys.SCHEDULER_NAME, f"node-{on:05}", asks | decided)


def other_pods(count: int, node_count: int) -> Iterator[Json]:
    return (pod(n, "default-scheduler", f"node-{n % node_count:05}") for n in range(count))


def job(n: int) -> Json:
    """Nine in ten have ended."""
    name, uid = f"job-{n:06}", f"{n:08}-job"
    ended = n % WAITING_PART != 0
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": CREATED}
        for kind in ("Placed", "Complete", "DeadlineMet")
    ]
    attempt = {
        "index": 0,
        "podRef": {"name": attempt_name(name, uid, 0), "uid": f"pod-of-{n}"},
        "node": "node-00000",
        "hardware": HARDWARE[0],
        "configuration": "none",
        "decidedBy": "policy",
        "end": {"reason": "Completed", "message": "", "finishedAt": CREATED, "runMilliseconds": 1000},
    }
    status = (
        {"phase": "Succeeded", "conditions": conditions, "attempts": [attempt]}
        if ended
        else {"phase": "Pending"}
    )
    return {
        "apiVersion": "synergai.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {
            "name": name,
            "namespace": f"team-{n % 20}",
            "uid": uid,
            "resourceVersion": f"{n + 1}",
            "generation": 1,
            "creationTimestamp": CREATED,
            "managedFields": MANAGED,
        },
        "spec": {
            "model": {"name": MODELS[n % 3], "version": "1"},
            "input": {"samples": 1000 + n, "uri": "s3://in/a"},
            "deadline": {"after": "24h"},
        },
        "status": status,
    }


def jobs(count: int) -> Iterator[Json]:
    return (job(n) for n in range(count))


def runtimes() -> Iterator[Json]:
    """For all models on all hardware."""
    for made in profiled_runtimes(TABLE, MODELS, HARDWARE, "registry.example/runner:1"):
        name = made["metadata"]["name"]
        yield {
            **made,
            "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1},
        }


def ended_pods(count: int) -> Iterator[Json]:
    """Of the jobs that have ended."""
    for n in range(count):
        if n % WAITING_PART == 0:
            continue
        made, wanted = pod(n, keys.SCHEDULER_NAME, "node-00000"), job(n)["metadata"]
        owner = {"apiVersion": "synergai.dev/v1alpha1", "kind": "InferenceJob", "controller": True}
        made["metadata"] |= {
            "name": attempt_name(wanted["name"], wanted["uid"], 0),
            "uid": f"pod-of-{n}",
            "ownerReferences": [owner | {"name": wanted["name"], "uid": wanted["uid"]}],
        }
        yield {**made, "status": {"phase": "Succeeded"}}


def application(node_count: int, own: int, others: int, job_count: int = 0) -> web.Application:
    """Lists in pages, watches that stay silent, binds that are taken."""
    listed = {
        "nodes": lambda: list(nodes(node_count)),
        "own": lambda: [*own_pods(own, node_count), *ended_pods(job_count)],
        "jobs": lambda: list(jobs(job_count)),
        "runtimes": lambda: list(runtimes()) if job_count else [],
        "others": lambda: list(other_pods(others, node_count)),
    }
    texts: dict[str, list[str]] = {"nothing": []} | {
        name: [json.dumps(item, separators=(",", ":")) for item in make()] for name, make in listed.items()
    }

    def which(request: web.Request) -> str:
        selector = request.query.get("fieldSelector", "")
        for kind in ("nodes", "inferencejobs", "clusterinferenceruntimes"):
            if request.path.endswith(f"/{kind}"):
                return {"inferencejobs": "jobs", "clusterinferenceruntimes": "runtimes"}.get(kind, kind)
        labels = request.query.get("labelSelector", "")
        if (
            not request.path.endswith("/pods")
            or "nominated" in selector
            or (labels and not labels.startswith("!"))
        ):
            return "nothing"
        return "own" if "!=" not in selector else "others"

    async def collection(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            silent = web.StreamResponse()
            await silent.prepare(request)
            await asyncio.sleep(3600)
            return silent
        items = texts[which(request)]
        first = int(request.query.get("continue") or 0)
        last = first + int(request.query.get("limit") or len(items))
        more = f',"continue":"{last}"' if last < len(items) else ""
        body = f'{{"metadata":{{"resourceVersion":"1"{more}}},"items":[{",".join(items[first:last])}]}}'
        return web.Response(text=body, content_type="application/json")

    async def discovery(_: web.Request) -> web.Response:
        return web.json_response({"resources": []})

    async def taken(request: web.Request) -> web.Response:
        if request.query.get("dryRun"):
            return web.json_response(await request.json(), status=201)
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)

    app = web.Application()
    app.router.add_get("/api/v1", discovery)
    app.router.add_get("/{path:.*}", collection)
    app.router.add_post("/{path:.*}", taken)
    return app


async def main() -> None:
    runner = web.AppRunner(application(*(int(text) for text in sys.argv[1:5])))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
