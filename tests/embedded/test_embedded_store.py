"""The store: one counter, the history behind watches, and what is forgotten."""

import pytest

from synergai.k8s_bridge.embedded.errors import ApiError
from synergai.k8s_bridge.embedded.store import Change, Store


def named(name: str, **fields: object) -> dict:
    return {"metadata": {"name": name}, **fields}


def woken() -> None:
    pass


@pytest.fixture
def store() -> Store:
    return Store(history=3)


def test_every_change_of_any_collection_has_its_own_version(store: Store):
    first = store.put("pods", ("n", "a"), named("a"))
    second = store.put("nodes", ("", "b"), named("b"))
    assert second.rv == first.rv + 1


def test_an_object_carries_the_version_of_its_change(store: Store):
    stored = store.put("pods", ("n", "a"), named("a"))
    assert stored.obj["metadata"]["resourceVersion"] == str(store.rv)


def test_a_subscriber_gets_the_changes_after_its_version(store: Store):
    first = store.put("pods", ("n", "a"), named("a"))
    store.put("pods", ("n", "b"), named("b"))
    assert [change.rv for change in store.subscribe("pods", woken, first.rv).take()] == [first.rv + 1]


def test_a_version_whose_successors_are_forgotten_is_410(store: Store):
    first = store.put("pods", ("n", "a"), named("a"))
    for value in range(4):
        store.put("pods", ("n", "a"), named("a", value=value))
    with pytest.raises(ApiError, match=f"too old resource version: {first.rv}") as caught:
        store.subscribe("pods", woken, first.rv)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


def test_a_version_whose_successors_are_all_kept_is_not_410(store: Store):
    for value in range(4):
        store.put("pods", ("n", "a"), named("a", value=value))
    assert len(store.subscribe("pods", woken, store.rv - 3).take()) == 3


def test_compaction_forgets_all_history(store: Store):
    first = store.put("pods", ("n", "a"), named("a"))
    store.put("pods", ("n", "b"), named("b"))
    store.compact()
    with pytest.raises(ApiError):
        store.subscribe("pods", woken, first.rv)


def test_a_subscriber_that_lags_is_overrun_and_loses_the_rest(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synergai.k8s_bridge.embedded.store.BACKLOG", 2)
    subscription = store.subscribe("pods", woken, None)
    for name in "abc":
        store.put("pods", ("n", name), named(name))
    assert subscription.overrun
    assert len(subscription.take()) == 2


def test_a_snapshot_shows_an_earlier_moment(store: Store):
    store.put("pods", ("n", "a"), named("a", value=1))
    then = store.put("pods", ("n", "b"), named("b")).rv
    store.put("pods", ("n", "a"), named("a", value=2))
    store.put("pods", ("n", "c"), named("c"))
    store.remove("pods", ("n", "b"), named("b"))
    shown = store.snapshot("pods", then)
    assert [(stored.key[1], stored.obj.get("value")) for stored in shown] == [("a", 1), ("b", None)]


def test_a_snapshot_is_in_the_order_of_namespace_and_name(store: Store):
    for key in (("b", "a"), ("a", "b"), ("a", "a")):
        store.put("pods", key, named(key[1]))
    assert [stored.key for stored in store.snapshot("pods")] == [("a", "a"), ("a", "b"), ("b", "a")]


def test_a_deletion_has_a_version_and_the_last_state(store: Store):
    store.put("pods", ("n", "a"), named("a"))
    subscription = store.subscribe("pods", woken, None)
    gone = store.remove("pods", ("n", "a"), named("a", value=9))
    (change,) = subscription.take()
    assert isinstance(change, Change)
    assert change.gone is gone
    assert gone.obj["metadata"]["resourceVersion"] == str(store.rv)


def test_an_encoding_is_made_once(store: Store):
    stored = store.put("pods", ("n", "a"), named("a"))
    made: list[dict] = []

    def make(obj: dict) -> bytes:
        made.append(obj)
        return b"x"

    assert stored.body("v", make) == stored.body("v", make) == b"x"
    assert len(made) == 1
