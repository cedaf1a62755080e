"""Scenarios are read strictly: every error names the file, the line and the key."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from worlds import TABLE

from synergai.envs import scenario
from synergai.envs.arrivals import read_trace
from synergai.envs.scenario import Scenario, ScenarioError
from synergai.envs.tape import make_tape, setting_of

GOOD = """\
name: two
machines:
  - name: t4
    count: 2
    hardware: {nvidia-t4: 1}
jobs:
  resnet50: {share: 1, samples: 1000}
arrivals: {kind: poisson}
load: 0.5
deadlines:
  tightness: [[1.2, 2.0]]
world:
  co_tenant_slowdown: 0
arrivals_per_tape: 50
"""


def broken(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


ERRORS: dict[str, tuple[str, str, int, str, str]] = {
    # name: what, by what, line, key, part of the reason
    "unknown key": ("load: 0.5", "lod: 0.5", 9, "lod", "unknown key"),
    "unknown key inside": ("kind: poisson", "kind: poisson, rate: 3", 8, "arrivals.rate", "unknown key"),
    "unknown key in a list": ("count: 2", "many: 2", 4, "machines.0.many", "unknown key"),
    "wrong type": ("load: 0.5", "load: high", 9, "load", "'high': expected a number"),
    "near key": ("load: 0.5", "lod: 0.5", 9, "lod", "unknown key; did you mean 'load'?"),
    "near key inside": ("count: 2", "counts: 2", 4, "machines.0.counts", "did you mean 'count'?"),
    "near key of a model": (
        "share: 1,",
        "share: 1, samples_logsd: 1,",
        7,
        "jobs.resnet50.samples_logsd",
        "'samples_log_sd'?",
    ),
    "a boolean where a number is due": ("load: 0.5", "load: true", 9, "load", "True: expected a number"),
    "a boolean count": ("count: 2", "count: true", 4, "machines.0.count", "True: expected a whole number"),
    "a quoted number": ("load: 0.5", "load: '0.7'", 9, "load", "'0.7': expected a number"),
    "an exponent that YAML takes for text": (
        "samples: 1000",
        "samples: 1e5",
        7,
        "jobs.resnet50.samples",
        "'1e5'",
    ),
    "cores": (
        "count: 2",
        "cpu_milli: '2'",
        4,
        "machines.0.cpu_milli",
        "expected milli-CPU as a whole number",
    ),
    "half a milli-CPU": (
        "count: 2",
        "cpu_milli: 0.5",
        4,
        "machines.0.cpu_milli",
        "expected milli-CPU as a whole",
    ),
    "gibibytes": (
        "count: 2",
        "memory_mib: 2Gi",
        4,
        "machines.0.memory_mib",
        "'2Gi': expected MiB as a whole number",
    ),
    "seconds with a unit": (
        "load: 0.5",
        "delays: {release_s: 5s}",
        9,
        "delays.release_s",
        "'5s': expected seconds",
    ),
    "milliseconds": (
        "load: 0.5",
        "delays: {pod_start_s: 500ms}",
        9,
        "delays.pod_start_s",
        "expected seconds",
    ),
    "not a number": ("load: 0.5", "load: .nan", 9, "load", "finite"),
    "zero share": ("share: 1", "share: 0", 7, "jobs.resnet50.share", "greater than 0"),
    "negative memory": ("count: 2", "memory_mib: -1", 4, "machines.0.memory_mib", "greater than 0"),
    "more memory than there is": (
        "count: 2",
        "memory_mib: 99999999999999999999",
        4,
        "machines.0.memory_mib",
        "less",
    ),
    "an odd site": ("count: 2", "site: 'Rack 7!'", 4, "machines.0.site", "pattern"),
    "a text in a band": (
        "[[1.2, 2.0]]",
        "[[1.2, two]]",
        11,
        "deadlines.tightness.0.1",
        "expected a multiple",
    ),
    "twin machines": (
        "jobs:\n",
        "  - {name: t4, hardware: {nvidia-t4: 1}}\njobs:\n",
        6,
        "machines.1.name",
        "machines.0 is called t4 too",
    ),
    "twin keys": ("load: 0.5", "load: 0.5\nload: 0.6", 10, "load", "stands twice"),
    "twin keys inside": ("share: 1,", "share: 1, share: 2,", 7, "jobs.resnet50.share", "stands twice"),
    "a list as a key": ("load: 0.5", "[load]: 0.5", 9, "file", "a key is a list"),
    "an alias": ("load: 0.5", "load: &x 0.5\nwarm_up: *x", 10, "file", "*x: aliases are not read"),
    "a merge key": ("load: 0.5", "<<: {load: 0.5}", 9, "file", "merge keys are not read"),
    "a second document": ("load: 0.5", "load: 0.5\n---\nload: 0.6", 10, "file", "second document"),
    "deep nesting": ("load: 0.5", "load: " + 20 * "[" + 20 * "]", 9, "file", "nested more than 16 deep"),
    "a control character": ("load: 0.5", "load: \x07", 9, "file", "not YAML"),
    "a number where a list belongs": ("[[1.2, 2.0]]", "3", 11, "deadlines.tightness", "list"),
    "a list where a mapping belongs": ("{kind: poisson}", "[poisson]", 8, "arrivals", "dictionary"),
    "negative load": ("load: 0.5", "load: -0.5", 9, "load", "greater than 0"),
    "zero load": ("load: 0.5", "load: 0", 9, "load", "greater than 0"),
    "infinite load": ("load: 0.5", "load: .inf", 9, "load", "finite"),
    "no machines": ("count: 2", "count: 0", 4, "machines.0.count", "greater than or equal to 1"),
    "negative samples": ("samples: 1000", "samples: -1", 7, "jobs.resnet50.samples", "greater than 0"),
    "half a machine": ("count: 2", "count: 1.5", 4, "machines.0.count", "1.5: expected a whole number"),
    "bad machine name": ("name: t4", "name: T4_", 3, "machines.0.name", "pattern"),
    "falling band": ("[[1.2, 2.0]]", "[[2.0, 1.2]]", 11, "deadlines.tightness", "low <= high"),
    "no bands": ("[[1.2, 2.0]]", "[]", 11, "deadlines.tightness", "at least one"),
    "three numbers in a band": ("[[1.2, 2.0]]", "[[1, 2, 3]]", 11, "deadlines.tightness.0", "at most 2"),
    "network of no links": ("co_tenant_slowdown: 0", "network: wan", 13, "world.network", "list"),
    "a link to itself": (
        "co_tenant_slowdown: 0",
        "network: [{between: [a, a]}]",
        13,
        "world.network.0.between",
        "no distance",
    ),
    "two links of two sites": (
        "co_tenant_slowdown: 0",
        "network: [{between: [a, b]}, {between: [b, a]}]",
        13,
        "world.network.1.between",
        "a link already",
    ),
    "near key of a part of the world": (
        "co_tenant_slowdown: 0",
        "failures: {per_node_hour: 1, repairs_s: 9}",
        13,
        "world.failures.repairs_s",
        "did you mean 'repair_s'?",
    ),
    "failures for ever": (
        "co_tenant_slowdown: 0",
        "failures: {per_node_hour: 1, repair_s: 0}",
        13,
        "world.failures.repair_s",
        "greater than 0",
    ),
    "a node that becomes something else": (
        "co_tenant_slowdown: 0",
        "changes: [{at_s: 3, node: t4-0, becomes: gone}]",
        13,
        "world.changes.0.becomes",
        "closed",
    ),
    "half a core": (
        "co_tenant_slowdown: 0",
        "background: {per_node: 1, cpu_milli: 0.5}",
        13,
        "world.background.cpu_milli",
        "milli-CPU as a whole",
    ),
    "a state of start-up": (
        "co_tenant_slowdown: 0",
        "startup_states: warm",
        13,
        "world.startup_states",
        "cached",
    ),
    "more best effort than all": (
        "share: 1,",
        "share: 1, best_effort: 1.5,",
        7,
        "jobs.resnet50.best_effort",
        "1",
    ),
    "no hardware at all": ("share: 1,", "share: 1, hardware: [],", 7, "jobs.resnet50.hardware", "at least 1"),
    "a priority in words": (
        "share: 1,",
        "share: 1, priorities: [{priority: high, share: 1}],",
        7,
        "jobs.resnet50.priorities.0.priority",
        "whole number",
    ),
    "every bind fails": ("load: 0.5", "delays: {bind_failures: 1}", 9, "delays.bind_failures", "less than 1"),
    "trace without a name": ("kind: poisson", "kind: trace", 8, "arrivals", "`trace`"),
    "trace for poisson": ("kind: poisson", "trace: azure", 8, "arrivals", "`trace`"),
    "clients for poisson": (
        "kind: poisson",
        "clients: 3",
        8,
        "arrivals",
        "`clients` goes with `kind: closed`",
    ),
    "a loop of nobody": ("kind: poisson", "kind: closed", 8, "arrivals", "`clients` or `think_s`"),
    "clients who think": (
        "kind: poisson",
        "kind: closed, clients: 3, think_s: 2",
        8,
        "arrivals",
        "the load says what the other is",
    ),
    "no clients": (
        "kind: poisson",
        "kind: closed, clients: 0",
        8,
        "arrivals.clients",
        "greater than or equal to 1",
    ),
    "a thought with a unit": (
        "kind: poisson",
        "kind: closed, think_s: 2s",
        8,
        "arrivals.think_s",
        "expected seconds",
    ),
    "unknown kind": ("kind: poisson", "kind: bursts", 8, "arrivals.kind", "poisson"),
    "too few arrivals": ("arrivals_per_tape: 50", "arrivals_per_tape: 5", 14, "arrivals_per_tape", "10"),
    "missing jobs": ("jobs:\n  resnet50: {share: 1, samples: 1000}\n", "", 1, "jobs", "is missing"),
    "warm-up of everything": ("load: 0.5", "warm_up: 1", 9, "warm_up", "less than 1"),
    "energy weight above one": ("load: 0.5", "energy_weight: 1.5", 9, "energy_weight", "less than or equal"),
    "negative delay": (
        "load: 0.5",
        "delays: {release_s: -1}",
        9,
        "delays.release_s",
        "greater than or equal",
    ),
    "a bind with a unit": ("load: 0.5", "delays: {bind_s: 20ms}", 9, "delays.bind_s", "expected seconds"),
    "negative noise": ("load: 0.5", "noise: {level: -1}", 9, "noise.level", "greater than or equal"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_names_file_line_key_and_reason(name: str) -> None:
    old, new, line, key, reason = ERRORS[name]
    with pytest.raises(ScenarioError) as error:
        scenario.parse(broken(old, new), "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml:{line}: {key}: ")
    assert reason in str(error.value)


def test_every_error_is_told_at_once() -> None:
    text = broken("load: 0.5", "load: -1").replace("count: 2", "count: 0")
    with pytest.raises(ScenarioError) as error:
        scenario.parse(text, "mine.yaml")
    assert len(str(error.value).splitlines()) == 2


def test_what_is_not_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(
        ScenarioError, match=r"^mine\.yaml:2: file: not YAML: mapping values are not allowed here$"
    ):
        scenario.parse("name: x\n  load: [", "mine.yaml")


NO_MAPPING = {"": "nothing", "# only a remark\n": "nothing", "just words": "'just words'", "[1, 2]": "a list"}


@pytest.mark.parametrize("text", NO_MAPPING)
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError, match=rf"^mine\.yaml:1: file: holds {NO_MAPPING[text]}; a mapping"):
        scenario.parse(text, "mine.yaml")


def test_a_binary_file_is_refused_with_its_line() -> None:
    with pytest.raises(ScenarioError, match=r"^mine\.yaml:2: file: is not UTF-8 text \(byte 0xff\)$"):
        scenario.parse(b"name: x\n\xff\xfe", "mine.yaml")


def test_good_scenario_is_read() -> None:
    read = scenario.parse(GOOD, "mine.yaml")
    assert (read.name, read.load, read.machines[0].count) == ("two", 0.5, 2)


@pytest.mark.parametrize("name", scenario.shipped())
def test_a_scenario_written_as_yaml_is_read_as_it_was(name: str) -> None:
    loaded = scenario.load(name)
    assert scenario.parse(yaml.safe_dump(loaded.model_dump(mode="json")), "again.yaml") == loaded


def test_a_scenario_goes_to_another_process_with_its_lines() -> None:
    sent = pickle.loads(pickle.dumps(read()))
    assert sent.place("load") == "mine.yaml:9: load"


def test_scenario_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        scenario.parse(GOOD, "mine.yaml").load = 1.0  # type: ignore[misc]


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.yaml: cannot be read"):
        scenario.load(tmp_path / "gone.yaml")


def test_error_in_a_file_names_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(broken("load: 0.5", "load: 0"))
    with pytest.raises(ScenarioError) as error:
        scenario.load(path)
    assert str(error.value).startswith(f"{path}:9: load: ")


def test_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario 'nope'; .*shipped are .*demo"):
        scenario.load("nope")


@pytest.mark.parametrize("name", scenario.shipped())
def test_shipped_scenario_loads_and_can_be_run(name: str) -> None:
    loaded = scenario.load(name)
    assert loaded.name == name
    setting = setting_of(loaded)
    assert setting.capacity.jobs_per_s > 0
    assert len(make_tape(setting, 1, count=20).jobs) >= 25


def read(old: str = "", new: str = "") -> Scenario:
    return scenario.parse(broken(old, new) if old else GOOD, "mine.yaml")


MISFITS: dict[str, tuple[str, str, str]] = {
    # what: replaced, by, the error
    "unknown hardware": (
        "nvidia-t4",
        "nvidia-t5",
        r"^mine\.yaml:5: machines\.0\.hardware\.nvidia-t5: no such hardware; did you mean 'nvidia-t4'\?$",
    ),
    "unknown model": (
        "resnet50",
        "resnet51",
        r"^mine\.yaml:7: jobs\.resnet51: no profile of model 'resnet51'; did you mean 'resnet50'\?$",
    ),
    "an unknown trace": (
        "{kind: poisson}",
        "{kind: trace, trace: nowhere}",
        r"^mine\.yaml:8: arrivals\.trace: trace 'nowhere': ",
    ),
    "another reference": (
        "load: 0.5",
        "reference_sha256: abc",
        r"^mine\.yaml:9: reference_sha256: is abc\.\.\..*its deadlines would mean something else$",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_the_profiles_is_named_with_its_line(name: str) -> None:
    old, new, error = MISFITS[name]
    with pytest.raises(ScenarioError, match=error):
        setting_of(read(old, new))


def test_nodes_of_unknown_hardware_are_refused_with_their_line() -> None:
    with pytest.raises(
        ScenarioError, match=r"^mine\.yaml:5: machines\.0\.hardware\.nvidia-t5: no such hardware"
    ):
        read("nvidia-t4", "nvidia-t5").nodes(TABLE)


def test_all_misfits_are_told_at_once() -> None:
    text = broken("nvidia-t4", "nvidia-t5").replace("resnet50", "resnet51")
    with pytest.raises(ScenarioError) as error:
        setting_of(scenario.parse(text, "mine.yaml"))
    assert len(str(error.value).splitlines()) == 2


def test_model_that_no_machine_serves_is_named_with_its_line() -> None:
    board = broken("nvidia-t4", "raspberry-pi-4").replace("resnet50", "3d-unet-kits19")
    with pytest.raises(
        ScenarioError, match=r"^mine\.yaml:7: jobs\.3d-unet-kits19: no hardware of this cluster"
    ):
        setting_of(scenario.parse(board, "mine.yaml"))


def test_a_machine_that_serves_no_model_of_the_mix_is_fine() -> None:
    idle = "jobs:\n"
    setting_of(read(idle, "  - {name: idle, hardware: {raspberry-pi-4: 1}}\n" + idle))


def test_a_scenario_that_came_from_no_file_is_named_by_its_own_name() -> None:
    made = Scenario.model_validate(read().model_dump() | {"reference_sha256": "abc"})
    with pytest.raises(ScenarioError, match=r"^scenario two: reference_sha256: is abc"):
        setting_of(made)


def test_the_shipped_reference_is_accepted() -> None:
    setting_of(read("load: 0.5", f"reference_sha256: {TABLE.reference_sha256}"))


def test_a_node_has_what_its_class_usually_has() -> None:
    node = read().nodes(TABLE)[1]
    hardware = TABLE.hardware["nvidia-t4"]
    assert (node.name, node.cpu_milli, node.memory_mib) == ("t4-1", hardware.cpu_milli, hardware.memory_mib)
    assert [(device.hardware, device.units) for device in node.devices] == [("nvidia-t4", 1)]


def test_a_node_with_two_classes_has_the_larger_host_and_its_cpu_has_no_units() -> None:
    both = "hardware: {nvidia-t4: 2, intel-xeon-platinum-8380-2s: 1}"
    node = read("hardware: {nvidia-t4: 1}", both).nodes(TABLE)[0]
    assert {device.hardware: device.units for device in node.devices} == {
        "nvidia-t4": 2,
        "intel-xeon-platinum-8380-2s": 0,
    }
    assert node.cpu_milli == TABLE.hardware["intel-xeon-platinum-8380-2s"].cpu_milli


# tapes ----------------------------------------------------------------------------------------------------
def test_arrivals_come_at_the_asked_for_load() -> None:
    setting = setting_of(read("load: 0.5", "load: 0.7"))
    tape = make_tape(setting, 3, count=2000, tail=0)
    rate = len(tape.jobs) / (tape.jobs["arrival_us"][-1] * 1e-6)
    assert rate == pytest.approx(0.7 * setting.capacity.jobs_per_s, rel=0.07)


def test_deadlines_are_tightness_times_reference_within_the_band() -> None:
    setting = setting_of(read())
    tape = make_tape(setting, 3, count=500)
    reference = np.array([TABLE.reference_s("resnet50", int(s)) for s in tape.jobs["samples"]])
    tightness = (tape.jobs["deadline_us"] - tape.jobs["arrival_us"]) * 1e-6 / reference
    assert tightness.min() > 1.2 - 1e-4
    assert tightness.max() < 2.0 + 1e-4


def test_bands_are_equally_likely() -> None:
    setting = setting_of(read("[[1.2, 2.0]]", "[[1, 2], [2, 4], [4, 10]]"))
    tape = make_tape(setting, 3, count=1500)
    reference = np.array([TABLE.reference_s("resnet50", int(s)) for s in tape.jobs["samples"]])
    tightness = (tape.jobs["deadline_us"] - tape.jobs["arrival_us"]) * 1e-6 / reference
    shares = np.histogram(tightness, [1, 2, 4, 10.001])[0] / len(tightness)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)


def test_the_window_leaves_out_the_warm_up_and_the_tail() -> None:
    tape = make_tape(setting_of(read()), 3, count=100)
    assert (tape.window.tolist(), len(tape.jobs)) == ([20, 100], 125)


def test_sizes_are_log_normal_around_the_median() -> None:
    tape = make_tape(setting_of(read()), 3, count=3000)
    logs = np.log(tape.jobs["samples"])
    assert np.median(tape.jobs["samples"]) == pytest.approx(1000, rel=0.05)
    assert logs.std() == pytest.approx(0.7, rel=0.05)


def traced(trace: str) -> Scenario:
    return read("{kind: poisson}", f"{{kind: trace, trace: {trace}}}")


def test_a_replayed_trace_has_the_asked_for_load() -> None:
    setting = setting_of(traced("azure_conversation_2023"))
    tape = make_tape(setting, 3, count=1000, tail=0)
    rate = len(tape.jobs) / (tape.jobs["arrival_us"][-1] * 1e-6)
    assert rate == pytest.approx(setting.rate_sps, rel=1e-6)


def test_shipped_trace_is_in_order_and_its_sizes_are_multiples_of_the_median() -> None:
    at_s, size = read_trace("azure_conversation_2023")
    assert len(at_s) == 19_366
    assert (np.diff(at_s) >= 0).all()
    assert np.median(size) == 1.0


BAD_TRACES = {
    "wrong columns": ("time,tokens\n1,2\n3,4\n", r"expected arrival_ms,tokens"),
    "one row": ("arrival_ms,tokens\n1,2\n", "two or more rows"),
    "no rows": ("", "list index out of range"),
    "back in time": ("arrival_ms,tokens\n5,2\n3,4\n", "arrivals in order"),
    "no work": ("arrival_ms,tokens\n1,0\n3,4\n", "tokens above 0"),
    "words": ("arrival_ms,tokens\n1,few\n3,4\n", "could not convert"),
    "not a number": ("arrival_ms,tokens\n1,nan\n3,4\n", "two or more rows"),
    "ragged": ("arrival_ms,tokens\n1,2,3\n3,4\n", "inhomogeneous"),
}


@pytest.mark.parametrize("name", BAD_TRACES)
def test_bad_trace_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    text, reason = BAD_TRACES[name]
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=rf"trace '.*mine\.csv': .*{reason}"):
        read_trace(str(path))


@pytest.mark.parametrize("name", ["no_such_trace", "no/such/trace.csv"])
def test_missing_trace_is_named(name: str) -> None:
    with pytest.raises(ScenarioError, match=f"trace '{name}'"):
        setting_of(traced(name))
