"""TFLiteConverter on a snapshot, with the recipe's options."""

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
    """A converter of the snapshot's declared signatures, with the recipe's options set."""
    keys = [signature["key"] for signature in each_signature(request.read_json("signature"))]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(request.inputs["snapshot"]), signature_keys=keys)
    converter.allow_custom_ops = bool(request.params.get("allow_custom"))
    for name, value in request.params.get("options", {}).items():
        set_option(converter, name, value)
    return converter


def set_option(converter: tf.lite.TFLiteConverter, name: str, value: Any) -> None:
    """One option. The converter takes any attribute and ignores what it does not know, so it is looked for first."""
    if name == "EXPERIMENTAL_SPARSITY":
        converter.optimizations = [
            *converter.optimizations,
            *([tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if value else []),
        ]
        return
    place = converter.target_spec if name in OF_TARGET_SPEC else converter
    if not hasattr(place, name):
        raise WorkerError(
            f"the converter of TensorFlow {tf.__version__} has no option '{name}'",
            kind="environment",
            where=f"converter.{name}",
            next_step="leave it out, or install the TensorFlow that tflbuild names",
        )
    setattr(place, name, tf.as_dtype(value) if name in DTYPES else value)


def builtins(select_tf: bool) -> list[tf.lite.OpsSet]:
    """The operators a float model may use."""
    return [tf.lite.OpsSet.TFLITE_BUILTINS, *([tf.lite.OpsSet.SELECT_TF_OPS] if select_tf else [])]


def convert(converter: tf.lite.TFLiteConverter, path: Path, request: StepRequest) -> str:
    """Convert and write, with buffers inside the flatbuffer. Returns a note where they must stay behind it, else "".

    Inputs and outputs of the graph are put into the order of their names.

    Raises WorkerError that says which operators are in the way, where, and what to do.
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
    """Every operator that is no builtin, in one go, with its count: `FlexErf`, and `Svd` where Flex lacks it too.

    The model is converted once more with everything allowed. {} when even that fails.
    """
    from ai_edge_litert import schema_py_generated as schema

    converter = open_converter(request)
    converter.allow_custom_ops = True
    converter.target_spec.supported_ops = builtins(select_tf=True)
    try:
        root = schema.Model.GetRootAsModel(converter.convert(), 0)
    except Exception as error:
        print(f"a conversion with every operator allowed fails too: {error}")
        return {}
    model = schema.ModelT.InitFromObj(root)
    found: dict[str, int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            code = model.operatorCodes[operator.opcodeIndex]
            if code.customCode:
                name = code.customCode.decode()
                found[name] = found.get(name, 0) + 1
    return found
