"""A source's function is asked with each value at its own place, whatever names its inputs have."""

import pytest

pytestmark = pytest.mark.heavy


def test_inputs_whose_names_are_no_parameters_keep_their_places():
    tf = pytest.importorskip("tensorflow")
    from tflbuild.workers.tf_entries import function_entry

    @tf.function(input_signature=[tf.TensorSpec([2, 3], name="x"), tf.TensorSpec([5, 3], name="filter")])
    def product(*values):
        return {"y": tf.matmul(values[0], values[1], transpose_b=True)}

    @tf.function(input_signature=[tf.TensorSpec([2, 3], name="picture"), tf.TensorSpec([5, 3], name="banks")])
    def renamed(first, second):
        return {"y": tf.matmul(first, second, transpose_b=True)}

    for function, first, second in ((product, "x", "filter"), (renamed, "picture", "banks")):
        feeds = {second: tf.ones([5, 3]), first: tf.ones([2, 3])}
        assert function_entry(function).call(feeds)["y"].shape == (2, 5)


def test_a_failing_node_is_named_with_what_tensorflow_says_of_it():
    from tflbuild.workers.server import graph_reason

    text = (
        "Graph execution error:\n\nDetected at node model/Reshape defined at (most recent call last):\n"
        "<stack traces unavailable>\nInput to reshape is a tensor with 320 values, but the requested shape has 16\n"
        "\t [[{{node model/Reshape}}]] [Op:__inference_3]"
    )
    assert graph_reason(text) == (
        ": Input to reshape is a tensor with 320 values, but the requested shape has 16 (node model/Reshape)"
    )
    assert not graph_reason("something else\nwith lines")
