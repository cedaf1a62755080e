"""Why a decision is what it is, as a value: nothing here is needed to decide, and nothing heavy to read it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """One action that was open."""

    do: str
    """`start`, `hold`, or `wait` (start nothing more in this round)."""
    own: bool = False
    """Whether it is of the job that was decided on; others are not named, as they may be other people's."""
    hardware: str = ""
    configuration: str = ""
    finish_us: int | None = None
    """Predicted."""
    chance: float | None = None
    """By the network; None where none was asked."""
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one START or HOLD. Times are on the clock of the cluster."""

    by: str
    """`net`, `planner`, `guard` (the fallback, as the policy's answer was refused), `rule`, or `forced` (one action was
    legal)."""
    scheduler: str
    reason: str
    """The scheduler's own, with a guard its cause."""
    deadline_us: int | None
    choices: tuple[Choice, ...]
    """Likeliest first; without a network the one taken, then the job's others, earliest finish first."""
    rule: str
    """The name of the rule that stands in for a policy."""
    rule_choice: Choice
    """What it would have done."""
    closed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Hardware classes that serve the model and on which the job could not start, by cause."""
    held: int = 0
    """Other jobs on hold, which the list leaves out."""
