"""Train a policy: clone the SynergAI heuristic, let the critic catch up, improve by PPO, export a checkpoint."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from synergai.agents.learned import Learned, read
from synergai.envs import scenario as scenarios
from synergai.envs.tape import Setting, setting_of
from synergai.training.clone import clone
from synergai.training.config import TrainConfig
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate
from synergai.training.evaluation.tapes import SELECTION
from synergai.training.export import export
from synergai.training.policy import ScorerPolicy
from synergai.training.ppo import TimedMaskablePPO
from synergai.training.vec_env import BatchVecEnv

YARDSTICKS = ("synergai", "sjf_feasible")
"""Rules whose violation rates are drawn beside the policy's."""


def settings_of(config: TrainConfig) -> list[Setting]:
    """Every scenario at every load."""
    loaded = [scenarios.load(name) for name in config.scenarios]
    return [setting_of(s.model_copy(update={"load": rho})) for s in loaded for rho in config.loads]


def build(
    config: TrainConfig, settings: list[Setting], out: Path | None
) -> tuple[TimedMaskablePPO, BatchVecEnv]:
    """The learner and its environments."""
    env = BatchVecEnv(
        settings, config.environments, config.arrivals, config.warm_start, config.seed, config.reward_scale
    )
    model = TimedMaskablePPO(
        ScorerPolicy,
        env,
        policy_kwargs={"width": config.width},
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
    model.update_threads = config.threads
    if out is not None:
        model.set_logger(configure(str(out / "tensorboard"), ["tensorboard"]))
    return model, env


class Watcher(BaseCallback):
    """Progress, the rates of finished episodes, and evaluations on selection tapes."""

    def __init__(
        self, config: TrainConfig, settings: list[Setting], env: BatchVecEnv, tick: Callable[[int, str], None]
    ):
        super().__init__()
        self.config = config
        self.settings = settings
        self.env = env
        self.tick = tick
        self.best: tuple[float, dict[str, Any]] | None = None
        self.last = ""
        self._next = config.evaluate_every
        self._rules: dict[tuple[int, str], float] = {}
        self._began = time.monotonic()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.env.jobs:
            self.logger.record("train_tapes/violation_rate", self.env.violations / self.env.jobs)
        self.logger.record(
            "time/decisions_per_s", self.num_timesteps / max(time.monotonic() - self._began, 1e-9)
        )
        self.env.violations = self.env.jobs = 0
        self.tick(self.num_timesteps, self.last)
        if self.config.evaluate_every and self.num_timesteps >= self._next:
            self._next += self.config.evaluate_every
            self.evaluate()

    def evaluate(self) -> float:
        """Mean violation rate over the settings on selection tapes; the best policy so far is kept."""
        rates = []
        policy = policy_runner(self.model.policy, self.config)
        seeds = SELECTION[: self.config.evaluation_tapes]
        for i, setting in enumerate(self.settings):
            tag = f"{setting.scenario.name}-rho{setting.scenario.load:g}"
            ours = evaluate(setting, [policy], seeds, self.config.evaluation_arrivals)
            rates.append(float(column(ours, policy.name, "violation_rate").mean()))
            self.logger.record(f"violation_rate/{tag}", rates[-1])
            for rule in YARDSTICKS:
                self.logger.record(f"over_{rule}/{tag}", self._rule_rate(i, rule) - rates[-1])
        mean = float(np.mean(rates))
        self.logger.record("violation_rate/mean", mean)
        self.logger.dump(self.num_timesteps)
        self.last = f"violations {100 * mean:.2f} %"
        if self.best is None or mean < self.best[0]:
            weights = {name: value.clone() for name, value in self.model.policy.state_dict().items()}
            self.best = (mean, weights)
        return mean

    def _rule_rate(self, i: int, rule: str) -> float:
        if (i, rule) not in self._rules:
            seeds = SELECTION[: self.config.evaluation_tapes]
            rows = evaluate(self.settings[i], [RuleRunner(rule)], seeds, self.config.evaluation_arrivals)
            self._rules[i, rule] = float(column(rows, rule, "violation_rate").mean())
        return self._rules[i, rule]


def policy_runner(policy: Any, config: TrainConfig) -> Learned:
    """The policy as it is now, in compiled code."""
    from synergai.agents.learned import Checkpoint
    from synergai.agents.scorer import Weights

    assert isinstance(policy, ScorerPolicy)
    tensors = {name: np.ascontiguousarray(value.numpy()) for name, value in policy.actor.weights().items()}
    return Learned(Checkpoint(config.name, Weights(**tensors), {}))


def train(config: TrainConfig, out: Path, quiet: bool = False) -> Path:
    """Run all stages; returns the checkpoint folder. Everything the run writes is under `out`."""
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
    )
    settings = settings_of(config)
    torch.manual_seed(config.seed)
    model, env = build(config, settings, out)
    policy = model.policy
    assert isinstance(policy, ScorerPolicy)
    torch.set_num_threads(config.threads)
    stages: dict[str, Any] = {}
    with _bar(quiet) as bar:
        task = bar.add_task("clone", total=config.clone_decisions, note="")
        agreement = clone(
            policy, env, config.teacher, config.clone_decisions, config.minibatch, config.clone_learning_rate,
            config.seed, lambda done: bar.update(task, completed=done),
        )  # fmt: skip
        watcher = Watcher(
            config, settings, env, lambda done, note: bar.update(task, completed=done, note=note)
        )
        watcher.init_callback(model)
        stages["clone"] = {"agreement": round(agreement, 4), "violation_rate": round(watcher.evaluate(), 5)}
        if config.critic_decisions:
            task = bar.add_task("critic", total=config.critic_decisions, note="")
            _freeze(policy, True)
            model.learn(
                config.critic_decisions, callback=watcher, reset_num_timesteps=True, tb_log_name="run"
            )
            _freeze(policy, False)
        if config.decisions:
            task = bar.add_task("ppo", total=config.decisions, note=watcher.last)
            watcher._next = config.evaluate_every
            model.learn(config.decisions, callback=watcher, reset_num_timesteps=True, tb_log_name="run")
            stages["ppo"] = {"violation_rate": round(watcher.evaluate(), 5)}
    assert watcher.best is not None
    policy.load_state_dict(watcher.best[1])
    stages["selected"] = {"violation_rate": round(watcher.best[0], 5)}
    facts = {
        "stages": stages,
        "training_s": round(time.monotonic() - began, 1),
        "profiles_sha256": settings[0].table.sha256,
        "reference_sha256": settings[0].table.reference_sha256,
        "scenarios": sorted({setting.scenario.name for setting in settings}),
        "loads": config.loads,
    }
    export(policy, out / "checkpoint", config, facts)
    (out / "stages.json").write_text(json.dumps(stages, indent=2) + "\n", encoding="utf-8")
    read(out / "checkpoint")  # what was written can be served
    return out / "checkpoint"


def _freeze(policy: ScorerPolicy, frozen: bool) -> None:
    for parameter in policy.actor.parameters():
        parameter.requires_grad_(not frozen)


def _bar(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description:>7}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=quiet,
    )
