"""`synergai node`: the device labels of a node."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail
from synergai.k8s_bridge.explain.session import Session, run
from synergai.offline_profiles.options import HardwareOption, table_of

if TYPE_CHECKING:
    from synergai.k8s_bridge.labelling import Change, Wanted
    from synergai.offline_profiles.host.host import Host

VERB = "node label"
app = typer.Typer(help="Nodes: the labels that say which devices one has.", no_args_is_help=True)


@app.callback()
def node() -> None:
    """Nodes: the labels that say which devices one has."""


@app.command()
def label(
    node: Annotated[
        str, typer.Argument(help="Its name in the cluster.", metavar="NODE", show_default="this host's name")
    ] = "",
    from_dir: Annotated[
        Path | None,
        typer.Option(help="A recording of the host instead of this one (docs/operations.md).", metavar="DIR"),
    ] = None,
    root: Annotated[
        Path, typer.Option(help="Where the host's files are; in a container that mounts them, /host.")
    ] = Path("/"),
    rename: Annotated[
        list[str] | None,
        typer.Option("--map", help="Label device OLD as class NEW; may be repeated.", metavar="OLD=NEW"),
    ] = None,
    hardware: HardwareOption = None,
    unprofiled: Annotated[
        bool, typer.Option("--unprofiled", help="Also label devices that no profile knows.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be set, and set nothing.")
    ] = False,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the labels as YAML, without a cluster.")
    ] = False,
    features: Annotated[
        bool, typer.Option("--features", help="Print them as a feature file of node-feature-discovery.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the node says that it is another machine.")
    ] = False,
    kubeconfig: Annotated[str, typer.Option(help="Which cluster.", metavar="FILE")] = "",
) -> None:
    """Label a node with its devices: `hardware.synergai.dev/nvidia-t4: "4"`.

    Asks lscpu, nvidia-smi, nvpmodel and the device tree; removes device labels that no longer hold, unless something
    could not be read. Dedicating the node to SynergAI is another label and a taint (docs/operations.md).
    """
    from synergai.k8s_bridge.explain.api import AskError

    if print_ and features:
        fail(VERB, "--print and --features are two ways to print; name one")
    name = node or os.uname().nodename.lower()
    try:
        host, wanted = _described(from_dir, root, rename or [], hardware, unprofiled)
    except (AskError, ValueError) as error:
        fail(VERB, error)
    if print_ or features:
        _print(name, wanted, features)
        return
    run(VERB, kubeconfig, lambda session: _label(session, name, host, wanted, dry_run, force))


def _described(
    from_dir: Path | None, root: Path, rename: list[str], hardware: Path | None, unprofiled: bool
) -> "tuple[Host, Wanted]":
    """The host and its labels; what is odd about them goes to stderr."""
    from synergai.k8s_bridge import labelling
    from synergai.k8s_bridge.explain.api import AskError
    from synergai.offline_profiles.host.probe import describe, recorded_host

    known = table_of(None, hardware).hardware
    host = recorded_host(from_dir) if from_dir else describe(root)
    wanted = labelling.wanted(host, known, labelling.read_map(rename), unprofiled)
    for remark in labelling.remarks(host, wanted, known):
        typer.echo(f"synergai {VERB}: {remark}", err=True)
    if not wanted.labels:
        raise AskError("this host has no device that profiles know; no label is changed")
    return host, wanted


def _print(name: str, wanted: "Wanted", features: bool) -> None:
    import yaml

    from synergai.k8s_bridge import labelling

    if features:
        typer.echo(labelling.feature_file(wanted), nl=False)
    else:
        typer.echo(yaml.safe_dump(labelling.manifest(name, wanted), sort_keys=False), nl=False)


async def _label(
    session: Session, name: str, host: "Host", wanted: "Wanted", dry_run: bool, force: bool
) -> None:
    from synergai.k8s_bridge import labelling

    found = await labelling.fetch_node(session.client, name)
    if not force:
        labelling.refuse_another_machine(found, host)
    labels = found["metadata"].get("labels") or {}
    change = labelling.change(labels, wanted)
    if (change.set or change.removed) and not dry_run:
        await labelling.apply(session.client, name, change)
    _tell(name, labels, wanted, change, "would be" if dry_run else "is")


def _tell(name: str, labels: dict[str, str], wanted: "Wanted", change: "Change", verb: str) -> None:
    for label, value in wanted.labels.items():
        before = f", before {labels[label]!r}" if label in labels else ""
        told = f"{verb} set{before}" if label in change.set else "is there already"
        typer.echo(f'{name}: {label}: "{value}" {told}')
    for label in change.removed:
        typer.echo(f"{name}: {label} {verb} removed: this host has no such device")
    for label in change.kept:
        typer.echo(f"{name}: {label} is kept: whether it still holds could not be read")
