"""What a runner says at its end, as the termination message of its container."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

TERMINATION_LOG = Path("/dev/termination-log")
"""https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/"""
MAX_BYTES = 4096
"""What a kubelet keeps of it: https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/container/runtime.go"""


def line(values: Mapping[str, object]) -> str:
    """One line of ASCII, of MAX_BYTES at most: the longest text is cut until it fits."""
    kept = dict(values)
    while len(text := json.dumps(kept, separators=(",", ":"), allow_nan=False)) > MAX_BYTES:
        texts = {name: value for name, value in kept.items() if isinstance(value, str)}
        longest = max(texts, key=lambda name: len(json.dumps(texts[name])))
        value, over = texts[longest], len(text) - MAX_BYTES
        width = len(json.dumps(value)) / max(len(value), 1)  # of a character, up to 12
        kept[longest] = value[: max(len(value) - max(int(over / width), 16), 0)]
    return text


def failure(why: str) -> str:
    return line({"error": why})


def write(path: Path, text: str) -> None:
    """Whole or not at all. OSError where it cannot be written."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_text(text, encoding="ascii")
        os.replace(half, path)
    except OSError:  # a kubelet mounts the file itself, which cannot be replaced
        with contextlib.suppress(OSError):
            half.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)
