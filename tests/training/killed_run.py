"""`python killed_run.py OUT STAGE:MOMENT ...`: small runs that die by signal 9, each at a moment of a stage.

Each is a process with a folder of its name in OUT; printed is the signal that ended it. MOMENT is `after` (a snapshot
in the middle of the stage was written), `during` (half of that snapshot is on the disk), `end` (the snapshot of the
stage's end is written, its evaluation not begun) or `drawn` (the stage's evaluation is in the curves).
"""

import os
import signal
import sys
from pathlib import Path

import torch
from small_runs import small

from synergai.training.stage import Stage
from synergai.training.train import Training, train

CONFIG = small(
    improve_decisions=128, improve_passes=2, improve_minibatch=32, critic_decisions=128, decisions=192,
    evaluate_every=64, clone_minibatch=64, match_decisions=64, rule="synergai", checkpoint_every_s=0.0,
)  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(out: Path, stage: str, moment: str) -> None:
    save, look = Training._save, Training._look

    def save_and_die(self: Training, at: Stage) -> None:
        here = at.name == stage and (self.progress.done >= at.total) == (moment == "end")
        if here and moment == "during":
            self.folder.snapshot.with_name("snapshot.pt.tmp").write_bytes(b"half of a snapshot")
            die()
        save(self, at)
        if here and moment in ("after", "end"):
            die()

    def look_and_die(self: Training, at: Stage) -> None:
        look(self, at)
        if at.name == stage and moment == "drawn" and self.progress.done >= at.total:
            die()

    Training._save = save_and_die  # type: ignore[method-assign]
    Training._look = look_and_die  # type: ignore[method-assign]
    train(CONFIG, out, quiet=True)


def main(out: Path, deaths: list[str]) -> None:
    """One process after the other; they share the import of torch, which takes longer than they do."""
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # imports half of torch
    for death in deaths:
        child = os.fork()
        if child == 0:
            train_and_die(out / death, *death.split(":"))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(death, os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
