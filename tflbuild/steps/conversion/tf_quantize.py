"""The step `quantize` with engine `converter`: TFLiteConverter's own quantization, from the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence
from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.conversion.converter_ranges import NOT_REPLACED, settled_ranges
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
    """Outputs model.tflite; facts: bytes, and a note where ranges were trained."""
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
        ask_for_integers(converter, request, trained=bool(trained))
    path = request.outputs / "model.tflite"
    ties: list[CpuDependence] = []
    with settled_ranges(request, ties) if "samples" in request.inputs and not trained else nullcontext():
        kept = convert(converter, path, request)
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
    note = "; ".join(filter(None, (ranges, kept)))
    facts: Facts = {"bytes": path.stat().st_size, **({"note": note} if note else {})}
    return add_cpu_dependence(facts, [*ties, *read_unfolded(request.inputs["snapshot"])])


def list_unreplaced(converter: tf.lite.TFLiteConverter, scheme: str) -> list[CpuDependence]:
    """Return what ties the ranges of quantizers that calibrate by themselves: that of int16, and the deprecated one."""
    if converter.representative_dataset is None:
        return []
    old = "" if converter.experimental_new_quantizer else "experimental_new_quantizer=False"
    name = "int16x8" if scheme == "int16x8" else old
    return [CpuDependence(name, "", NOT_REPLACED)] if name else []


def rewrite_operators(path: Path, scheme: str) -> None:
    """Convert computed filters, quantize raw uint8 inputs in place of a cast, and widen scales that SOFTMAX refuses.

    Buffers stay aligned.
    """
    model = path.read_bytes()
    made = convert_filters(enlarge_softmax_inputs(model, read_model(path)) if scheme == "int8" else model)
    made = quantize_raw_inputs(made) if scheme == "int8" else made
    if made != model:
        path.write_bytes(store_buffers_inside(made))


def measure_inputs(request: StepRequest) -> dict[str, tuple[float, float]]:
    """(least, greatest) value of every input in the calibration samples, by its name in the signature."""
    feeds = load_feeds(request.inputs["samples"], request.read_json("signature")["key"])
    arrays = {name: array for feed in feeds.values() for name, array in feed.items() if array.dtype.kind == "f"}
    return {name: (float(array.min()), float(array.max())) for name, array in arrays.items()}


def require_int8(scheme: str) -> None:
    """Raises WorkerError for a scheme that TFLiteConverter would mix with the model's own eight bits."""
    if scheme != "int8":
        raise WorkerError(
            f"engine 'converter' cannot make {scheme} of a model with quantization-aware training",
            where="quantization.engine",
            why="TFLiteConverter follows the model's own quantization nodes, which say int8, whatever is asked for",
            next_step="quantization.engine=litert leaves them out where they do not belong; or quantization=int8",
        )


def ask_for_integers(converter: tf.lite.TFLiteConverter, request: StepRequest, *, trained: bool) -> None:
    """Integer operators alone. The converter does not enforce this; the step `check` does.

    A model that was trained for it brings its ranges: measured ones beside them would be two for one tensor,
    and the converter takes no demand for integers without samples.
    """
    params = request.params
    if not trained:
        converter.representative_dataset = representative(request)
        others = [tf.lite.OpsSet.SELECT_TF_OPS] if params["select_tf"] else []
        converter.target_spec.supported_ops = [INTEGER_OPS[params["scheme"]], *others]
    signatures = each_signature(request.read_json("signature"))
    raw = any(spec["dtype"] != "float32" for one in signatures for spec in one["inputs"])
    converter.inference_input_type = tf.float32 if raw else tf.as_dtype(params["input_type"])
    converter.inference_output_type = tf.as_dtype(params["output_type"])


def representative(request: StepRequest) -> Callable[[], Iterator[tuple[str, dict[str, Any]]]]:
    """The samples as the converter wants them: a factory, by signature and input name."""
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])

    def feed() -> Iterator[tuple[str, dict[str, Any]]]:
        for one in each_signature(signature):
            if one["key"] in feeds:
                samples, batch = feeds[one["key"]], batch_of(one)
                for sample in step_progress.track(
                    each_sample(samples, batch=batch), -(-count_samples(samples) // batch)
                ):
                    yield one["key"], sample

    return feed
