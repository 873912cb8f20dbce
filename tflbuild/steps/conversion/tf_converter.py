"""Conversion of a snapshot by TFLiteConverter with the options of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.conversion.conversion_errors import explain
from tflbuild.tflite.buffer_placement import move_buffers_inside
from tflbuild.tflite.interface_order import order_interface
from tflbuild.tflite.signature_checks import each_signature

OF_TARGET_SPEC = (
    "experimental_select_user_tf_ops",
    "experimental_supported_backends",
    "_experimental_supported_accumulation_type",
)
DTYPES = ("_experimental_full_integer_quantization_bias_type", "_experimental_supported_accumulation_type")


def open_converter(request: StepRequest) -> tf.lite.TFLiteConverter:
    """Return a converter for the declared signatures of the snapshot, with the options of the recipe."""
    keys = [signature["key"] for signature in each_signature(request.read_json("signature"))]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(request.inputs["snapshot"]), signature_keys=keys)
    converter.allow_custom_ops = bool(request.params.get("allow_custom"))
    for name, value in request.params.get("options", {}).items():
        set_option(converter, name, value)
    return converter


def set_option(converter: tf.lite.TFLiteConverter, name: str, value: Any) -> None:
    """Set one option of the converter. Raise WorkerError if this TensorFlow does not have it.

    The converter is a Python object, so setting an unknown attribute would have no effect and raise no error.
    """
    if name == "EXPERIMENTAL_SPARSITY":
        converter.optimizations = [
            *converter.optimizations,
            *([tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if value else []),
        ]
        return
    owner = converter.target_spec if name in OF_TARGET_SPEC else converter
    if not hasattr(owner, name):
        raise WorkerError(
            f"the converter of TensorFlow {tf.__version__} has no option '{name}'",
            kind="environment",
            where=f"converter.{name}",
            next_step="remove the option, or install the TensorFlow version that tflbuild requires",
        )
    setattr(owner, name, tf.as_dtype(value) if name in DTYPES else value)


def builtins(select_tf: bool) -> list[tf.lite.OpsSet]:
    """Return the operator sets that a float model may use."""
    return [tf.lite.OpsSet.TFLITE_BUILTINS, *([tf.lite.OpsSet.SELECT_TF_OPS] if select_tf else [])]


def convert(converter: tf.lite.TFLiteConverter, path: Path, request: StepRequest) -> str:
    """Convert a model and write it to a file. Inputs and outputs are sorted by their names.

    Args:
        converter: The converter.
        path: The .tflite file to write. Its buffers are inside the flatbuffer, if they fit.
        request: The request of the step.

    Returns:
        A note if the buffers must stay after the flatbuffer; else "".

    Raises:
        WorkerError: The conversion failed. The error names the unsupported operators, their locations, and fixes.
    """
    try:
        path.write_bytes(converter.convert())
    except WorkerError:
        raise
    except Exception as error:
        raise explain(error, request, lambda: list_unsupported_operators(request)) from error
    note = move_buffers_inside(path)
    order_interface(path)
    return note


def list_unsupported_operators(request: StepRequest) -> Mapping[str, int]:
    """Return the operators that are not builtin, with their counts.

    The model is converted once more, with all operators allowed. A name such as `FlexErf` is an operator of the Flex
    delegate, and a name such as `Svd` one that the Flex delegate does not support either. The result is empty if this
    conversion fails too.
    """
    from ai_edge_litert import schema_py_generated as schema

    converter = open_converter(request)
    converter.allow_custom_ops = True
    converter.target_spec.supported_ops = builtins(select_tf=True)
    try:
        root = schema.Model.GetRootAsModel(converter.convert(), 0)
    except Exception as error:
        print(f"a conversion in which all operators are allowed fails too: {error}")
        return {}
    model = schema.ModelT.InitFromObj(root)
    counts: dict[str, int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            code = model.operatorCodes[operator.opcodeIndex]
            if code.customCode:
                name = code.customCode.decode()
                counts[name] = counts.get(name, 0) + 1
    return counts
