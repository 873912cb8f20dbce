"""The rules of kernels against the kernels: an operand's scale, zero point, type or number of scales is changed.

The operator is run on LiteRT's kernels, its result compared with that of the float operator on the same real values.
Where the kernel gives something else without an error, a rule must say so; where it gives the same, none may.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from choice import is_chosen, least
from one_op import NUMPY, SCALES, Case, T, write_model
from one_op_cases import CASES

from tflbuild.steps.checking.kernel_checks import find_faults
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy

SHIFTS = {"int8": 11, "uint8": 11, "int16": 700}
OTHER_TYPE = {"int8": ("int16", 1 / 200), "uint8": ("int16", 1 / 200), "int16": ("int8", 200)}
FINE, LOST = 25.0, 8.0  # dB: what is as good as it was, and what may be lost to coarser steps
# The change moves values where the operator has none (LOG of a negative number), or makes steps too coarse.
NO_FAULT = {("LOG", "zero point"), ("MEAN", "zero point"), ("REDUCE_PROD", "scale"), ("DIV", "scale")}
# What kernels happen to honour, and no quantizer writes: int16 with a zero point, an int16 operand beside int8 ones.
STRICTER = {
    *(("DIV", "zero point"), ("GELU", "zero point"), ("MAXIMUM", "zero point"), ("MAX_POOL_2D", "zero point")),
    *(("REDUCE_PROD", "type"), ("PRELU", "type")),
}


@dataclass(frozen=True)
class Changed:
    """A case with one operand changed, and how."""

    case: Case
    how: str
    operand: T


def is_quantized(tensor: T | None) -> bool:
    return tensor is not None and (tensor.scale is not None or (tensor.type in SCALES and not tensor.raw))


def parameters(tensor: T) -> tuple[float, int]:
    scale, zero_point = SCALES.get(tensor.type, (1.0, 0))
    return (
        scale if tensor.scale is None else tensor.scale,
        zero_point if tensor.zero_point is None else tensor.zero_point,
    )


def to_real(tensor: T, values: np.ndarray) -> np.ndarray:
    if not is_quantized(tensor):
        return values
    scale, zero_point = parameters(tensor)
    return ((np.asarray(values, np.float64) - zero_point) * scale).astype(np.float32)


def to_integers(tensor: T, values: np.ndarray) -> np.ndarray:
    if not is_quantized(tensor):
        return values.astype(NUMPY[tensor.type])
    scale, zero_point = parameters(tensor)
    limits = np.iinfo(NUMPY[tensor.type])
    return np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(NUMPY[tensor.type])


def as_float(tensor: T | None) -> T | None:
    if tensor is None or not is_quantized(tensor):
        return tensor
    return T(tensor.shape, "float32", None if tensor.values is None else to_real(tensor, tensor.values))


def changes(tensor: T) -> Iterator[tuple[str, T]]:
    scale, zero_point = parameters(tensor)
    if tensor.type in SHIFTS:
        shift = SHIFTS[tensor.type]
        yield "zero point", replace(tensor, zero_point=zero_point + (shift if zero_point + shift <= 120 else -shift))
        yield "scale", replace(tensor, scale=scale * 2)
    if tensor.type in OTHER_TYPE and tensor.values is None:
        kind, factor = OTHER_TYPE[tensor.type]
        yield "type", T(tensor.shape, kind, scale=scale * factor, zero_point=0)


def all_changes(case: Case) -> Iterator[Changed]:
    for side in ("inputs", "outputs"):
        operands = getattr(case, side)
        for place, operand in enumerate(operands):
            for how, made in changes(operand) if is_quantized(operand) else ():
                put = tuple(made if at == place else other for at, other in enumerate(operands))
                yield Changed(replace(case, **{side: put}), how, made)


def feed(case: Case) -> list[np.ndarray]:
    """Real values of every input that moves, inside what its integers span."""
    random = np.random.default_rng(0)
    moving = [tensor for tensor in case.inputs if tensor is not None and tensor.values is None]
    return [
        to_integers(tensor, random.uniform(-1.7, 1.7, tensor.shape))
        if is_quantized(tensor)
        else random.integers(0, 2, tensor.shape).astype(NUMPY[tensor.type])
        for tensor in moving
    ]


def run(case: Case, inputs: list[np.ndarray]) -> list[np.ndarray]:
    interpreter = Interpreter(
        model_content=write_model(case), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def measure(case: Case) -> float | None:
    """The least SNR of an output in dB against the float operator, None where the kernel refuses or has no such."""
    moving = [tensor for tensor in case.inputs if tensor is not None and tensor.values is None]
    plain = replace(
        case, inputs=tuple(as_float(one) for one in case.inputs), outputs=tuple(as_float(one) for one in case.outputs)
    )
    inputs = feed(case)
    try:
        got = run(case, inputs)
        wanted = run(plain, [to_real(tensor, values) for tensor, values in zip(moving, inputs, strict=True)])
    except (ValueError, RuntimeError):
        return None
    ratios = []
    for tensor, integers, real in zip(case.outputs, got, wanted, strict=True):
        clipped = to_real(tensor, to_integers(tensor, real)).astype(np.float64)
        error = ((clipped - to_real(tensor, integers)) ** 2).sum()
        signal = (clipped**2).sum()
        ratios.append(99.0 if not error else 10 * np.log10(signal / error) if signal else -99.0)
    return float(min(ratios))


def measure_in_a_child(case: Case) -> float | None:
    """Run a model in a process of its own, since a kernel may end the process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        faulthandler.disable()
        os.write(write, pickle.dumps(measure(case)))
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    data = os.read(read, 4096)
    os.close(read)
    return pickle.loads(data) if data else -99.0


def chosen() -> list[str]:
    """One case for each operator and type."""
    names: dict[tuple[str, str], str] = {}
    for name, case in CASES.items():
        tensors = [tensor for tensor in (*case.inputs, *case.outputs) if is_quantized(tensor)]
        if tensors and case.op not in ("QUANTIZE", "DEQUANTIZE"):
            names.setdefault((case.op, tensors[0].type), name)
    return list(names.values())


def mistakes(name: str, folder: Path) -> Iterator[str]:
    """Compare rules and kernel for every change of a case's operands: what differs, "" where nothing does."""
    case, path = CASES[name], folder / "model.tflite"
    base = measure_in_a_child(case)
    for changed in all_changes(case) if base is not None and base > FINE else ():
        ratio = measure_in_a_child(changed.case)
        if ratio is None:  # refused when it is opened, or when it runs
            continue
        path.write_bytes(write_model(changed.case))
        faults = [fault.text for fault in find_faults(read_model(path))]
        key = (case.op, changed.how)
        bias = changed.operand.type in ("int32", "int64")  # zeros in these cases, whatever their scale
        if ratio < min(FINE, base - LOST) and not faults and key not in NO_FAULT:
            yield f"{name}: another {changed.how} is read wrongly ({ratio:.0f} dB), and no rule says so"
        elif ratio >= min(FINE, base - LOST) and faults and not bias and key not in STRICTER:
            yield f"{name}: another {changed.how} is honoured, and refused: {faults[0]}"
        else:
            yield ""


def test_rules_say_what_kernels_do(tmp_path):
    answers = [answer for name in chosen() if is_chosen(name) for answer in mistakes(name, tmp_path)]
    assert "\n".join(filter(None, answers)) == ""
    assert len(answers) >= least(300)
