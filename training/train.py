"""Train a policy: clone the SynergAI heuristic, let the critic catch up, improve by PPO, export a checkpoint."""

import json
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3.common.logger import configure

from synergai.agents.learned import read
from synergai.envs import scenario as scenarios
from synergai.envs.tape import Setting, setting_of
from synergai.training.clone import clone
from synergai.training.config import TrainConfig
from synergai.training.export import commit, export
from synergai.training.improve import improve
from synergai.training.policy import ScorerPolicy
from synergai.training.ppo import TimedMaskablePPO
from synergai.training.vec_env import BatchVecEnv
from synergai.training.watcher import Watcher


def settings_of(config: TrainConfig) -> list[Setting]:
    """Every scenario at every load."""
    loaded = [scenarios.load(name) for name in config.scenarios]
    return [setting_of(s.model_copy(update={"load": rho})) for s in loaded for rho in config.loads]


def build(
    config: TrainConfig, settings: list[Setting], out: Path | None
) -> tuple[TimedMaskablePPO, BatchVecEnv]:
    """The learner and its environments."""
    env = BatchVecEnv(
        settings,
        config.environments,
        config.arrivals,
        config.warm_start,
        config.seed,
        config.reward_scale,
        config.siblings,
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


def train(config: TrainConfig, out: Path, quiet: bool = False) -> Path:
    """Run all stages; returns the checkpoint folder. Everything the run writes is under `out`."""
    began = time.monotonic()
    code = commit()  # of what runs, not of what the tree holds when it ends
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
            policy, env, config.teacher, config.clone_decisions, config.clone_minibatch, config.clone_learning_rate,
            config.seed, lambda done: bar.update(task, completed=done),
        )  # fmt: skip
        watcher = Watcher(
            config, settings, env, lambda done, note: bar.update(task, completed=done, note=note)
        )
        watcher.tell = bar.console.print if not quiet else watcher.tell
        watcher.init_callback(model)
        stages["clone"] = {
            "agreement": round(agreement, 4),
            "violation_rate": round(watcher.evaluate("clone"), 5),
        }
        if config.improve_decisions:
            task = bar.add_task("improve", total=config.improve_decisions, note=watcher.last)
            part = config.improve_decisions // config.improve_passes
            for turn in range(config.improve_passes):
                improve(
                    policy, env, config.improve_rule, config.improve_taus, part, config.improve_minibatch,
                    config.improve_learning_rate / (1 + turn),
                    lambda done, turn=turn: bar.update(task, completed=turn * part + done, note=watcher.last),
                )  # fmt: skip
                stages["improve"] = {"violation_rate": round(watcher.evaluate(f"improve {turn + 1}"), 5)}
        if config.critic_decisions:
            task = bar.add_task("critic", total=config.critic_decisions, note="")
            _freeze(policy, True)
            model.learn(
                config.critic_decisions, callback=watcher, reset_num_timesteps=True, tb_log_name="run"
            )
            _freeze(policy, False)
        if config.decisions:
            task = bar.add_task("ppo", total=config.critic_decisions + config.decisions, note=watcher.last)
            first = config.critic_decisions == 0
            model.learn(config.decisions, callback=watcher, reset_num_timesteps=first, tb_log_name="run")
            stages["ppo"] = {"violation_rate": round(watcher.evaluate(), 5)}
    assert watcher.best is not None
    policy.load_state_dict(watcher.best[1])
    stages["selected"] = {"violation_rate": round(watcher.best[0], 5)}
    facts = {
        "commit": code,
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
