"""The step `quantize_in_converter`: TFLiteConverter's own quantizer makes the artifact from the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence
from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.conversion.converter_ranges import NOT_REPLACED, reproducible_ranges
from tflbuild.steps.conversion.tf_converter import builtins, convert, open_converter
from tflbuild.steps.datasets.sample_files import batch_of, count_samples, each_sample, load_feeds
from tflbuild.steps.folding.fake_quant import count_in_snapshot
from tflbuild.steps.folding.unfolded_operators import read_unfolded
from tflbuild.steps.quantization.computed_filters import convert_filters
from tflbuild.steps.quantization.constant_compression import compress_constants
from tflbuild.steps.quantization.minimum_scales import enlarge_softmax_inputs
from tflbuild.steps.quantization.uint8_interface import quantize_raw_inputs
from tflbuild.steps.quantization.unused_inputs_outputs import type_unused_inputs_outputs
from tflbuild.tflite.buffer_placement import store_buffers_inside
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_reader import read_model

INTEGER_OPS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


def run(request: StepRequest) -> Facts:
    """Run the step. Its output is `model.tflite`.

    Returns:
        Facts: `bytes`, the CPU dependences, and a `note` if there is one.

    Raises:
        WorkerError: The model cannot be converted, or the scheme does not fit quantization-aware training.
    """
    params = request.params
    trained = count_in_snapshot(request.inputs["snapshot"])
    if trained:
        require_int8(params["scheme"])
    converter = open_converter(request)
    converter.optimizations = [*converter.optimizations, tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = builtins(params["select_tf"])
    if params["scheme"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if params["scheme"] in INTEGER_OPS:
        require_integer_operators(converter, request, trained=bool(trained))
    path = request.outputs / "model.tflite"
    ties: list[CpuDependence] = []
    with reproducible_ranges(request, ties) if "samples" in request.inputs and not trained else nullcontext():
        buffer_note = convert(converter, path, request)
    ties += list_unreplaced(converter, params["scheme"])
    if params["scheme"] in INTEGER_OPS:
        rewrite_operators(path, params["scheme"])
    path.write_bytes(compress_constants(path.read_bytes(), lambda operator, name: str(params["scheme"])))
    if params["scheme"] in INTEGER_OPS:
        measured = measure_inputs(request) if "samples" in request.inputs else {}
        path.write_bytes(
            type_unused_inputs_outputs(path.read_bytes(), params["input_type"], params["output_type"], measured)
        )
    ranges = f"ranges come from {trained} nodes of quantization-aware training, not from samples" if trained else ""
    note = "; ".join(filter(None, (ranges, buffer_note)))
    facts: Facts = {"bytes": path.stat().st_size, **({"note": note} if note else {})}
    return add_cpu_dependence(facts, [*ties, *read_unfolded(request.inputs["snapshot"])])


def list_unreplaced(converter: tf.lite.TFLiteConverter, scheme: str) -> list[CpuDependence]:
    """Return the CPU dependences of quantizers that calibrate themselves: that for int16, and the deprecated one."""
    if converter.representative_dataset is None:
        return []
    deprecated = "" if converter.experimental_new_quantizer else "experimental_new_quantizer=False"
    name = "int16x8" if scheme == "int16x8" else deprecated
    return [CpuDependence(name, "", NOT_REPLACED)] if name else []


def rewrite_operators(path: Path, scheme: str) -> None:
    """Rewrite operators that kernels refuse or run slowly, in place. Buffers stay aligned.

    Filters that are computed are converted, raw uint8 inputs are quantized instead of cast, and scales that are too
    small for SOFTMAX are enlarged.
    """
    model = path.read_bytes()
    rewritten = convert_filters(enlarge_softmax_inputs(model, read_model(path)) if scheme == "int8" else model)
    rewritten = quantize_raw_inputs(rewritten) if scheme == "int8" else rewritten
    if rewritten != model:
        path.write_bytes(store_buffers_inside(rewritten))


def measure_inputs(request: StepRequest) -> dict[str, tuple[float, float]]:
    """Return the minimum and the maximum of every float input in the calibration samples, by its signature name."""
    feeds = load_feeds(request.inputs["samples"], request.read_json("signature")["key"])
    arrays = {name: array for feed in feeds.values() for name, array in feed.items() if array.dtype.kind == "f"}
    return {name: (float(array.min()), float(array.max())) for name, array in arrays.items()}


def require_int8(scheme: str) -> None:
    """Raise WorkerError for a scheme other than int8, which TFLiteConverter would mix with the int8 of the model."""
    if scheme != "int8":
        raise WorkerError(
            f"engine 'converter' cannot make {scheme} of a model with quantization-aware training",
            where="quantization.engine",
            why="TFLiteConverter always uses int8 where the model has nodes of quantization-aware training",
            next_step="use quantization=int8, or quantization.engine=litert, which removes the nodes for other schemes",
        )


def require_integer_operators(converter: tf.lite.TFLiteConverter, request: StepRequest, *, trained: bool) -> None:
    """Set the converter to integer operators, and to the types of inputs and outputs.

    The converter does not enforce integer operators, but `check` does. A model with quantization-aware training
    contains its ranges, so no samples are used: a tensor would have two ranges. Without samples, the converter does not
    accept a set of integer operators.

    Args:
        converter: The converter.
        request: The request of the step.
        trained: Whether the model has quantization-aware training.
    """
    params = request.params
    if not trained:
        converter.representative_dataset = representative(request)
        others = [tf.lite.OpsSet.SELECT_TF_OPS] if params["select_tf"] else []
        converter.target_spec.supported_ops = [INTEGER_OPS[params["scheme"]], *others]
    signatures = each_signature(request.read_json("signature"))
    # The converter can change the type of float inputs only.
    raw = any(spec["dtype"] != "float32" for signature in signatures for spec in signature["inputs"])
    converter.inference_input_type = tf.float32 if raw else tf.as_dtype(params["input_type"])
    converter.inference_output_type = tf.as_dtype(params["output_type"])


def representative(request: StepRequest) -> Callable[[], Iterator[tuple[str, dict[str, Any]]]]:
    """Return the representative dataset of the converter: a function that yields signature names and inputs by name."""
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])

    def feed() -> Iterator[tuple[str, dict[str, Any]]]:
        for entry in each_signature(signature):
            if entry["key"] in feeds:
                samples, batch = feeds[entry["key"]], batch_of(entry)
                for sample in step_progress.track(
                    each_sample(samples, batch=batch), -(-count_samples(samples) // batch)
                ):
                    yield entry["key"], sample

    return feed
