"""Interpreters of .tflite models, and the exchange of real values with integer tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType, SignatureRunner

from tflbuild.runtime.step_contract import WorkerError

NEEDS_FLEX = "the model has TensorFlow (Flex) operators, and no Python package can run those any more"
NO_KERNEL = "Didn't find op for builtin opcode"
FLEX_MARK = "Select TensorFlow op(s)"
RESOLVERS = {
    "reference": OpResolverType.BUILTIN_REF,
    "none": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "xnnpack": OpResolverType.AUTO,
}


@dataclass(frozen=True)
class OpenSignature:
    """One signature of an open model, allocated. Calling it feeds values by name and gives outputs by name."""

    interpreter: Interpreter
    runner: SignatureRunner
    subgraph: int

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raises WorkerError when the runtime refuses these values, of this shape.

        A fused LSTM keeps its state from call to call, where the layer that it was starts afresh: the
        state is reset first. (Variables of the model's own are resources, which this does not touch.)
        """
        try:
            self.interpreter.reset_all_variables()
            found: dict[str, np.ndarray] = self.runner(**feed)
            return found
        except (ValueError, RuntimeError) as error:
            if FLEX_MARK in str(error):
                raise explain(error) from error
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
            raise WorkerError(
                f"the artifact cannot run on {shapes}", kind="build", why=str(error).strip().split("\n")[0]
            ) from error

    @cached_property
    def takes(self) -> dict[str, dict[str, Any]]:
        """The inputs' details by name, as they are when first asked for: looked up once, not with every sample."""
        found: dict[str, dict[str, Any]] = self.runner.get_input_details()
        return found

    @cached_property
    def gives(self) -> dict[str, dict[str, Any]]:
        """The outputs' details by name; their types and scales do not change with the shapes that are fed."""
        found: dict[str, dict[str, Any]] = self.runner.get_output_details()
        return found

    def sibling(self, key: str) -> OpenSignature:
        """Another signature of the same open model, which shares its variables."""
        return allocate(self.interpreter, key)


def allocate(interpreter: Interpreter, key: str) -> OpenSignature:
    """One signature, ready to be called. Raises WorkerError when it cannot be.

    Where a size is free, the file holds a 1 for it, at which the model may make no sense: it is allocated
    when it is called.
    """
    try:
        runner = interpreter.get_signature_runner(key)
        if all(-1 not in detail["shape_signature"] for detail in runner.get_input_details().values()):
            interpreter._interpreter.AllocateTensors(runner._subgraph_index)
    except (ValueError, RuntimeError) as error:
        raise explain(error) from error
    return OpenSignature(interpreter, runner, runner._subgraph_index)


def open_signature(path: Path, key: str, kernels: str, threads: int = 1, preserve: bool = False) -> OpenSignature:
    """An allocated signature. `kernels`: reference | none (optimized, no delegate) | xnnpack.

    Only this signature is allocated: another may need operators that this runtime lacks. Raises
    WorkerError for a model that does not load.
    """
    try:
        interpreter = Interpreter(
            model_content=path.read_bytes(),
            num_threads=threads,
            experimental_op_resolver_type=RESOLVERS[kernels],
            experimental_preserve_all_tensors=preserve,
        )
    except (ValueError, RuntimeError) as error:
        raise explain(error) from error
    return allocate(interpreter, key)


def needs_flex(error: WorkerError) -> bool:
    """Whether a model did not load for want of TensorFlow operators."""
    return bool(error.fields["what"] == NEEDS_FLEX)


def explain(error: Exception) -> WorkerError:
    """Why a model does not load."""
    if FLEX_MARK in str(error):
        return WorkerError(
            NEEDS_FLEX,
            kind="environment",
            why="TensorFlow's own interpreter lost its Flex delegate after release 2.18; LiteRT's never had it",
            next_step="verify=none builds it and says `unverified`; try it in the app, which links Flex itself",
        )
    if NO_KERNEL in str(error):
        return WorkerError(
            "the runtime has no kernel for an operator of the model",
            kind="build",
            why=str(error).strip().split("\n")[0].split(". An older")[0],
            next_step="the reference kernels that calibration runs on lack some operators:"
            " quantization.calibration.kernels=fast",
            fixes=("quantization.calibration.kernels=fast", "quantization=dynamic_int8"),
        )
    return WorkerError(
        "the artifact converts and does not load",
        kind="build",
        why=str(error).strip().split("\n")[0],
        next_step="another scheme, or exclude the operator that is named",
    )


def zeros(detail: Any) -> np.ndarray:
    """An input of zeros, or of empty strings."""
    strings = np.dtype(detail["dtype"]).kind in "SO"
    return np.full(detail["shape"], b"", object) if strings else np.zeros(detail["shape"], detail["dtype"])


def quantize_values(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Real values as the tensor's integers: q = round(x / scale) + zero_point, saturated."""
    dtype = np.dtype(details["dtype"])
    if values.dtype.kind == "S":
        return values.astype(object)
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
