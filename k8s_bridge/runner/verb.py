"""`synergai run`, beside the other verbs."""

import typer

OWN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""The runner reads its arguments itself, so that a container need not wait for this."""


def run(context: typer.Context) -> None:
    """Run the inference that a pod was made for, as its SYNERGAI_* environment says; `run runtimes` makes
    InferenceRuntimes of profiles."""
    from synergai.k8s_bridge.runner.cli import main

    main(context.args)
