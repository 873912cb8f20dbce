"""The step `quantize` with engine `converter`: TFLiteConverter's own quantization, from the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.samples import each_sample, load_samples
from tflbuild.workers.tf_converter import builtins, convert, open_converter


def run(request: Request) -> Facts:
    """Outputs model.tflite; facts: bytes."""
    params = request.params
    converter = open_converter(request)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = builtins(params["select_tf"])
    if params["scheme"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if params["scheme"] == "int8":
        ask_for_int8(converter, request)
    path = request.outputs / "model.tflite"
    convert(converter, path, params["select_tf"])
    return {"bytes": path.stat().st_size}


def ask_for_int8(converter: tf.lite.TFLiteConverter, request: Request) -> None:
    """Integer operators alone. The converter does not enforce this; the step `check` does."""
    params = request.params
    converter.representative_dataset = representative(request)
    others = [tf.lite.OpsSet.SELECT_TF_OPS] if params["select_tf"] else []
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, *others]
    converter.inference_input_type = tf.as_dtype(params["input_type"])
    converter.inference_output_type = tf.as_dtype(params["output_type"])


def representative(request: Request) -> Callable[[], Iterator[tuple[str, dict[str, Any]]]]:
    """The samples as the converter wants them: a factory, by signature and input name."""
    inputs, _ = load_samples(request.inputs["samples"])
    key = request.read_json("signature")["key"]

    def feed() -> Iterator[tuple[str, dict[str, Any]]]:
        for sample in each_sample(inputs):
            yield key, sample

    return feed
