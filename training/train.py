"""Train a policy: clone the SynergAI heuristic, learn from sampled futures, let the critic catch up, PPO, export."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from synergai.agents.learned import Learned, read
from synergai.envs.tape import Setting, setting_of
from synergai.offline_profiles.options import table_of
from synergai.training import snapshot as snapshots
from synergai.training.card import write_card
from synergai.training.commit import commit
from synergai.training.config import TrainConfig
from synergai.training.curves import curves, record_settings
from synergai.training.evaluation.matrix import Block, spread
from synergai.training.export import export
from synergai.training.folder import RunFolder, write_atomically
from synergai.training.policy import ScorerPolicy
from synergai.training.ppo import TimedMaskablePPO
from synergai.training.ranges import seen_ranges
from synergai.training.snapshot import Snapshot
from synergai.training.stage import Stage
from synergai.training.stages import stages_of
from synergai.training.vec_env import BatchVecEnv
from synergai.training.watcher import Watcher


def train(config: TrainConfig, out: Path, quiet: bool = False) -> Path:
    """Run all stages; returns the checkpoint folder. Everything the run writes is under `out`."""
    folder = RunFolder(out)
    with folder.held():
        folder.refuse_to_overwrite()
        training = Training(config, folder, quiet)
        folder.write_config(config)
        return training.run()


def resume(out: Path, asked: Mapping[str, Any], quiet: bool = False) -> Path:
    """Go on with the run in `out` from its last snapshot. `asked` are settings that it must have begun with."""
    folder = RunFolder(out)
    config = folder.read_config(asked)
    with folder.held():
        if folder.finished:
            return folder.checkpoint
        kept = snapshots.load(folder.snapshot) if folder.snapshot.exists() else None
        return Training(config, folder, quiet, kept).run()


def settings_of(config: TrainConfig) -> list[Setting]:
    """Every scenario at every load, and what the run trains on besides, on the profiles that it is given. Energy weighs
    nothing: a policy is charged for it when it is served (`agents.learned`), and would pay twice."""
    table = table_of(
        [Path(name) for name in config.profiles], Path(config.hardware) if config.hardware else None
    )
    blocks = [Block(scenarios=config.scenarios, loads=config.loads), *config.also]
    cells = [
        scenario.model_copy(update={"energy_weight": 0.0}) for block in blocks for scenario in spread(block)
    ]
    return [setting_of(scenario, table) for scenario in cells]


def build(
    config: TrainConfig, settings: list[Setting], resumes: int = 0
) -> tuple[TimedMaskablePPO, BatchVecEnv]:
    """The learner and its environments, whose tapes are others after every resume."""
    env = BatchVecEnv(
        settings,
        config.environments,
        config.arrivals,
        config.warm_start,
        tape_seed(config.seed, resumes),
        config.reward_scale,
        config.siblings,
    )
    model = TimedMaskablePPO(
        ScorerPolicy,
        env,
        policy_kwargs={"width": config.width, "without": config.without},
        n_steps=config.steps,
        batch_size=config.minibatch,
        n_epochs=config.epochs,
        learning_rate=config.learning_rate,
        clip_range=config.clip,
        ent_coef=config.entropy,
        target_kl=config.target_kl,
        vf_coef=0.5,
        max_grad_norm=0.5,
        seed=config.seed,
        device="cpu",
        discount_taus=config.discount_taus,
        trace_taus=config.trace_taus,
    )
    model.update_threads = config.torch_threads
    model.timed, model.shaped = config.without != "time", config.without != "shaping"
    return model, env


def tape_seed(seed: int, resumes: int) -> int:
    """A resumed run starts fresh episodes, and not the ones that it began with."""
    return int(np.random.default_rng([seed, resumes]).integers(2**62)) if resumes else seed


def begin_as(policy: ScorerPolicy, start: str) -> None:
    """Give the actor a checkpoint's weights. ValueError names the checkpoint that does not fit."""
    try:
        policy.actor.take(read(start).weights)
    except ValueError as error:
        raise ValueError(f"start: {start}: {error}") from None


class Training:
    """One process's share of a run: all stages, or those that a snapshot leaves to do."""

    def __init__(
        self, config: TrainConfig, folder: RunFolder, quiet: bool, kept: Snapshot | None = None
    ) -> None:
        self.config, self.folder = config, folder
        self.progress = snapshots.Progress() if kept is None else kept.progress
        self.progress.resumes += kept is not None
        self.settings = settings_of(config)
        torch.manual_seed(config.seed)
        self.model, self.env = build(config, self.settings, self.progress.resumes)
        policy = self.model.policy
        assert isinstance(policy, ScorerPolicy)
        self.policy = policy
        if config.start and kept is None:
            begin_as(policy, config.start)
        rng = np.random.default_rng([tape_seed(config.seed, self.progress.resumes), 0x434C])
        self.stages = stages_of(config, self.model, self.env, rng, folder.states)
        self.logger = curves(folder.curves, self.progress.step)
        self.model.set_logger(self.logger)
        if kept is None:
            record_settings(self.logger, config)
        self.bar = _bar(quiet)
        tell = (lambda line: None) if quiet else self.bar.console.print
        self.watcher = Watcher(config, self.settings, policy, self.logger, tell)
        if kept is not None:
            self._restore(kept)
        code = commit()  # of what runs, not of what the tree holds when it ends
        self.progress.commits += [code] if code not in self.progress.commits else []
        self._first_step, self._seconds_before = self.progress.step, self.progress.seconds
        self._began = self._saved = time.monotonic()

    def run(self) -> Path:
        """What is left to do; returns the checkpoint folder."""
        torch.set_num_threads(self.config.torch_threads)
        self.env.reset()
        with self.bar:
            if self.config.start and not self.watcher.best:
                self.watcher.evaluate("start")
            for stage in self.stages[self.progress.stage :]:
                self._run_stage(stage)
        self.logger.close()
        self._export()
        return self.folder.checkpoint

    def _run_stage(self, stage: Stage) -> None:
        now = self.progress
        task = self.bar.add_task(stage.name, total=stage.total, completed=now.done, note=self.watcher.last)
        if now.done:
            self._look(stage)
        for update in stage.updates(now.done):
            now.done += update.decisions
            now.step += update.decisions
            for name, value in update.figures.items():
                self.logger.record(name, value)
            self.logger.record("time/decisions_per_s", (now.step - self._first_step) / self._elapsed_s())
            if now.done >= stage.total or time.monotonic() - self._saved >= self.config.checkpoint_every_s:
                self._save(stage)
            self._look(stage)
            self.bar.update(task, completed=min(now.done, stage.total), note=self.watcher.last)
        now.stage, now.done, now.evaluated = now.stage + 1, 0, 0

    def _look(self, stage: Stage) -> None:
        """After an update: evaluate where it is time to, and draw."""
        now = self.progress
        if now.done >= stage.total:
            facts = {"decisions": now.done, **stage.facts()}
            if stage.changes_actor:
                facts["violation_rate"] = self.watcher.evaluate(stage.name)
            now.stages[stage.name] = {key: round(value, 5) for key, value in facts.items()}
        elif stage.evaluate_every and now.done - now.evaluated >= stage.evaluate_every:
            self.watcher.evaluate(f"{stage.name}, {now.done:,} decisions")
            now.evaluated = now.done
        self.logger.dump(now.step)

    def _elapsed_s(self) -> float:
        return max(time.monotonic() - self._began, 1e-9)

    def _save(self, stage: Stage) -> None:
        self.progress.seconds = self._seconds_before + self._elapsed_s()
        self.progress.best_rate = self.watcher.best_rate
        self.progress.drawn = {
            name: float(value)
            for name, value in self.logger.name_to_value.items()
            if isinstance(value, int | float | np.number)
        }
        snapshots.save(
            self.folder.snapshot,
            Snapshot(
                self.progress,
                self.policy.state_dict(),
                self.watcher.best,
                stage.optimizer.state_dict(),
                snapshots.random_state(),
            ),
        )
        self._saved = time.monotonic()

    def _restore(self, kept: Snapshot) -> None:
        self.policy.load_state_dict(kept.policy)
        self.stages[kept.progress.stage].optimizer.load_state_dict(kept.optimizer)
        self.watcher.best_rate, self.watcher.best = kept.progress.best_rate, kept.best
        for name, value in kept.progress.drawn.items():
            self.logger.record(name, value)
        snapshots.set_random_state(kept.random)

    def _export(self) -> None:
        """The best of the evaluated policies, and last of all the list of stages, which ends the run."""
        self.policy.load_state_dict(self.watcher.best)
        stages = self.progress.stages | {"selected": {"violation_rate": round(self.watcher.best_rate, 5)}}
        facts = {
            "commit": ", ".join(self.progress.commits),
            "stages": stages,
            "resumes": self.progress.resumes,
            "training_s": round(self._seconds_before + self._elapsed_s(), 1),
            "profiles_sha256": self.settings[0].table.sha256,
            "reference_sha256": self.settings[0].table.reference_sha256,
            "scenarios": sorted({setting.scenario.name for setting in self.settings}),
            "loads": sorted({setting.scenario.load for setting in self.settings}),
        }
        export(self.policy, self.folder.checkpoint, self.config, facts)
        served = Learned(read(self.folder.checkpoint))  # what was written can be served
        ranges = seen_ranges(self.settings, served, self.config.arrivals, self.config.seed)
        write_card(self.folder.checkpoint, served.checkpoint.card | {"ranges": ranges.facts()})
        write_atomically(self.folder.stages, (json.dumps(stages, indent=2) + "\n").encode())
        self.folder.snapshot.unlink(missing_ok=True)


def _bar(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description:>9}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=quiet,
    )
