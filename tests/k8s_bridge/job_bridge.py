"""One bridge of a state machine: its books, its place in every watch, and its requests under way."""

import copy
from collections import defaultdict
from typing import NamedTuple

from bridge_fakes import table
from bridge_world import World, Writes
from job_api import Api, Raw

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.api.watch import CLUSTER_RUNTIMES, JOBS, NODES, OWN_PODS, Kind, Resource, WatchEvent
from synergai.k8s_bridge.binder import BindOrder, BindResult, Outcome, _find_made, _made
from synergai.k8s_bridge.inference.writer import Write

WATCHED = (NODES, CLUSTER_RUNTIMES, JOBS, OWN_PODS)
"""In the order in which they are listed."""


class Flying(NamedTuple):
    """A write under way."""

    key: str
    write: Write
    reply: Raw | ApiError | None = None
    """Of one that is done, and its reply on the way."""


class Waiting(Writes):
    """The newest write of each key, until it is sent."""

    def __init__(self) -> None:
        self.waiting: dict[str, Write] = {}

    def put(self, key: str, write: Write, delay_s: float = 0.0) -> None:
        self.waiting[key] = write


class Bridge:
    """A replica. It takes in what its watches have delivered in cycles, as the daemon does."""

    def __init__(self, api: Api, name: str) -> None:
        self.api, self.name = api, name
        self.leads = False
        self.world = World(nodes=0, cluster=Cluster(table()), acts=lambda: self.leads)
        self.world.scheduler = make("sjf_feasible")
        self.writer = Waiting()
        self.world.jobs._records.writer = self.writer
        self.place: dict[str, int] = {}
        self.known: defaultdict[str, dict[str, Raw]] = defaultdict(dict)  # uid -> what was seen last
        self.inbox: list[WatchEvent] = []
        self.results: list[BindResult] = []
        self.orders: list[BindOrder] = []
        """Pods that are being created."""
        self.flying: list[Flying] = []

    def list(self, resource: Resource) -> None:
        """From its beginning, as the reflector does."""
        there = {
            raw["metadata"]["uid"]: copy.deepcopy(raw) for raw in self.api.objects[resource.name].values()
        }
        names = {raw["metadata"]["name"] for raw in there.values()}
        gone = {uid: raw for uid, raw in self.known[resource.name].items() if uid not in there}
        for uid, raw in sorted(gone.items(), key=lambda one: one[1]["metadata"]["name"] not in names):
            where = {key: raw["metadata"][key] for key in ("name", "namespace") if key in raw["metadata"]}
            self._hear(resource, "DELETED", {"metadata": {"uid": uid, **where}})
        for uid, raw in there.items():
            before = self.known[resource.name].get(uid)
            if before is None or before["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"]:
                self._hear(resource, "ADDED" if before is None else "MODIFIED", raw)
        self.place[resource.name] = len(self.api.log[resource.name])

    def list_all(self) -> None:
        for resource in WATCHED:
            self.list(resource)

    def deliver(self, resource: Resource, twice: bool = False) -> bool:
        """The next event of a watch; whether there was one."""
        place, log = self.place[resource.name], self.api.log[resource.name]
        if place == len(log):
            return False
        self.place[resource.name] += 1
        for _ in range(1 + twice):
            self._hear(resource, log[place].kind, copy.deepcopy(log[place].object))
        return True

    def _hear(self, resource: Resource, kind: Kind, raw: Raw) -> None:
        uid = raw["metadata"]["uid"]
        if kind == "DELETED":
            self.known[resource.name].pop(uid, None)
        else:
            self.known[resource.name][uid] = raw
        self.inbox.append(WatchEvent(resource, kind, raw))

    def cycle(self, begins: bool = False) -> None:
        """As `Daemon.cycle`."""
        world = self.world
        now_us = world.now_us = self.api.now_us
        results, self.results = self.results, []
        events, self.inbox = self.inbox, []
        world.snapshot.apply(events, now_us)
        for result in results:
            world.placing.settle(result, now_us)
        world.pods.expire(now_us)
        world.pods.follow(now_us)
        if begins:
            for pod in world.pods.drop_unseen(now_us):
                world.jobs.remove_pod({"metadata": {"uid": pod.uid}})
            world.jobs.begin()
        world.jobs.reconcile(now_us)
        if self.leads:
            self.orders += world.round()

    def begin(self) -> None:
        """It has got the lease, and reads everything anew."""
        self.leads = True
        self.list_all()
        self.cycle(begins=True)

    def end(self) -> None:
        """It has lost the lease, or its life: what it has not sent is not sent any more."""
        self.leads = False
        self.writer.waiting.clear()

    # requests --------------------------------------------------------------------------------------------------------
    def create(self, order: BindOrder, answered: bool = True) -> None:
        """A creation reaches the server. Without an answer it is sent again."""
        result = self._creation(order)
        if answered:
            self.settle(order, result)

    def settle(self, order: BindOrder, result: BindResult) -> None:
        self.orders.remove(order)
        self.results.append(result)

    def _creation(self, order: BindOrder) -> BindResult:
        assert order.create is not None, "all pods here are attempts"
        try:
            return _made(order, self.api.create(OWN_PODS, order.create))
        except ApiError as error:
            if error.status == 403:
                return BindResult(order, Outcome.REFUSED, error.message)
            return _find_made(order, self.api.objects[OWN_PODS.name][order.name], error.message)

    def send(self, key: str) -> None:
        """What waits under a key is on its way: one at once."""
        if all(one.key != key for one in self.flying):
            self.flying.append(Flying(key, self.writer.waiting.pop(key)))

    def land(self, one: Flying, answer: str = "now") -> None:
        """A write reaches the server. Its reply comes `now`, `later`, or `never`: then it is sent again, or something
        newer is."""
        self.flying.remove(one)
        reply = carried_out(self.api, one) if one.reply is None else one.reply
        if answer == "now" or one.reply is not None:
            self.world.jobs.ended(one.key, reply)
        elif answer == "later":
            self.flying.append(one._replace(reply=reply))
        elif one.key not in self.writer.waiting and self.leads:
            self.flying.append(one)


def carried_out(api: Api, one: Flying) -> Raw | ApiError:
    try:
        return api.carry_out(one.write)
    except ApiError as error:
        return error


def resolve(bridge: Bridge, order: BindOrder, arrives: bool) -> None:
    """Of a creation under way when the lease goes: before the next leader lists it has arrived, or never will."""
    if arrives:
        bridge.create(order)
    else:
        bridge.settle(order, BindResult(order, Outcome.WITHHELD))
