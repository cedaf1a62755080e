"""An API server in miniature, with what InferenceJobs need of one and of its controllers and kubelets.

Every change is an event of its resource, in order; whoever watches keeps a place in it.
"""

import copy
from collections import defaultdict
from typing import Any

from bridge_fakes import CREATED, NOW_US, raw_node
from bridge_jobs import GROUP

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.api.watch import CLUSTER_RUNTIMES, JOBS, NODES, OWN_PODS, Resource, WatchEvent
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.inference.writer import Write

Raw = dict[str, Any]
KINDS = {JOBS.name: "InferenceJob", OWN_PODS.name: "Pod", CLUSTER_RUNTIMES.name: "ClusterInferenceRuntime"}
ENDED = ("Succeeded", "Failed")


class Api:
    """Objects by name. What must never happen is checked as it would."""

    def __init__(self) -> None:
        self.now_us = NOW_US
        self.log: defaultdict[str, list[WatchEvent]] = defaultdict(list)
        self.objects: defaultdict[str, dict[str, Raw]] = defaultdict(dict)
        self.version = 0
        self.created: set[str] = set()
        """Names of all pods that ever were."""
        self.lost: set[str] = set()
        """Pods, by uid, whose node has gone: they may still run where nobody sees them."""
        self.succeeded: set[str] = set()
        """Jobs, by uid, of which a pod has completed that was not lost."""
        self.full = False
        """Whether a quota takes no more pods."""

    def pods(self) -> list[Raw]:
        return list(self.objects[OWN_PODS.name].values())

    def jobs(self) -> list[Raw]:
        return list(self.objects[JOBS.name].values())

    # what clients do -------------------------------------------------------------------------------------------------
    def create(self, resource: Resource, raw: Raw) -> Raw:
        name = raw["metadata"]["name"]
        if name in self.objects[resource.name]:
            raise ApiError(409, "AlreadyExists", f"{name} already exists")
        made = {"kind": KINDS.get(resource.name, "Node"), "status": {}, **copy.deepcopy(raw)}
        if resource is OWN_PODS:
            if self.full:
                raise ApiError(403, "Forbidden", "exceeded quota: small")
            made["status"] = {"phase": "Pending"}
        made["metadata"] |= {
            "uid": f"{self.version:08}-{name}",
            "creationTimestamp": CREATED,
            "generation": 1,
        }
        if resource is OWN_PODS:
            self._judge(made)
        return self._put(resource, made, "ADDED")

    def change(self, resource: Resource, name: str, **spec: Any) -> None:
        raw = copy.deepcopy(self.objects[resource.name][name])
        raw["spec"] |= spec
        raw["metadata"]["generation"] += 1
        self._put(resource, raw, "MODIFIED")

    def delete(self, resource: Resource, name: str, uid: str = "") -> Raw:
        raw = self._find(resource, name, uid)
        if resource is OWN_PODS:
            if "deletionTimestamp" not in raw["metadata"]:
                raw["metadata"]["deletionTimestamp"] = CREATED
                raw = self._put(resource, raw, "MODIFIED")
            self._maybe_gone(raw)
            return raw
        del self.objects[resource.name][name]
        self._tell(resource, "DELETED", raw)
        return raw

    def carry_out(self, write: Write) -> Raw:
        """One request of a bridge's writer."""
        name = write.path.removesuffix("/status").rpartition("/")[2]
        resource = JOBS if write.path.startswith(GROUP) and "/inferencejobs/" in write.path else OWN_PODS
        if "runtimes/" in write.path:
            return {}
        if write.method == "DELETE":
            return self.delete(resource, name, write.body["preconditions"]["uid"])
        given = write.body["metadata"]
        raw = self._find(resource, name, given["uid"])
        if (
            given.get("resourceVersion", raw["metadata"]["resourceVersion"])
            != raw["metadata"]["resourceVersion"]
        ):
            raise ApiError(409, "Conflict", "the object has been modified")
        if resource is OWN_PODS:
            return self._release(raw)
        self._compare(raw["status"], write.body["status"], raw["spec"])
        raw["status"] = {k: v for k, v in {**raw["status"], **write.body["status"]}.items() if v is not None}
        return self._put(resource, raw, "MODIFIED")

    def _find(self, resource: Resource, name: str, uid: str) -> Raw:
        raw = self.objects[resource.name].get(name)
        if raw is None:
            raise ApiError(404, "NotFound", f"{name} not found")
        if uid and raw["metadata"]["uid"] != uid:
            raise ApiError(409, "Conflict", "the uid is another")
        return copy.deepcopy(raw)

    def _release(self, raw: Raw) -> Raw:
        assert self._may_release(raw), f"{raw['metadata']['name']} is released, and its end is not recorded"
        raw["metadata"].pop("finalizers", None)
        raw = self._put(OWN_PODS, raw, "MODIFIED")
        self._maybe_gone(raw)
        return raw

    def _put(self, resource: Resource, raw: Raw, kind: Any) -> Raw:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.objects[resource.name][raw["metadata"]["name"]] = raw
        self.log[resource.name].append(WatchEvent(resource, kind, copy.deepcopy(raw)))
        return copy.deepcopy(raw)

    def _tell(self, resource: Resource, kind: Any, raw: Raw) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.log[resource.name].append(WatchEvent(resource, kind, raw))

    def _maybe_gone(self, raw: Raw) -> None:
        """As when the kubelet has said that it is over, and nobody holds it."""
        over = raw["status"]["phase"] in ENDED or not raw["spec"].get("nodeName")
        if "deletionTimestamp" in raw["metadata"] and over and not raw["metadata"].get("finalizers"):
            self.vanish(raw)

    def vanish(self, raw: Raw) -> None:
        """Gone at once, whatever it was about."""
        del self.objects[OWN_PODS.name][raw["metadata"]["name"]]
        self._tell(OWN_PODS, "DELETED", copy.deepcopy(raw))

    # what kubelets and controllers do --------------------------------------------------------------------------------
    def say(self, raw: Raw, phase: str, **status: Any) -> None:
        """A kubelet, or one in its place, says what became of a pod."""
        raw = copy.deepcopy(raw)
        raw["status"] = {"phase": phase, **status}
        if phase == "Succeeded" and raw["metadata"]["uid"] not in self.lost:
            self.succeeded.add(owner(raw))
        self._put(OWN_PODS, raw, "MODIFIED")
        self._maybe_gone(raw)

    def ends(self, raw: Raw, code: int, reason: str) -> None:
        finished = format_time_us(self.now_us)
        state = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": finished}}
        containers = [{"name": "runner", "state": state}]
        self.say(raw, "Failed" if code else "Succeeded", containerStatuses=containers)

    def sticks(self, raw: Raw) -> None:
        state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        self.say(raw, "Pending", containerStatuses=[{"name": "runner", "state": state}])

    def add_node(self, name: str) -> None:
        self.create(NODES, raw_node(name))

    def lose_node(self, name: str) -> None:
        self.lost |= {p["metadata"]["uid"] for p in self.pods() if p["spec"].get("nodeName") == name}
        self.delete(NODES, name)

    def collect(self) -> None:
        """The garbage collector, of pods whose job or node is gone."""
        jobs = {job["metadata"]["uid"] for job in self.jobs()}
        for pod in self.pods():
            if owner(pod) not in jobs and "deletionTimestamp" not in pod["metadata"]:
                self.delete(OWN_PODS, pod["metadata"]["name"])
        for pod in self.pods():
            node = pod["spec"].get("nodeName")
            if node and node not in self.objects[NODES.name] and pod["status"]["phase"] not in ENDED:
                self.delete(OWN_PODS, pod["metadata"]["name"])
                self.say(self._find(OWN_PODS, pod["metadata"]["name"], ""), "Failed", reason="NodeLost")

    # what must be true -----------------------------------------------------------------------------------------------
    def _judge(self, pod: Raw) -> None:
        """A pod is about to be there."""
        name, job = pod["metadata"]["name"], owner(pod)
        assert name not in self.created, f"{name} is made a second time"
        self.created.add(name)
        if pod["spec"].get("nodeName") not in self.objects[NODES.name]:
            self.lost.add(pod["metadata"]["uid"])
        open_ones = [
            p["metadata"]["name"]
            for p in self.pods()
            if owner(p) == job and p["status"]["phase"] not in ENDED and p["metadata"]["uid"] not in self.lost
        ]
        assert not open_ones, f"{name} is made while {open_ones} is not over"
        assert job not in self.succeeded, f"{name} is made although its job has succeeded"

    def _may_release(self, pod: Raw) -> bool:
        job = next((j for j in self.jobs() if j["metadata"]["uid"] == owner(pod)), None)
        ends = [a for a in job["status"].get("attempts", ()) if "end" in a] if job else []
        return job is None or pod["metadata"]["uid"] in {a["podRef"]["uid"] for a in ends}

    def _compare(self, before: Raw, after: Raw, spec: Raw) -> None:
        """A job's status is about to change."""
        ends = {a["index"]: a["end"] for a in before.get("attempts", ()) if "end" in a}
        kept = {a["index"]: a.get("end") for a in after["attempts"] if a["index"] in ends}
        assert kept == ends, f"an end has changed from {ends} to {kept}"
        final = [c for c in before.get("conditions", ()) if c["type"] in ("Complete", "Failed")]
        assert all(c in after["conditions"] for c in final), "the end of a job has changed"
        reasons = [a["end"]["reason"] for a in after["attempts"] if "end" in a]
        failures = [r for r in reasons if r not in ("Suspended", "Completed")]
        assert len(failures) <= spec.get("backoffLimit", 2) + 1, f"too many attempts: {reasons}"
        completed = reasons.count("Completed")
        assert completed <= 1, f"completed more than once: {reasons}"
        assert completed == 1 or after["phase"] != "Succeeded", f"nothing has completed: {reasons}"


def owner(pod: Raw) -> str:
    return pod["metadata"]["ownerReferences"][0]["uid"]


def finalizers(pod: Raw) -> list[str]:
    return [f for f in pod["metadata"].get("finalizers") or () if f == keys.FINALIZER_OUTCOME]
