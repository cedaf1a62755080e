"""Decision logs are read as far as they can be, and what cannot is named by file and line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.envs import scenario as scenarios
from synergai.envs.arrivals import read_trace
from synergai.envs.decision_log import LogError, read_logs
from synergai.envs.scenario import ScenarioError
from synergai.envs.tape import make_tape, setting_of
from synergai.offline_profiles.table import ProfileTable

NODE = {
    "name": "t4-0", "devices": [{"hardware": "nvidia-t4", "units": 2}], "cpu_milli": 16000, "memory_mib": 65536,
    "pods": 110, "site": "", "ready": True,
}  # fmt: skip
START = {"kind": "start", "schema": "1", "nowUs": 0, "scheduler": "edf"}
ON_NODE = {"kind": "node", "nowUs": 0, "name": "t4-0", "node": NODE}


def arrival(
    name: str, at_s: float, samples: int = 500, deadline_s: float | None = 60.0, **job: Any
) -> dict[str, Any]:
    value = {
        "key": f"default/{name}", "model": "resnet50", "samples": samples, "arrival_us": int(at_s * 1e6),
        "deadline_us": None if deadline_s is None else int((at_s + deadline_s) * 1e6), "priority": 0,
        "namespace": "default", "site": "", "hardware": None, "nodes": None, "cpu_milli": 0, "memory_mib": 0,
        "attempt": 0,
    }  # fmt: skip
    return {"kind": "arrival", "nowUs": value["arrival_us"], "job": value | job}


def outcome(name: str, at_s: float, **more: Any) -> dict[str, Any]:
    ran = {"hardware": "nvidia-t4", "configuration": "c", "observedS": 2.0, "predictedS": 1.0}
    return {
        "kind": "outcome",
        "endedUs": int(at_s * 1e6),
        "pod": f"default/{name}",
        "cause": "done",
        **ran,
        **more,
    }


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def test_jobs_nodes_and_ends_are_read(tmp_path: Path) -> None:
    start = {"kind": "decision", "nowUs": 1_500_000, "action": "START", "decision": {"job": "default/a"}}
    log = read_logs(
        [written(tmp_path / "l", START, ON_NODE, arrival("a", 1), start, outcome("a", 3), arrival("b", 9))]
    )
    assert [job.key for job in log.jobs] == ["default/a#0", "default/b"]
    assert log.ended["default/a#0"].observed_s == 2.0
    assert log.started_us == {"default/a#0": 1_500_000}
    assert (log.nodes[0].name, log.first_us, log.last_us) == ("t4-0", 0, 9_000_000)
    assert (log.start["scheduler"], log.problems) == ("edf", [])


def test_a_job_that_waits_again_is_one_and_a_name_that_comes_again_is_another(tmp_path: Path) -> None:
    lines = [arrival("a", 1), arrival("a", 1.4), outcome("a", 3), arrival("a", 5)]
    log = read_logs([written(tmp_path / "l", START, ON_NODE, *lines)])
    assert [job.arrival_us for job in log.jobs] == [1_000_000, 5_000_000]


def test_a_job_that_was_withdrawn_is_none(tmp_path: Path) -> None:
    gone = {"kind": "withdrawn", "nowUs": 2_000_000, "pod": "default/a", "uid": "u"}
    log = read_logs([written(tmp_path / "l", START, ON_NODE, arrival("a", 1), gone, arrival("b", 2))])
    assert [job.key for job in log.jobs] == ["default/b"]


def test_an_end_of_what_began_before_the_log_is_none(tmp_path: Path) -> None:
    log = read_logs([written(tmp_path / "l", START, ON_NODE, outcome("z", 1), arrival("b", 2))])
    assert log.ended == {}


def test_several_files_are_one_log(tmp_path: Path) -> None:
    old = written(tmp_path / "l.1", START, ON_NODE, arrival("a", 1))
    new = written(tmp_path / "l", START, ON_NODE, arrival("a", 1), outcome("a", 3))
    log = read_logs([old, new])
    assert (len(log.jobs), len(log.ended)) == (1, 1)


def many(count: int) -> list[dict[str, Any]]:
    return [arrival(f"j{n}", n) for n in range(count)]


BAD = {
    "cut short": '{"kind":"arrival","job":{"key"\n',
    "no object": "[]\n",
    "no kind": "{}\n",
    "a job without samples": {"kind": "arrival", "nowUs": 0, "job": arrival("x", 1)["job"] | {"samples": 0}},
    "a job of no model": {"kind": "arrival", "nowUs": 0, "job": arrival("x", 1)["job"] | {"model": None}},
    "half a node": {"kind": "node", "nowUs": 0, "name": "x", "node": {"name": "x"}},
    "a time that is none": START | {"nowUs": "noon"},
    "an endless run": outcome("j1", 2, observedS=1e400),
    "deep": "[" * 50_000 + "\n",
}


@pytest.mark.parametrize("what", BAD)
def test_a_line_that_cannot_be_read_is_left_out_and_named(tmp_path: Path, what: str) -> None:
    path = written(tmp_path / "l", START, ON_NODE, BAD[what], *many(40))
    log = read_logs([path])
    assert len(log.jobs) == 40
    assert [problem.startswith(f"{path}:3: ") for problem in log.problems] == [True]


def test_a_kind_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    log = read_logs([written(tmp_path / "l", START, ON_NODE, {"kind": "weather"}, *many(2))])
    assert log.problems == []


REFUSED = {
    "too much damage": ([START, ON_NODE, "x\n", "y\n", "z\n", *many(40)], "3 of 45 lines cannot be read"),
    "another schema": (
        [START | {"schema": "2"}, ON_NODE, *many(2)],
        ":1: schema '2'; this version reads '1'",
    ),
    "no arrival": ([START, ON_NODE], "no arrival in it"),
    "no node": ([START, *many(2)], "no node in it"),
    "nothing": ([], "no arrival in it"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_log_is_refused_for(tmp_path: Path, what: str) -> None:
    lines, why = REFUSED[what]
    with pytest.raises(LogError, match=why.replace("?", ".")):
        read_logs([written(tmp_path / "l", *lines)])


def test_a_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="nothing: cannot be read: No such file"):
        read_logs([tmp_path / "nothing"])


@given(
    st.lists(
        st.text()
        | st.dictionaries(st.sampled_from(["kind", "nowUs", "job", "node"]), st.integers() | st.text())
    )
)
def test_no_lines_end_in_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("log") / "l"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    with pytest.raises(LogError):
        read_logs([path])


# as a scenario --------------------------------------------------------------------------------------------------------
def test_a_log_is_a_scenario_of_its_nodes_jobs_and_arrivals(tmp_path: Path) -> None:
    jobs = [
        arrival(f"j{n}", 2.0 * n, 100 * (n % 3 + 1), model="resnet50" if n % 4 else "bert-99")
        for n in range(40)
    ]
    path = written(tmp_path / "plant.jsonl", START, ON_NODE, *jobs)
    scenario = scenarios.load(path)
    assert [node.name for node in scenario.nodes(ProfileTable.default())] == ["t4-0-0"]
    assert {name: entry.share for name, entry in scenario.jobs.items()} == {"bert-99": 10.0, "resnet50": 30.0}
    setting = setting_of(scenario)
    assert setting.rate_sps == pytest.approx(40 / 78, rel=0.01)
    at_s, size = read_trace(scenario.arrivals.trace)
    assert at_s.tolist() == [2.0 * n for n in range(40)]
    assert sorted(set(size.tolist())) == [0.5, 1.0, 1.5]
    tape = make_tape(setting, 0, 100)
    assert len(tape.jobs) >= 100


def test_a_log_that_is_no_scenario_says_why(tmp_path: Path) -> None:
    path = written(tmp_path / "l.jsonl", START, ON_NODE, arrival("a", 1, model="another"))
    with pytest.raises(ScenarioError, match="nothing of it is in the shipped profiles"):
        scenarios.load(path)
    with pytest.raises(ScenarioError, match="cannot be read"):
        scenarios.load(tmp_path / "none.jsonl")
