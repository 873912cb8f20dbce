"""Constants are folded to the values that TensorFlow computes, except for its rounding."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from commandline import Project

from tflbuild.steps.folding.folded_functions import find_written, fold_concrete
from tflbuild.steps.sources.tf_snapshot import is_stateful, save

pytestmark = pytest.mark.heavy

VALUES = np.linspace(0.31, 2.7, 8, dtype=np.float32)
ROOTS = (1 / np.sqrt(VALUES.astype(np.float64))).astype(np.float32)


def trace(function, *specs):
    """A function that gives {"y": ...}, as a concrete one."""
    return tf.function(
        lambda *args: {"y": function(*args)}, input_signature=specs, autograph=False
    ).get_concrete_function()


def fold(concrete, *others):
    """The folded function of `concrete`; `others` are entry points of the same model."""
    written = frozenset().union(*(find_written(one) for one in (concrete, *others)))
    return fold_concrete(concrete, written, keep_order=is_stateful(concrete))


def ops(concrete):
    """The operators of a function and of the functions that it calls."""
    graph = concrete.graph.as_graph_def()
    return {node.op for node in (*graph.node, *(n for one in graph.library.function for n in one.node_def))}


def constants(concrete):
    """The float constants of a function and of the functions that it calls."""
    graph = concrete.graph.as_graph_def()
    nodes = (*graph.node, *(n for one in graph.library.function for n in one.node_def))
    found = [tf.make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"]
    return [array for array in found if array.dtype.kind == "f"]


X = tf.TensorSpec([None, 8], tf.float32, "x")


def scaled(x):
    return x * tf.math.rsqrt(tf.constant(VALUES))


def scaled_in_a_call(x):
    return tf.function(scaled)(x)


def scaled_in_a_loop(x):
    factor = tf.constant(VALUES)
    return tf.while_loop(lambda i, _: i < 3, lambda i, a: (i + 1, a * tf.math.rsqrt(factor)), [0, x])[1]


def scaled_in_a_branch(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: scaled(x), lambda: x - tf.math.rsqrt(tf.constant(VALUES)))


def scaled_behind_views(x):
    return x * tf.stop_gradient(tf.identity(tf.reshape(tf.math.rsqrt(tf.constant(VALUES.reshape(2, 4))), [8])))


@pytest.mark.parametrize(
    "function", [scaled, scaled_in_a_call, scaled_in_a_loop, scaled_in_a_branch, scaled_behind_views]
)
def test_a_constant_is_the_float32_nearest_to_what_it_stands_for(function):
    concrete = trace(function, X)
    folded = fold(concrete)
    assert "Rsqrt" in ops(concrete)
    assert "Rsqrt" not in ops(folded.concrete)
    assert any(np.array_equal(array.ravel(), ROOTS) for array in constants(folded.concrete))
    assert not folded.unfolded
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32))
    np.testing.assert_allclose(folded.concrete(x=x)["y"], concrete(x=x)["y"], rtol=1e-6, atol=1e-6)


def test_a_size_that_is_known_is_a_constant_where_another_is_free():
    folded = fold(trace(lambda x: x * tf.math.rsqrt(tf.cast(tf.shape(x)[-1], tf.float32)), X)).concrete
    assert not {"Rsqrt", "Shape", "Cast"} & ops(folded)
    free = fold(trace(lambda x: x * tf.math.rsqrt(tf.cast(tf.shape(x)[0], tf.float32)), X)).concrete
    assert {"Rsqrt", "Shape"} <= ops(free)


def rows_of_a_variable(x):
    return x * tf.math.rsqrt(tf.gather(TABLE, [2, 0])[0])


def shape_of_ones(x):
    return x * tf.math.rsqrt(tf.ones_like(x[0]) * VALUES)


TABLE = tf.Variable(np.stack([VALUES + 1, VALUES + 2, VALUES]))


@pytest.mark.parametrize("function", [rows_of_a_variable, shape_of_ones])
def test_constants_that_only_the_converter_would_see_are_seen(function):
    folded = fold(trace(function, X)).concrete
    assert not {"Rsqrt", "ResourceGather", "OnesLike"} & ops(folded)
    assert any(np.array_equal(array, ROOTS) for array in constants(folded))


def test_what_cannot_be_computed_is_left_to_the_converter():
    folded = fold(trace(lambda x: x * tf.cast(tf.constant([1]) // tf.constant([0]), tf.float32), X))
    assert {"FloorDiv"} <= ops(folded.concrete)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_batch_normalisation_is_a_product_and_a_sum(layout):
    offset, mean = VALUES - 1, VALUES[::-1].copy()
    spec = tf.TensorSpec([2, 8, 4, 4] if layout == "NCHW" else [2, 4, 4, 8], tf.float32, "x")
    raw = {"scale": ROOTS, "offset": offset, "mean": mean, "variance": VALUES, "epsilon": 1e-3, "is_training": False}
    folded = fold(trace(lambda x: tf.raw_ops.FusedBatchNormV3(x=x, **raw, data_format=layout).y, spec)).concrete
    assert "FusedBatchNormV3" not in ops(folded)
    factor = ROOTS.astype(np.float64) / np.sqrt(VALUES.astype(np.float64) + np.float64(np.float32(1e-3)))
    shape = (8, 1, 1) if layout == "NCHW" else (8,)
    wanted = [factor.astype(np.float32), (offset - mean * factor).astype(np.float32)]
    held = constants(folded)
    assert all(any(np.array_equal(one.reshape(shape), two) for two in held) for one in wanted)
    x = np.random.default_rng(1).normal(size=spec.shape).astype(np.float32)
    expected = x * wanted[0].reshape(shape) + wanted[1].reshape(shape)
    np.testing.assert_allclose(folded(x=tf.constant(x))["y"], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("divide", [tf.divide, tf.math.divide_no_nan, tf.compat.v1.div])
def test_division_by_constants_is_a_product(divide):
    """TFLiteConverter makes it one, with an approximate reciprocal."""
    folded = fold(trace(lambda x: divide(x, tf.constant(VALUES)), X)).concrete
    assert not {"RealDiv", "Div", "DivNoNan"} & ops(folded)
    inverse = (1 / VALUES.astype(np.float64)).astype(np.float32)
    assert any(np.array_equal(array, inverse) for array in constants(folded))
    np.testing.assert_allclose(folded(x=tf.ones([1, 8]))["y"][0], inverse)
    assert "RealDiv" in ops(fold(trace(lambda x: VALUES / x, X)).concrete)


def test_a_variable_is_a_constant_unless_some_entry_point_writes_it():
    kept, counted = tf.Variable(VALUES), tf.Variable(VALUES)
    reader = trace(lambda x: x * tf.math.rsqrt(kept) + tf.math.rsqrt(counted), X)
    writer = trace(lambda x: counted.assign_add(x[0]), X)
    folded = fold(reader, writer)
    graph = folded.concrete.graph.as_graph_def()
    assert [node.op for node in graph.node].count("Rsqrt") == 1
    assert [variable.ref() for variable in folded.concrete.graph.variables] == [counted.ref()]
    assert fold(writer).concrete(x=tf.zeros([1, 8]))["y"] is not None
    assert not {"Rsqrt"} & ops(fold(reader).concrete)


def test_functions_of_two_entry_points_keep_apart(tmp_path):
    factors = {"double": 2.0, "triple": 3.0}
    entries = {
        name: trace(lambda x, by=by: tf.cond(x[0, 0] > 0, lambda: x * by, lambda: x), X) for name, by in factors.items()
    }
    taken, folded = set(), {}
    for name, concrete in entries.items():
        made = fold_concrete(concrete, frozenset(), other_functions=taken, keep_order=False)
        taken |= made.functions
        folded[name] = made.concrete
    save(tf.Module(), folded, tmp_path / "snapshot")
    again = tf.saved_model.load(str(tmp_path / "snapshot")).signatures
    assert {name: float(again[name](x=tf.ones([1, 8]))["y"][0, 0]) for name in entries} == factors


def test_state_changes_in_its_order():
    state = tf.Variable([1.0])

    def step(x):
        state.assign(state * 2)
        before = tf.identity(state)
        state.assign_add(tf.math.rsqrt([4.0]))
        return x * 0 + before * 100 + state

    concrete = trace(step, tf.TensorSpec([1], tf.float32, "x"))
    folded = fold(concrete).concrete
    assert [float(folded(x=tf.constant([0.0]))["y"][0]) for _ in range(2)] == [202.5, 505.5]


def test_what_waits_for_a_constant_does_not_wait():
    state, kept = tf.Variable([1.0]), tf.Variable([4.0])

    def step(x):
        with tf.control_dependencies([tf.math.rsqrt(kept), state.assign_add(x)]):
            factor = tf.constant([3.0])
        with tf.control_dependencies([factor]):
            return factor * tf.math.rsqrt(kept) + state

    folded = fold(trace(step, tf.TensorSpec([1], tf.float32, "x"))).concrete
    assert float(folded(x=tf.constant([2.0]))["y"][0]) == 4.5


def test_an_operator_outside_the_table_is_left_and_reported():
    folded = fold(trace(lambda x: x * tf.linalg.svd(tf.constant(VALUES.reshape(2, 4)), compute_uv=False)[0], X))
    (left,) = folded.unfolded
    assert (left.operator, left.layer) == ("Svd", "Svd")
    assert "Svd" in ops(folded.concrete)


@pytest.mark.parametrize("value", [1e10, np.nan])
def test_a_cast_that_cpus_do_differently_is_reported(value):
    folded = fold(trace(lambda x: x * tf.cast(tf.cast(tf.constant([value]), tf.int32), tf.float32), X))
    assert [left.operator for left in folded.unfolded] == ["Cast"]


@pytest.mark.filterwarnings("error")
def test_constants_of_a_batch_normalisation_are_rounded_once_and_have_one_nan():
    # 1 + 2^-8 lies between two bfloat16; the factor is a little more, but rounds to it in float32
    raw = {"scale": [1.0, 1.0 + 2**-8], "offset": [0.0, 0.0], "mean": [0.0, 0.0]}
    variance, settings = [-1.0, 1.0 - 2**-24], {"epsilon": 0.0, "is_training": False}
    spec = tf.TensorSpec([2, 4, 4, 2], tf.bfloat16, "x")
    folded = fold(trace(lambda x: tf.raw_ops.FusedBatchNormV3(x=x, **raw, variance=variance, **settings).y, spec))
    graph = folded.concrete.graph.as_graph_def()
    held = [tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"]
    factor = next(array.astype(np.float64) for array in held if array.shape == (2,) and array[1] != 0)
    assert factor[1] == 1 + 2**-7
    assert np.isnan(factor[0]) and not np.signbit(factor[0])


@pytest.mark.filterwarnings("error")
def test_a_reciprocal_that_is_too_large_is_infinite():
    folded = fold(trace(lambda x: x / tf.constant(np.float32([1e-40] * 8)), X)).concrete
    assert any(np.isposinf(array).all() for array in constants(folded))


def test_nodes_of_quantization_aware_training_stay():
    weights = tf.constant(VALUES)
    folded = fold(trace(lambda x: x * tf.quantization.fake_quant_with_min_max_vars(weights, 0.0, 2.0 + 1.0), X))
    assert "FakeQuantWithMinMaxVars" in ops(folded.concrete)
    assert not folded.unfolded


def test_what_would_only_grow_the_file_stays_an_operator():
    row = tf.constant(np.linspace(0.31, 2.7, 1024, dtype=np.float32)[None])
    large = fold(trace(lambda x: x[0, 0] + tf.math.rsqrt(tf.tile(row, [1024, 1])), X))
    small = fold(trace(lambda x: x[0, 0] + tf.math.rsqrt(tf.tile(row, [2, 1])), X))
    assert {"Tile", "Rsqrt"} <= ops(large.concrete)
    assert not {"Tile", "Rsqrt"} & ops(small.concrete)
    assert {tie.operator for tie in large.unfolded} == {"Rsqrt"}  # in some graphs the converter folds it
    assert not small.unfolded


def outer_sum(x):
    return x + tf.math.rsqrt(COLUMN + tf.transpose(COLUMN))[0, 0]


def filled(x):
    return x + tf.math.rsqrt(tf.fill([600, 600], COLUMN[1, 0]))[0, 0]


def table_of_angles(x):
    return x + tf.sin(COLUMN * tf.range(600.0))[0, 0]


COLUMN = tf.constant(np.linspace(0.31, 2.7, 600, dtype=np.float32)[:, None])


@pytest.mark.parametrize("function", [outer_sum, filled, table_of_angles])
def test_what_the_converter_stores_whatever_its_size_is_folded(function):
    folded = fold(trace(function, X))
    assert not {"Rsqrt", "Sin"} & ops(folded.concrete)
    assert not folded.unfolded


FLAG = tf.Variable(1.0)


def scaled_after_a_branch(x):
    return x * tf.math.rsqrt(tf.cond(FLAG > 0.0, lambda: tf.constant(VALUES), lambda: tf.ones(8)))


def scaled_after_a_case(x):
    cases = [lambda: tf.ones(8), lambda: tf.constant(VALUES)]
    return x * tf.math.rsqrt(tf.switch_case(tf.cast(FLAG, tf.int32) + 3, cases))


def scaled_after_branches_in_branches(x):
    def factor():
        return tf.cond(FLAG < 5.0, lambda: tf.constant(VALUES), lambda: tf.ones(8))

    return tf.cond(
        tf.reduce_sum(x) > 0,
        lambda: x * tf.math.rsqrt(tf.cond(FLAG > 0.0, factor, lambda: tf.zeros(8))),
        lambda: x,
    )


def scaled_after_a_loop(x):
    factor = tf.constant(VALUES)
    _, y, same = tf.while_loop(lambda i, *_: i < 3, lambda i, y, c: (i + 1, tf.tanh(y), c), [0, x, factor])
    return y * tf.math.rsqrt(same)


def scaled_by_texts(x):
    return x * tf.math.rsqrt(tf.strings.to_number(tf.constant([repr(float(value)) for value in VALUES])))


def scaled_by_bytes(x):
    return x * tf.math.rsqrt(tf.io.decode_raw(tf.constant(VALUES.tobytes()), tf.float32))


@pytest.mark.parametrize(
    "function",
    [
        *(scaled_after_a_branch, scaled_after_a_case, scaled_after_branches_in_branches),
        *(scaled_after_a_loop, scaled_by_texts, scaled_by_bytes),
    ],
)
def test_constants_behind_decided_branches_loops_and_texts_are_folded(function):
    def in_scope(x):
        with tf.name_scope(function.__name__):
            return function(x)

    concrete = trace(in_scope, X)
    folded = fold(concrete)
    assert "Rsqrt" not in ops(folded.concrete)
    assert any(np.array_equal(array, ROOTS) for array in constants(folded.concrete))
    assert not folded.unfolded
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32))
    np.testing.assert_allclose(folded.concrete(x=x)["y"], concrete(x=x)["y"], rtol=1e-6, atol=1e-6)


INFINITE = np.full(8, np.inf, np.float32)


@pytest.mark.parametrize("operator", [tf.math.xlogy, tf.math.xlog1py, tf.math.xdivy])
def test_a_function_of_a_constant_operand_is_folded(operator):
    """TFLiteConverter makes a product of each, and computes what stands behind it."""
    concrete = trace(lambda x: operator(x, tf.constant(VALUES)), X)
    folded = fold(concrete)
    assert not {"Xlogy", "Xlog1py", "Xdivy"} & ops(folded.concrete)
    x = tf.constant([[0.0, -1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]])
    np.testing.assert_allclose(folded.concrete(x=x)["y"], concrete(x=x)["y"], rtol=1e-6)
    left = fold(trace(lambda x: operator(x, tf.constant(INFINITE)), X))
    assert bool(left.unfolded) == (operator is not tf.math.xdivy)  # 1 / infinity is zero


def test_a_batch_normalisation_whose_scale_is_computed_has_a_folded_variance():
    def normalize(x):
        scale = tf.reduce_mean(x, [0, 1, 2])
        raw = {"mean": VALUES - 1, "variance": VALUES, "epsilon": 1e-3, "is_training": False}
        return tf.raw_ops.FusedBatchNormV3(x=x, scale=scale, offset=scale * 2.0, **raw).y

    concrete = trace(normalize, tf.TensorSpec([2, 4, 4, 8], tf.float32, "x"))
    folded = fold(concrete)
    assert "FusedBatchNormV3" not in ops(folded.concrete)
    assert not folded.unfolded
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32))
    np.testing.assert_allclose(folded.concrete(x=x)["y"], concrete(x=x)["y"], rtol=1e-5, atol=1e-5)


def test_what_the_converter_computes_behind_an_unknown_constant_is_reported():
    def quantized(x):
        weights = tf.quantization.quantize_and_dequantize_v2(tf.constant(VALUES), 0.0, 3.0, range_given=True)
        return x * tf.math.rsqrt(weights)

    assert "Rsqrt" in {tie.operator for tie in fold(trace(quantized, X)).unfolded}


SOURCE = """
import tensorflow as tf

def make():
    factor = tf.linalg.svd([[2.0, 1.0], [1.0, 3.0]], compute_uv=False)

    @tf.function(input_signature=[tf.TensorSpec([1, 2], tf.float32, "x")])
    def model(x):
        return {"y": x * tf.linalg.svd([[2.0, 1.0], [1.0, 3.0]], compute_uv=False) + factor}

    return model
"""
RECIPE = """
defaults: [{override /source: function}]
source: {call: model.py:make}
"""


def test_a_build_with_an_operator_outside_the_table_says_so(tmp_path):
    project = Project(tmp_path, tmp_path / "store")
    project.write("model.py", SOURCE)
    project.write("recipes/outside.yaml", RECIPE)
    done = project.run("+recipe=outside")
    assert done.code == 0, done.err
    (tied,) = project.manifest("outside")["tied_to_cpu"]
    assert (tied["step"], tied["operator"], tied["layer"]) == ("convert", "Svd", "Svd")
    assert "Svd" in (project.output("outside") / "card.md").read_text()
    assert "Svd" in project.run("plan", "+recipe=outside").out
