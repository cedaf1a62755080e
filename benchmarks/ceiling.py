"""The binds and the events of a bridge that need not think: what the API server leaves to a scheduler in Python."""

import asyncio
import sys
from collections.abc import Sequence

from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.binder import CONCURRENCY, Binder, BindOrder, BindResult, Outcome
from synergai.k8s_bridge.reports.events import EventRecorder, Notice

EXPLANATION = "x" * 700
MESSAGE = "x" * 300
"""About as long as the bridge's."""


def ceiling_command(kubeconfig: str, nodes: Sequence[str]) -> list[str]:
    """What Python is to be called with, but for the namespace, which comes last."""
    return ["-m", "synergai.benchmarks.ceiling", kubeconfig, ",".join(nodes)]


async def bind_all(kubeconfig: str, nodes: Sequence[str], namespace: str) -> None:
    """Every pod of the namespace to the nodes in turn, an event behind each, by the bridge's own means."""
    async with ApiClient(credentials.load(kubeconfig)) as client:
        events = EventRecorder(client, capacity=100_000)
        pods = {pod["metadata"]["name"]: pod for pod in await _pods(client, namespace)}

        def settle(result: BindResult) -> None:
            if result.outcome is not Outcome.BOUND:
                sys.exit(f"{result.order.key}: {result.outcome.value}: {result.message}")
            order = result.order
            events(Notice("Pod", namespace, order.name, order.uid, "Scheduled", f"{order.key}: {MESSAGE}"))

        binder = Binder(client, settle, concurrency=CONCURRENCY, timeout_s=10.0)
        writing = asyncio.create_task(events.run())
        for i, (name, pod) in enumerate(pods.items()):
            record = DecisionRecord(f"{i:016x}", "hardware", "configuration", 1, 1000, 1000, "policy", 0, 0)
            uid = pod["metadata"]["uid"]
            binder.start(BindOrder(namespace, name, uid, nodes[i % len(nodes)], record, EXPLANATION))
        await binder.drain()
        await events.flush()
        writing.cancel()
        await asyncio.sleep(3600)  # its time is read while it lives; who started it ends it


async def _pods(client: ApiClient, namespace: str) -> list[dict]:
    return (await client.get(f"/api/v1/namespaces/{namespace}/pods"))["items"]


if __name__ == "__main__":
    asyncio.run(bind_all(sys.argv[1], sys.argv[2].split(","), sys.argv[3]))
