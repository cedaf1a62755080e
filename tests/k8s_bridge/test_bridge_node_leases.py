"""Nodes that are silent are noticed by their Leases, by the clock of whoever looks."""

import pytest
from bridge_fakes import NOW_US, FakeClient

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.api.watch import REFUSED_S
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.node_leases import EVERY_S, NODE_LEASES, NodeLeases


def lease(name: str, age_s: float, duration_s: int | None = 40):
    spec = {"renewTime": format_time_us(NOW_US - round(age_s * 1e6))}
    if duration_s is not None:
        spec["leaseDurationSeconds"] = duration_s
    return {"metadata": {"name": name}, "spec": spec}


class Looking:
    """A look at each reply, so many seconds apart."""

    def __init__(self, *replies: object) -> None:
        self.now_s, self.told = 100.0, []
        client = FakeClient({("GET", NODE_LEASES.path): list(replies)})
        self._leases = NodeLeases(client, self._hear, monotonic=lambda: self.now_s)

    def _hear(self, event) -> None:
        self.told.append(event.object["stale"])

    async def after(self, seconds: float) -> float:
        self.now_s += seconds
        return await self._leases.look()


@pytest.mark.parametrize(
    ("name", "found", "stale"),
    [
        ("fresh", lease("n", 5), []),
        ("half its duration is the limit", lease("n", 19), []),
        ("beyond", lease("n", 21), [["n"]]),
        ("a short one has 15 s", lease("n", 14, 8), []),
        ("and no more", lease("n", 16, 8), [["n"]]),
        ("a long one has more", lease("n", 190, 400), []),
        ("one without a duration", lease("n", 21, None), [["n"]]),
        ("one that was never renewed", {"metadata": {"name": "n"}, "spec": {}}, []),
        ("one that says nonsense", {"metadata": {"name": "n"}, "spec": {"renewTime": "soon"}}, []),
        ("one of the future", lease("n", -500), []),
    ],
)
async def test_at_first_the_node_is_believed(name, found, stale):
    looking = Looking({"items": [found]})
    assert await looking.after(0) == EVERY_S
    assert looking.told == stale, name


async def test_a_lease_that_is_not_renewed_while_one_looks_grows_old():
    looking = Looking({"items": [lease("n", 0)]})
    for _ in range(4):
        await looking.after(10)
    assert looking.told == [["n"]]


async def test_a_node_whose_clock_is_wrong_is_fresh_once_it_is_seen_to_renew():
    looking = Looking({"items": [lease("n", 300)]}, {"items": [lease("n", 290)]})
    await looking.after(0)
    await looking.after(10)
    assert looking.told == [["n"], []]


async def test_a_lease_that_is_gone_says_nothing():
    looking = Looking({"items": [lease("n", 300)]}, {"items": []})
    await looking.after(0)
    await looking.after(10)
    assert looking.told == [["n"], []]


async def test_leases_come_in_pages():
    looking = Looking(
        {"items": [lease("n1", 99)], "metadata": {"continue": "more"}}, {"items": [lease("n2", 99)]}
    )
    await looking.after(0)
    assert looking.told == [["n1", "n2"]]


async def test_without_the_right_no_node_is_silent_and_one_warning_is_given(caplog):
    looking = Looking({"items": [lease("n", 99)]}, ApiError(403, "Forbidden", "cannot list resource leases"))
    await looking.after(0)
    assert await looking.after(10) == REFUSED_S
    await looking.after(60)
    assert looking.told == [["n"], []]
    assert caplog.text.count("cannot list resource leases") == 1


async def test_an_api_server_that_is_away_changes_nothing():
    looking = Looking({"items": [lease("n", 99)]}, ApiError(0, "Unreachable", "nobody answers"))
    await looking.after(0)
    assert await looking.after(10) == EVERY_S
    assert looking.told == [["n"]]
