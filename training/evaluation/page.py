"""A summary as one HTML page that needs nothing else: tables with the worst cells first, pictures inside."""

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from synergai.training.evaluation import pictures
from synergai.training.evaluation.ratios import BEST
from synergai.training.evaluation.report import WORDS, label, points, ratio, totals, with_interval
from synergai.training.evaluation.summary import severity_of

WORST = 9
"""Panels of gains."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; color: #1f2328; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.6rem; border-bottom: 1px solid #d0d7de; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; vertical-align: bottom; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
.passed { color: #0072b2; } .undecided { color: #6e7781; } .failed { color: #d55e00; font-weight: 600; }
.best { font-weight: 600; } code { font-size: 0.9em; } footer { color: #6e7781; font-size: 0.85em; }
"""


def write(summary: dict[str, Any], policies: tuple[str, ...], path: Path) -> None:
    """The page of a summary as `run` writes it."""
    judged = [ours for ours in policies if summary["overall"].get(ours)]
    parts = [
        f"<h1>{len(summary['cells'])} cells, {len(pictures.schedulers_of(summary, policies))} schedulers</h1>"
    ]
    for ours in judged:
        parts += _policy(summary, ours)
    parts += [
        _picture("Violations over load", pictures.draw_rates, summary, policies),
        *([_gains(summary)] if judged else []),
        _picture("How late", pictures.draw_lateness, summary, policies),
        _picture("Energy against violations", pictures.draw_energy, summary, policies),
        _decisions(summary, policies),
        _everything(summary, policies),
        _origin(summary),
    ]
    page = "\n".join(parts)
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>SynergAI evaluation</title>'
        f"<style>{STYLE}</style><body>{page}</body></html>\n",
        encoding="utf-8",
    )


def _policy(summary: dict[str, Any], ours: str) -> list[str]:
    """Verdicts and ratios of one policy."""
    overall = summary["overall"][ours]
    worst = overall["worst"]
    said = (
        f"Worst: {worst['scenario']} at load {worst['load']:g} against {worst['rule']}, fewer violations by "
        f"{with_interval(worst['gain'], worst['ci95'])} points ({worst['verdict']})."
    )
    return [
        f"<h2>{escape(label(ours))}</h2><p>{escape(totals(overall, ours))}. {escape(said)}</p>",
        _ratios(overall["ratios"], ours),
        _verdicts(summary, ours),
    ]


def _ratios(ratios: dict[str, Any], ours: str) -> str:
    rules = sorted(
        {rule for found in ratios.values() for rule in found}, key=lambda rule: (rule != BEST, rule)
    )
    heads = [f"load {words}" for words in ratios]
    rows = [[rule, *(ratio(found.get(rule)) for found in ratios.values())] for rule in rules]
    counts = ", ".join(
        f"{next(iter(found.values()))['cells']} {words}" for words, found in ratios.items() if found
    )
    note = (
        "Geometric mean over cells in which the best rule misses 1 to 60 % and at most 2 % of the jobs are hopeless "
        f"from the start ({counts or 'none'}); in brackets the lower 95 % bound over tapes."
    )
    title = f"Violations of a rule over those of {escape(label(ours))}"
    return f"<h3>{title}</h3><p>{note}</p>{table(['rule', *heads], rows)}"


def _verdicts(summary: dict[str, Any], ours: str) -> str:
    """A line per cell, the worst first."""
    lines = []
    for cell in summary["cells"]:
        if ours not in cell["verdicts"]:
            continue
        verdicts = cell["verdicts"][ours]
        rule = verdicts["violation_rate"]["against"]
        judged = cell["schedulers"][rule]["against"][ours]["no_worse"]["violation_rate"]
        row = [
            f"{cell['scenario']}, load {cell['load']:g}",
            *(_word(verdicts[field]["verdict"]) for field in WORDS),
        ]
        row += [rule, points(judged["upper"]), points(judged["delta"])]
        lines.append((severity_of(judged), row))
    heads = ["cell", *WORDS.values(), "closest rule", "worse by at most", "allowed"]
    rows = [row for _, row in sorted(lines, key=lambda line: line[0])]
    note = "In points of violations; the worst cells first."
    return f"<h3>No worse than every rule?</h3><p>{note}</p>{table(heads, rows)}"


def _word(verdict: str) -> "Raw":
    return Raw(f'<span class="{verdict}">{verdict}</span>')


def _gains(summary: dict[str, Any]) -> str:
    image = _image(lambda file: pictures.draw_gains(summary, file, WORST))
    return f"<h2>Gains, the worst cells</h2>{image}"


def _picture(
    title: str, draw: Callable[..., None], summary: dict[str, Any], policies: tuple[str, ...]
) -> str:
    return f"<h2>{title}</h2>{_image(lambda file: draw(summary, policies, file))}"


def _image(draw: Callable[[BytesIO], None]) -> str:
    file = BytesIO()
    draw(file)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _decisions(summary: dict[str, Any], policies: tuple[str, ...]) -> str:
    """How long schedulers take, over the cells in which they were timed."""
    rows = []
    for name in pictures.schedulers_of(summary, policies):
        entries = [cell["schedulers"].get(name, {}) for cell in summary["cells"]]
        timed = [entry for entry in entries if "decision_us_p50" in entry]
        if timed:
            p50 = median(entry["decision_us_p50"] for entry in timed)
            p99 = max(entry["decision_us_p99"] for entry in timed)
            rows.append([label(name), f"{p50:.0f}", f"{p99:.0f}"])
    note = (
        "Candidates, features and choice, in microseconds of one core, on the first jobs of two tapes a cell. Where "
        "several runs share the machine these are an indication only."
    )
    heads = ["scheduler", "median, middle cell", "p99, worst cell"]
    return f"<h2>Time of a decision</h2><p>{note}</p>{table(heads, rows)}"


def _everything(summary: dict[str, Any], policies: tuple[str, ...]) -> str:
    """Violations of everybody in every cell."""
    names = pictures.schedulers_of(summary, policies)
    rows = []
    for cell in summary["cells"]:
        found = cell["schedulers"]
        least = min(entry["violation_rate"] for entry in found.values())
        row: list[str] = [f"{cell['scenario']}, load {cell['load']:g}"]
        for name in names:
            rate = found[name]["violation_rate"] if name in found else None
            text = "" if rate is None else f"{100 * rate:.1f}"
            row.append(Raw(f'<span class="best">{text}</span>') if rate == least else text)
        rows.append(row)
    heads = ["cell", *map(label, names)]
    return f'<h2>Violations in %</h2><div class="wide">{table(heads, rows)}</div>'


def _origin(summary: dict[str, Any]) -> str:
    keys = (
        "synergai",
        "commit",
        "matrix_sha256",
        "profiles_sha256",
        "code_sha256",
        "tapes",
        "max_tapes",
        "seed",
    )
    said = "; ".join(
        f"{key} <code>{escape(str(summary[key]))}</code>"
        for key in keys
        if summary.get(key) not in ("", None)
    )
    return f"<footer>{said}. Everything else: <code>summary.json</code>, <code>plan.json</code>.</footer>"


class Raw(str):
    """Text that is HTML already."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Escaped, unless a cell is `Raw`."""
    shown = "".join(f"<tr>{''.join(_cell('td', text) for text in row)}</tr>" for row in rows)
    head = "".join(_cell("th", text) for text in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{shown}</tbody></table>"


def _cell(tag: str, text: str) -> str:
    return f"<{tag}>{text if isinstance(text, Raw) else escape(text)}</{tag}>"
