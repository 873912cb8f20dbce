import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflbuild.core.digest import canonical_json, hash_tree, hash_value
from tflbuild.core.untrusted_files import hash_file

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def reordered(value):
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value):
    assert canonical_json(value) == canonical_json(reordered(value))


@given(VALUES)
def test_canonical_json_reads_back_as_the_value(value):
    assert json.loads(canonical_json(value)) == value


@given(VALUES, VALUES)
def test_different_values_have_different_bytes(one, other):
    same = canonical_json(one) == canonical_json(other)
    assert same == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


@given(st.dictionaries(st.text(), SCALARS, min_size=1), st.data())
def test_changing_any_leaf_changes_the_key(value, data):
    name = data.draw(st.sampled_from(sorted(value)))
    changed = value | {name: [value[name]]}
    assert hash_value("Action", value) != hash_value("Action", changed)


def test_tuples_count_as_lists():
    assert canonical_json({"shape": (1, 2)}) == canonical_json({"shape": [1, 2]})


def test_a_tag_keeps_equal_values_apart():
    assert hash_value("StepId", {}) != hash_value("Action", {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [{"a": -float("inf")}]])
def test_numbers_that_json_lacks_are_refused(value):
    with pytest.raises(ValueError, match="canonical JSON has no"):
        canonical_json(value)


def test_keys_that_are_no_strings_are_refused():
    with pytest.raises(TypeError, match="string keys"):
        canonical_json({"a": {1: 2}})


def test_names_stay_what_they_are():
    """A change here makes every store in the world a miss: it needs a reason and a new FORMAT."""
    value = {"kind": "convert", "params": {"select_tf": False}, "shape": [1, None, 0.5]}
    assert hash_value("Action", value) == "cec9e940d3c17e502735c3ca0e5df329768d7a8cee785b7b7c9d3ea49bc99d99"


def test_a_tree_is_named_by_paths_and_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    digest = hash_file(tmp_path / "a")
    assert digest == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert hash_tree({"a": digest}) != hash_tree({"b": digest})
