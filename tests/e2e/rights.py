"""The rights of the shipped manifest, one by one."""

from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

import yaml

from tests.e2e.ground import MANIFEST, Json


class Right(NamedTuple):
    """One verb on one resource (with its subresource), as one role of the manifest grants it."""

    role: str
    resource: str
    verb: str


def rights() -> Iterator[Right]:
    """All of them."""
    for item in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")):
        for rule in item.get("rules", ()):
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield Right(item["metadata"]["name"], resource, verb)


def without(right: Right, items: list[Json], name: str) -> list[Json]:
    """The manifest less one right; a rule that holds nothing more goes."""
    made = deepcopy(items)
    (role,) = (i for i in made if "rules" in i and i["metadata"]["name"] == renamed(right.role, name))
    kept = []
    for rule in role["rules"]:
        for resource in rule["resources"]:
            verbs = [v for v in rule["verbs"] if (resource, v) != (right.resource, right.verb)]
            if verbs:
                kept.append(rule | {"resources": [resource], "verbs": verbs})
    role["rules"] = kept
    return made


def renamed(role: str, name: str) -> str:
    """What a role of the manifest is called where everything has a name of its own."""
    return role.replace("synergai-bridge", name)
