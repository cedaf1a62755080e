"""Definitions that are older or newer than the bridge are told; nothing else changes."""

from typing import Any

import pytest

from synergai.k8s_bridge.embedded.shipped import definitions
from synergai.k8s_bridge.inference.definitions import NAMES, Definitions, problem


def definition(schema: str | None = "1", version: str = "v1alpha1", served: bool = True) -> dict[str, Any]:
    annotations = {} if schema is None else {"synergai.dev/schema": schema}
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAMES[0], "uid": "u", "annotations": annotations},
        "spec": {"versions": [{"name": version, "served": served}]},
    }


def test_the_shipped_definitions_are_those_that_the_bridge_was_made_for():
    shipped = {found["metadata"]["name"]: found for found in definitions()}
    assert set(shipped) == set(NAMES)
    assert [problem(found) for found in shipped.values()] == [("", "")] * 3


@pytest.mark.parametrize(
    ("given", "reason", "word"),
    [
        (definition(None), "DefinitionOlder", "dropped"),
        (definition("0"), "DefinitionOlder", "schema 0"),
        (definition("2"), "DefinitionNewer", "not heeded"),
        (definition(version="v1"), "VersionNotServed", "it serves v1"),
        (definition(served=False), "VersionNotServed", "it serves nothing"),
    ],
)
def test_another_definition_is_told_with_what_to_do(given, reason, word):
    found, message = problem(given)
    assert found == reason
    assert word in message
    assert "apply those of this version" in message


class Server:
    def __init__(self) -> None:
        self.there: dict[str, Any] = definition("2")

    async def get(self, path: str) -> dict[str, Any]:
        return self.there


async def test_a_problem_is_told_once_until_it_is_another():
    server, told = Server(), []
    client: Any = server
    looking = Definitions(client, lambda *what: told.append(what))
    await looking.look(NAMES[0])
    await looking.look(NAMES[0])
    server.there = definition("1")
    await looking.look(NAMES[0])
    server.there = definition(None)
    await looking.look(NAMES[0])
    assert [reason for _, _, reason, _ in told] == ["DefinitionNewer", "DefinitionOlder"]
