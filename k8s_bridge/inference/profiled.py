"""Runtimes for all that a profile table knows, of one image: for demonstrations, measurements, and as a beginning."""

import re
from collections.abc import Callable, Iterable

from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND
from synergai.k8s_bridge.inference.templates import API_VERSION
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.table import ProfileTable

CONTAINER = "runner"


def profiled_runtimes(
    table: ProfileTable,
    models: Iterable[str],
    hardware: Iterable[str],
    image: str,
    *,
    configure: Callable[[Profile], Json | None] | None = None,
    template: Callable[[Hardware], Json] | None = None,
) -> list[Json]:
    """One ClusterInferenceRuntime per model, with a variant per hardware class and all configurations that are
    profiled there.

    `configure` makes a configuration of a profile, or None where it is to be left out; `template` makes the pods'
    template of a class, by default a container of `image` and nothing else.
    """
    classes = [table.hardware[name] for name in sorted(hardware)]
    make = template or (lambda _: {"spec": {"containers": [{"name": CONTAINER, "image": image}]}})
    runtimes = []
    for model in models:
        variants = []
        for one in classes:
            configurations = [(configure or configuration)(row) for row in table.of(model, one.name)]
            kept = [found for found in configurations if found is not None]
            variants += [_variant(one.name, kept, make(one))] if kept else []
        runtimes += [_runtime(model, variants)] if variants else []
    return runtimes


def configuration(row: Profile) -> Json:
    """Its name, and parameters for the container."""
    parameters = {
        "engine": row.engine,
        "precision": row.precision,
        "batch": str(row.batch),
        "threads": str(row.threads),
    }
    return {"name": row.configuration, "parameters": parameters}


def _runtime(model: str, variants: list[Json]) -> Json:
    name, _, version = model.partition(":")
    known = {"name": name, "versions": [version or "1"]}
    return {
        "apiVersion": API_VERSION,
        "kind": CLUSTER_KIND,
        "metadata": {"name": _slug(model)},
        "spec": {"models": [known], "variants": variants},
    }


def _variant(hardware: str, configurations: list[Json], template: Json) -> Json:
    return {
        "name": _slug(hardware),
        "hardware": [hardware],
        "configurations": configurations,
        "container": CONTAINER,
        "template": template,
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
