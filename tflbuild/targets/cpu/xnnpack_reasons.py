"""Possible reasons why XNNPACK does not run an operator: the element types for which it ran each operator in tests.

XNNPACK reports no reason. This table was measured with models of one operator (ai-edge-litert `TRIED_WITH`), and a test
repeats it. A type is in `refused` if XNNPACK ran no model of this operator and type. The table explains what the
runtime did with a model. It does not predict anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tflbuild.targets.common.rules import OperatorView

TRIED_WITH = "2.3.0"
NO_REASON = "XNNPACK does not say why"
WEIGHED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# Fused activations that XNNPACK does not support.
UNFUSED = ("TANH", "SIGN_BIT")


@dataclass(frozen=True)
class MeasuredTypes:
    """Types of an operator's first activation: XNNPACK ran some model with a type in `taken`, and none in `refused`."""

    taken: tuple[str, ...]
    refused: tuple[str, ...]


_GROUPS: tuple[tuple[str, str, str], ...] = (
    (
        "BATCH_MATMUL CONV_2D DEPTHWISE_CONV_2D ELU FULLY_CONNECTED LEAKY_RELU LOGISTIC MAX_POOL_2D MEAN REDUCE_MAX"
        " REDUCE_MIN SUM TANH",
        "float32 int8",
        "int16",
    ),
    ("ADD CONCATENATION MUL PAD RESHAPE SLICE SPLIT SUB TRANSPOSE", "float32 int8", "int16 int32"),
    ("DEPTH_TO_SPACE QUANTIZE RESIZE_BILINEAR SPACE_TO_DEPTH TRANSPOSE_CONV", "float32 int8", ""),
    (
        "AVERAGE_POOL_2D EXP GELU HARD_SWISH LOG NEG RELU RELU6 RELU_N1_TO_1 RSQRT SOFTMAX SQRT",
        "float32",
        "int8 int16",
    ),
    ("ABS DIV MAXIMUM MINIMUM SQUARED_DIFFERENCE", "float32", "int8 int16 int32"),
    ("CEIL COS FLOOR ROUND SIN SQUARE", "float32", ""),
    ("PRELU", "float32", "int8"),
    ("DEQUANTIZE", "int8", "int16"),
    ("EXPAND_DIMS FLOOR_DIV FLOOR_MOD GATHER PACK REVERSE_V2 SQUEEZE TILE UNPACK", "", "float32 int8 int16 int32"),
    (
        "ARG_MAX ARG_MIN BATCH_TO_SPACE_ND L2_NORMALIZATION LOG_SOFTMAX MIRROR_PAD PADV2 RESIZE_NEAREST_NEIGHBOR"
        " SPACE_TO_BATCH_ND TOPK_V2",
        "",
        "float32 int8",
    ),
    ("EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL NOT_EQUAL", "", "float32 int8 int32"),
    ("BROADCAST_TO CONV_3D GATHER_ND SHAPE", "", "float32"),
    ("LOGICAL_AND LOGICAL_NOT LOGICAL_OR SELECT_V2", "", "bool"),
    ("CUMSUM POW", "", "float32 int32"),
    ("EMBEDDING_LOOKUP ONE_HOT", "", "int32"),
    ("REDUCE_PROD SIGN", "", "float32 int8 int16"),
    ("CAST", "", "float32 int8 int32 bool"),
    ("L2_POOL_2D", "", "float32 int16"),
    ("STRIDED_SLICE", "float32", "int16 int32"),
)
TRIED: Mapping[str, MeasuredTypes] = {
    name: MeasuredTypes(tuple(taken.split()), tuple(refused.split()))
    for names, taken, refused in _GROUPS
    for name in names.split()
}


def find_activation_type(view: OperatorView) -> str:
    """Return the type of the first activation, "" if there is none."""
    return next((tensor.type for tensor in view.moving), "")


def explain_unsupported(view: OperatorView) -> str:
    """Return what is known about why XNNPACK does not run an operator."""
    name, kind = view.op.name, find_activation_type(view)
    tried = TRIED.get(name)
    if tried is None:
        return f"{NO_REASON}; {name} was not tried alone"
    if kind in tried.refused and not tried.taken:
        return f"XNNPACK took no {name} that was tried (ai-edge-litert {TRIED_WITH})"
    if kind in tried.refused:
        taken = " or ".join(tried.taken)
        return f"XNNPACK took no {kind} {name} that was tried (ai-edge-litert {TRIED_WITH}), but {taken} ones"
    if view.op.activation in UNFUSED:
        return f"{view.op.activation} is fused into it, which XNNPACK does not compute"
    weights = view.input(1)
    if name in WEIGHED and weights is not None and not weights.constant:
        return "its weights are computed, not stored"
    if any(-1 in tensor.shape for tensor in view.moving):
        return f"{NO_REASON}; it takes {kind} {name}, and here a size is free"
    return f"{NO_REASON}; it took {kind} {name} in other models" if kind in tried.taken else NO_REASON
