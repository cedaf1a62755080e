"""All runs of the demonstration in turn, with live progress."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from synergai.agents.learned import Learned, load
from synergai.agents.registry import make
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import scratch_for
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import run_rule
from synergai.envs.tape import Setting, Tape, make_tape, setting_of
from synergai.envs.world import new_sim
from synergai.k8s_bridge.demo import report
from synergai.k8s_bridge.demo.measure import Outcome, outcome
from synergai.k8s_bridge.demo.run import JOBS, SHOWN, Plan, play
from synergai.k8s_bridge.demo.run import Progress as Count
from synergai.k8s_bridge.startup import warm_up


async def run_all(
    console: Console,
    scenario: str,
    checkpoint: str,
    rules: list[str],
    jobs: int,
    seed: int,
    speed: float,
    out: Path,
) -> None:
    """Our policy first, then the rules; table on the console, picture, JSON and logs in `out`."""
    setting = setting_of(scenarios.load(scenario))
    if setting.clients:
        raise ValueError(f"scenario {scenario!r} is a closed loop; the demo plays one tape to all schedulers")
    tape = make_tape(setting, seed, jobs, tail=0.0)
    tape.window[0] = 0  # every pod counts
    ours = load(checkpoint)
    others = [make(name) for name in rules]
    if ours.name in RULE_NUMBER:
        raise ValueError(f"checkpoint {ours.name!r} is called like a rule; rename its folder")
    span_s = float(tape.jobs["arrival_us"][-1]) * 1e-6
    console.print(
        f"{jobs} InferenceJobs of {len(setting.catalog.models)} models over {span_s:.0f} scenario seconds, {speed:g} "
        f"of them a second, on {len(setting.catalog.nodes)} nodes of {len(setting.catalog.classes)} hardware classes"
    )
    with console.status("compiling the decision point (once; half a minute or so)"):
        simulated = {name: _simulate(setting, tape, name, ours) for name in (ours.name, *rules)}
        for scheduler in (ours, *others):
            warm_up(setting.table, scheduler)
    outcomes: list[Outcome] = []
    with _bars(console) as bars:
        for scheduler in (ours, *others):
            label = "learned" if scheduler is ours else scheduler.name
            plan = Plan(scheduler.name, checkpoint if scheduler is ours else "", speed, seed, out / label)
            began_s = time.monotonic()
            pods = await play(setting, tape, plan, _shower(bars, label, jobs))
            took_s = time.monotonic() - began_s
            outcomes.append(outcome(label, pods, speed, setting.table, took_s, simulated[scheduler.name]))
    report.draw(outcomes, out / "demo.png")
    report.write(outcomes, out / "demo.json")
    console.print(f"kubectl get inferencejobs, the first {SHOWN}:", highlight=False)
    console.print(
        (out / "learned" / JOBS).read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True
    )
    console.print(report.table(outcomes))
    console.print(
        f"picture: {out / 'demo.png'}   figures: {out / 'demo.json'}   logs and decisions: {out}/*/"
    )


def _simulate(setting: Setting, tape: Tape, name: str, ours: Learned) -> int:
    """Violations that the simulator counts for this scheduler on this tape."""
    sim = new_sim(setting, tape)
    scratch = scratch_for(sim.state)
    if name in RULE_NUMBER:
        run_rule(sim, scratch, RULE_NUMBER[name], len(tape.jobs) + 1)
    else:
        ours.run(sim, scratch)
    return int((sim.outcomes["violated"] == 1).sum())


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<16}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} done"),
        TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console,
    )  # fmt: skip


def _shower(bars: Progress, label: str, jobs: int):
    task = bars.add_task(label, total=jobs, note="starting")

    def show(count: Count) -> None:
        note = f"{count.placed} placed, {count.late} late"
        bars.update(task, completed=count.finished, note=note)

    return show
