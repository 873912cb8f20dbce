"""TFLiteConverter on a snapshot, and its failures in words."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf

from tflbuild.workers.contract import Request, WorkerError


def open_converter(request: Request) -> tf.lite.TFLiteConverter:
    """A converter of the snapshot's declared signature."""
    key = request.read_json("signature")["key"]
    return tf.lite.TFLiteConverter.from_saved_model(str(request.inputs["snapshot"]), signature_keys=[key])


def builtins(select_tf: bool) -> list[tf.lite.OpsSet]:
    """The operators a float model may use."""
    return [tf.lite.OpsSet.TFLITE_BUILTINS, *([tf.lite.OpsSet.SELECT_TF_OPS] if select_tf else [])]


def convert(converter: tf.lite.TFLiteConverter, path: Path, select_tf: bool) -> None:
    """Convert and write. Raises WorkerError that names the operators the converter could not lower."""
    try:
        path.write_bytes(converter.convert())
    except Exception as error:
        text = str(error)
        operators = sorted(set(re.findall(r"'(tf\.[A-Za-z0-9_]+)' op is neither a custom op nor a flex op", text)))
        if not operators:
            raise
        allow = "opset=select_tf allows TensorFlow operators (the app must then link the Flex delegate),\nor "
        raise WorkerError(
            f"TFLite has no operator for {', '.join(operators)}" + (", nor has Flex" if select_tf else ""),
            kind="build",
            why="TFLiteConverter could not lower " + ("it" if len(operators) == 1 else "them"),
            next_step=("" if select_tf else allow) + "rewrite that part of the model",
        ) from error
