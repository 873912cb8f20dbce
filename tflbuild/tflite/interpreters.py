"""Interpreters of .tflite models, and the conversion between real values and integer tensors."""

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
    """One signature of an open model. A call has inputs by name as argument, and returns outputs by name."""

    interpreter: Interpreter
    runner: SignatureRunner
    subgraph: int

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the signature on inputs.

        A fused LSTM keeps its state from call to call, but the layer that it replaces starts with a new state. So the
        state is reset first. Variables of the model itself are resources, which this does not change.

        Raises:
            WorkerError: The runtime refuses the inputs.
        """
        try:
            self.interpreter.reset_all_variables()
            outputs: dict[str, np.ndarray] = self.runner(**feed)
            return outputs
        except (ValueError, RuntimeError) as error:
            if FLEX_MARK in str(error):
                raise explain(error) from error
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
            raise WorkerError(
                f"the artifact cannot run on {shapes}", kind="build", why=str(error).strip().split("\n")[0]
            ) from error

    @cached_property
    def input_details(self) -> dict[str, dict[str, Any]]:
        """Return the details of the inputs by name. They are read once, not with every sample."""
        details: dict[str, dict[str, Any]] = self.runner.get_input_details()
        return details

    @cached_property
    def output_details(self) -> dict[str, dict[str, Any]]:
        """Return the details of the outputs by name. Types and scales do not depend on the shapes of the inputs."""
        details: dict[str, dict[str, Any]] = self.runner.get_output_details()
        return details

    def sibling(self, key: str) -> OpenSignature:
        """Return another signature of the same open model, which shares its variables."""
        return allocate(self.interpreter, key)


def allocate(interpreter: Interpreter, key: str) -> OpenSignature:
    """Prepare a signature for calls.

    In the file a dynamic dimension has the size 1, with which the model may not work. Such a signature is allocated
    when it is called.

    Raises:
        WorkerError: The runtime refuses the signature.
    """
    try:
        runner = interpreter.get_signature_runner(key)
        if all(-1 not in detail["shape_signature"] for detail in runner.get_input_details().values()):
            interpreter._interpreter.AllocateTensors(runner._subgraph_index)
    except (ValueError, RuntimeError) as error:
        raise explain(error) from error
    return OpenSignature(interpreter, runner, runner._subgraph_index)


def open_signature(path: Path, key: str, kernels: str, threads: int = 1, preserve: bool = False) -> OpenSignature:
    """Open a model, and prepare one of its signatures for calls.

    Only this signature is allocated, because another one may need operators that this runtime lacks.

    Args:
        path: The .tflite file.
        key: The signature name.
        kernels: `reference`, `none` (optimized kernels without a delegate) or `xnnpack`.
        threads: The number of threads.
        preserve: Whether to keep the values of all tensors after a call.

    Raises:
        WorkerError: The runtime refuses the model.
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
    """Return whether a model was refused because TensorFlow operators are missing."""
    return bool(error.fields["what"] == NEEDS_FLEX)


def explain(error: Exception) -> WorkerError:
    """Return the error for a model that the runtime refuses."""
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
        next_step="try another scheme, or exclude the operator that the error names",
    )


def zeros(detail: Any) -> np.ndarray:
    """Return an input of zeros, or of empty strings."""
    strings = np.dtype(detail["dtype"]).kind in "SO"
    return np.full(detail["shape"], b"", object) if strings else np.zeros(detail["shape"], detail["dtype"])


def quantize_values(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Convert real values to the integers of a tensor: q = round(x / scale) + zero_point, saturated.

    Args:
        values: Real values, or strings.
        details: The tensor as the interpreter describes it.

    Returns:
        The values in the type of the tensor. For a float tensor they only change their type.
    """
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
    """Convert the integers of a tensor to real values, float32: x = (q - zero_point) * scale.

    Args:
        values: The values of the tensor.
        details: The tensor as the interpreter describes it.

    Returns:
        float32 values. Values of a tensor without scales are returned unchanged.
    """
    if np.dtype(details["dtype"]).kind == "f" or not len(details["quantization_parameters"]["scales"]):
        return values
    scale, zero_point = details["quantization"]
    real: np.ndarray = ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
    return real
