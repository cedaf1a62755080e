"""Paths of the printer columns of custom resources."""

import pytest

from synergai.k8s_bridge.embedded import jsonpath


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".a.b", 1),
        (".l[1]", 20),
        (".l[9]", None),
        ('.c[?(@.type=="Ready")].status', "True"),
        ('.c[?(@.type=="None")].status', None),
        (".m['x.y/z']", 5),
        (r".m.x\.y/z", 5),
        (".none.b", None),
        ("nonsense(", None),
    ],
)
def test_a_path_of_a_column_reads(path, expected):
    value = {"a": {"b": 1}, "l": [10, 20], "c": [{"type": "Ready", "status": "True"}], "m": {"x.y/z": 5}}
    assert jsonpath.reader(path)(value) == expected
