"""Interpreters of .tflite models, and the exchange of real values with integer tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tflbuild.workers.contract import WorkerError

FLEX_MARK = "Select TensorFlow op(s)"
RESOLVERS = {
    "reference": OpResolverType.BUILTIN_REF,
    "none": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "xnnpack": OpResolverType.AUTO,
}


def open_model(path: Path, kernels: str, threads: int = 1, preserve: bool = False) -> Interpreter:
    """An allocated interpreter. `kernels`: reference | none (optimized, no delegate) | xnnpack."""
    try:
        interpreter = Interpreter(
            model_content=path.read_bytes(),
            num_threads=threads,
            experimental_op_resolver_type=RESOLVERS[kernels],
            experimental_preserve_all_tensors=preserve,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if FLEX_MARK in str(error):
            raise WorkerError(
                "the model has TensorFlow (Flex) operators, and no Python package can run those any more",
                kind="environment",
                why="TensorFlow's own interpreter lost its Flex delegate after release 2.18; LiteRT's never had it",
                next_step="verify=none builds it and says `unverified`; try it in the app, which links Flex itself",
            ) from error
        raise WorkerError(
            "the artifact converts and does not load",
            kind="build",
            why=str(error).strip().split("\n")[0],
            next_step="another scheme, or exclude the operator that is named",
        ) from error
    return interpreter


def quantize_values(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Real values as the tensor's integers: q = round(x / scale) + zero_point, saturated."""
    dtype = np.dtype(details["dtype"])
    if dtype.kind == "f" or not len(details["quantization_parameters"]["scales"]):
        return values.astype(dtype)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(dtype)
    quantized: np.ndarray = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return quantized


def dequantize_values(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """The tensor's integers as real values, float32: x = (q - zero_point) * scale."""
    if np.dtype(details["dtype"]).kind == "f" or not len(details["quantization_parameters"]["scales"]):
        return values
    scale, zero_point = details["quantization"]
    real: np.ndarray = ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
    return real
