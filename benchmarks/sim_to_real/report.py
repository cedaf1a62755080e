"""What a comparison says, as Markdown and JSON."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from synergai.benchmarks.sim_to_real.comparison import Agreement, Compared, Comparison, Ranking, ranking
from synergai.benchmarks.sim_to_real.parameters import Parameters
from synergai.benchmarks.sim_to_real.stages import Stages

JSON, MARKDOWN = "report.json", "report.md"
PREDICTED = ("predicted", "finish, observed", "predicted")
_GROUPS: tuple[tuple[str, Callable[[Stages], str]], ...] = (
    ("node", lambda run: run.node),
    ("model", lambda run: run.model),
)


def write(found: Comparison, folder: Path) -> str:
    """Both files; returns the Markdown."""
    text = markdown(found)
    (folder / MARKDOWN).write_text(text, encoding="utf-8")
    (folder / JSON).write_text(json.dumps(facts(found), indent=1) + "\n", encoding="utf-8")
    return text


def facts(found: Comparison) -> dict[str, object]:
    """Every figure, for programs."""

    def told(compared: Compared) -> dict[str, object]:
        groups = {name: [asdict(one) for one in compared.worlds_by(key)] for name, key in _GROUPS}
        return {"world": asdict(compared.world()), "policy": asdict(compared.policy()), **groups}

    return {
        "parameters": asdict(found.measured),
        "before": {one.name: told(one) for one in found.before},
        "after": {one.name: told(one) for one in found.after},
        "itself": {one.name: told(one) for one in found.itself},
        "failed": {one.name: list(one.recording.failed) for one in found.after},
        "ranking": {known: asdict(ranks) for known, ranks in _rankings(found)},
    }


def markdown(found: Comparison) -> str:
    """Tables; errors are predicted less observed."""
    parts = [_parameters(found.measured)]
    for title, pick in (
        ("The scheduler decides anew", Compared.policy),
        ("The decisions that were taken", Compared.world),
    ):
        parts.append(f"## {title}\n\n" + _table(found, pick))
    for name, key in _GROUPS:
        rows = [(one.name, group) for one in found.after for group in one.worlds_by(key)]
        lines = _head("scheduler", name, "jobs", "late, observed", *PREDICTED, "a job is off by")
        lines += [f"| {who} | {_cells(one)} |" for who, one in rows]
        parts.append(
            f"## By {name}, with the decisions that were taken and the calibration\n\n" + "\n".join(lines)
        )
    ranks = [_ranked(known, one) for known, one in _rankings(found)]
    if ranks:
        parts.append("## Ranking\n\n" + "\n".join(ranks))
    lost = [f"- {one.name}: {why}" for one in found.after for why in one.recording.failed]
    if lost:
        parts.append("## Left out\n\n" + "\n".join(lost))
    return "\n\n".join(parts) + "\n"


def _rankings(found: Comparison) -> list[tuple[str, Ranking]]:
    """Of two schedulers or more; none of one."""
    if len(found.after) < 2:
        return []
    return [(known, ranking([(one.name, one.policy()) for one in told])) for known, told in found.steps]


def _ranked(known: str, ranks: Ranking) -> str:
    same = "the same" if ranks.same else "not the same"
    told = f"observed {', '.join(ranks.observed)}; predicted {', '.join(ranks.predicted)}"
    return f"- {known}: {told}: {same}, Kendall's tau {ranks.tau:.2f}"


def _parameters(measured: Parameters) -> str:
    rows = [
        ("pod start", f"{measured.pod_start_s:.2f} s"),
        ("between two starts of a node", f"{measured.start_gap_s:.2f} s"),
        ("until room is free again", f"{measured.release_s:.2f} s"),
        ("start-up beyond the profile's", f"{measured.startup_s:.2f} s"),
        ("compute over the profile's", f"{measured.compute:.3f}"),
        ("from run to run (log-sd)", f"{measured.run_sd:.3f}"),
        ("co-tenant slow-down", f"{measured.slowdown:.2f}"),
    ]
    lines = ["| measured of the cluster | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)


def _table(found: Comparison, pick: Callable[[Compared], Agreement]) -> str:
    both = ("predicted", "error")
    head = ("scheduler", "jobs", "known of the cluster", "late, observed", *both, "finish, observed", *both)
    lines = _head(*head, "a job is off by")
    for i in range(len(found.after)):
        for known, told in found.steps:
            one = pick(told[i])
            cells = (
                told[i].name,
                str(one.jobs),
                known,
                _rate(one.late_observed),
                _rate(one.late_predicted),
                f"{one.late_error:+.1f} points",
                f"{one.flow_observed_s:.2f} s",
                f"{one.flow_predicted_s:.2f} s",
                f"{one.flow_error:+.1f} %",
                f"{one.job_error_s:.2f} s",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _head(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _cells(one: Agreement) -> str:
    rates = f"{_rate(one.late_observed)} | {_rate(one.late_predicted)}"
    times = f"{one.flow_observed_s:.2f} s | {one.flow_predicted_s:.2f} s | {one.job_error_s:.2f} s"
    return f"{one.what} | {one.jobs} | {rates} | {times}"


def _rate(share: float) -> str:
    return f"{100 * share:.1f} %"
