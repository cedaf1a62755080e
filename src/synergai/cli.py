"""The console command `synergai`: one verb per part of the system, each imported only when it runs."""

import sys

import typer

from synergai.benchmarks.cli import bench
from synergai.benchmarks.sim_to_real.cli import app as sim_to_real_app
from synergai.envs.cli import app as scenario_app
from synergai.k8s_bridge.cli import bridge, uninstall
from synergai.k8s_bridge.commands.cli import cancel, jobs, submit
from synergai.k8s_bridge.demo.cli import demo
from synergai.k8s_bridge.embedded.cli import cluster
from synergai.k8s_bridge.explain.cli import app as explain_app
from synergai.k8s_bridge.explain.cli import queue
from synergai.k8s_bridge.node_cli import app as node_app
from synergai.k8s_bridge.profiling.cli import profile_cluster
from synergai.k8s_bridge.runner.verb import OWN_OPTIONS, run
from synergai.offline_profiles.cli import app as profiles_app
from synergai.offline_profiles.measuring.cli import app as profile_app
from synergai.offline_profiles.measuring.neighbours_cli import neighbours
from synergai.training.cli import certify, export, train
from synergai.training.evaluation.cli import evaluate, front, simulate
from synergai.training.evaluation.limit.cli import limit
from synergai.training.evaluation.replay import replay

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Schedule AI inference on unlike machines, from measured profiles to bound pods.\n\n"
        "Look: `synergai demo` runs everything at once on an embedded cluster; `synergai profiles show --model "
        "bert-99` says which machine serves a model best.\n\n"
        "Measure: `synergai profile run --models FOLDER --out mine.csv` measures this machine.\n\n"
        "Simulate: `synergai simulate`, `synergai evaluate --checkpoint demo`; `synergai replay LOG` plays what a "
        "bridge wrote down.\n\n"
        "Train: `synergai train --config training/configs/default.yaml --out runs/mine`, then "
        "`tensorboard --logdir runs/mine`.\n\n"
        "Schedule: `synergai cluster --kubeconfig kc` in one terminal, `synergai bridge --kubeconfig kc "
        "--checkpoint demo` in another; or the bridge against a cluster of your own.\n\n"
        "Ask: `synergai submit --model resnet50 --samples 2000 --deadline 30s` creates an InferenceJob, `synergai "
        "jobs` lists them, `synergai cancel NAME` ends one. `synergai queue` shows what waits, `synergai explain job "
        "NAME` or `pod NAME` why."
    ),
)
app.command()(demo)
app.command()(simulate)
app.command()(evaluate)
app.command()(front)
app.command()(replay)
app.command()(limit)
app.command()(train)
app.command()(certify)
app.command()(export)
app.command()(cluster)
app.command()(bridge)
app.command()(submit)
app.command()(jobs)
app.command()(cancel)
app.command()(queue)
app.command()(uninstall)
app.command(context_settings=OWN_OPTIONS)(run)
app.command()(bench)
app.add_typer(explain_app, name="explain")
app.add_typer(node_app, name="node")
profile_app.command()(neighbours)
profile_app.command("cluster")(profile_cluster)
app.add_typer(profile_app, name="profile")
app.add_typer(profiles_app, name="profiles")
app.add_typer(scenario_app, name="scenario")
app.add_typer(sim_to_real_app, name="sim-to-real")


def main() -> None:
    """Run the command; an interrupt is not a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
