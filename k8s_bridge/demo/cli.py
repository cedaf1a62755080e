"""`synergai demo`: the released policy and three rules, one after the other, on the same InferenceJobs."""

from pathlib import Path
from typing import Annotated

import typer

from synergai.envs.cli import fail


def demo(
    scenario: Annotated[str, typer.Option(help="Whose nodes, jobs and arrivals.")] = "demo",
    checkpoint: Annotated[str, typer.Option(help="Our policy: a released name or a folder.")] = "demo",
    rules: Annotated[
        str, typer.Option(help="Comma list of rules to compare with.")
    ] = "least_allocated,slo_mael_greedy,synergai",
    jobs: Annotated[int, typer.Option(min=20, max=5000, help="Per scheduler.")] = 300,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the tape: which stretch of the trace, and the luck.")
    ] = 7,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="Scenario seconds in a real one.")] = 20.0,
    out: Annotated[Path, typer.Option(help="Folder for the picture, figures and logs.")] = Path("out/demo"),
) -> None:
    """InferenceJobs of a real trace on an embedded cluster of Jetsons, Xeons and GPUs, scheduled by the bridge."""
    import asyncio

    from rich.console import Console

    from synergai.agents.learned import CheckpointError
    from synergai.envs.scenario import ScenarioError
    from synergai.k8s_bridge.demo.run import DemoError
    from synergai.k8s_bridge.demo.show import run_all

    names = [name.strip() for name in rules.split(",") if name.strip()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        asyncio.run(run_all(Console(), scenario, checkpoint, names, jobs, seed, speed, out))
    except (ScenarioError, CheckpointError, DemoError, OSError, ValueError) as error:
        fail("demo", error)
