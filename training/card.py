"""The card of a checkpoint: JSON for programs, the same as Markdown for people; and what an evaluation certifies."""

import json
from pathlib import Path
from typing import Any

from synergai.agents.learned import CARD_FILE, read
from synergai.agents.policies import parts_of
from synergai.training.evaluation.plan import checkpoint_facts
from synergai.training.evaluation.run import SUMMARY_FILE
from synergai.training.evaluation.verdicts import MARGINS
from synergai.training.folder import write_atomically

PAGE_FILE = "card.md"


class CertifyError(ValueError):
    """An evaluation says nothing of this checkpoint."""


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Both files, each in one step: a checkpoint with half a card cannot be read."""
    write_atomically(folder / CARD_FILE, (json.dumps(card, indent=2, sort_keys=True) + "\n").encode())
    write_atomically(folder / PAGE_FILE, page(card).encode())


def page(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    config = card.get("config", {})
    loads = ", ".join(f"{load:g}" for load in card.get("loads", []))
    took = f", in {card['training_s'] / 60:.0f} minutes" if "training_s" in card else ""
    lines = [
        f"# {card['name']}",
        "",
        f"A policy of SynergAI {card['synergai']}, commit {card['commit']}; features {card['features']}, width "
        f"{card['network']['width']}.",
        "",
        f"Trained on {', '.join(card.get('scenarios', []))} at loads {loads}, from `{config.get('rule', '')}`, seed "
        f"{config.get('seed', '')}{took}.",
        "",
        *stages(card.get("stages", {})),
        *certified(card.get("certified", {})),
    ]
    return "\n".join(lines) + "\n"


def stages(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    rows = [
        f"| {name} | {facts.get('decisions', '')} | {_percent(facts.get('violation_rate'))} |"
        for name, facts in found.items()
    ]
    return ["| stage | decisions | violations on selection tapes, % |", "|---|---|---|", *rows, ""]


def certified(found: dict[str, Any]) -> list[str]:
    """Per policy, the cells in which it is no worse than every rule."""
    lines = []
    for policy, facts in found.items():
        matrix = f"matrix {facts['matrix_sha256'][:12]}" if facts["matrix_sha256"] else "no matrix"
        lines += [
            f"## Certified: {policy}",
            "",
            f"No worse than every rule played, on violations, in {len(facts['cells'])} of {facts['of']} cells; those "
            f"marked also on excess. Protocol of docs/evaluation.md, {matrix}, at most {facts['tapes']} tapes a cell, "
            f"commit {facts['commit']}.{_up_to(facts.get('loads'))}",
            "",
            "| scenario | load | excess too |",
            "|---|---|---|",
            *(
                f"| {c['scenario']} | {c['load']:g} | {'yes' if c['excess'] else ''} |"
                for c in facts["cells"]
            ),
            "",
        ]
    return lines


def _up_to(loads: list[float] | None) -> str:
    return f" The guard takes its word up to load {loads[1]:g}: every cell there passed." if loads else ""


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.2f}"


def certify(folder: Path, evaluation: Path) -> dict[str, int]:
    """Write into a checkpoint's card the cells that an evaluation passed; returns how many by policy. CertifyError,
    CheckpointError or OSError says why not."""
    card = dict(read(folder).card)
    try:
        summary = json.loads((evaluation / SUMMARY_FILE).read_text(encoding="utf-8"))
        known = summary["checkpoints"]
    except (ValueError, KeyError, TypeError):
        raise CertifyError(f"{evaluation / SUMMARY_FILE}: is not the summary of an evaluation") from None
    sha256 = checkpoint_facts(str(folder))["sha256"]
    ours = [name for name, facts in known.items() if facts["sha256"] == sha256]
    if not ours:
        raise CertifyError(f"{evaluation}: none of its checkpoints has the weights of {folder}")
    card["certified"] = {parts_of(name)[1]: _passed(summary, name) for name in ours}
    write_card(folder, card)
    return {policy: len(facts["cells"]) for policy, facts in card["certified"].items()}


def _passed(summary: dict[str, Any], ours: str) -> dict[str, Any]:
    cells = [cell for cell in summary["cells"] if ours in cell["verdicts"]]
    excess = [field for field in MARGINS if field != "violation_rate"]
    return {
        "matrix_sha256": summary.get("matrix_sha256", ""),
        "commit": summary["commit"],
        "tapes": summary["max_tapes"],
        "of": len(cells),
        "loads": _loads(cells, ours),
        "cells": [
            {
                "scenario": cell["scenario"],
                "load": cell["load"],
                "excess": all(cell["verdicts"][ours][field]["verdict"] == "passed" for field in excess),
            }
            for cell in cells
            if cell["verdicts"][ours]["violation_rate"]["verdict"] == "passed"
        ],
    }


def _loads(cells: list[dict[str, Any]], ours: str) -> list[float]:
    """The lowest load that was played, and the highest up to which every cell passed on violations; none if one of the
    lowest did not."""
    found: list[float] = []
    for load in sorted({cell["load"] for cell in cells}):
        verdicts = [
            cell["verdicts"][ours]["violation_rate"]["verdict"] for cell in cells if cell["load"] == load
        ]
        if set(verdicts) != {"passed"}:
            break
        found.append(load)
    return [found[0], found[-1]] if found else []
