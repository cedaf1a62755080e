"""InferenceJobs on two replicas, whatever happens between any two calls, found by a state machine.

Watches fall behind each other and tell things twice; requests arrive late, twice or never, and their replies too; the
lease changes hands; replicas die and come back with empty memories; pods, nodes, runtimes and jobs come and go.
"""

from typing import Any

from bridge_fakes import raw_node
from bridge_jobs import job, runtime
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from job_api import ENDED, Api, Raw, finalizers, owner
from job_bridge import WATCHED, Bridge, Flying, carried_out, resolve

from synergai.k8s_bridge.api.watch import CLUSTER_RUNTIMES, JOBS, NODES, OWN_PODS, Resource
from synergai.k8s_bridge.binder import BindResult, Outcome
from synergai.k8s_bridge.clock import SECOND_US

NAMES = ("a", "b", "c")
MACHINES = ("n0", "n1")
ANY = st.integers(0, 1000)
"""Which of some, whatever their number."""


def ort(cpu: str = "") -> Raw:
    rows = [{"name": "ort-b8", "resources": {"cpu": cpu}} if cpu else {"name": "ort-b8"}]
    return runtime("ort", ["net"], ["gpu-a"], rows)


class Jobs(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.api = Api()
        for name in MACHINES:
            self.api.add_node(name)
        self.api.create(CLUSTER_RUNTIMES, ort())
        for name in NAMES[:2]:
            self.api.create(JOBS, job(name, "net", backoffLimit=1, suspend=False))
        self.late: list[Flying] = []
        """Writes of replicas that are no more."""
        self.replicas = [self.start("r0"), self.start("r1")]
        self.replicas[0].begin()
        self.born = 2

    def start(self, name: str) -> Bridge:
        made = Bridge(self.api, name)
        made.list_all()
        made.cycle()
        return made

    # people ----------------------------------------------------------------------------------------------------------
    @rule(
        name=st.sampled_from(NAMES),
        limit=st.integers(0, 2),
        suspend=st.booleans(),
        ttl=st.sampled_from([None, 5]),
    )
    def create_job(self, name: str, limit: int, suspend: bool, ttl: int | None) -> None:
        spec: dict[str, Any] = {"backoffLimit": limit, "suspend": suspend, "deadline": {"after": "60s"}}
        if name not in self.api.objects[JOBS.name]:
            self.api.create(
                JOBS, job(name, "net", **spec, **({} if ttl is None else {"ttlSecondsAfterFinished": ttl}))
            )

    @precondition(lambda self: self.api.jobs())
    @rule(n=ANY, what=st.sampled_from(["suspend", "resume", "delete"]))
    def change_job(self, n: int, what: str) -> None:
        found = chosen(self.api.jobs(), n)
        name = found["metadata"]["name"]
        if what == "delete":
            self.api.delete(JOBS, name)
        elif found["spec"]["suspend"] != (what == "suspend"):
            self.api.change(JOBS, name, suspend=what == "suspend")

    @rule(what=st.sampled_from(["create", "delete", "grow", "shrink", "quota", "no quota"]))
    def change_offer(self, what: str) -> None:
        there = bool(self.api.objects[CLUSTER_RUNTIMES.name])
        if what in ("quota", "no quota"):
            self.api.full = what == "quota"
        elif what == "create" and not there:
            self.api.create(CLUSTER_RUNTIMES, ort())
        elif what == "delete" and there:
            self.api.delete(CLUSTER_RUNTIMES, "ort")
        elif what in ("grow", "shrink") and there:
            self.api.change(CLUSTER_RUNTIMES, "ort", **ort("2" if what == "grow" else "")["spec"])

    # machines --------------------------------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([0.5, 3.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.api.now_us += round(seconds * SECOND_US)

    @rule(name=st.sampled_from(MACHINES))
    def lose_or_find_node(self, name: str) -> None:
        if name in self.api.objects[NODES.name]:
            self.api.lose_node(name)
        else:
            self.api.add_node(name)

    @rule(name=st.sampled_from(MACHINES))
    def node_is_cordoned_or_not(self, name: str) -> None:
        raw = self.api.objects[NODES.name].get(name)
        if raw is not None:
            self.api.change(NODES, name, unschedulable=not raw["spec"].get("unschedulable", False))

    def open_pods(self) -> list[Raw]:
        """That can still run, or be said to."""
        lost = self.api.lost
        return [
            p
            for p in self.api.pods()
            if p["status"]["phase"] not in ENDED and p["metadata"]["uid"] not in lost
        ]

    @precondition(lambda self: self.open_pods())
    @rule(n=ANY, how=st.sampled_from(["complete", "complete", "fail", "oom", "evict"]))
    def pod_ends(self, n: int, how: str) -> None:
        pod = chosen(self.open_pods(), n)
        if how == "evict":
            self.api.say(pod, "Failed", reason="Evicted", message="the node was low on memory")
        elif "containerStatuses" not in pod["status"]:  # else it has no image
            code, reason = {"complete": (0, "Completed"), "fail": (1, "Error"), "oom": (137, "OOMKilled")}[
                how
            ]
            self.api.ends(pod, code, reason)

    @precondition(lambda self: self.open_pods())
    @rule(n=ANY, stick=st.booleans())
    def pod_starts_or_has_no_image(self, n: int, stick: bool) -> None:
        pod = chosen(self.open_pods(), n)
        if pod["status"] == {"phase": "Pending"}:
            self.api.sticks(pod) if stick else self.api.say(pod, "Running")

    @precondition(lambda self: any("deletionTimestamp" in p["metadata"] for p in self.open_pods()))
    @rule(n=ANY)
    def pod_is_stopped(self, n: int) -> None:
        self.api.ends(
            chosen([p for p in self.open_pods() if "deletionTimestamp" in p["metadata"]], n), 143, "Error"
        )

    @precondition(lambda self: self.api.pods())
    @rule(n=ANY, by_force=st.booleans())
    def pod_is_deleted(self, n: int, by_force: bool) -> None:
        pod = chosen(self.api.pods(), n)
        if not by_force:
            self.api.delete(OWN_PODS, pod["metadata"]["name"])
        elif self.known(pod):
            self.api.vanish(pod)
            if finalizers(pod):
                self.api.succeeded.discard(owner(pod))  # somebody took the record away

    def known(self, pod: Raw) -> bool:
        """Whether its job's status speaks of it: what nobody has seen and is not there was never created."""
        jobs = (j for j in self.api.jobs() if j["metadata"]["uid"] == owner(pod))
        return any(
            a["podRef"]["uid"] == pod["metadata"]["uid"]
            for j in jobs
            for a in j["status"].get("attempts", ())
        )

    @rule()
    def collect(self) -> None:
        self.api.collect()

    # watches and requests --------------------------------------------------------------------------------------------
    @rule(r=ANY, resource=st.sampled_from(WATCHED), count=st.integers(1, 4), twice=st.booleans())
    def deliver(self, r: int, resource: Resource, count: int, twice: bool) -> None:
        for _ in range(count):
            chosen(self.replicas, r).deliver(resource, twice)

    @rule(r=ANY, resource=st.sampled_from(WATCHED))
    def watch_breaks(self, r: int, resource: Resource) -> None:
        chosen(self.replicas, r).list(resource)

    @rule(r=ANY)
    def one_is_told_all(self, r: int) -> None:
        replica = chosen(self.replicas, r)
        for resource in WATCHED:
            while replica.deliver(resource):
                pass
        replica.cycle()

    @rule(r=ANY)
    def cycle(self, r: int) -> None:
        chosen(self.replicas, r).cycle()

    @rule()
    def all_is_told(self) -> None:
        for replica in self.replicas:
            for resource in WATCHED:
                while replica.deliver(resource):
                    pass
            replica.cycle()

    @rule()
    def all_is_carried_out(self) -> None:
        for replica in self.replicas:
            for order in list(replica.orders):
                replica.create(order)
            for key in list(replica.writer.waiting):
                replica.send(key)
            for one in list(replica.flying):
                replica.land(one)

    @rule(times=st.integers(1, 4))
    def all_goes_well_for_a_while(self, times: int) -> None:
        for _ in range(times):
            self.all_is_told()
            self.all_is_carried_out()
        self.all_is_told()

    @precondition(lambda self: any(r.orders for r in self.replicas))
    @rule(n=ANY, how=st.sampled_from(["done", "done", "no reply", "given up", "given up, late"]))
    def creation(self, n: int, how: str) -> None:
        replica, order = chosen([(r, o) for r in self.replicas for o in r.orders], n)
        if how.startswith("given up"):
            if how.endswith("late"):
                replica._creation(order)
            replica.settle(order, BindResult(order, Outcome.FAILED, "nobody knows", doubtful=True))
        else:
            replica.create(order, answered=how == "done")

    @precondition(lambda self: any(r.writer.waiting for r in self.replicas))
    @rule(n=ANY)
    def send(self, n: int) -> None:
        replica, key = chosen([(r, k) for r in self.replicas for k in r.writer.waiting], n)
        replica.send(key)

    @precondition(lambda self: any(r.flying for r in self.replicas))
    @rule(n=ANY, answer=st.sampled_from(["now", "later", "never"]))
    def land(self, n: int, answer: str) -> None:
        replica, one = chosen([(r, f) for r in self.replicas for f in r.flying], n)
        replica.land(one, answer)

    @precondition(lambda self: self.late)
    @rule(n=ANY)
    def late_write_lands(self, n: int) -> None:
        one = chosen(self.late, n)
        self.late.remove(one)
        carried_out(self.api, one)

    # replicas --------------------------------------------------------------------------------------------------------
    @rule(arrives=st.booleans())
    def lease_changes_hands(self, arrives: bool) -> None:
        leader, other = sorted(self.replicas, key=lambda r: not r.leads)
        self.cease(leader, arrives)
        other.begin()

    @rule(r=ANY, arrives=st.booleans())
    def replica_dies_and_comes_back(self, r: int, arrives: bool) -> None:
        dead = chosen(self.replicas, r)
        led = dead.leads
        self.cease(dead, arrives)
        self.late += [one for one in dead.flying if one.reply is None]
        self.replicas.remove(dead)
        self.born += 1
        self.replicas.append(self.start(f"r{self.born}"))
        if led:
            self.replicas[0].begin()

    def cease(self, replica: Bridge, arrives: bool) -> None:
        replica.end()
        for order in list(replica.orders):
            resolve(replica, order, arrives)

    # the end ---------------------------------------------------------------------------------------------------------
    def teardown(self) -> None:
        if not hasattr(self, "api"):
            return
        self.mend()
        for _ in range(40):
            self.go_on()
        self.judge()

    def mend(self) -> None:
        self.api.full = False
        for one in self.late:
            carried_out(self.api, one)
        for name in MACHINES:
            if name in self.api.objects[NODES.name]:
                self.api.change(NODES, name, **raw_node(name)["spec"], unschedulable=False)
            else:
                self.api.add_node(name)
        if not self.api.objects[CLUSTER_RUNTIMES.name]:
            self.api.create(CLUSTER_RUNTIMES, ort())
        for found in self.api.jobs():
            if found["spec"]["suspend"]:
                self.api.change(JOBS, found["metadata"]["name"], suspend=False)

    def go_on(self) -> None:
        """As on any day."""
        self.api.collect()
        for pod in self.api.pods():
            if pod["status"]["phase"] in ENDED:
                continue
            if "deletionTimestamp" in pod["metadata"]:
                self.api.ends(pod, 143, "Error")
            elif "containerStatuses" not in pod["status"]:
                self.api.ends(pod, 0, "Completed")
        self.all_is_told()
        self.all_is_carried_out()
        self.api.now_us += 7 * SECOND_US

    def judge(self) -> None:
        phases = {j["metadata"]["name"]: j["status"].get("phase") for j in self.api.jobs()}
        assert set(phases.values()) <= set(ENDED), f"not over: {self.api.jobs()}"
        held = [pod["metadata"]["name"] for pod in self.api.pods() if finalizers(pod)]
        assert held == [], "finalizers stay"
        assert [p for p in self.api.pods() if p["status"]["phase"] not in ENDED] == [], "pods stay"
        for replica in self.replicas:
            cluster = replica.world.cluster
            assert (cluster.running(), cluster.queued()) == (0, 0), replica.name
            assert replica.world.pods.entries == {}, replica.name
            assert not replica.world.jobs._held, replica.name


def chosen(among: list[Any], n: int) -> Any:
    return among[n % len(among)]


Jobs.TestCase.settings = settings(
    max_examples=60, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJobs = Jobs.TestCase
