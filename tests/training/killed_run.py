"""`python killed_run.py OUT STAGE MOMENT`: a small run that dies by signal 9 at a moment of a stage.

MOMENT is `after` (a snapshot in the middle of the stage was written), `during` (half of that snapshot is on the disk),
`end` (the snapshot of the stage's end is written, its evaluation not begun) or `drawn` (the stage's evaluation is in
the curves).
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
    evaluate_every=64, clone_minibatch=64, checkpoint_every_s=0.0,
)  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(out: Path, stage: str, moment: str) -> None:
    torch.set_num_threads(1)
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
