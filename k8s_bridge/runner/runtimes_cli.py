"""`synergai run runtimes`: profiles in, InferenceRuntimes out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml

from synergai.k8s_bridge.inference.profiled import CONTAINER
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.runner.configuration import setting_of
from synergai.k8s_bridge.runner.runtimes import NoImage, Wanted, runner_runtimes
from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.engines.store import ModelStore
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileError, ProfileTable, address

SHOWN = 5
"""Configurations that are named of those left out."""


class _Wrong(Exception):
    """One line."""


def main(given: Sequence[str]) -> NoReturn:
    """Writes the objects as YAML; never returns."""
    try:
        options = _options(given)
        text = _text(options)
        if options.out == "-":
            print(text, end="")
        else:
            Path(options.out).write_text(text, encoding="utf-8")
    except ProfileError as error:
        _fail(*error.problems)
    except (_Wrong, NoImage, EngineError, OSError) as error:
        _fail(str(error))
    sys.exit(0)


def _text(options: argparse.Namespace) -> str:
    table = ProfileTable.load(*options.profiles, hardware=options.hardware)
    rows = _rows(table, options)
    wanted = Wanted(
        images=_images(options.image, table),
        models=_volume(options.models_path, options.models_claim),
        cache=_volume(options.cache_path, ""),
        template=_template(options.template),
        namespace=options.namespace,
        sha256=_checksums(options.checksums, rows),
    )
    runtimes, left_out = runner_runtimes(table, rows, wanted)
    if left_out:
        names = sorted({row.configuration for row in left_out})
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        _tell(f"left out, as the runner does not run them: {len(left_out)} profiles of {shown}")
    if not runtimes:
        raise _Wrong("none of the profiles is of a configuration that the runner runs")
    return yaml.safe_dump_all(runtimes, sort_keys=False, width=120)


def _rows(table: ProfileTable, options: argparse.Namespace) -> tuple[Profile, ...]:
    """Of the files that were given, of these models and classes; without files, of the shipped table."""
    shipped = set(ProfileTable.default().profiles) if options.profiles else set()
    found = [row for row in table.profiles if row not in shipped]
    for values, of, what in (
        (options.model, lambda row: address(row.model, row.model_version), "model"),
        (options.only, lambda row: row.hardware, "hardware"),
    ):
        missing = set(values) - {of(row) for row in found}
        if missing:
            raise _Wrong(f"there is no profile of {what} {', '.join(sorted(missing))}")
        found = [row for row in found if not values or of(row) in values]
    if not found:
        raise _Wrong("the files have no profile that does not ship")
    return tuple(found)


def _images(given: Sequence[str], table: ProfileTable) -> dict[str, str]:
    images: dict[str, str] = {}
    kinds = {one.kind for one in table.hardware.values()}
    for one in given:
        name, _, image = one.rpartition("=")
        if name and name not in table.hardware and name not in kinds:
            raise _Wrong(
                f"--image {one}: {name!r} is neither a hardware class nor one of {', '.join(sorted(kinds))}"
            )
        if not image or name in images:
            raise _Wrong(
                f"--image {one}: " + ("names no image" if not image else "there are two for the same")
            )
        images[name] = image
    return images


def _volume(path: str, claim: str) -> Json | None:
    if path and claim:
        raise _Wrong("--models-path and --models-claim exclude each other")
    if claim:
        return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return {"hostPath": {"path": path, "type": "Directory"}} if path else None


def _template(path: Path | None) -> Json | None:
    if path is None:
        return None
    try:
        made = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = [one["name"] for one in made["spec"]["containers"]]
    except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise _Wrong(f"{path}: is no pod template, with spec.containers of a name each: {why}") from error
    if names.count(CONTAINER) != 1:
        raise _Wrong(
            f"{path}: its containers are {', '.join(map(str, names))}; one is to be called {CONTAINER!r}"
        )
    return made


def _checksums(folder: Path | None, rows: Sequence[Profile]) -> dict[tuple[str, str], str]:
    if folder is None:
        return {}
    store = ModelStore(folder)
    wanted = dict.fromkeys(
        (row.model, row.model_version, setting.precision)
        for row in rows
        if (setting := setting_of(row.configuration)) is not None
    )
    return {
        (address(name, version), precision): store.find(name, version).of(precision).sha256()
        for name, version, precision in wanted
    }


def _tell(text: str) -> None:
    print(f"synergai run runtimes: {text}", file=sys.stderr)


def _fail(*problems: str) -> NoReturn:
    for problem in problems:
        _tell(problem)
    sys.exit(2)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Wrong(message)


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="synergai run runtimes",
        description="InferenceRuntimes whose pods run what was profiled, with the processor time and memory that were "
        "profiled, as YAML for `kubectl apply -f -`.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--profiles", metavar="FILE", type=Path, action="append", default=[],
        help="CSV of profiles, by `synergai profile`; may be repeated (the shipped ones)")  # fmt: skip
    add("--hardware", metavar="FILE", type=Path, help="CSV of hardware classes that they name")
    add("--image", metavar="[CLASS=]IMAGE", action="append", default=[],
        help="of the runner; for a hardware class or a kind (cpu, gpu, arm, jetson), or for all others")  # fmt: skip
    add(
        "--model",
        metavar="NAME[:VERSION]",
        action="append",
        default=[],
        help="only this one; may be repeated",
    )
    add("--only", metavar="CLASS", action="append", default=[], help="only this hardware; may be repeated")
    add(
        "--models-path",
        metavar="FOLDER",
        default="",
        help="the folder of models on each node, mounted at /models",
    )
    add("--models-claim", metavar="NAME", default="", help="the volume claim that has them instead")
    add("--cache-path", metavar="FOLDER", default="",
        help="a folder on each node that the runner may write to, for what engines compile")  # fmt: skip
    add("--template", metavar="FILE", type=Path,
        help="YAML with metadata and spec of a pod, one container of it called runner")  # fmt: skip
    add("--namespace", metavar="NAME", default="", help="InferenceRuntimes of this namespace instead")
    add("--checksums", metavar="FOLDER", type=Path,
        help="a folder of models; their runners refuse a file of another sha256")  # fmt: skip
    add("--out", metavar="FILE", default="-", help="where to write it (stdout)")
    return parser.parse_args(given)
