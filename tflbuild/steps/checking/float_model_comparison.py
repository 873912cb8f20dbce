"""The artifact's operators are those of the float model: kinds, options, and constants up to rounding.

No figure of the whole model shows that one filter's weights are lost where the others make up for it, and without
evaluation samples there is no figure. Operators are known by the names of their outputs, which quantizing keeps.
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

# What a quantizer sets in the options of an operator that it quantizes (schema.fbs of TensorFlow Lite).
QUANTIZERS_OPTIONS = (
    *("asymmetricQuantizeInputs", "quantizedBiasType", "weightsFormat", "keepNumDims"),
    "potScaleInt16",
)
GREATEST = {"int8": 127, "int4": 7, "int2": 1, "int16": 32767}  # of a symmetric constant
CODES: dict[str, Any] = {
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float16": np.float16,
    "float32": np.float32,
}
HALF_STEP = 0.51  # rounding, and what float32 adds to it
FLOAT16_ROUNDING = 2.0**-10
LEAST_FLOAT16 = 2.0**-24
FLOAT32_ROUNDING = 1e-5  # the converter multiplies constants in float32, in another order where it also quantizes
ROTATED = ("hadamard", "decomposed_hadamard")
COMPENSATED = ("gptq", "oscar")  # these move values by more than half a step, to make up for the others' rounding
MOST_LOST = 0.5  # of a compensated constant's energy; zeros lose 1, other values about 2
FILTER_PLACE, BIAS_PLACE = 1, 2
MOST_CLIPPED = 4  # methods of calibration that clip leave more than a quarter of a range
CHUNK = 2**20  # values that are widened to float64 at a time


@dataclass(frozen=True)
class ComparedOperator:
    """An operator and the graph that it is in."""

    graph: Subgraph
    op: Operator
    name: str

    @property
    def label(self) -> str:
        """The operator, for a person."""
        return f"{self.op.name} '{self.name}'"

    @property
    def blamed(self) -> tuple[tuple[str, str], ...]:
        """The operator as rules know it."""
        return ((self.op.name, self.name),)

    def constant(self, place: int) -> Tensor | None:
        """The stored tensor at an input, seen through the DEQUANTIZE that widens it."""
        if place >= len(self.op.inputs) or self.op.inputs[place] < 0:
            return None
        index = self.op.inputs[place]
        maker = next((op for op in self.graph.ops if op.name == "DEQUANTIZE" and op.outputs[0] == index), None)
        tensor = self.graph.tensors[index if maker is None else maker.inputs[0]]
        return tensor if tensor.constant and not tensor.state else None


def check_agreement(
    model: Model, buffers: Sequence[bytes], source: Model, source_buffers: Sequence[bytes], params: Mapping[str, Any]
) -> Iterator[Finding]:
    """Compare each operator of the artifact with the float model's operator of the same name.

    Args:
        model: The artifact.
        buffers: The bytes of its buffers.
        source: The float model that it was made of.
        source_buffers: The bytes of the float model's buffers.
        params: Those of the step: `algorithm` chose the weights; with `engine` litert, no operator may be missing.
    """
    made, counts, before_counts = list_parts(model), model.op_counts(), source.op_counts()
    for key, parts in list_parts(source).items():
        kind = parts[0].op.name
        if key not in made:
            if params.get("engine") == "litert" and counts.get(kind, 0) < before_counts[kind]:
                yield Finding("operator", f"{parts[0].label} of the float model is missing")
            continue
        if len(parts) != len(made[key]):
            continue  # names that several operators share do not tell which is which
        for before, after in zip(parts, made[key], strict=True):
            yield from compare_operators(before, after)
            if before.op.name == after.op.name and not looks_up_codes(after.graph, after.op):
                yield from compare_constants(before, after, source_buffers, buffers, params.get("algorithm", ""))


def list_parts(model: Model) -> dict[str, list[ComparedOperator]]:
    """Return the operators that compute on real values, by the name of their first output."""
    found: dict[str, list[ComparedOperator]] = {}
    for graph, op, name in each_operator(model):
        if name and op.name != "CAST":  # the cast of a raw input becomes the input's scale
            found.setdefault(name, []).append(ComparedOperator(graph, op, name))
    return found


def compare_operators(before: ComparedOperator, after: ComparedOperator) -> Iterator[Finding]:
    """Kind and options."""
    if before.op.name != after.op.name:
        yield Finding("operator", f"{after.label} is {before.op.name} in the float model", after.blamed)
        return
    for name, value in before.op.options.items():
        has = after.op.options.get(name)
        if name not in QUANTIZERS_OPTIONS and has != value:
            yield Finding("operator", f"{after.label}: {name} is {has}, and {value} in the float model", after.blamed)


def compare_constants(
    before: ComparedOperator,
    after: ComparedOperator,
    source_buffers: Sequence[bytes],
    buffers: Sequence[bytes],
    algorithm: str,
) -> Iterator[Finding]:
    """Every constant that the operator reads in both models."""
    for place in range(max(len(before.op.inputs), len(after.op.inputs))):
        wanted, has = before.constant(place), after.constant(place)
        if wanted is None or wanted.type != "float32":
            if wanted is not None and has is not None and wanted.values != has.values:
                text = f"{after.label}: input {place} is {list(has.values)}, and {list(wanted.values)}"
                yield Finding("constants", f"{text} in the float model", after.blamed)
            continue
        values = np.frombuffer(source_buffers[wanted.buffer], np.float32).reshape(-1)
        if has is None:
            if after.op.name in WEIGHTED and place == BIAS_PLACE and values.any() and is_left_out(after, place):
                yield Finding("constants", f"{after.label} has no bias, and the float model has one", after.blamed)
            continue
        weights = after.op.name in WEIGHTED and place < BIAS_PLACE
        bias = after.op.name in WEIGHTED and not weights
        if (weights and algorithm in ROTATED) or (bias and after.constant(FILTER_PLACE) is None):
            continue  # the bias of a computed filter was rescaled with it, which rounds it again
        compensated = weights and algorithm in COMPENSATED
        kept_out = bias and after.op.activation in ("RELU", "RELU6")
        why = describe_difference(has, buffers[has.buffer], values, compensated=compensated, kept_out=kept_out)
        if why:
            what = "bias" if bias else "constant"
            yield Finding(
                "constants", f"{after.label}: its {what} {has.name} is not the float model's: {why}", after.blamed
            )


def check_ranges(model: Model, ranges: Mapping[str, Any], masked: Collection[str] = ()) -> Iterator[Finding]:
    """Compare what every activation can hold with what calibration measured.

    Args:
        model: The artifact.
        ranges: `min` and `max` by tensor.
        masked: Tensors of masked scores, whose least value the quantizer may have raised.
    """
    for graph, op, name in each_operator(model):
        for index in () if op.name in FIXED_INT8_OUTPUTS else op.outputs:
            tensor = graph.tensors[index]
            measured = ranges.get(tensor.name)
            if measured is None or tensor.type not in ("int8", "int16") or len(tensor.scales) != 1:
                continue
            limits, zero = np.iinfo(CODES[tensor.type]), tensor.zero_points[0]
            least, greatest = ((limit - zero) * tensor.scales[0] for limit in (limits.min, limits.max))
            step = tensor.scales[0]
            below = tensor.name not in masked and measured["min"] < MOST_CLIPPED * least - step
            if below or measured["max"] > MOST_CLIPPED * greatest + step:
                text = f"{op.name} '{name}' holds {least:.6g} to {greatest:.6g}, and calibration measured"
                yield Finding("range", f"{text} {measured['min']:.6g} to {measured['max']:.6g}", ((op.name, name),))


def is_left_out(part: ComparedOperator, place: int) -> bool:
    """Return whether an operator has nothing at an input."""
    return place >= len(part.op.inputs) or part.op.inputs[place] < 0


def describe_difference(
    tensor: Tensor, data: bytes, values: np.ndarray, *, compensated: bool = False, kept_out: bool = False
) -> str:
    """Return how a stored constant differs from float values by more than rounding and clipping, "" where it does not.

    Args:
        tensor: The stored constant.
        data: Its bytes.
        values: float32 of the same count, flat.
        compensated: The quantizer moves values further than to the nearest code.
        kept_out: The operator's activation makes 0 of negative values: a negative bias may end at the least code, as
            that of a channel whose weights are about 0 does, whose scale is too small for it.
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
        if kept_out and tensor.type in ("int32", "int64"):  # the quantizer clips both to 32 bits
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
    return np.where(halves > GREATEST["int4"], halves - 16, halves)


def measure_error(tensor: Tensor, codes: np.ndarray, exact: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (error, what rounding explains) of some rows, from row `start` on, in float64 and flat."""
    if tensor.type in ("float16", "float32"):
        rounding = FLOAT16_ROUNDING if tensor.type == "float16" else FLOAT32_ROUNDING
        return np.abs(codes - exact), rounding * np.abs(exact) + LEAST_FLOAT16
    scales, zeros = (
        spread(tensor, tensor.scales, codes.size, start),
        spread(tensor, tensor.zero_points, codes.size, start),
    )
    made = (codes - zeros) * scales
    rounding = scales * HALF_STEP + FLOAT32_ROUNDING * np.abs(exact)
    if tensor.type in ("int32", "int64"):
        return np.abs(made - exact), rounding
    limits = np.iinfo(CODES.get(tensor.type, np.int8))
    greatest = GREATEST["int4"] if tensor.type == "int4" else limits.max
    # A symmetric constant may end at -127 or at -128.
    errors = [
        np.abs(made - np.clip(exact, (least - zeros) * scales, (greatest - zeros) * scales))
        for least in ((-greatest, -greatest - 1) if tensor.type != "uint8" else (0,))
    ]
    return np.minimum.reduce(errors), rounding


def spread(tensor: Tensor, parameters: Sequence[float], count: int, start: int) -> np.ndarray:
    """Return a scale or zero point for each of `count` values, from row `start` on."""
    found = np.asarray(parameters or (0,), np.float64)
    if found.size <= 1:
        return np.broadcast_to(found, (count,))
    shape = [abs(size) for size in tensor.shape]
    if tensor.axis == 0:
        return np.repeat(found[start : start + count * shape[0] // tensor.elements], tensor.elements // shape[0])
    inner = int(np.prod(shape[tensor.axis + 1 :]))
    return np.resize(np.repeat(found, inner), count)
