"""Patches: what they make of an object."""

import copy

import pytest

from synergai.k8s_bridge.embedded import patches
from synergai.k8s_bridge.embedded.errors import ApiError

READY = {"type": "Ready", "status": "True"}
DISK = {"type": "Disk", "status": "False"}


@pytest.mark.parametrize(
    ("obj", "patch", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": None}, {}),
    ],
)
def test_a_merge_patch_follows_rfc_7386(obj, patch, expected):
    assert patches.apply(patches.MERGE_PATCH, obj, patch, custom=False) == expected


@pytest.mark.parametrize(
    ("obj", "patch", "expected"),
    [
        ({"conditions": [READY]}, {"conditions": [DISK]}, {"conditions": [READY, DISK]}),
        (
            {"conditions": [READY, DISK]},
            {"conditions": [{"type": "Ready", "status": "False"}]},
            {"conditions": [{"type": "Ready", "status": "False"}, DISK]},
        ),
        (
            {"conditions": [READY, DISK]},
            {"conditions": [{"type": "Ready", "$patch": "delete"}]},
            {"conditions": [DISK]},
        ),
        (
            {"conditions": [READY]},
            {"conditions": [DISK, {"$patch": "replace"}]},
            {"conditions": [DISK]},
        ),
        (
            {"containers": [{"name": "a", "image": "x", "env": [{"name": "e", "value": "1"}]}]},
            {"containers": [{"name": "a", "env": [{"name": "f", "value": "2"}]}]},
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "x",
                        "env": [{"name": "e", "value": "1"}, {"name": "f", "value": "2"}],
                    }
                ]
            },
        ),
        ({"taints": [{"key": "a"}]}, {"taints": [{"key": "b"}]}, {"taints": [{"key": "b"}]}),
        ({"finalizers": ["a"]}, {"finalizers": ["b"]}, {"finalizers": ["a", "b"]}),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$retainKeys": ["c"], "c": 3}}, {"a": {"c": 3}}),
        ({"a": 1}, {"$setElementOrder/conditions": [], "a": None}, {}),
    ],
)
def test_a_strategic_patch_merges_lists_by_their_keys(obj, patch, expected):
    assert patches.apply(patches.STRATEGIC_PATCH, obj, patch, custom=False) == expected


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ([{"op": "add", "path": "/b", "value": 1}], {"a": [1, 2], "b": 1}),
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2]}),
        ([{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ([{"op": "replace", "path": "/a", "value": "x"}], {"a": "x"}),
        ([{"op": "replace", "path": "/b", "value": "x"}], {"a": [1, 2], "b": "x"}),
        ([{"op": "add", "path": "/b"}], {"a": [1, 2], "b": None}),
        ([{"op": "move", "from": "/a", "path": "/b"}], {"b": [1, 2]}),
        ([{"op": "copy", "from": "/a/0", "path": "/b"}], {"a": [1, 2], "b": 1}),
        ([{"op": "test", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
        ([{"op": "add", "path": "/x~1y~0z", "value": 1}], {"a": [1, 2], "x/y~z": 1}),
    ],
)
def test_a_json_patch_follows_rfc_6902(patch, expected):
    assert patches.apply(patches.JSON_PATCH, {"a": [1, 2]}, patch, custom=False) == expected


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/a/1", "value": 9}],
        [{"op": "remove", "path": "/none"}],
        [{"op": "add", "path": "/a/9", "value": 1}],
        [{"op": "add", "path": "/a/-1", "value": 1}],
        [{"op": "add", "path": "/none/b", "value": 1}],
        [{"op": "explode", "path": "/a"}],
        [{"path": "/a"}],
        [{"op": "replace", "path": "", "value": 1}],
    ],
)
def test_a_json_patch_that_does_not_fit_is_invalid(patch):
    with pytest.raises(ApiError) as caught:
        patches.apply(patches.JSON_PATCH, {"a": [1, 2]}, patch, custom=False)
    assert caught.value.code == 422


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        (patches.JSON_PATCH, {}),
        (patches.JSON_PATCH, ["a"]),
        (patches.JSON_PATCH, [{"op": "add", "path": 5, "value": 1}]),
        (patches.MERGE_PATCH, []),
        (patches.STRATEGIC_PATCH, "a"),
        (patches.STRATEGIC_PATCH, {"conditions": ["a"]}),
    ],
)
def test_what_is_no_patch_is_a_bad_request(media_type, patch):
    with pytest.raises(ApiError) as caught:
        patches.apply(media_type, {"conditions": []}, patch, custom=False)
    assert caught.value.code == 400


def test_an_element_without_its_merge_key_is_an_error_without_a_reason():
    with pytest.raises(ApiError) as caught:
        patches.apply(patches.STRATEGIC_PATCH, {}, {"conditions": [{"status": "True"}]}, custom=False)
    assert (caught.value.code, caught.value.reason) == (500, "")


@pytest.mark.parametrize(
    ("media_type", "custom"),
    [("application/apply-patch+yaml", False), ("text/plain", False), (patches.STRATEGIC_PATCH, True)],
)
def test_a_patch_of_another_kind_is_an_unsupported_media_type(media_type, custom):
    with pytest.raises(ApiError) as caught:
        patches.apply(media_type, {}, {}, custom)
    assert caught.value.code == 415


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        (patches.JSON_PATCH, [{"op": "add", "path": "/a/b", "value": 1}]),
        (patches.MERGE_PATCH, {"a": {"b": 1}}),
        (patches.STRATEGIC_PATCH, {"a": {"b": 1}, "conditions": [READY]}),
    ],
)
def test_a_patch_leaves_the_object_it_is_given_alone(media_type, patch):
    obj = {"a": {}, "conditions": [DISK]}
    before = copy.deepcopy(obj)
    patches.apply(media_type, obj, patch, custom=False)
    assert obj == before
