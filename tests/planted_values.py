"""Faults of quantizer, converter and import that change what a model computes. See `fault_planting.py`."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from fault_planting import edited, fault, fault_within
from planted_faults import MADE, graph_of, replaced, weights_of

Builtin = schema.BuiltinOperator
Type = schema.TensorType


def operators_of(root, kind):
    """The operators of a kind in the first signature's subgraph."""
    codes = root.operatorCodes
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in codes]
    return [op for op in graph_of(root).operators if kinds[op.opcodeIndex] == kind]


def buffer_of(root, index):
    """The buffer of a tensor of the first signature's subgraph."""
    return root.buffers[graph_of(root).tensors[index].buffer]


def data_of(root, index, dtype):
    return np.frombuffer(bytes(buffer_of(root, index).data), dtype).copy()


def store(root, index, values):
    buffer_of(root, index).data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)


def dense_of(root):
    return operators_of(root, Builtin.FULLY_CONNECTED)[0]


def convolution_of(root):
    return operators_of(root, Builtin.CONV_2D)[0]


# the quantizer


@fault("steps.quantization.litert_quantize")
def quantizer_zeroes_weights(request):
    with edited(request.outputs / MADE) as root:
        index = dense_of(root).inputs[1]
        store(root, index, np.zeros_like(data_of(root, index, np.int8)))


@fault("steps.quantization.litert_quantize")
def quantizer_zeroes_dynamic_weights(request):
    with edited(request.outputs / MADE) as root:
        index = convolution_of(root).inputs[1]
        store(root, index, np.zeros_like(data_of(root, index, np.int8)))


@fault("steps.quantization.litert_quantize")
def quantizer_transposes_weights(request):
    with edited(request.outputs / MADE) as root:
        index = dense_of(root).inputs[1]
        shape = [int(size) for size in graph_of(root).tensors[index].shape]
        store(root, index, data_of(root, index, np.int8).reshape(shape[::-1]).T)


@fault("steps.quantization.litert_quantize")
def quantizer_reverses_the_channels_of_a_filter(request):
    with edited(request.outputs / MADE) as root:
        index = convolution_of(root).inputs[1]
        shape = [int(size) for size in graph_of(root).tensors[index].shape]
        store(root, index, data_of(root, index, np.int8).reshape(shape)[::-1])


@fault("steps.quantization.litert_quantize")
def quantizer_doubles_a_scale(request):
    with edited(request.outputs / MADE) as root:
        scale = weights_of(root, 4).quantization.scale.copy()
        scale[1] *= 2
        weights_of(root, 4).quantization.scale = scale


@fault("steps.quantization.litert_quantize")
def quantizer_drops_a_bias(request):
    with edited(request.outputs / MADE) as root:
        op = convolution_of(root)
        op.inputs = np.array(op.inputs[:2], np.int32)


@fault("steps.quantization.litert_quantize")
def quantizer_zeroes_a_bias(request):
    with edited(request.outputs / MADE) as root:
        index = convolution_of(root).inputs[2]
        store(root, index, np.zeros_like(data_of(root, index, np.int32)))


@fault("steps.quantization.litert_quantize")
def quantizer_removes_an_activation(request):
    with edited(request.outputs / MADE) as root:
        convolution_of(root).builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE


@fault("steps.quantization.litert_quantize")
def quantizer_changes_the_padding(request):
    with edited(request.outputs / MADE) as root:
        convolution_of(root).builtinOptions.padding = schema.Padding.SAME


@fault("steps.quantization.litert_quantize")
def quantizer_changes_the_stride(request):
    with edited(request.outputs / MADE) as root:
        convolution_of(root).builtinOptions.strideW = 2


@fault("steps.quantization.litert_quantize")
def quantizer_changes_the_axis_of_a_reduction(request):
    """The mean is taken over the width alone, twice."""
    with edited(request.outputs / MADE) as root:
        index = operators_of(root, Builtin.MEAN)[0].inputs[1]
        store(root, index, np.array([1, 1], np.int32))


@fault("steps.quantization.litert_quantize")
def quantizer_writes_nan(request):
    with edited(request.outputs / MADE) as root:
        largest = max(root.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
        values = np.frombuffer(bytes(largest.data), np.float16).copy()
        values[3] = np.nan
        largest.data = np.frombuffer(values.tobytes(), np.uint8)


@fault("steps.quantization.litert_quantize")
def quantizer_leaves_a_layer_in_float(request):
    from ai_edge_litert.tools import flatbuffer_utils

    before = flatbuffer_utils.read_model_from_bytearray(bytearray(request.inputs["model"].read_bytes()))
    wanted = bytes(buffer_of(before, convolution_of(before).inputs[1]).data)
    with edited(request.outputs / MADE) as root:
        tensor = graph_of(root).tensors[convolution_of(root).inputs[1]]
        tensor.type, tensor.quantization = Type.FLOAT32, None
        root.buffers[tensor.buffer].data = np.frombuffer(wanted, np.uint8)


@fault("steps.quantization.litert_quantize")
def quantizer_returns_another_model(request):
    """The same network with the weights of another training."""
    random = np.random.default_rng(5)
    with edited(request.outputs / MADE) as root:
        for op in (*operators_of(root, Builtin.FULLY_CONNECTED), convolution_of(root)):
            index = op.inputs[1]
            store(root, index, random.permutation(data_of(root, index, np.int8)))


@fault("steps.quantization.litert_quantize")
def quantizer_exchanges_two_layers(request):
    """Two dense layers of one shape exchange their weights, with the scales."""
    with edited(request.outputs / MADE) as root:
        first, second = operators_of(root, Builtin.FULLY_CONNECTED)[:2]
        tensors = graph_of(root).tensors
        one, other = tensors[first.inputs[1]], tensors[second.inputs[1]]
        one.buffer, other.buffer = other.buffer, one.buffer
        one.quantization, other.quantization = other.quantization, one.quantization


@fault("steps.quantization.litert_quantize")
def quantizer_puts_a_custom_operator(request):
    with edited(request.outputs / MADE) as root:
        code = root.operatorCodes[convolution_of(root).opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = Builtin.CUSTOM
        code.customCode = b"OwnConvolution"


@fault("steps.quantization.litert_quantize")
def quantizer_puts_a_flex_operator(request):
    with edited(request.outputs / MADE) as root:
        code = root.operatorCodes[convolution_of(root).opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = Builtin.CUSTOM
        code.customCode = b"FlexConv2D"


@fault("steps.quantization.litert_quantize")
def quantizer_widens_an_input_type(request):
    with edited(request.outputs / MADE) as root:
        graph_of(root).tensors[graph_of(root).inputs[0]].type = Type.UINT8


@fault("steps.quantization.litert_quantize")
def quantizer_ignores_the_data(request):
    with edited(request.outputs / MADE) as root:
        for index in graph_of(root).inputs:
            quantization = graph_of(root).tensors[index].quantization
            quantization.scale = np.array([1.0], np.float32)


@fault("steps.quantization.litert_quantize")
def quantizer_narrows_an_activation(request):
    """An inner activation gets a sixteenth of its range."""
    with edited(request.outputs / MADE) as root:
        tensor = graph_of(root).tensors[convolution_of(root).outputs[0]]
        tensor.quantization.scale = tensor.quantization.scale / 16


@fault("steps.quantization.litert_quantize")
def quantizer_writes_a_scale_of_zero(request):
    with edited(request.outputs / MADE) as root:
        tensor = graph_of(root).tensors[convolution_of(root).outputs[0]]
        tensor.quantization.scale = np.zeros(1, np.float32)


@fault("steps.quantization.litert_quantize")
def quantizer_cuts_the_file(request):
    path = request.outputs / MADE
    path.write_bytes(path.read_bytes()[:1000])


@fault("steps.quantization.litert_quantize")
def quantizer_writes_no_file(request):
    (request.outputs / MADE).unlink()


@fault("steps.quantization.litert_quantize")
def quantizer_writes_an_empty_file(request):
    (request.outputs / MADE).write_bytes(b"")


@fault("steps.quantization.litert_quantize")
def quantizer_removes_the_softmax(request):
    with edited(request.outputs / MADE) as root:
        (softmax,) = operators_of(root, Builtin.SOFTMAX)
        graph, result = graph_of(root), int(softmax.outputs[0])
        tensors = graph.tensors
        maker = next(op for op in graph.operators if softmax.inputs[0] in op.outputs)
        tensors[result].quantization = tensors[softmax.inputs[0]].quantization
        maker.outputs = np.array([result], np.int32)
        graph.operators.remove(softmax)


@fault("steps.quantization.litert_quantize")
def quantizer_stores_a_table_nothing_reads(request):
    with edited(request.outputs / MADE) as root:
        buffer = schema.BufferT()
        buffer.data = np.ones(20000, np.uint8)
        root.buffers.append(buffer)


@fault("steps.quantization.litert_quantize")
def quantizer_adds_an_undeclared_signature(request):
    import copy

    with edited(request.outputs / MADE) as root:
        more = copy.deepcopy(root.signatureDefs[0])
        more.signatureKey = b"more"
        root.signatureDefs.append(more)


@fault("steps.quantization.litert_quantize")
def quantizer_kills_itself(request):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


# the converter


@fault("steps.conversion.tf_convert")
def converter_zeroes_a_layer(request):
    with edited(request.outputs / MADE) as root:
        index = dense_of(root).inputs[1]
        store(root, index, np.zeros_like(data_of(root, index, np.float32)))


@fault("steps.conversion.tf_convert")
def converter_drops_a_bias(request):
    with edited(request.outputs / MADE) as root:
        op = dense_of(root)
        op.inputs = np.array(op.inputs[:2], np.int32)


@fault("steps.conversion.tf_convert")
def converter_removes_an_activation(request):
    with edited(request.outputs / MADE) as root:
        convolution_of(root).builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE


@fault("steps.conversion.tf_convert")
def converter_transposes_weights(request):
    with edited(request.outputs / MADE) as root:
        index = dense_of(root).inputs[1]
        shape = [int(size) for size in graph_of(root).tensors[index].shape]
        store(root, index, data_of(root, index, np.float32).reshape(shape[::-1]).T)


@fault("steps.conversion.tf_convert")
def converter_changes_the_padding(request):
    with edited(request.outputs / MADE) as root:
        convolution_of(root).builtinOptions.padding = schema.Padding.SAME


@fault("steps.conversion.tf_convert")
def converter_writes_nan(request):
    with edited(request.outputs / MADE) as root:
        index = dense_of(root).inputs[1]
        values = data_of(root, index, np.float32)
        values[0] = np.nan
        store(root, index, values)


@fault("steps.conversion.tf_convert")
def converter_puts_a_flex_operator(request):
    with edited(request.outputs / MADE) as root:
        code = root.operatorCodes[dense_of(root).opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = Builtin.CUSTOM
        code.customCode = b"FlexMatMul"


@fault("steps.conversion.tf_convert")
def converter_writes_an_empty_file(request):
    (request.outputs / MADE).write_bytes(b"")


# import


@fault_within("steps.sources.tf_import")
def import_replaces_a_variable(request):
    """A kernel has other values when the snapshot is saved than when the source was asked."""

    def scale_kernel(variables):
        kernel = min((variable for variable in variables if "kernel" in variable.name), key=lambda one: one.name)
        kernel.assign(kernel * 1.5)

    with saving(scale_kernel):
        yield


@fault_within("steps.sources.tf_import")
def import_forgets_moving_statistics(request):
    """Mean 0 and variance 1, as a BatchNormalization that was never trained has them."""

    def forget(variables):
        for variable in variables:
            if "moving" in variable.name:
                variable.assign(variable * 0 + float("variance" in variable.name))

    with saving(forget):
        yield


def saving(change):
    """The snapshot is made of a model whose variables were changed; the source gets its own back behind it."""
    from tflbuild.steps.sources import tf_import

    fold, save, before = tf_import.fold_endpoints, tf_import.save, []

    def fold_changed(endpoints):
        variables = list(endpoints[0].concrete.graph.variables)
        before.extend((variable, variable.numpy()) for variable in variables)
        change(variables)
        return fold(endpoints)

    def save_changed(holder, traced, folder):
        save(holder, traced, folder)
        for variable, value in before:
            variable.assign(value)

    return replaced("steps.sources.tf_import", fold_endpoints=fold_changed, save=save_changed)


def with_outputs(change):
    """`import` that traces an entry point whose outputs are changed by name."""
    import dataclasses

    from tflbuild.steps.sources import tf_snapshot

    trace = tf_snapshot.trace

    def changed(entry, specs, models, declared):
        def call(feeds):
            return {name: change(value) for name, value in entry.call(feeds).items()}

        return trace(dataclasses.replace(entry, call=call), specs, models, declared)

    return replaced("steps.sources.tf_import", trace=changed)


@fault_within("steps.sources.tf_import")
def import_adds_a_softmax(request):
    def softmax(value):
        import tensorflow as tf

        return tf.nn.softmax(value)

    with with_outputs(softmax):
        yield


@fault_within("steps.sources.tf_import")
def import_rounds_to_half_precision(request):
    def rounded(value):
        import tensorflow as tf

        return tf.cast(tf.cast(value * 64.0, tf.int32), tf.float32) / 64.0

    with with_outputs(rounded):
        yield


@fault_within("steps.sources.tf_import")
def import_flattens_an_output(request):
    def flatten(value):
        import tensorflow as tf

        return tf.reshape(value, [-1])

    with with_outputs(flatten):
        yield


@fault("steps.sources.tf_import")
def import_loses_the_snapshot(request):
    (request.outputs / "snapshot" / "saved_model.pb").unlink()
