"""One table of what cannot be used: the API server refuses it, and so do the bridge's own readers, and both say why."""

import json
from collections.abc import AsyncIterator

import pytest

from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.inference.fields import SpecError
from synergai.k8s_bridge.inference.job import read_spec
from synergai.k8s_bridge.inference.runtime import read_runtime
from tests.contract.refused import (
    BAD_JOBS,
    BAD_RUNTIMES,
    GONE,
    GOOD_JOBS,
    GOOD_RUNTIMES,
    JOB,
    RUNTIME,
    Bad,
    changed,
    shown,
)
from tests.kube_api import Api, Reply, client

PATHS = {"InferenceJob": "inferencejobs", "InferenceRuntime": "inferenceruntimes"}


def title(value: Bad | dict) -> str:
    if isinstance(value, Bad):
        return f"{value.field}={'gone' if value.value is GONE else json.dumps(value.value)[:40]}"
    return value["kind"] if "kind" in value else json.dumps(value, default=lambda _: "gone")[:60]


BAD = [*((JOB, bad) for bad in BAD_JOBS), *((RUNTIME, bad) for bad in BAD_RUNTIMES)]
GOOD = [*((JOB, good) for good in GOOD_JOBS), *((RUNTIME, good) for good in GOOD_RUNTIMES)]


@pytest.fixture
async def real(definitions: str) -> AsyncIterator[Api]:
    async with client(load(definitions)) as api:
        yield api


async def sent(api: Api, body: dict) -> Reply:
    path = f"/apis/synergai.dev/v1alpha1/namespaces/default/{PATHS[body['kind']]}"
    return await api.post(path, body, dryRun="All")


def read(body: dict) -> str:
    """What is wrong with it, as our reader says."""
    if body["kind"] != "InferenceJob":
        return read_runtime(body, body["kind"]).problem
    try:
        read_spec(body["spec"])
    except SpecError as error:
        return str(error)
    return ""


@pytest.mark.e2e
@pytest.mark.parametrize(("good", "bad"), BAD, ids=title)
async def test_the_server_refuses_and_says_what_to_write(real: Api, good: dict, bad: Bad) -> None:
    reply = await sent(real, bad.made_of(good))
    assert reply.status == 422, reply.raw
    assert shown(bad.place) in reply.message
    assert bad.at_server in reply.message


@pytest.mark.parametrize(("good", "bad"), BAD, ids=title)
def test_the_reader_refuses_and_says_what_to_write(good: dict, bad: Bad) -> None:
    said = read(bad.made_of(good))
    assert shown(bad.place) in said
    assert (bad.here or bad.at_server) in said


@pytest.mark.e2e
@pytest.mark.parametrize(("good", "changes"), GOOD, ids=title)
async def test_the_server_takes_what_is_good(real: Api, good: dict, changes: dict) -> None:
    reply = await sent(real, changed(good, changes))
    assert reply.status == 201, reply.raw


@pytest.mark.parametrize(("good", "changes"), GOOD, ids=title)
def test_the_reader_takes_what_is_good(good: dict, changes: dict) -> None:
    assert read(changed(good, changes)) == ""
