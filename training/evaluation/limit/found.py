"""Tapes with the violations that are proven to happen, those of a schedule with foresight, and those of schedulers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from synergai.envs.candidates import scratch_for
from synergai.envs.metrics import measure
from synergai.envs.tape import Setting, Tape, make_tape
from synergai.envs.world import new_sim
from synergai.training.evaluation.evaluate import Runner
from synergai.training.evaluation.limit import exact, windows
from synergai.training.evaluation.limit.exact import GRID_US, Block
from synergai.training.evaluation.limit.foresight import by_deadline
from synergai.training.evaluation.limit.relaxed import Relaxed, relax, sure

LOADS = ("0.8", "0.9", "1.0", "1.1")
BLOCK = 200
SECONDS = 5.0


@dataclass(frozen=True)
class Found:
    """One tape. Violations among its counted jobs."""

    scenario: str
    load: float
    tape: int
    jobs: int
    hopeless: int
    """Late even alone, by the run times that they really have."""
    by_blocks: int
    """Proven: the sum over blocks."""
    by_windows: int
    """Proven: the linear program over all jobs."""
    foresight: int | None
    """Of a schedule that somebody who knew everything could have made; None where the world allows no such claim."""
    blocks: tuple[Block, ...]
    played: dict[str, int]
    """By scheduler."""

    @property
    def bound(self) -> int:
        """No scheduler has fewer."""
        return max(self.by_blocks, self.by_windows)


def limit_of(
    setting: Setting,
    seed: int,
    players: Sequence[Runner],
    arrivals: int | None = None,
    block: int = BLOCK,
    seconds: float = SECONDS,
) -> Found:
    """One tape: bounds, and each scheduler. `seconds` for each block, and as much as for all of them for the program
    over all jobs. ValueError: of such a world nothing is known to bound it."""
    tape = make_tape(setting, seed, arrivals)
    relaxed = relax(setting, tape)
    blocks = tuple(exact.solve(each, seconds) for each in relaxed.blocks(block))
    return Found(
        scenario=setting.scenario.name,
        load=setting.scenario.load,
        tape=seed,
        jobs=len(relaxed.works),
        hopeless=relaxed.hopeless,
        by_blocks=sum(each.jobs - each.most for each in blocks),
        by_windows=len(relaxed.works) - windows.most_in_time(relaxed, seconds * len(blocks)),
        foresight=_with_foresight(setting, tape, relaxed),
        blocks=blocks,
        played={player.name: _violations(setting, tape, player) for player in players},
    )


def _with_foresight(setting: Setting, tape: Tape, relaxed: Relaxed) -> int | None:
    try:
        known = sure(setting, tape, GRID_US)
    except ValueError:
        return None
    return len(relaxed.works) - len(by_deadline(known))


def _violations(setting: Setting, tape: Tape, player: Runner) -> int:
    sim = new_sim(setting, tape)
    player.run(sim, scratch_for(sim.state))
    return measure(setting, sim).violations


def limits(
    settings: Iterable[Setting],
    players: Sequence[Runner],
    tapes: int,
    arrivals: int | None = None,
    block: int = BLOCK,
    seconds: float = SECONDS,
    progress: Callable[[Found], None] = lambda found: None,
) -> list[Found]:
    """The test tapes 0, 1, ... of every setting."""
    founds = []
    for setting in settings:
        for seed in range(tapes):
            founds.append(limit_of(setting, seed, players, arrivals, block, seconds))
            progress(founds[-1])
    return founds
