"""`synergai profile cluster`."""

import asyncio
import secrets
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail
from synergai.k8s_bridge.explain.session import INTERRUPTED, Session, run

if TYPE_CHECKING:
    from synergai.k8s_bridge.profiling.jobs import Wish
    from synergai.k8s_bridge.profiling.merged import Merged
    from synergai.k8s_bridge.profiling.places import Place


def profile_cluster(
    out: Annotated[Path, typer.Option(help="CSV of profiles to write or to complete.", metavar="FILE")],
    image: Annotated[str, typer.Option(help="With synergai and the engines.", metavar="IMAGE")] = "",
    models_volume: Annotated[
        str,
        typer.Option(
            help="Folder of models: claim:NAME, or hostPath:/FOLDER on every node.", metavar="VOLUME"
        ),
    ] = "",
    template: Annotated[
        Path | None,
        typer.Option(
            help="YAML of a pod template with a container `profile`: your volumes and images.", metavar="FILE"
        ),
    ] = None,
    only: Annotated[
        str,
        typer.Option(help="Of these hardware classes.", metavar="A,B", show_default="all that are missing"),
    ] = "",
    unit: Annotated[
        str, typer.Option(help="cpu or gpu.", metavar="UNIT", show_default="by the kind of the class")
    ] = "",
    cpu: Annotated[
        str, typer.Option(help="Request and limit.", metavar="N", show_default="limit: what the node has")
    ] = "",
    memory: Annotated[
        str, typer.Option(help="Request and limit.", metavar="N", show_default="limit: what the node has")
    ] = "",
    at_once: Annotated[
        int, typer.Option(min=1, help="Classes at the same time, never two on one node.", metavar="N")
    ] = 4,
    limit: Annotated[float, typer.Option(min=0.01, help="Hours that a class may take.", metavar="H")] = 4.0,
    namespace: Annotated[
        str,
        typer.Option(
            "-n", "--namespace", help="Of the Jobs.", metavar="NAME", show_default="the kubeconfig's"
        ),
    ] = "",
    kubeconfig: Annotated[str, typer.Option(help="Which cluster.", metavar="FILE")] = "",
    anew: Annotated[bool, typer.Option("--anew", help="Measure classes again that are in the file.")] = False,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="After --: more options of `synergai profile run`.", metavar="[-- OPTIONS]"),
    ] = None,
) -> None:
    """Measure each hardware class of a cluster once: a Job on one node that has the label hardware.synergai.dev/NAME.

    A class that fails is told and left out (exit code 1); run it again, and only what is missing is measured.
    """
    from synergai.k8s_bridge.explain.api import AskError
    from synergai.k8s_bridge.profiling import jobs
    from synergai.k8s_bridge.profiling.merged import Merged
    from synergai.offline_profiles.measuring.run import Places

    if unit not in ("", "cpu", "gpu"):
        fail("profile cluster", f"--unit: {unit!r} is neither cpu nor gpu")
    try:
        wish = jobs.Wish(
            jobs.read_template(template, image, models_volume), jobs.arguments(arguments or ()), unit, cpu,
            memory, int(limit * 3600),
        )  # fmt: skip
        if not out.absolute().parent.is_dir():
            raise AskError(f"--out: there is no folder {out.absolute().parent}")
        merged = Merged.open(Places(out), anew)
    except AskError as error:
        fail("profile cluster", error)
    wanted = frozenset(word.strip() for word in only.split(",") if word.strip())

    async def work(session: Session) -> int:
        given = namespace or session.namespace
        return await measure(session, wish, merged, wanted, at_once, given, anew)

    run("profile cluster", kubeconfig, work, patient=True)


async def measure(
    session: Session,
    wish: "Wish",
    merged: "Merged",
    only: frozenset[str],
    at_once: int,
    namespace: str,
    anew: bool = False,
) -> int:
    """All classes that are missing, or all that are asked for if `anew`; the exit code."""
    from synergai.k8s_bridge.explain.api import AskError
    from synergai.k8s_bridge.profiling.places import places
    from synergai.offline_profiles.table import ProfileTable

    known = ProfileTable.default().hardware
    found = places((await session.client.get("/api/v1/nodes")).get("items") or (), known)
    unknown = only - {place.hardware for place in found}
    if unknown:
        raise AskError(f"no node has the label of {', '.join(sorted(unknown))} (hardware.synergai.dev/NAME)")
    if not found:
        raise AskError("no node has a label hardware.synergai.dev/NAME; `synergai node label` sets it")
    todo = [place for place in found if not only or place.hardware in only]
    if not anew:
        there = [place.hardware for place in todo if place.hardware in merged.parts]
        todo = [place for place in todo if place.hardware not in merged.parts]
        if there:
            _say(f"there from before: {', '.join(there)}")
    runner = _Runner(session, wish, merged, namespace, asyncio.Semaphore(at_once))
    tasks = [asyncio.create_task(runner.one(place)) for place in todo]
    everything, stopped = asyncio.gather(*tasks), asyncio.create_task(session.stop.wait())
    await asyncio.wait([everything, stopped], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, stopped):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)  # Jobs are deleted meanwhile
    if session.stop.is_set():
        return INTERRUPTED
    ended = await everything
    if merged.parts:
        _say(f"written: {merged.places.profiles}, {merged.places.hardware}, {merged.places.host}")
    return 0 if all(ended) else 1


class _Runner:
    """Measures classes, never two at once on one node."""

    def __init__(
        self, session: Session, wish: "Wish", merged: "Merged", namespace: str, room: asyncio.Semaphore
    ) -> None:
        self._client, self._wish, self._merged = session.client, wish, merged
        self._namespace, self._room = namespace, room
        self._nodes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def one(self, place: "Place") -> bool:
        """Whether it is measured; if not, that is told."""
        from synergai.k8s_bridge.profiling.jobs import job_of
        from synergai.k8s_bridge.profiling.merged import part_of
        from synergai.k8s_bridge.profiling.pods import Failed, run_job
        from synergai.offline_profiles.table import ProfileTable

        if place.node is None:
            _say(f"{place.hardware}: left out: {place.problem}")
            return False
        known = ProfileTable.default().hardware.get(place.hardware)
        job = job_of(place, self._wish, secrets.token_hex(3), self._namespace, known)
        async with self._nodes[place.node.name], self._room:
            _say(f"{place.hardware}: measured on node {place.node.name} by job {job['metadata']['name']}")
            try:
                part = part_of(await run_job(self._client, job), place.hardware, place.node)
            except Failed as error:
                _say(f"{place.hardware}: left out: {error}")
                return False
        self._merged.add(part)
        _say(f"{place.hardware}: {len(part.profiles)} rows")
        return True


def _say(text: str) -> None:
    typer.echo(f"synergai profile cluster: {text}", err=True)
