"""The faults that tests plant, by the worker that they are planted in; see `fault_planting.py`."""

from __future__ import annotations

import dataclasses
import importlib
import io
import zipfile
from contextlib import contextmanager

import numpy as np
from fault_planting import edited, fault, fault_within

MADE = "model.tflite"


def graph_of(root, signature=0):
    """The subgraph of a signature."""
    return root.subgraphs[root.signatureDefs[signature].subgraphIndex]


def weights_of(root, rank):
    """The first quantized constant with a scale a channel and this many axes."""
    tensors = [tensor for graph in root.subgraphs for tensor in graph.tensors]
    return next(
        tensor
        for tensor in tensors
        if len(tensor.shape) == rank and tensor.quantization.scale is not None and len(tensor.quantization.scale) > 1
    )


def swap_names(entries):
    first, second = entries[:2]
    first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex


# the LiteRT quantizer


@fault("steps.quantization.litert_quantize")
def quantizer_exchanges_outputs(request):
    with edited(request.outputs / MADE) as root:
        swap_names(root.signatureDefs[0].outputs)


@fault("steps.quantization.litert_quantize")
def quantizer_exchanges_inputs_of_the_graph(request):
    with edited(request.outputs / MADE) as root:
        graph_of(root).inputs = [int(index) for index in graph_of(root).inputs][::-1]


@fault("steps.quantization.litert_quantize")
def quantizer_reverses_outputs_of_the_graph(request):
    with edited(request.outputs / MADE) as root:
        graph_of(root).outputs = [int(index) for index in graph_of(root).outputs][::-1]


@fault("steps.quantization.litert_quantize")
def quantizer_keeps_one_scale(request):
    with edited(request.outputs / MADE) as root:
        quantization = weights_of(root, 4).quantization
        quantization.scale = quantization.scale[:1]
        quantization.zeroPoint = quantization.zeroPoint[:1]


@fault("steps.quantization.litert_quantize")
def quantizer_turns_the_axis_of_scales(request):
    with edited(request.outputs / MADE) as root:
        weights_of(root, 2).quantization.quantizedDimension = 1


@fault("steps.quantization.litert_quantize")
def quantizer_gives_scales_by_channel(request):
    """Give a model with one scale for each tensor one scale for each channel."""
    with edited(request.outputs / MADE) as root:
        tensors = [tensor for tensor in graph_of(root).tensors if len(tensor.shape) == 2 and tensor.shape[0] == 8]
        quantization = next(one.quantization for one in tensors if one.quantization.scale is not None)
        quantization.scale = np.repeat(quantization.scale, 8)
        quantization.zeroPoint = np.repeat(quantization.zeroPoint, 8)


@fault("steps.quantization.litert_quantize")
def quantizer_shifts_a_zero_point(request):
    with edited(request.outputs / MADE) as root:
        graph = graph_of(root)
        graph.tensors[graph.operators[0].outputs[0]].quantization.zeroPoint[:] = 3


@fault("steps.quantization.litert_quantize")
def quantizer_shifts_the_zero_point_of_an_input(request):
    with edited(request.outputs / MADE) as root:
        graph = graph_of(root)
        graph.tensors[graph.inputs[0]].quantization.zeroPoint[:] = 3


@fault("steps.quantization.litert_quantize")
def quantizer_renames_an_output(request):
    with edited(request.outputs / MADE) as root:
        root.signatureDefs[0].outputs[0].name = b"other"


@fault("steps.quantization.litert_quantize")
def quantizer_drops_the_signature(request):
    with edited(request.outputs / MADE) as root:
        root.signatureDefs = []


@fault("steps.quantization.litert_quantize")
def quantizer_pins_the_batch(request):
    with edited(request.outputs / MADE) as root:
        for tensor in graph_of(root).tensors:
            tensor.shapeSignature = None


@fault("steps.quantization.litert_quantize")
def quantizer_leaves_the_model_as_it_is(request):
    (request.outputs / MADE).write_bytes(request.inputs["model"].read_bytes())


# annotate


def change_metadata(request, change):
    """Write the metadata anew, with a change of the tree and of the packed files."""
    from tflbuild.tflite.tflite_metadata import read_metadata, write_metadata

    path = request.outputs / MADE
    raw, tree = path.read_bytes(), read_metadata(path)["model"]
    files = {}
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    change(tree, files)
    path.write_bytes(write_metadata(request.inputs["model"].read_bytes(), tree, files))


def unit_of(tree):
    """The options of the first input's first process unit."""
    described = tree["subgraph_metadata"][0]["input_tensor_metadata"]
    return next(one for one in described if "process_units" in one)["process_units"][0]["options"]


@fault("steps.packaging.annotate")
def annotate_exchanges_mean_and_std(request):
    def change(tree, files):
        options = unit_of(tree)
        options["mean"], options["std"] = options["std"], options["mean"]

    change_metadata(request, change)


@fault("steps.packaging.annotate")
def annotate_forgets_a_description(request):
    change_metadata(request, lambda tree, files: tree.pop("description"))


@fault("steps.packaging.annotate")
def annotate_packs_other_labels(request):
    def change(tree, files):
        lines = files["labels.txt"].splitlines(keepends=True)
        files["labels.txt"] = b"".join([lines[1], lines[0], *lines[2:]])

    change_metadata(request, change)


@fault("steps.packaging.annotate")
def annotate_packs_no_labels(request):
    change_metadata(request, lambda tree, files: files.pop("labels.txt"))


@fault("steps.packaging.annotate")
def annotate_exchanges_outputs(request):
    def change(tree, files):
        tree["subgraph_metadata"][0]["output_tensor_metadata"].reverse()

    change_metadata(request, change)


@fault("steps.packaging.annotate")
def annotate_writes_another_greatest_value(request):
    def change(tree, files):
        described = tree["subgraph_metadata"][0]["input_tensor_metadata"]
        next(one for one in described if "stats" in one)["stats"]["max"] = [9.0]

    change_metadata(request, change)


@fault("steps.packaging.annotate")
def annotate_writes_nothing(request):
    (request.outputs / MADE).write_bytes(request.inputs["model"].read_bytes())


# import


@contextmanager
def replaced(module, **attributes):
    """Attributes of a worker's module replaced while the worker runs."""
    owner = importlib.import_module(f"tflbuild.{module}")
    before = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield before
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def with_preprocess(change):
    """`import` with a fold that reads the declaration wrong."""
    from tflbuild.steps.sources import preprocess

    fold = preprocess.add_preprocessing
    return replaced(
        "steps.sources.tf_snapshot",
        add_preprocessing=lambda tensor, one, model: fold(tensor, {**one, **change(one)}, model),
    )


@fault_within("steps.sources.tf_import")
def import_exchanges_mean_and_std(request):
    with with_preprocess(lambda one: {"mean": one["std"], "std": one["mean"]}):
        yield


@fault_within("steps.sources.tf_import")
def import_forgets_the_scale(request):
    with with_preprocess(lambda one: {"scale": 1.0}):
        yield


@fault_within("steps.sources.tf_import")
def import_resizes_to_the_nearest(request):
    with with_preprocess(lambda one: {"resize": "nearest"}):
        yield


@fault_within("steps.sources.tf_import")
def import_reverses_the_channels(request):
    with with_preprocess(lambda one: {"mean": one["mean"][::-1]}):
        yield


@fault_within("steps.sources.tf_import")
def import_traces_in_training_mode(request):
    """As a wrapper does that passes `training` on."""
    import keras

    call = keras.Model.__call__
    keras.Model.__call__ = lambda self, *args, **kwargs: call(self, *args, **{**kwargs, "training": in_trace()})

    def in_trace():
        import tensorflow as tf

        return not tf.executing_eagerly()

    try:
        yield
    finally:
        keras.Model.__call__ = call


@fault_within("steps.sources.tf_import")
def import_exchanges_outputs(request):
    """An output is renamed to the other one's tensor."""
    from tflbuild.steps.sources import source_entry_points

    name_results = source_entry_points.name_results

    def exchanged(result, names=None):
        named = name_results(result, names)
        return dict(zip(named, reversed(named.values()), strict=True))

    with replaced("steps.sources.source_entry_points", name_results=exchanged):
        yield


@fault_within("steps.sources.tf_import")
def import_exchanges_inputs(request):
    """Inputs of one shape are fed in the wrong order."""
    from tflbuild.steps.sources import tf_snapshot

    trace = tf_snapshot.trace

    def exchanged(entry, specs, models, declared):
        def call(feeds):
            return entry.call(dict(zip(feeds, reversed(feeds.values()), strict=True)))

        return trace(dataclasses.replace(entry, call=call), specs, models, declared)

    with replaced("steps.sources.tf_import", trace=exchanged):
        yield


@fault_within("steps.sources.tf_import")
def import_repeats_a_sample(request):
    """Of a batch, the first sample is taken for all."""
    from tflbuild.steps.sources import tf_snapshot

    trace = tf_snapshot.trace

    def repeated(entry, specs, models, declared):
        def call(feeds):
            return {name: value[:1] + 0 * value for name, value in entry.call(feeds).items()}

        return trace(dataclasses.replace(entry, call=call), specs, models, declared)

    with replaced("steps.sources.tf_import", trace=repeated):
        yield


# the converter


@fault("steps.conversion.tf_convert")
def converter_exchanges_outputs(request):
    with edited(request.outputs / MADE) as root:
        swap_names(root.signatureDefs[0].outputs)


@fault("steps.conversion.tf_convert")
def converter_reverses_inputs_of_the_graph(request):
    with edited(request.outputs / MADE) as root:
        graph_of(root).inputs = [int(index) for index in graph_of(root).inputs][::-1]


@fault("steps.conversion.tf_convert")
def converter_changes_a_weight(request):
    with edited(request.outputs / MADE) as root:
        largest = max(root.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
        values = np.frombuffer(bytes(largest.data), np.float32).copy()
        values[: len(values) // 4] *= 1.1
        largest.data = np.frombuffer(values.tobytes(), np.uint8)


@fault("steps.conversion.tf_convert")
def converter_pins_the_batch(request):
    with edited(request.outputs / MADE) as root:
        for tensor in graph_of(root).tensors:
            tensor.shapeSignature = None


@fault("steps.conversion.tf_convert")
def converter_drops_an_output(request):
    with edited(request.outputs / MADE) as root:
        del root.signatureDefs[0].outputs[0]


@fault("steps.conversion.tf_convert")
def converter_renames_the_signature(request):
    with edited(request.outputs / MADE) as root:
        root.signatureDefs[0].signatureKey = b"other"
