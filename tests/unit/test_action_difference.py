from tflbuild.plan.action_difference import ActionHistory, compare_actions

BEFORE = {
    "kind": "quantize",
    "params": {"scheme": "int8", "rules": [{"op": "SOFTMAX"}]},
    "inputs": {"model": "a" * 64},
    "toolchain": {"ai-edge-litert": "2.1", "implementation": "c" * 64},
}


def texts(after, ignore=()):
    return [change.text() for change in compare_actions(BEFORE, after, ignore)]


def test_an_equal_action_has_no_differences():
    assert texts(BEFORE) == []


def test_a_parameter_is_named_with_both_values():
    assert texts(BEFORE | {"params": {"scheme": "float16", "rules": [{"op": "SOFTMAX"}]}}) == [
        "parameter scheme: int8 -> float16"
    ]


def test_a_leaf_inside_a_list_is_named():
    assert texts(BEFORE | {"params": {"scheme": "int8", "rules": [{"op": "CONV_2D"}]}}) == [
        "parameter rules.0.op: SOFTMAX -> CONV_2D"
    ]


def test_new_bytes_of_an_input_are_named_by_short_digests():
    assert texts(BEFORE | {"inputs": {"model": "b" * 64}}) == ["input model: aaaaaaaaaaaa -> bbbbbbbbbbbb"]


def test_a_package_version_and_our_own_code_are_named():
    after = BEFORE | {"toolchain": {"ai-edge-litert": "2.2", "implementation": "d" * 64}}
    assert texts(after) == [
        "package ai-edge-litert: 2.1 -> 2.2",
        "tflbuild's code of this step: cccccccccccc -> dddddddddddd",
    ]


def test_inputs_that_are_not_known_yet_are_left_out():
    assert texts(BEFORE | {"inputs": {}}, ignore=("model",)) == []


def test_the_nearest_action_shares_most_and_is_newest():
    other = BEFORE | {"params": {"scheme": "int8", "rules": []}}
    wanted = BEFORE | {"inputs": {"model": "b" * 64}}
    assert ActionHistory([(other, 9.0), (BEFORE, 1.0)]).nearest(wanted) == BEFORE
    assert ActionHistory([(BEFORE | {"kind": "check"}, 9.0)]).nearest(wanted) is None
