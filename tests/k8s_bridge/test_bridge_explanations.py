"""The explanation annotation: what it holds, that it stays small, and that nothing depends on it."""

import json

import pytest
from bridge_fakes import ANNOTATIONS, NOW_US, raw_pod
from bridge_world import World
from hypothesis import given
from hypothesis import strategies as st

from synergai.agents.explanation import Choice, Explanation
from synergai.envs.types import Decision, Job
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.reports.explanations import MAX_BYTES, read_explanation, sentence, to_json, to_server
from synergai.k8s_bridge.reports.journal import Journal

S = 1_000_000
TAKEN = Choice("start", True, "gpu-a", "ort-b8", NOW_US + 2 * S, 0.5, taken=True)
OTHER = Choice("hold", False, "jetson", "ort-b8", NOW_US + 9 * S, 0.25)
SAID = Explanation(
    "net", "demo", "demo p=0.50", NOW_US + 5 * S, (TAKEN, OTHER, Choice("wait", chance=0.125)), "edf_likely", OTHER,
    (("no room now", ("xeon",)), ("ageing share", ("a100", "t4"))), 3,
)  # fmt: skip


def annotation(text: str) -> dict[str, str]:
    return {keys.ANNOTATION_EXPLANATION: text}


def test_an_explanation_survives_its_annotation() -> None:
    assert read_explanation(annotation(to_json(SAID))) == SAID


TEXTS = st.text(max_size=400)
CHOICES = st.builds(
    Choice,
    st.sampled_from(["start", "hold", "wait"]),
    st.booleans(),
    TEXTS,
    TEXTS,
    st.none() | st.integers(-(2**62), 2**62),
    st.none() | st.floats(0, 1),
    st.booleans(),
)
EXPLANATIONS = st.builds(
    Explanation,
    st.sampled_from(["net", "planner", "guard", "rule", "forced"]),
    TEXTS,
    TEXTS,
    st.none() | st.integers(-(2**62), 2**62),
    st.lists(CHOICES, max_size=3).map(tuple),
    TEXTS,
    CHOICES,
    st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=30).map(tuple)), max_size=5).map(tuple),
    st.integers(0, 10**6),
)


@given(EXPLANATIONS)
def test_an_annotation_stays_small_and_readable_whatever_the_names_are(explanation: Explanation) -> None:
    text = to_json(explanation)
    assert len(text.encode()) < MAX_BYTES
    assert read_explanation(annotation(text)) is not None


@given(EXPLANATIONS)
def test_a_sentence_stays_short_whatever_the_names_are(explanation: Explanation) -> None:
    assert len(sentence(explanation, NOW_US)) <= 400


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3))
def test_rounded_probabilities_are_still_at_most_one_together(weights: list[float]) -> None:
    shares = sorted((weight / sum(weights) for weight in weights), reverse=True)
    said = Explanation(
        "net", "demo", "", None, tuple(Choice("wait", chance=s) for s in shares), "edf_likely", OTHER
    )
    told = [option["p"] for option in json.loads(to_json(said))["options"]]
    assert sum(told) <= 1.0 + 1e-9
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", "null", "[" * 100_000, to_json(SAID).replace('"held":3', '"held":[]'),
     to_json(SAID).replace('"options":[', '"options":[7,'), to_json(SAID).replace('"closed":{', '"closed":{"x":3,'),
     to_json(SAID).replace('"deadline":"2', '"deadline":"x')],
)  # fmt: skip
def test_a_damaged_annotation_is_none(text: str) -> None:
    assert read_explanation(annotation(text)) is None


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_no_annotation_raises(text: str) -> None:
    read_explanation(annotation(text))


def test_the_sentence_says_who_when_what_else_and_what_could_not_be_had() -> None:
    assert sentence(SAID, NOW_US + 2 * S) == (
        "decided by net demo (demo p=0.50); predicted to end 3.0 s before the deadline; "
        "edf_likely would hold another pod for jetson; no room now: xeon; ageing share: a100, t4"
    )


def test_times_are_the_servers() -> None:
    clock = ScenarioClock(10, NOW_US)
    moved = to_server(SAID, clock)
    assert (moved.deadline_us, moved.choices[0].finish_us) == (NOW_US + S // 2, NOW_US + S // 5)


# on its way -----------------------------------------------------------------------------------------------------------
def said(decision: Decision, job: Job) -> Explanation:
    return SAID


def test_a_binding_carries_the_explanation_beside_the_decision() -> None:
    world = World(explain=said)
    world.pod(raw_pod("a"))
    (order,) = world.round()
    written = order.body()["metadata"]["annotations"]
    assert read_explanation(written) == SAID
    assert keys.ANNOTATION_EXPLANATION not in written[keys.ANNOTATION_DECISION]


def test_the_event_of_a_bind_says_why() -> None:
    world = World(explain=said)
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    assert world.notices[-1].message == (
        f"assigned default/a to n0: ort-b8 on gpu-a; {sentence(SAID, NOW_US + 2 * S)}"
    )


def test_the_event_of_a_hold_says_why() -> None:
    world = World(explain=said)
    world.cluster.hold_all = True
    world.pod(raw_pod("a"))
    world.round()
    assert "decided by net demo (demo p=0.50)" in world.notices[-1].message


def test_a_hold_that_is_told_already_is_not_explained_again() -> None:
    asked = []
    world = World(explain=lambda decision, job: asked.append(job.key))
    world.cluster.hold_all = True
    world.pod(raw_pod("a"))
    world.round()
    world.round()
    assert asked == ["default/a"]


def test_the_decision_log_has_the_explanation(tmp_path) -> None:
    with Journal(tmp_path / "log") as journal:
        world = World(explain=said, journal=journal)
        world.pod(raw_pod("a"))
        world.round()
    (line,) = (tmp_path / "log").read_text().splitlines()
    told = json.loads(line)["explanation"]
    assert (told["by"], told["choices"][0]["hardware"], told["rule"]) == ("net", "gpu-a", "edf_likely")


def test_a_pod_is_bound_where_nobody_can_say_why() -> None:
    def fails(decision: Decision, job: Job) -> Explanation:
        raise RuntimeError

    world = World(explain=fails)
    world.pod(raw_pod("a"))
    (order,) = world.round()
    assert keys.ANNOTATION_EXPLANATION not in order.body()["metadata"]["annotations"]


def test_a_pod_without_a_profile_has_no_explanation() -> None:
    world = World(explain=said)
    world.pod(raw_pod("a", ANNOTATIONS | {keys.ANNOTATION_MODEL: "nope"}))
    (order,) = world.round()
    assert order.explanation == ""
