"""`synergai run`. Its options are read by argparse: every pod waits for what is imported here."""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from synergai.k8s_bridge.runner.ending import STOPS, Ending, listen, say
from synergai.k8s_bridge.runner.order import Order, read_order
from synergai.k8s_bridge.runner.refusal import Refusal, Status
from synergai.k8s_bridge.runner.report import TERMINATION_LOG, line
from synergai.k8s_bridge.runner.work import Begun, Places, Progress, begin, odd, run

MAX_DECISION_BYTES = 65_536


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs what the environment says; never returns."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["runtimes"]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        from synergai.k8s_bridge.runner.runtimes_cli import main as runtimes

        runtimes(given[1:])
    begun, progress = begin(), Progress()
    ending = Ending(_termination(os.environ))
    try:
        options = _options(given)
        ending.path = Path(options.report) if options.report else ending.path
        listen(ending, lambda: _far(progress))
        text = line(_run(options, begun, progress))
    except Refusal as refusal:
        ending.refused(refusal.status, str(refusal))
    except MemoryError:
        ending.refused(Status.FAILED, "there is not enough memory")
    except Exception as error:  # whatever it is, the pod's owner is to read it
        ending.refused(Status.FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}")
    ending.done(text)


def _run(options: argparse.Namespace, begun: Begun, progress: Progress) -> dict[str, object]:
    environment = dict(os.environ)
    given = {"SYNERGAI_INPUT_URI": options.input, "SYNERGAI_OUTPUT_URI": options.output}
    environment |= {name: value for name, value in given.items() if value}
    order: Order = read_order(environment, _decision(options.decision))
    odd(order, say)
    return run(order, Places(Path(options.models), _cache(options.cache)), begun, progress)


def _termination(environment: Mapping[str, str]) -> Path | None:
    """Where the message goes: SYNERGAI_REPORT, else the kubelet's file, where there is one."""
    named = environment.get("SYNERGAI_REPORT", "")
    return Path(named) if named else TERMINATION_LOG if TERMINATION_LOG.exists() else None


def _far(progress: Progress) -> str:
    return f" after {progress.done} of {progress.samples} samples" if progress.samples else ""


def _decision(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_DECISION_BYTES)
    except OSError as error:
        raise Refusal(Status.ORDER, f"--decision {path}: cannot be read: {error.strerror}") from error
    if not text.strip():
        raise Refusal(Status.DISAGREE, f"--decision {path}: it is empty; nothing was decided for this pod")
    return text


def _cache(path: str) -> Path | None:
    if not path:
        return None
    folder = Path(path)
    if folder.is_dir() and os.access(folder, os.W_OK):
        return folder
    say(f"--cache {path}: is no folder that can be written to; nothing is kept")
    return None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal(Status.ORDER, message)


def _options(given: Sequence[str]) -> argparse.Namespace:
    environment = os.environ
    parser = _Parser(
        prog="synergai run",
        description="Run the inference that this container was made for: what the SYNERGAI_* environment says, "
        "exactly as it was decided. Ends with a report as termination message, or with the reason and an exit "
        "status of its own. `synergai run runtimes --help` makes InferenceRuntimes of profiles.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--models", metavar="FOLDER", default=environment.get("SYNERGAI_MODELS") or "/models",
        help="models, as NAME/VERSION/model.onnx ($SYNERGAI_MODELS, /models)")  # fmt: skip
    add("--cache", metavar="FOLDER", default=environment.get("SYNERGAI_CACHE", ""),
        help="where engines keep what they compile ($SYNERGAI_CACHE, none)")  # fmt: skip
    add("--decision", metavar="FILE", default="",
        help="the decision annotation, of a downward API volume ($SYNERGAI_DECISION is its text)")  # fmt: skip
    add("--input", metavar="URI", default="",
        help="samples: file:///PATH of an .npz file or a folder of them ($SYNERGAI_INPUT_URI, made up)")  # fmt: skip
    add("--output", metavar="URI", default="",
        help="file:///PATH of an .npz file for what comes out ($SYNERGAI_OUTPUT_URI, nowhere)")  # fmt: skip
    add("--report", metavar="FILE", default="",
        help="for the report ($SYNERGAI_REPORT, /dev/termination-log where there is one)")  # fmt: skip
    return parser.parse_args(given)
