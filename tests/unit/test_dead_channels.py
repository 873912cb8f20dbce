"""Biases that int32 cannot hold at the scale of weights of about 0."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from one_op import write_model
from one_op_cases import CASES

from tflbuild.steps.quantization.dead_channels import keep_biases
from tflbuild.steps.quantization.litert_quantize import convert_ranges, quantize
from tflbuild.steps.quantization.quantizer_recipe import make_recipe
from tflbuild.tflite.model_editing import parse_model, serialize_model

RESOLVERS = (OpResolverType.BUILTIN, OpResolverType.BUILTIN_REF)
BIAS = -0.77


def with_dead_channel(case, axis, size):
    """Return the float model of a case whose first channel has weights of `size` and the bias BIAS."""
    root = parse_model(write_model(CASES[case]))
    tensors = root.subgraphs[0].tensors
    filter_, bias = tensors[root.subgraphs[0].operators[0].inputs[1]], tensors[root.subgraphs[0].operators[0].inputs[2]]
    weights = np.random.default_rng(1).normal(size=filter_.shape).astype(np.float32)
    np.moveaxis(weights, axis, 0)[0] = size
    root.buffers[filter_.buffer].data = np.frombuffer(weights.tobytes(), np.uint8)
    values = np.full(bias.shape, 0.5, np.float32)
    values[0] = BIAS
    root.buffers[bias.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    return serialize_model(root)


def invoke(model, values, resolver):
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor"])
@pytest.mark.parametrize(
    ("case", "axis"),
    [("CONV_2D_float32", 0), ("DEPTHWISE_CONV_2D_float32", 3), ("FULLY_CONNECTED_float32_batch1", 0)],
)
def test_a_channel_of_vanishing_weights_keeps_its_bias(case, axis, granularity):
    model = with_dead_channel(case, axis, 1e-12)
    graph = parse_model(model).subgraphs[0]
    shape = graph.tensors[graph.inputs[0]].shape
    values = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    exact = invoke(model, values, OpResolverType.BUILTIN)
    measured = {
        graph.tensors[index].name.decode(): {"min": float(array.min()), "max": float(array.max()), "rank": array.ndim}
        for index, array in ((graph.inputs[0], values), (graph.outputs[0], exact))
    }
    parameters = {"scheme": "int8", "input_type": "float32", "output_type": "float32", "granularity": granularity}
    made = quantize(model, make_recipe(parameters, []), convert_ranges(measured))
    for resolver in RESOLVERS:
        outputs = invoke(made, values, resolver)
        assert outputs[..., 0] == pytest.approx(exact[..., 0], abs=0.02 * float(np.ptp(exact)))
        assert np.abs(outputs - exact).max() < 0.05 * np.ptp(exact)


def test_biases_that_fit_change_nothing():
    model = write_model(CASES["CONV_2D_int8"])
    root = parse_model(model)
    assert not keep_biases(root, model)
    assert serialize_model(root) == serialize_model(parse_model(model))
