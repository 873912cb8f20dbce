"""Evaluation of TensorFlow's reductions, scatters, matrix products and searches, with the same bits on every CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from tflbuild.exact import exact_algebra as algebra
from tflbuild.exact.exact_arithmetic import Array, find_largest_number, is_complex, is_float, round_to, widen
from tflbuild.exact.exact_elementwise import OPERATORS as ELEMENTWISE
from tflbuild.exact.exact_elementwise import Attributes, Operator, cast, join_parts, split_parts
from tflbuild.exact.exact_math import exp, log1p

Reduction = Callable[[Array, Sequence[int], bool], Array]


def _measure_norm(values: Array, axes: Sequence[int], keep: bool) -> Array:
    return np.sqrt(algebra.add_up(values * values, axes, keep))


REDUCTIONS: dict[str, Reduction] = {
    "EuclideanNorm": _measure_norm,
    "Max": algebra.find_largest,
    "Mean": algebra.average,
    "Min": algebra.find_smallest,
    "Prod": algebra.multiply_up,
    "Sum": algebra.add_up,
}


def _apply_to_parts(function: Callable[[Array], Array], values: Array) -> Array:
    """Apply a linear function to real values, or to both parts of complex ones, and round once."""
    if not is_complex(values.dtype):
        return round_to(function(widen(values)), values.dtype)
    real, imaginary = function(values.real.astype(np.float64)), function(values.imag.astype(np.float64))
    result = np.empty(real.shape, np.complex128)
    result.real, result.imag = real, imaginary
    return round_to(result, values.dtype)


def _reduce(name: str) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        values, axes = inputs[0], [int(axis) for axis in inputs[1].reshape(-1)]
        keep = bool(attributes.get("keep_dims", False))
        if not is_float(values.dtype) and not (is_complex(values.dtype) and name in ("Sum", "Mean")):
            return None
        return [_apply_to_parts(lambda part: REDUCTIONS[name](part, axes, keep), values)]

    return evaluate


def _add_logarithms(a: Array, b: Array) -> Array:
    """Return log(e^a + e^b)."""
    high, low = np.where(a > b, a, b), np.where(a > b, b, a)
    return high + log1p(exp(np.where(low == -np.inf, -np.inf, low - high)))


def _accumulate(function: Callable[..., Array]) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if not is_float(inputs[0].dtype):
            return None
        exclusive, reverse = bool(attributes.get("exclusive", False)), bool(attributes.get("reverse", False))
        values = algebra.accumulate(widen(inputs[0]), int(inputs[1]), function, exclusive, reverse)
        return [round_to(values, inputs[0].dtype)]

    return evaluate


def _find_index(function: Callable[..., Any]) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        values = inputs[0]
        if not is_float(values.dtype) or np.isnan(values).any():
            return None
        return [function(widen(values), axis=int(inputs[1])).astype(attributes.get("output_type", np.int64))]

    return evaluate


def _find_top(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    values = inputs[0]
    if not is_float(values.dtype) or np.isnan(values).any():
        return None
    count = int(inputs[1])
    if not 0 <= count <= values.shape[-1]:
        return None
    order = np.argsort(-widen(values), axis=-1, kind="stable")[..., :count]
    return [np.take_along_axis(values, order, -1), order.astype(attributes.get("index_type", np.int32))]


def _halve_squares(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    values = widen(inputs[0])
    return [round_to(algebra.add_up(values * values) * 0.5, inputs[0].dtype)] if is_float(inputs[0].dtype) else None


def _soften(function: Callable[[Array], Array]) -> Operator:
    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        return [round_to(function(widen(inputs[0])), inputs[0].dtype)] if is_float(inputs[0].dtype) else None

    return evaluate


def _multiply_parts(
    product: Callable[[Array, Array], Array], a: Array, b: Array, dtype: np.dtype[Any]
) -> list[Array] | None:
    """Return the product of real or complex arrays, rounded once. `product` multiplies real arrays."""
    if is_float(a.dtype) and is_float(b.dtype) and is_float(dtype):
        return [round_to(product(widen(a), widen(b)), dtype)]
    if not (is_complex(a.dtype) and is_complex(b.dtype) and is_complex(dtype)):
        return None
    (c, d), (e, f) = split_parts(a), split_parts(b)
    return [round_to(join_parts(product(c, e) - product(d, f), product(c, f) + product(d, e)), dtype)]


def _multiply(left: str, right: str) -> Operator:
    """Return a matrix product. `left` and `right` are the attributes that transpose the two operands."""

    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if attributes.get("grad_x") or attributes.get("grad_y"):
            return None
        a, b = (
            np.swapaxes(each, -1, -2) if attributes.get(name) else each
            for each, name in zip(inputs, (left, right), strict=True)
        )
        dtype = np.dtype(attributes.get("Tout", a.dtype))
        # The adjoint of a complex matrix is also conjugated.
        if attributes.get("adj_x") or attributes.get("adj_y"):
            a = np.conjugate(a) if left == "adj_x" and attributes.get("adj_x") else a
            b = np.conjugate(b) if right == "adj_y" and attributes.get("adj_y") else b
        return _multiply_parts(algebra.multiply_matrices, a, b, dtype)

    return evaluate


def _reduce_labels(values: Array, labels: str, needed: str) -> tuple[Array, str]:
    """Take the diagonal of repeated labels, and add up the axes whose label is not in `needed`."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first, second = labels.index(label), labels.rindex(label)
            values = np.diagonal(values, axis1=first, axis2=second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    dropped = [axis for axis, label in enumerate(labels) if label not in needed]
    if dropped:
        values = algebra.add_up(values, dropped)
    return values, "".join(label for label in labels if label in needed)


def contract(a: Array, a_labels: str, b: Array, b_labels: str, result: str) -> Array:
    """Multiply two arrays, and add up the products over the labels that are not in `result`. One letter is one axis."""
    a, a_labels = _reduce_labels(a, a_labels, b_labels + result)
    b, b_labels = _reduce_labels(b, b_labels, a_labels + result)
    sizes = {**dict(zip(a_labels, a.shape, strict=True))}
    for label, size in zip(b_labels, b.shape, strict=True):
        sizes[label] = max(sizes.get(label, 1), size)
    common = [label for label in a_labels if label in b_labels and label in result]
    summed = [label for label in a_labels if label in b_labels and label not in result]
    left = [label for label in a_labels if label not in b_labels]
    right = [label for label in b_labels if label not in a_labels]
    # An axis of size 1 is broadcast to the size of the other array's axis.
    for label in summed:
        a = np.broadcast_to(a, [sizes[at] if at == label else n for at, n in zip(a_labels, a.shape, strict=True)])
        b = np.broadcast_to(b, [sizes[at] if at == label else n for at, n in zip(b_labels, b.shape, strict=True)])
    a = np.transpose(a, [a_labels.index(label) for label in (*common, *left, *summed)])
    b = np.transpose(b, [b_labels.index(label) for label in (*common, *summed, *right)])
    terms = int(np.prod([sizes[label] for label in summed], dtype=np.int64))
    rows, columns = (int(np.prod([sizes[label] for label in each], dtype=np.int64)) for each in (left, right))
    batch = len(common)
    product = algebra.multiply_matrices(
        a.reshape((*a.shape[:batch], rows, terms)), b.reshape((*b.shape[:batch], terms, columns))
    )
    order = [*common, *left, *right]
    product = product.reshape([sizes[label] for label in order])
    return np.transpose(product, [order.index(label) for label in result])


def _name_ellipses(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the labels of the inputs and of the result, with capital Greek letters for the axes of an ellipsis."""
    sources, result = equation.replace(" ", "").split("->")
    terms = sources.split(",")
    extra = max((rank - len(t) + 3 for t, rank in zip(terms, ranks, strict=True) if "..." in t), default=0)
    names = "".join(chr(0x391 + index) for index in range(extra))
    inputs = []
    for term, rank in zip(terms, ranks, strict=True):
        count = rank - len(term) + 3
        inputs.append(term.replace("...", names[extra - count :] if count else ""))
    return inputs, result.replace("...", names)


def _contract_all(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    equation = attributes["equation"]
    equation = equation.decode() if isinstance(equation, bytes) else equation
    dtype = inputs[0].dtype
    if len(inputs) > 2 or (not is_float(dtype) and len(inputs) == 1):
        return None
    labels, result = _name_ellipses(equation, [each.ndim for each in inputs])
    if len(inputs) == 1:
        values, left = _reduce_labels(widen(inputs[0]), labels[0], result)
        return [round_to(np.transpose(values, [left.index(label) for label in result]), dtype)]
    return _multiply_parts(lambda a, b: contract(a, labels[0], b, labels[1], result), inputs[0], inputs[1], dtype)


def _combine_segments(values: Array, ids: Array, count: int, function: Callable[..., Array], start: float) -> Array:
    result = np.full((count, *values.shape[1:]), start)
    for index, segment in enumerate(ids):
        if 0 <= segment < count:
            result[segment] = function(result[segment], values[index])
    return result


SEGMENTS: dict[str, tuple[Callable[..., Array], float]] = {
    "Max": (algebra.choose_larger, -np.inf),
    "Mean": (np.add, 0.0),
    "Min": (algebra.choose_smaller, np.inf),
    "Prod": (np.multiply, 1.0),
    "SqrtN": (np.add, 0.0),
    "Sum": (np.add, 0.0),
}


def _are_segments(ids: Array, count: int, unsorted: bool) -> bool:
    """Return whether TensorFlow's kernel accepts ids: below the count, and ascending from 0 unless `unsorted`."""
    if not ids.size:
        return True
    return int(ids.max()) < count and (unsorted or (int(ids[0]) >= 0 and bool((ids[1:] >= ids[:-1]).all())))


def _join_segments(name: str, unsorted: bool = False, sparse: bool = False) -> Operator:
    """Return a segment reduction. An unsorted one omits values whose id is negative."""
    function, start = SEGMENTS[name]

    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        data, ids = inputs[0], inputs[2 if sparse else 1]
        if not is_float(data.dtype):
            return None
        if sparse:
            if (inputs[1] < 0).any():
                return None
            data = data[inputs[1]]
        flat = ids.reshape(-1)
        if unsorted:
            count = int(inputs[2])
        elif sparse and len(inputs) > 3:
            count = int(inputs[3])
        else:
            count = int(flat[-1]) + 1 if flat.size else 0
        if not _are_segments(flat, count, unsorted):
            return None
        values = widen(data).reshape(flat.size, *data.shape[ids.ndim :])
        result = _combine_segments(values, flat, count, function, start)
        sizes = np.bincount(flat[(flat >= 0) & (flat < count)], minlength=count)
        divisors = np.where(sizes == 0, 1, sizes).astype(np.float64).reshape(-1, *[1] * (result.ndim - 1))
        result = result / {"Mean": divisors, "SqrtN": np.sqrt(divisors)}.get(name, 1.0)
        # TensorFlow writes these values for a segment without values.
        if name in ("Max", "Min"):
            limit = find_largest_number(data.dtype)
            result[sizes == 0] = (-limit if name == "Max" else limit) if unsorted else 0.0
        return [round_to(result, inputs[0].dtype)]

    return evaluate


SCATTERS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Max": algebra.choose_larger,
    "Min": algebra.choose_smaller,
    "Sub": np.subtract,
}


def _scatter(target: Array, indices: Array, updates: Array, function: Callable[..., Array]) -> Array:
    """Combine updates with slices of `target`, in the order of the indices."""
    depth = indices.shape[-1]
    slices = updates.reshape(-1, *target.shape[depth:])
    for index, update in zip(indices.reshape(-1, depth), slices, strict=True):
        target[tuple(index)] = function(target[tuple(index)], update)
    return target


def _scatter_new(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    indices, updates, shape = inputs
    if not is_float(updates.dtype) or (indices < 0).any() or (indices >= shape[: indices.shape[-1]]).any():
        return None
    return [round_to(_scatter(np.zeros(tuple(shape)), indices, widen(updates), np.add), updates.dtype)]


def _scatter_into(function: Callable[..., Array]) -> Operator:
    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        target, indices, updates = inputs
        depth = indices.shape[-1]
        if not is_float(target.dtype) or (indices < 0).any() or (indices >= target.shape[:depth]).any():
            return None
        return [round_to(_scatter(widen(target).copy(), indices, widen(updates), function), target.dtype)]

    return evaluate


def _multiply_sparse(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    """Multiply a sparse matrix, which consists of the positions and values of its elements, by a matrix."""
    positions, values, shape, b = inputs
    if not is_float(values.dtype):
        return None
    row, column = (1, 0) if attributes.get("adjoint_a") else (0, 1)
    b = np.swapaxes(b, -1, -2) if attributes.get("adjoint_b") else b
    result = np.zeros((int(shape[row]), b.shape[1]))
    for position, value in zip(positions, widen(values), strict=True):
        result[position[row]] += value * widen(b[position[column]])
    return [round_to(result, values.dtype)]


def _range(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    """Return start + i delta in the type of the tensor. TensorFlow rounds the product and the sum."""
    start, limit, delta = inputs
    dtype = start.dtype
    if not is_float(dtype) or (limit < start and delta > 0) or (limit > start and delta < 0):
        return None
    count = int(np.ceil(np.abs((limit - start) / delta).astype(np.float64)))
    steps = np.arange(count).astype(dtype)
    return [(steps * delta + start).astype(dtype)]


def _linear_space(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    start, stop, count = inputs[0], inputs[1], int(inputs[2])
    dtype = start.dtype
    if not is_float(dtype):
        return None
    if count == 1:
        return [start.reshape(1)]
    step = (stop - start) / dtype.type(count - 1)
    result = (start + np.arange(count).astype(dtype) * step).astype(dtype)
    result[0], result[-1] = start, stop
    return [result]


def _add_bias(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    values, bias = inputs
    layout = attributes.get("data_format", "NHWC")
    layout = layout.decode() if isinstance(layout, bytes) else layout
    if layout.startswith("NC"):
        bias = bias.reshape(-1, *[1] * (values.ndim - 2))
    return ELEMENTWISE["AddV2"](attributes, [values, bias])


def _mark_nonzero(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    marked = cast({"DstT": np.dtype(bool)}, inputs)
    return [np.argwhere(marked[0]).astype(np.int64)] if marked else None


def _find_bound(side: Literal["left", "right"]) -> Operator:
    """Return a search in sorted rows of floats, which are compared exactly."""

    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        rows, values = inputs
        if not is_float(rows.dtype) or np.isnan(rows).any() or np.isnan(values).any():
            return None
        positions = [np.searchsorted(widen(row), widen(value), side) for row, value in zip(rows, values, strict=True)]
        return [np.array(positions, attributes.get("out_type", np.int32)).reshape(values.shape)]

    return evaluate


def _find_buckets(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    limits = np.array(attributes["boundaries"], np.float32).astype(np.float64)
    values = inputs[0].astype(np.float64)
    return [np.searchsorted(limits, values, side="right").astype(np.int32)]


OPERATORS: dict[str, Operator] = {
    **{name: _reduce(name) for name in REDUCTIONS},
    **{f"Segment{name}": _join_segments(name) for name in SEGMENTS if name != "SqrtN"},
    **{f"UnsortedSegment{name}": _join_segments(name, unsorted=True) for name in ("Max", "Min", "Prod", "Sum")},
    **{f"SparseSegment{name}": _join_segments(name, sparse=True) for name in ("Mean", "SqrtN", "Sum")},
    **{f"SparseSegment{name}WithNumSegments": _join_segments(name, sparse=True) for name in ("Mean", "SqrtN", "Sum")},
    **{f"TensorScatter{name}": _scatter_into(function) for name, function in SCATTERS.items()},
    "ArgMax": _find_index(np.argmax),
    "ArgMin": _find_index(np.argmin),
    "BatchMatMul": _multiply("adj_x", "adj_y"),
    "BatchMatMulV2": _multiply("adj_x", "adj_y"),
    "BatchMatMulV3": _multiply("adj_x", "adj_y"),
    "BiasAdd": _add_bias,
    "BiasAddV1": _add_bias,
    "Cumprod": _accumulate(np.multiply),
    "Cumsum": _accumulate(np.add),
    "Bucketize": _find_buckets,
    "CumulativeLogsumexp": _accumulate(_add_logarithms),
    "Einsum": _contract_all,
    "L2Loss": _halve_squares,
    "LinSpace": _linear_space,
    "LowerBound": _find_bound("left"),
    "LogSoftmax": _soften(algebra.log_softmax),
    "MatMul": _multiply("transpose_a", "transpose_b"),
    "Range": _range,
    "ScatterNd": _scatter_new,
    "ScatterNdNonAliasingAdd": _scatter_into(np.add),
    "Softmax": _soften(algebra.softmax),
    "SparseTensorDenseMatMul": _multiply_sparse,
    "TopKV2": _find_top,
    "UpperBound": _find_bound("right"),
    "Where": _mark_nonzero,
}
