"""Evaluation of operators that do not round, by TensorFlow's own kernels.

A kernel that only moves values, or that computes with integers, booleans or strings, returns the same bits on every
CPU. Arithmetic and comparisons of floats are not done here, even if IEEE 754 defines them exactly, because TensorFlow's
threads replace subnormal numbers by zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from tflbuild.exact.exact_arithmetic import Array

# Each value of the result has the bits of a value of an input, or of a constant. Text becomes the nearest number.
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
# The result depends only on shapes.
SHAPES = frozenset(("Rank", "Shape", "ShapeN", "Size"))
# Inputs and outputs are integers, booleans and strings only. Operators of the other modules, such as Sum, are evaluated
# here too if all their inputs have these types.
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
# Attributes whose names in `tf.raw_ops` differ from those in a NodeDef.
RENAMED = {"squeeze_dims": "axis"}


def is_whole(values: Array) -> bool:
    """Return whether values are integers, booleans or strings."""
    return values.dtype.kind in "iubOSU"


@cache
def _load_tensorflow() -> Any:
    import tensorflow as tf

    return tf


def run_kernel(operator: str, attributes: Mapping[str, Any], inputs: Sequence[Array]) -> list[Array] | None:
    """Run TensorFlow's CPU kernel of an operator.

    Args:
        operator: The name of the operator.
        attributes: Its attributes, as `read_attributes` returns them.
        inputs: Its inputs in the order of the NodeDef.

    Returns:
        One array for each output; None if TensorFlow has no such kernel, or the kernel refuses the inputs.
    """
    tf = _load_tensorflow()
    function = getattr(tf.raw_ops, operator, None)
    if function is None:
        return None
    with tf.init_scope(), tf.device("/CPU:0"):
        try:
            # `raw_ops` would convert arrays to the default type of an argument, so that tensors are needed.
            arguments = name_arguments(operator, attributes, [tf.convert_to_tensor(array) for array in inputs])
            allowed = signature(function).parameters
            options = {RENAMED.get(name, name): value for name, value in attributes.items()}
            options = {name: value for name, value in options.items() if name in allowed and name not in arguments}
            results = function(**arguments, **options)
        except (tf.errors.OpError, ValueError, TypeError):
            return None
    return [np.asarray(result) for result in tf.nest.flatten(results)]


def name_arguments(operator: str, attributes: Mapping[str, Any], tensors: Sequence[Any]) -> dict[str, Any]:
    """Return the tensors of an operator, which are in the order of its NodeDef, as arguments for `tf.raw_ops`."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(operator)
    allowed = signature(getattr(_load_tensorflow().raw_ops, operator)).parameters
    definition_names = {item.name for item in (*definition.input_arg, *definition.attr)} | {"name"}
    # Inputs that have another name in `raw_ops`.
    renamed = [name for name in allowed if name not in definition_names]
    widths = [_count_tensors(argument, attributes, len(tensors)) for argument in definition.input_arg]
    if sum(1 if width is None else width for width in widths) != len(tensors):
        widths = _spread(widths, len(tensors))
    rest, arguments = list(tensors), {}
    for argument, width in zip(definition.input_arg, widths, strict=True):
        name = argument.name if argument.name in allowed else renamed.pop(0)
        arguments[name] = rest.pop(0) if width is None else [rest.pop(0) for _ in range(width)]
    return arguments


def _count_tensors(argument: Any, attributes: Mapping[str, Any], count: int) -> int | None:
    """Return the number of tensors in a list argument; None for an argument that is not a list."""
    if argument.number_attr:
        return int(attributes.get(argument.number_attr, count))
    if argument.type_list_attr:
        return len(attributes.get(argument.type_list_attr, [None] * count))
    return None


def _spread(widths: list[int | None], count: int) -> list[int | None]:
    """Divide `count` tensors equally among the lists, if the attributes do not state the length of each."""
    lists = sum(width is not None for width in widths)
    length = (count - (len(widths) - lists)) // max(1, lists)
    return [None if width is None else length for width in widths]
