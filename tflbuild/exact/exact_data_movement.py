"""Evaluate operators that round nothing by TensorFlow's own kernels.

A kernel that only moves values, or that computes with integers, booleans or strings, returns the same bits on every
CPU. Arithmetic and comparisons of floats are not done here even where IEEE 754 defines them exactly: TensorFlow's
threads take subnormal numbers for zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from tflbuild.exact.exact_arithmetic import Array

# Each value of the result is a value of an input, or a constant, in its bits; a text becomes the nearest number.
MOVES = frozenset(
    (
        *("BatchToSpace", "BatchToSpaceND", "Bitcast", "BroadcastTo", "Concat", "ConcatV2", "ConjugateTranspose"),
        *("DecodePaddedRaw", "DecodeRaw", "StringToNumber"),
        *("DepthToSpace", "Diag", "DiagPart", "DynamicPartition", "DynamicStitch", "EnsureShape"),
        *("ExpandDims", "ExtractImagePatches", "ExtractVolumePatches", "Fill", "Gather", "GatherNd", "GatherV2"),
        *("GuaranteeConst", "Identity", "IdentityN", "ListDiff", "MatrixBandPart", "MatrixDiag", "MatrixDiagPart"),
        *("MatrixDiagPartV2", "MatrixDiagPartV3", "MatrixDiagV2", "MatrixDiagV3", "MatrixSetDiag"),
        *("MatrixSetDiagV2", "MatrixSetDiagV3", "MirrorPad", "OneHot", "OnesLike", "Pack", "Pad", "PadV2"),
        *("PreventGradient", "RaggedTensorToTensor", "Reshape", "ResizeNearestNeighbor", "Reverse"),
        *("ReverseSequence", "ReverseV2", "Roll", "Select", "SelectV2", "Slice", "Snapshot", "SpaceToBatch"),
        *("SpaceToBatchND", "SpaceToDepth", "SparseConcat", "SparseFillEmptyRows", "SparseReorder", "SparseSlice"),
        *("SparseSplit", "SparseToDense", "Split", "SplitV", "Squeeze", "StopGradient", "StridedSlice"),
        *("StridedSliceGrad", "TensorScatterUpdate", "TensorStridedSliceUpdate", "Tile", "Transpose", "Unique"),
        *("UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "Unpack", "ZerosLike"),
    )
)
# The result follows from shapes alone.
SHAPES = frozenset(("Rank", "Shape", "ShapeN", "Size"))
# Only integers, booleans and strings are taken and returned. Operators of the other modules, such as Sum, are evaluated
# here too when all their inputs are of these types.
INTEGERS = frozenset(
    (
        *("All", "Any", "Bincount", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BroadcastArgs"),
        *("BroadcastGradientArgs", "ConcatOffset", "DataFormatDimMap", "DataFormatVecPermute", "DenseBincount"),
        *("Invert", "InvertPermutation", "LeftShift", "LogicalAnd", "LogicalNot", "LogicalOr", "LowerBound"),
        *("PopulationCount", "RaggedRange", "RegexFullMatch", "RegexReplace", "RightShift", "SparseReshape"),
        *("StaticRegexFullMatch", "StaticRegexReplace", "StringJoin", "StringLength", "StringLower"),
        *("StringSplitV2", "StringStrip", "StringToHashBucket", "StringToHashBucketFast"),
        *("StringToHashBucketStrong", "StringUpper", "Substr", "TruncateDiv", "UnravelIndex", "UpperBound"),
    )
)
# Attributes whose name in `tf.raw_ops` differs from that in a NodeDef
RENAMED = {"squeeze_dims": "axis"}


def is_whole(values: Array) -> bool:
    """Return whether values are integers, booleans or strings."""
    return values.dtype.kind in "iubOSU"


@cache
def _load_tensorflow() -> Any:
    import tensorflow as tf

    return tf


def run_kernel(operator: str, attributes: Mapping[str, Any], inputs: Sequence[Array]) -> list[Array] | None:
    """Run TensorFlow's own CPU kernel of an operator; None where it refuses its inputs."""
    tf = _load_tensorflow()
    function = getattr(tf.raw_ops, operator, None)
    if function is None:
        return None
    with tf.init_scope(), tf.device("/CPU:0"):
        try:  # tensors, because `raw_ops` converts arrays to the default type of an argument
            arguments = name_arguments(operator, attributes, [tf.convert_to_tensor(each) for each in inputs])
            allowed = signature(function).parameters
            named = {RENAMED.get(name, name): value for name, value in attributes.items()}
            named = {name: value for name, value in named.items() if name in allowed and name not in arguments}
            results = function(**arguments, **named)
        except (tf.errors.OpError, ValueError, TypeError):
            return None
    return [np.asarray(result) for result in tf.nest.flatten(results)]


def name_arguments(operator: str, attributes: Mapping[str, Any], tensors: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments of the function in `tf.raw_ops` for an operator's tensors in the order of its NodeDef."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(operator)
    allowed = signature(getattr(_load_tensorflow().raw_ops, operator)).parameters
    known = {argument.name for argument in definition.input_arg} | {each.name for each in definition.attr} | {"name"}
    renamed = [name for name in allowed if name not in known]  # inputs that have another name in `raw_ops`
    widths = [_count_tensors(argument, attributes, len(tensors)) for argument in definition.input_arg]
    if sum(1 if width is None else width for width in widths) != len(tensors):
        widths = _spread(widths, len(tensors))
    rest, arguments = list(tensors), {}
    for argument, width in zip(definition.input_arg, widths, strict=True):
        name = argument.name if argument.name in allowed else renamed.pop(0)
        arguments[name] = rest.pop(0) if width is None else [rest.pop(0) for _ in range(width)]
    return arguments


def _count_tensors(argument: Any, attributes: Mapping[str, Any], count: int) -> int | None:
    """Return how many tensors a list argument takes, None for an argument that is no list."""
    if argument.number_attr:
        return int(attributes.get(argument.number_attr, count))
    if argument.type_list_attr:
        return len(attributes.get(argument.type_list_attr, [None] * count))
    return None


def _spread(widths: list[int | None], count: int) -> list[int | None]:
    """Divide `count` tensors among the lists, when attributes do not say how many each has."""
    lists = sum(width is not None for width in widths)
    share = (count - (len(widths) - lists)) // max(1, lists)
    return [None if width is None else share for width in widths]
