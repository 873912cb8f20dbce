"""Comparison of the artifact's operators with those of the float model: kinds, options, and constants up to rounding.

A figure of the whole model does not show that the weights of one filter are lost, if the others compensate for it. And
without evaluation samples there is no figure. Operators are identified by the names of their outputs, which quantizers
keep.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflbuild.steps.checking.findings import Finding
from tflbuild.steps.checking.scale_and_order_checks import FIXED_INT8_OUTPUTS
from tflbuild.tflite.rules import WEIGHTED, each_operator, looks_up_codes
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

# The options that a quantizer sets for an operator that it quantizes (schema.fbs of TensorFlow Lite).
QUANTIZERS_OPTIONS = (
    *("asymmetricQuantizeInputs", "quantizedBiasType", "weightsFormat", "keepNumDims"),
    "potScaleInt16",
)
# The largest code of a symmetric constant.
LARGEST_CODES = {"int8": 127, "int4": 7, "int2": 1, "int16": 32767}
CODES: dict[str, Any] = {
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float16": np.float16,
    "float32": np.float32,
}
# The error of rounding in quantization steps, with that of float32 arithmetic.
HALF_STEP = 0.51
FLOAT16_ROUNDING = 2.0**-10
SMALLEST_FLOAT16 = 2.0**-24
# The converter multiplies constants in float32, and in another order if it also quantizes.
FLOAT32_ROUNDING = 1e-5
ROTATED = ("hadamard", "decomposed_hadamard")
# Algorithms that move values by more than half a step, to compensate for the rounding of others.
COMPENSATED = ("gptq", "oscar")
# The largest lost fraction of a compensated constant's energy. Zeros would lose 1, and other values about 2.
MOST_LOST = 0.5
FILTER_INDEX, BIAS_INDEX = 1, 2
# Calibration methods that clip keep more than a quarter of a range.
MOST_CLIPPED = 4
# The number of values that are converted to float64 at a time, to limit memory.
CHUNK = 2**20


@dataclass(frozen=True)
class ComparedOperator:
    """An operator, its subgraph, and the name of its first output."""

    graph: Subgraph
    op: Operator
    name: str

    @property
    def label(self) -> str:
        """Return the operator and its name as text."""
        return f"{self.op.name} '{self.name}'"

    @property
    def blamed(self) -> tuple[tuple[str, str], ...]:
        """Return the operator as rules refer to it: (operator, name)."""
        return ((self.op.name, self.name),)

    def constant(self, place: int) -> Tensor | None:
        """Return the constant at a position of the inputs, or None. A DEQUANTIZE before the operator is skipped."""
        if place >= len(self.op.inputs) or self.op.inputs[place] < 0:
            return None
        index = self.op.inputs[place]
        dequantize = next((op for op in self.graph.ops if op.name == "DEQUANTIZE" and op.outputs[0] == index), None)
        tensor = self.graph.tensors[index if dequantize is None else dequantize.inputs[0]]
        return tensor if tensor.constant and not tensor.state else None


def check_agreement(
    model: Model, buffers: Sequence[bytes], source: Model, source_buffers: Sequence[bytes], params: Mapping[str, Any]
) -> Iterator[Finding]:
    """Compare each operator of the artifact with the operator of the same name in the float model.

    Args:
        model: The artifact.
        buffers: The bytes of its buffers.
        source: The float model from which it was made.
        source_buffers: The bytes of the float model's buffers.
        params: Those of the step. `algorithm` chose the weights. With `engine` litert, no operator may be missing.
    """
    artifact_parts, counts, source_counts = list_parts(model), model.op_counts(), source.op_counts()
    for key, parts in list_parts(source).items():
        kind = parts[0].op.name
        if key not in artifact_parts:
            if params.get("engine") == "litert" and counts.get(kind, 0) < source_counts[kind]:
                yield Finding("operator", f"{parts[0].label} of the float model is missing")
            continue
        if len(parts) != len(artifact_parts[key]):
            # Operators with the same name cannot be distinguished.
            continue
        for before, after in zip(parts, artifact_parts[key], strict=True):
            yield from compare_operators(before, after)
            if before.op.name == after.op.name and not looks_up_codes(after.graph, after.op):
                yield from compare_constants(before, after, source_buffers, buffers, params.get("algorithm", ""))


def list_parts(model: Model) -> dict[str, list[ComparedOperator]]:
    """Return the operators that compute on real values, by the name of their first output."""
    parts: dict[str, list[ComparedOperator]] = {}
    for graph, op, name in each_operator(model):
        # The CAST of a raw input becomes the scale of the input.
        if name and op.name != "CAST":
            parts.setdefault(name, []).append(ComparedOperator(graph, op, name))
    return parts


def compare_operators(before: ComparedOperator, after: ComparedOperator) -> Iterator[Finding]:
    """Yield differences in the kind and in the options of an operator."""
    if before.op.name != after.op.name:
        yield Finding("operator", f"{after.label} is {before.op.name} in the float model", after.blamed)
        return
    for name, value in before.op.options.items():
        actual = after.op.options.get(name)
        if name not in QUANTIZERS_OPTIONS and actual != value:
            yield Finding(
                "operator", f"{after.label}: {name} is {actual}, and {value} in the float model", after.blamed
            )


def compare_constants(
    before: ComparedOperator,
    after: ComparedOperator,
    source_buffers: Sequence[bytes],
    buffers: Sequence[bytes],
    algorithm: str,
) -> Iterator[Finding]:
    """Yield differences in the constants that an operator reads in both models.

    Args:
        before: The operator of the float model.
        after: The operator of the artifact.
        source_buffers: The bytes of the float model's buffers.
        buffers: The bytes of the artifact's buffers.
        algorithm: The algorithm that chose the weights, or "".
    """
    for position in range(max(len(before.op.inputs), len(after.op.inputs))):
        expected, actual = before.constant(position), after.constant(position)
        if expected is None or expected.type != "float32":
            if expected is not None and actual is not None and expected.values != actual.values:
                text = f"{after.label}: input {position} is {list(actual.values)}, and {list(expected.values)}"
                yield Finding("constants", f"{text} in the float model", after.blamed)
            continue
        values = np.frombuffer(source_buffers[expected.buffer], np.float32).reshape(-1)
        if actual is None:
            if after.op.name in WEIGHTED and position == BIAS_INDEX and values.any() and is_left_out(after, position):
                yield Finding("constants", f"{after.label} has no bias, and the float model has one", after.blamed)
            continue
        is_weights = after.op.name in WEIGHTED and position < BIAS_INDEX
        is_bias = after.op.name in WEIGHTED and not is_weights
        if (is_weights and algorithm in ROTATED) or (is_bias and after.constant(FILTER_INDEX) is None):
            # Rotated weights differ by design. The bias of a computed filter was rescaled with it, and rounded again.
            continue
        is_compensated = is_weights and algorithm in COMPENSATED
        negative_is_zero = is_bias and after.op.activation in ("RELU", "RELU6")
        difference = describe_difference(
            actual, buffers[actual.buffer], values, compensated=is_compensated, negative_is_zero=negative_is_zero
        )
        if difference:
            noun = "bias" if is_bias else "constant"
            yield Finding(
                "constants",
                f"{after.label}: its {noun} {actual.name} is not the float model's: {difference}",
                after.blamed,
            )


def check_ranges(model: Model, ranges: Mapping[str, Any], masked: Collection[str] = ()) -> Iterator[Finding]:
    """Compare the range that the scale of every activation covers with the measured range.

    Args:
        model: The artifact.
        ranges: Tensor name -> {min, max}.
        masked: Tensors with masked scores, whose smallest value the quantizer may have raised.
    """
    for graph, op, name in each_operator(model):
        for index in () if op.name in FIXED_INT8_OUTPUTS else op.outputs:
            tensor = graph.tensors[index]
            measured = ranges.get(tensor.name)
            if measured is None or tensor.type not in ("int8", "int16") or len(tensor.scales) != 1:
                continue
            limits, zero = np.iinfo(CODES[tensor.type]), tensor.zero_points[0]
            smallest, largest = ((limit - zero) * tensor.scales[0] for limit in (limits.min, limits.max))
            step = tensor.scales[0]
            is_below = tensor.name not in masked and measured["min"] < MOST_CLIPPED * smallest - step
            if is_below or measured["max"] > MOST_CLIPPED * largest + step:
                text = f"{op.name} '{name}' holds {smallest:.6g} to {largest:.6g}, and calibration measured"
                yield Finding("range", f"{text} {measured['min']:.6g} to {measured['max']:.6g}", ((op.name, name),))


def is_left_out(part: ComparedOperator, place: int) -> bool:
    """Return whether an operator has no input at this position."""
    return place >= len(part.op.inputs) or part.op.inputs[place] < 0


def describe_difference(
    tensor: Tensor, data: bytes, values: np.ndarray, *, compensated: bool = False, negative_is_zero: bool = False
) -> str:
    """Describe how a constant differs from float values by more than rounding and clipping.

    Args:
        tensor: The constant of the artifact.
        data: Its bytes.
        values: float32 values of the same count, flat.
        compensated: The quantizer moves values by more than half a step.
        negative_is_zero: The operator's activation replaces negative values by 0. A negative bias may then end at the
            smallest code, as that of a channel with weights of about 0, whose scale is too small for it.

    Returns:
        The description, "" if there is no difference.
    """
    if (
        tensor.elements != values.size
        or tensor.block
        or tensor.sparse
        or (tensor.type not in CODES and tensor.type != "int4")
    ):
        return ""
    if tensor.type not in ("float16", "float32") and not tensor.scales:
        return ""
    codes = unpack_codes(tensor, data)
    wrong, lost, energy = 0, 0.0, 0.0
    rows = max(1, tensor.shape[0]) if tensor.shape else 1
    width = values.size // rows
    step = max(1, CHUNK // max(1, width))
    for start in range(0, rows, step):
        part = slice(start * width, (start + step) * width)
        exact = values[part].astype(np.float64)
        error, allowed = measure_error(tensor, codes[part].astype(np.float64), exact, start)
        # The quantizer clips int32 and int64 biases to 32 bits.
        if negative_is_zero and tensor.type in ("int32", "int64"):
            error[(codes[part] == np.iinfo(np.int32).min) & (exact < 0)] = 0
        wrong += int((error > allowed).sum())
        lost, energy = lost + float(error @ error), energy + float(exact @ exact)
    if wrong == 0 or (compensated and lost <= MOST_LOST * energy):
        return ""
    return f"{wrong:,} of {values.size:,} values differ by more than rounding"


def unpack_codes(tensor: Tensor, data: bytes) -> np.ndarray:
    """Return the stored numbers of a constant, flat."""
    if tensor.type != "int4":
        return np.frombuffer(data, CODES[tensor.type])
    raw = np.frombuffer(data, np.uint8)
    halves = np.stack([raw & 15, raw >> 4], axis=1).ravel().astype(np.int8)[: tensor.elements]
    return np.where(halves > LARGEST_CODES["int4"], halves - 16, halves)


def measure_error(tensor: Tensor, codes: np.ndarray, exact: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the errors of some rows of a constant, and the errors that rounding explains.

    Args:
        tensor: The constant.
        codes: The codes of the rows, float64, flat.
        exact: The values of the rows in the float model, float64, flat.
        start: The number of the first row.

    Returns:
        Two float64 arrays of the same size: the error and the allowed error of each value.
    """
    if tensor.type in ("float16", "float32"):
        rounding = FLOAT16_ROUNDING if tensor.type == "float16" else FLOAT32_ROUNDING
        return np.abs(codes - exact), rounding * np.abs(exact) + SMALLEST_FLOAT16
    scales, zeros = (
        spread(tensor, tensor.scales, codes.size, start),
        spread(tensor, tensor.zero_points, codes.size, start),
    )
    values = (codes - zeros) * scales
    rounding = scales * HALF_STEP + FLOAT32_ROUNDING * np.abs(exact)
    if tensor.type in ("int32", "int64"):
        return np.abs(values - exact), rounding
    limits = np.iinfo(CODES.get(tensor.type, np.int8))
    largest_code = LARGEST_CODES["int4"] if tensor.type == "int4" else limits.max
    # A symmetric constant may end at -127 or at -128.
    errors = [
        np.abs(values - np.clip(exact, (smallest_code - zeros) * scales, (largest_code - zeros) * scales))
        for smallest_code in ((-largest_code, -largest_code - 1) if tensor.type != "uint8" else (0,))
    ]
    return np.minimum.reduce(errors), rounding


def spread(tensor: Tensor, parameters: Sequence[float], count: int, start: int) -> np.ndarray:
    """Return the scale or zero point of each of `count` values, from row `start` on."""
    per_channel = np.asarray(parameters or (0,), np.float64)
    if per_channel.size <= 1:
        return np.broadcast_to(per_channel, (count,))
    shape = [abs(size) for size in tensor.shape]
    if tensor.axis == 0:
        return np.repeat(per_channel[start : start + count * shape[0] // tensor.elements], tensor.elements // shape[0])
    inner = int(np.prod(shape[tensor.axis + 1 :]))
    return np.resize(np.repeat(per_channel, inner), count)
