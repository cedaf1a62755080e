"""Selectors hold as Kubernetes documents them."""

import pytest

from synergai.k8s_bridge.admission.selectors import (
    SelectorError,
    read_label_selector,
    read_node_terms,
    terms_match,
)

LABELS = {"app": "web", "gen": "3", "odd": "1_0"}


def needs(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("name", "selector", "expected"),
    [
        ("equal", {"matchLabels": {"app": "web"}}, True),
        ("not equal", {"matchLabels": {"app": "db"}}, False),
        ("both must hold", {"matchLabels": {"app": "web", "gen": "4"}}, False),
        ("in", needs("app", "In", "db", "web"), True),
        ("in, and absent", needs("tier", "In", "1"), False),
        ("not in", needs("app", "NotIn", "db"), True),
        ("not in, and absent", needs("tier", "NotIn", "1"), True),
        ("exists", needs("app", "Exists"), True),
        ("exists, and absent", needs("tier", "Exists"), False),
        ("does not exist", needs("app", "DoesNotExist"), False),
        ("does not exist, and absent", needs("tier", "DoesNotExist"), True),
        ("empty is everything", {}, True),
    ],
)
def test_a_label_selector_matches(name, selector, expected):
    found = read_label_selector(selector)
    assert found is not None
    assert found.matches(LABELS) is expected, name


@pytest.mark.parametrize(
    ("name", "terms", "expected"),
    [
        ("greater", [needs("gen", "Gt", "2")], True),
        ("not greater", [needs("gen", "Gt", "3")], False),
        ("less", [needs("gen", "Lt", "4")], True),
        ("a label that is no number", [needs("app", "Gt", "0")], False),
        ("a label that only Python takes for a number", [needs("odd", "Gt", "2")], False),
        ("an absent label", [needs("tier", "Lt", "9")], False),
        ("one of two terms", [needs("gen", "Gt", "9"), needs("app", "Exists")], True),
        ("all of a term", [{"matchExpressions": [*needs("gen", "Gt", "9")["matchExpressions"],
                                                 *needs("app", "Exists")["matchExpressions"]]}], False),
        ("an empty term", [{}], False),
        ("no terms", [], False),
        ("the name", [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}], True),
        ("another name", [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}], False),
        ("not that name", [{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}], False),
        ("the name and a label", [needs("app", "In", "db") | {"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["n1"]}]}], False),
    ],
)  # fmt: skip
def test_node_affinity_matches(name, terms, expected):
    assert terms_match(read_node_terms({"nodeSelectorTerms": terms}), "n1", LABELS) is expected, name


def test_without_required_terms_every_node_matches():
    assert terms_match(read_node_terms(None), "n1", {})


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ([needs("a", "Near")], "'Near'"),
        ([{"matchFields": [{"key": "spec.x", "operator": "In"}]}], "'spec.x'"),
    ],
)
def test_what_is_no_selector_is_named(terms, named):
    with pytest.raises(SelectorError, match=named):
        read_node_terms({"nodeSelectorTerms": terms})


def test_a_label_selector_compares_no_numbers():
    with pytest.raises(SelectorError, match="'Gt'"):
        read_label_selector(needs("gen", "Gt", "2"))
