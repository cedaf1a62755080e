"""Why a runner ends without having run all its samples, and the exit status that says so."""

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses beside 0; docs/runner.md lists them."""

    ORDER = 64
    """A variable or an option is missing, or makes no sense."""
    DISAGREE = 65
    """The decision, the configuration's name and its parameters are not of the same thing."""
    MODEL = 66
    """The store has no such model, or cannot be read."""
    OTHER_MODEL = 67
    """The model's file is not the one that was meant."""
    ENGINE = 68
    """The engine is unknown, not installed, or does not run this model in this way."""
    DATA = 69
    """The input cannot be used, or the output cannot be written."""
    FAILED = 70
    """It failed while it ran."""
    INTERRUPTED = 130
    STOPPED = 143
    """Of SIGTERM: the pod is deleted."""


class Refusal(Exception):
    """One line that names the variable, the file or the setting."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(" ".join(why.split()))
        self.status = status
