"""A matrix file: which cells it spreads out to, and what it says of mistakes."""

import re
from collections import Counter
from pathlib import Path

import pytest

from synergai.envs.scenario import ScenarioError
from synergai.envs.tape import make_tape, setting_of
from synergai.offline_profiles.table import ProfileTable
from synergai.training.evaluation import matrix
from synergai.training.evaluation.ask import Ask, plan_of
from synergai.training.evaluation.matrix import MatrixError

SHIPPED = Path("training/evaluation/matrix.yaml")


def file(folder: Path, text: str) -> Path:
    path = folder / "matrix.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def cells(folder: Path, block: str, **words: object) -> list[tuple[str, float]]:
    found = matrix.read(file(folder, f"blocks:\n  - {block}\n"), **words)  # type: ignore[arg-type] - a test's shorthand
    return [(scenario.name, scenario.load) for scenario in found.scenarios]


def test_a_block_is_a_product(tmp_path: Path) -> None:
    found = cells(
        tmp_path,
        "{scenarios: [demo, edge], loads: [0.7, 0.9], arrivals: [own, bursty], profile_error: [0, 0.3]}",
    )
    assert len(found) == len(set(found)) == 16
    assert ("edge-bursty-error30", 0.9) in found


def test_arrivals_that_a_scenario_has_already_make_no_other_cell(tmp_path: Path) -> None:
    assert cells(tmp_path, "{scenarios: [demo], loads: [0.7], arrivals: [own, trace, poisson]}") == [
        ("demo", 0.7), ("demo-poisson", 0.7)]  # fmt: skip


def test_a_cell_of_two_blocks_is_one_and_planned_if_either_says_so(tmp_path: Path) -> None:
    text = "blocks:\n  - {scenarios: [demo], loads: [0.7, 0.9]}\n  - {scenarios: [demo], loads: [0.9], planned: true}\n"
    found = matrix.read(file(tmp_path, text))
    assert len(found.scenarios) == 2
    assert found.planned == {("demo", 0.9)}


def test_ten_times_the_nodes_have_ten_times_the_arrivals(tmp_path: Path) -> None:
    found = matrix.read(
        file(tmp_path, "blocks:\n  - {scenarios: [kiosk], loads: [1.0], times: 10}\n")
    ).scenarios
    one = matrix.read(file(tmp_path, "blocks:\n  - {scenarios: [kiosk], loads: [1.0]}\n")).scenarios
    table = ProfileTable.default()
    assert found[0].name == "kiosk-x10"
    assert len(found[0].nodes(table)) == 10 * len(one[0].nodes(table))
    large, small = setting_of(found[0]), setting_of(one[0])
    assert large.capacity.jobs_per_s == pytest.approx(10 * small.capacity.jobs_per_s, rel=1e-6)
    assert len(make_tape(large, 0).jobs) > 9 * len(make_tape(small, 0).jobs)


def test_a_strangers_scenarios_and_traces_take_the_place_of_those_named(tmp_path: Path) -> None:
    trace = tmp_path / "My Trace.csv"
    trace.write_text("arrival_ms,tokens\n0,10\n500,20\n900,5\n")
    mine = tmp_path / "mine.yaml"
    mine.write_text(matrix.scenarios.load("kiosk").model_dump_json())
    found = cells(
        tmp_path,
        "{scenarios: [demo, edge], loads: [0.7], arrivals: [own, trace]}",
        instead=[str(mine)],
        traces=[str(trace)],
    )
    assert found == [("kiosk", 0.7), ("kiosk-my-trace", 0.7)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tapes: 4\n", "matrix.yaml:1: blocks: Field required"),
        (
            "blocks:\n  - {scenarios: [demo], loads: [0.7], arivals: [own]}\n",
            "matrix.yaml:2: blocks.0.arivals: unknown key",
        ),
        ("blocks:\n  - {scenarios: [demo], loads: [9]}\n", "matrix.yaml:2: blocks.0.loads.0: "),
        ("blocks:\n  - {scenarios: [demo], loads: [0.7], arrivals: [odd]}\n", "blocks.0.arrivals.0: "),
        ("blocks: [\n", "not YAML"),
        ("blocks:\n  - {scenarios: [nowhere], loads: [0.7]}\n", "no scenario 'nowhere'"),
        ("blocks:\n  - {scenarios: [demo], loads: [0.7]}\nblocks: []\n", "twice"),
    ],
)
def test_a_mistake_names_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises((MatrixError, ScenarioError), match=re.escape(said)):
        matrix.read(file(tmp_path, text))


def test_the_shipped_matrix_asks_what_the_protocol_asks() -> None:
    found = matrix.read(SHIPPED)
    plan = plan_of(Ask(matrix=SHIPPED, checkpoints=["demo"], policies=["net,net+plan"]))
    assert (plan.tapes, plan.max_tapes, plan.matrix_sha256) == (32, 512, found.sha256)
    assert len(plan.worlds) == len(found.scenarios) >= 60
    assert len({scenario.name.split("-")[0] for scenario in found.scenarios}) >= 6
    kinds = Counter(scenario.arrivals.kind for scenario in found.scenarios)
    assert min(kinds[kind] for kind in ("poisson", "bursty", "diurnal", "trace")) >= 6
    assert {0.0, 0.3} <= {scenario.noise.profile_error for scenario in found.scenarios}
    assert any(scenario.name.endswith("-x10") for scenario in found.scenarios)
    assert 0 < len(found.planned) <= 24
