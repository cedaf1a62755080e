"""Random nodes, pods on them and pods that ask for a place, made to disagree about if anybody can."""

from random import Random
from typing import Any

from synergai.k8s_bridge import keys

Json = dict[str, Any]
APPS, TIERS, ZONES, RACKS = ("a", "b", "c"), ("1", "2"), ("z1", "z2", "z3"), ("r1", "r2", "r3", "r4")
TOPOLOGIES = ("kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack")
TAINTS = (
    ("own", "x", "NoSchedule"),
    ("own", "y", "NoExecute"),
    ("soft", "x", "PreferNoSchedule"),
    ("node.kubernetes.io/not-ready", "", "NoSchedule"),
    ("node.kubernetes.io/unreachable", "", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "", "NoSchedule"),
)
NAMESPACES = {"ns-a": {"team": "red"}, "ns-b": {"team": "blue"}, "ns-c": {}}
RUNTIME = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "heavy"},
    "handler": "heavy",
    "overhead": {"podFixed": {"cpu": "500m", "memory": "64Mi"}},
    "scheduling": {"nodeSelector": {"kind": "server"}, "tolerations": [{"key": "own", "operator": "Exists"}]},
}
CLASSES = [
    {"metadata": {"name": "later"}, "provisioner": "test/none", "volumeBindingMode": "WaitForFirstConsumer"},
    {"metadata": {"name": "now"}, "provisioner": "test/none", "volumeBindingMode": "Immediate"},
]


class Filters:
    """One random world: its `nodes`, what is `there`, and what is asked for in `pods`."""

    def __init__(self, seed: int, nodes: int, pods: int) -> None:
        self._rng, self._seed = Random(seed), seed
        self._held: set[tuple[str, int]] = set()
        self.nodes = [self._node(n) for n in range(nodes)]
        self.volumes, self.claims = self._storage(8)
        self.there = [self._placed(n) for n in range(2 * nodes)]
        self.pods = [self._asking(n) for n in range(pods)]

    def _maybe(self, share: float) -> bool:
        return self._rng.random() < share

    def _some(self, values: Any, most: int) -> list[Any]:
        return self._rng.sample(list(values), self._rng.randint(1, min(most, len(values))))

    # nodes -----------------------------------------------------------------------------------------------------------
    def _node(self, n: int) -> Json:
        rng = self._rng
        name = f"w{self._seed}-node-{n:02}"
        labels = {
            keys.LABEL_DEDICATED: "true",
            f"{keys.LABEL_HARDWARE_PREFIX}nvidia-t4": "4",
            "kubernetes.io/hostname": name,
            "disk": rng.choice(("ssd", "hdd")),
            "kind": rng.choice(("server", "server", "desk")),
            "gen": rng.choice(("1", "2", "3", "x", "1_0")),
        }
        if self._maybe(0.9):
            labels["topology.kubernetes.io/zone"] = rng.choice(ZONES)
        if self._maybe(0.8):
            labels["rack"] = rng.choice(RACKS)
        taints = [dict(zip(("key", "value", "effect"), t)) for t in self._some(TAINTS, 2)]
        spec: Json = {"taints": taints} if self._maybe(0.3) else {}
        if self._maybe(0.1):
            spec["unschedulable"] = True
        room = {
            "cpu": rng.choice(("2", "4", "7500m")),
            "memory": rng.choice(("2Gi", "4Gi", "8000Mi")),
            "pods": str(rng.randint(1, 12)),
            "ephemeral-storage": rng.choice(("10Gi", "20G")),
            "nvidia.com/gpu": rng.choice(("0", "2", "4")),
        }
        if self._maybe(0.5):
            room["example.com/foo"] = str(rng.randint(0, 3))
        status = {"allocatable": room, "capacity": room, "conditions": [{"type": "Ready", "status": "True"}]}
        return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}

    def _name(self) -> str:
        return self._rng.choice(self.nodes)["metadata"]["name"]

    # volumes ---------------------------------------------------------------------------------------------------------
    def _storage(self, count: int) -> tuple[list[Json], list[Json]]:
        volumes, claims = [], []
        for n in range(count):
            kind = self._rng.choice(("bound", "bound", "bound", "zoned", "later", "now", "lost", "lonely"))
            name, namespace = f"w{self._seed}-{kind}-{n}", self._rng.choice(list(NAMESPACES))
            spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            metadata: Json = {"name": name, "namespace": namespace}
            spec["storageClassName"] = kind if kind in ("later", "now") else ""
            if kind not in ("later", "now"):
                spec["volumeName"] = name
            if kind not in ("later", "now", "lonely"):
                metadata["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
            if kind in ("bound", "zoned", "lonely"):
                volumes.append(self._volume(name, kind, namespace))
            claims.append({"metadata": metadata, "spec": spec})
        return volumes, claims

    def _volume(self, name: str, kind: str, namespace: str) -> Json:
        metadata: Json = {"name": name}
        if kind == "zoned":
            metadata["labels"] = {"topology.kubernetes.io/zone": self._rng.choice(("z1", "z1__z2", "z3"))}
        spec: Json = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/data"},
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": name},
        }
        if kind == "bound":
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [self._node_term(False)]}}
        return {"metadata": metadata, "spec": spec}

    # what pods ask ---------------------------------------------------------------------------------------------------
    def _node_term(self, with_fields: bool) -> Json:
        term: Json = {"matchExpressions": [self._node_requirement() for _ in range(self._rng.randint(1, 2))]}
        if with_fields and self._maybe(0.3):
            field = {"key": "metadata.name", "operator": self._rng.choice(("In", "NotIn"))}
            term["matchFields"] = [field | {"values": [self._name()]}]
            if self._maybe(0.7):
                del term["matchExpressions"]
        return term

    def _node_requirement(self) -> Json:
        key, values = self._rng.choice(
            (("disk", ("ssd", "hdd")), ("gen", ("1", "2", "3")), ("rack", RACKS), ("missing", ("x",)),
             ("topology.kubernetes.io/zone", ZONES))
        )  # fmt: skip
        operator = self._rng.choice(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
        if operator in ("Gt", "Lt"):
            return {"key": "gen", "operator": operator, "values": [self._rng.choice(("0", "1", "2"))]}
        found = {"key": key, "operator": operator}
        return found if operator in ("Exists", "DoesNotExist") else found | {"values": self._some(values, 2)}

    def _selector(self) -> Json | None:
        kind = self._rng.choice(("labels", "labels", "labels", "expressions", "expressions", "all", "none"))
        if kind == "labels":
            return {"matchLabels": {"app": self._rng.choice(APPS)}}
        if kind == "expressions":
            operator = self._rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
            found: Json = {"key": self._rng.choice(("app", "tier")), "operator": operator}
            if operator in ("In", "NotIn"):
                found["values"] = self._some((*APPS, *TIERS), 2)
            return {"matchExpressions": [found]}
        return {} if kind == "all" else None

    def _pod_term(self) -> Json:
        term: Json = {"topologyKey": self._rng.choice(TOPOLOGIES)}
        if (selector := self._selector()) is not None:
            term["labelSelector"] = selector
            if self._maybe(0.2):
                term[self._rng.choice(("matchLabelKeys", "mismatchLabelKeys"))] = ["rev"]
        if self._maybe(0.3):
            term["namespaces"] = self._some(NAMESPACES, 2)
        if self._maybe(0.3):
            teams = {"matchLabels": {"team": self._rng.choice(("red", "blue"))}}
            none = {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}
            term["namespaceSelector"] = self._rng.choice((teams, none, {}))
        return term

    def _spread(self) -> Json:
        rng = self._rng
        found: Json = {"maxSkew": rng.randint(1, 3), "topologyKey": rng.choice(TOPOLOGIES)}
        found["whenUnsatisfiable"] = rng.choice(("DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"))
        if (selector := self._selector()) is not None:
            found["labelSelector"] = selector
            if self._maybe(0.2):
                found["matchLabelKeys"] = ["rev"]
        if self._maybe(0.3) and found["whenUnsatisfiable"] == "DoNotSchedule":
            found["minDomains"] = rng.randint(1, 5)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if self._maybe(0.4):
                found[policy] = rng.choice(("Honor", "Ignore"))
        return found

    def _port(self) -> Json:
        port: Json = {"containerPort": 80, "hostPort": self._rng.choice((8080, 8081, 8082))}
        if self._maybe(0.3):
            port["hostIP"] = self._rng.choice(("127.0.0.1", "10.0.0.1", "0.0.0.0"))
        if self._maybe(0.3):
            port["protocol"] = "UDP"
        return port

    def _toleration(self) -> Json:
        rng = self._rng
        key, value, effect = rng.choice(TAINTS)
        found: Json = {"key": key, "operator": "Exists"}
        if self._maybe(0.4):
            found = {"key": key, "value": rng.choice((value, "x"))}
        if self._maybe(0.5):
            found["effect"] = rng.choice((effect, "NoSchedule"))
        cordon = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}
        return rng.choice((found, found, {"operator": "Exists"}, cordon))

    def _requests(self, big: bool) -> Json:
        rng = self._rng
        found = {
            "cpu": rng.choice(("100m", "1", "2500m") if big else ("0", "100m", "500m")),
            "memory": rng.choice(("64Mi", "1Gi", "3Gi") if big else ("16Mi", "256Mi")),
        }
        if self._maybe(0.2):
            found["ephemeral-storage"] = rng.choice(("1Gi", "12Gi"))
        requests: Json = {"requests": found}
        if self._maybe(0.2):
            name = rng.choice(("example.com/foo", "nvidia.com/gpu"))
            requests = {"requests": found, "limits": {name: str(rng.randint(1, 3))}}
        return requests

    def _pod(self, name: str, big: bool) -> Json:
        labels = {"app": self._rng.choice(APPS)}
        for label, values in (("tier", TIERS), ("rev", ("x", "y"))):
            if self._maybe(0.7):
                labels[label] = self._rng.choice(values)
        container: Json = {"name": "c", "image": "x", "resources": self._requests(big)}
        spec: Json = {"containers": [container], "terminationGracePeriodSeconds": 0}
        if self._maybe(0.15):
            init: Json = {"name": "i", "image": "x", "resources": self._requests(big)}
            if self._maybe(0.5):
                init["restartPolicy"] = "Always"
                if self._maybe(0.3):
                    init["ports"] = [self._port()]
            spec["initContainers"] = [init]
        if self._maybe(0.1):
            asked = {"cpu": "3", "memory": "3Gi"} if big else {"cpu": "600m"}
            spec["resources"] = {"requests": asked}
            container["resources"] = {"requests": {"cpu": "10m"}}
            spec.pop("initContainers", None)
        if self._maybe(0.1):
            spec["runtimeClassName"] = RUNTIME["metadata"]["name"]
        metadata = {"name": name, "namespace": self._rng.choice(list(NAMESPACES)), "labels": labels}
        return {"metadata": metadata, "spec": spec}

    def _placed(self, n: int) -> Json:
        pod = self._pod(f"w{self._seed}-there-{n:03}", False)
        pod["spec"]["nodeName"] = self._name()
        for init in pod["spec"].get("initContainers", ()):
            init.pop("ports", None)
        port = self._port()
        # kube-scheduler takes a port for free when one of two that hold it ends, which only happens to forced pods
        held = (pod["spec"]["nodeName"], port["hostPort"])
        if self._maybe(0.4) and held not in self._held:
            self._held.add(held)
            pod["spec"]["containers"][0]["ports"] = [port]
        if self._maybe(0.15):
            self._require(pod, "podAntiAffinity", [self._pod_term()])
        fate = self._rng.random()
        if fate < 0.1:
            pod["metadata"]["finalizers"] = ["test/stays"]  # deleted, and still there
        elif fate < 0.2:
            pod["status"] = {"phase": self._rng.choice(("Succeeded", "Failed"))}
        elif fate < 0.4:
            pod["status"] = self._resizing()
        return pod

    def _resizing(self) -> Json:
        status: Json = {"name": "c", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
        status["resources"] = {"requests": {"cpu": self._rng.choice(("50m", "1500m"))}}
        status["allocatedResources"] = {"cpu": self._rng.choice(("50m", "1")), "memory": "128Mi"}
        found: Json = {"phase": "Running", "containerStatuses": [status]}
        if self._maybe(0.4):
            reason = self._rng.choice(("Infeasible", "Deferred"))
            found["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
        return found

    @staticmethod
    def _require(pod: Json, kind: str, terms: Any) -> None:
        affinity = pod["spec"].setdefault("affinity", {})
        affinity[kind] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}

    def _asking(self, n: int) -> Json:
        pod = self._pod(f"w{self._seed}-asks-{n:03}", self._maybe(0.4))
        spec = pod["spec"]
        wants = ("ports", "nodes", "selector", "together", "apart", "spread", "claims", "tolerations")
        for want in self._some(wants, 3):
            match want:
                case "ports":
                    ports = {port["hostPort"]: port for port in (self._port(), self._port())}
                    spec["containers"][0]["ports"] = list(ports.values())
                case "nodes":
                    terms = [self._node_term(True) for _ in range(self._rng.randint(1, 2))]
                    self._require(pod, "nodeAffinity", {"nodeSelectorTerms": terms})
                case "selector":
                    spec["nodeSelector"] = {"disk": self._rng.choice(("ssd", "hdd"))}
                case "together":
                    self._require(
                        pod, "podAffinity", [self._pod_term() for _ in range(self._rng.randint(1, 2))]
                    )
                case "apart":
                    terms = [self._pod_term() for _ in range(self._rng.randint(1, 2))]
                    self._require(pod, "podAntiAffinity", terms)
                case "spread":
                    found = {}
                    for _ in range(self._rng.randint(1, 2)):
                        one = self._spread()
                        found[one["topologyKey"], one["whenUnsatisfiable"]] = one
                    spec["topologySpreadConstraints"] = list(found.values())
                case "claims":
                    near = [
                        c for c in self.claims if c["metadata"]["namespace"] == pod["metadata"]["namespace"]
                    ]
                    names = [c["metadata"]["name"] for c in near] + (["nowhere"] if self._maybe(0.1) else [])
                    if names:
                        claim = {"claimName": self._rng.choice(names)}
                        spec["volumes"] = [{"name": "v", "persistentVolumeClaim": claim}]
                case "tolerations":
                    spec["tolerations"] = [self._toleration() for _ in range(self._rng.randint(1, 3))]
        return pod
