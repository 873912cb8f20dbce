"""Evaluation of TensorFlow's layers on constants, with the same bits on every CPU.

Layers are convolutions, pooling, normalization, linear algebra, Fourier transforms and resizing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflbuild.exact import exact_algebra as algebra
from tflbuild.exact import exact_fourier as fourier
from tflbuild.exact import exact_resize as resize
from tflbuild.exact import exact_windows as windows
from tflbuild.exact.exact_arithmetic import Array, is_complex, is_float, round_to, widen
from tflbuild.exact.exact_elementwise import Attributes, Operator, join_parts, split_parts
from tflbuild.exact.exact_math import log


def read_text(attributes: Attributes, name: str, default: str) -> str:
    """Return a text attribute, which is bytes in a NodeDef."""
    value = attributes.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


class WindowLayout:
    """The position of the channels of a tensor, and the settings of a window that depend on it."""

    def __init__(self, attributes: Attributes, rank: int) -> None:
        self.first = read_text(attributes, "data_format", "N..C").startswith("NC")
        self.spatial = slice(2, rank) if self.first else slice(1, rank - 1)
        self.attributes = attributes
        self.rank = rank

    def read(self, name: str) -> list[int]:
        """Return the numbers for spatial axes of an attribute that has a number for each axis; 1 is the default."""
        return [int(number) for number in (self.attributes.get(name) or [1] * self.rank)][self.spatial]

    def is_plain(self, *names: str) -> bool:
        """Return whether the attributes are 1 for the batch axis and the channel axis."""
        return all(
            number == 1
            for name in names
            for number in _cut_out(list(self.attributes.get(name) or [1] * self.rank), self.spatial)
        )

    def to_last(self, values: Array) -> Array:
        """Move the channels to the end."""
        return np.moveaxis(values, 1, -1) if self.first else values

    def from_last(self, values: Array) -> Array:
        """Move the channels from the end to their position in the tensor."""
        return np.moveaxis(values, -1, 1) if self.first else values

    def find_pads(self, sizes: Sequence[int], window: Sequence[int], dilations: Sequence[int]) -> windows.Pads:
        """Return the padding of each spatial axis."""
        padding = read_text(self.attributes, "padding", "VALID")
        if padding == "EXPLICIT":
            listed = list(self.attributes["explicit_paddings"])
            return [(listed[2 * axis], listed[2 * axis + 1]) for axis in range(self.rank)[self.spatial]]
        return windows.find_pads(padding, sizes, window, self.read("strides"), dilations)


def _cut_out(numbers: list[int], inner: slice) -> list[int]:
    del numbers[inner]
    return numbers


Convolution = Callable[[Array, Array, Sequence[int], Sequence[int], windows.Pads], Array]


def _convolve(function: Convolution) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        values, filters = inputs
        layout = WindowLayout(attributes, values.ndim)
        if not is_float(values.dtype) or not layout.is_plain("strides", "dilations"):
            return None
        x, dilations = layout.to_last(values), layout.read("dilations")
        pads = layout.find_pads(x.shape[1:-1], filters.shape[:-2], dilations)
        result = function(widen(x), widen(filters), layout.read("strides"), dilations, pads)
        return [round_to(layout.from_last(result), values.dtype)]

    return evaluate


Transposed = Callable[[Array, Array, Sequence[int], Sequence[int], Sequence[int], windows.Pads], Array]


def _convolve_transposed(function: Transposed) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        sizes, filters, values = inputs
        layout = WindowLayout(attributes, values.ndim)
        if not is_float(values.dtype) or not layout.is_plain("strides", "dilations") or len(sizes) != values.ndim:
            return None
        x, dilations = layout.to_last(values), layout.read("dilations")
        shape_sizes = [int(size) for size in sizes]
        spatial, channels = shape_sizes[layout.spatial], shape_sizes[1 if layout.first else -1]
        # This is a grouped convolution, which is not supported.
        if channels != filters.shape[-2]:
            return None
        pads = layout.find_pads(spatial, filters.shape[:-2], dilations)
        shape = [values.shape[0], *spatial, channels]
        result = function(x, filters, shape, layout.read("strides"), dilations, pads)
        return [round_to(layout.from_last(result), values.dtype)]

    return evaluate


def _pool(function: Callable[[Array, Sequence[int], Sequence[int], windows.Pads], Array]) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        values = inputs[0]
        # MaxPoolV2 has the window and the strides as inputs.
        if len(inputs) == 3:
            attributes = {**attributes, "ksize": list(inputs[1]), "strides": list(inputs[2])}
        layout = WindowLayout(attributes, values.ndim)
        if not is_float(values.dtype) or not layout.is_plain("ksize", "strides"):
            return None
        x, window = layout.to_last(values), layout.read("ksize")
        pads = layout.find_pads(x.shape[1:-1], window, [1] * len(window))
        result = function(widen(x), window, layout.read("strides"), pads)
        return [round_to(layout.from_last(result), values.dtype)]

    return evaluate


def _dilate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    values, filters = inputs
    layout = WindowLayout({**attributes, "dilations": attributes["rates"]}, values.ndim)
    if not is_float(values.dtype) or not layout.is_plain("strides", "dilations"):
        return None
    rates = layout.read("dilations")
    pads = layout.find_pads(values.shape[1:-1], filters.shape[:-1], rates)
    return [round_to(windows.dilate(widen(values), filters, layout.read("strides"), rates, pads), values.dtype)]


def _normalize_batch(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    """Normalize by constant means and variances. Training, which measures them, is not supported."""
    values, factor, offset, mean, variance = (widen(array) for array in inputs)
    if attributes.get("is_training", True):
        return None
    layout = WindowLayout(attributes, values.ndim)
    epsilon = float(np.float32(attributes.get("epsilon", 1e-4)))
    x = layout.to_last(values)
    with np.errstate(all="ignore"):
        result = (x - mean) * (factor / np.sqrt(variance + epsilon)) + offset
    reserve = [inputs[3], inputs[4], np.zeros(0, inputs[3].dtype)]
    return [round_to(layout.from_last(result), inputs[0].dtype), inputs[3], inputs[4], *reserve]


def _normalize_batch_by(count: int) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        results = _normalize_batch(attributes, inputs)
        return results[:count] if results else None

    return evaluate


def _normalize_locally(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    names = (("bias", 1.0), ("alpha", 1.0), ("beta", 0.5))
    bias, alpha, beta = (float(np.float32(attributes.get(name, default))) for name, default in names)
    radius = int(attributes.get("depth_radius", 5))
    result = windows.normalize_over_channels(widen(inputs[0]), radius, bias, alpha, beta)
    return [round_to(result, inputs[0].dtype)]


def _use_matrices(function: Callable[..., Array | tuple[Array, ...]]) -> Operator:
    """Return an operator on real matrices. Its result is None if a matrix has no result, such as a singular one."""

    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        dtype = inputs[0].dtype
        if not all(is_float(array.dtype) for array in inputs):
            return None
        try:
            results = function(attributes, *(widen(array) for array in inputs))
        except ValueError:
            return None
        listed = results if isinstance(results, tuple) else (results,)
        return [round_to(result, dtype) for result in listed]

    return evaluate


def _transpose_adjoint(attributes: Attributes, a: Array) -> Array:
    return np.swapaxes(a, -1, -2) if attributes.get("adjoint") else a


def _solve_triangular(attributes: Attributes, a: Array, b: Array) -> Array:
    lower = bool(attributes.get("lower", True)) != bool(attributes.get("adjoint", False))
    return algebra.solve_triangular(_transpose_adjoint(attributes, a), b, lower)


def _split_determinant(_: Attributes, a: Array) -> tuple[Array, Array]:
    determinants = algebra.find_determinants(a)
    return np.sign(determinants), log(np.abs(determinants).reshape(-1)).reshape(determinants.shape)


def _cross(_: Attributes, a: Array, b: Array) -> Array:
    first, second = [1, 2, 0], [2, 0, 1]
    result: Array = a[..., first] * b[..., second] - a[..., second] * b[..., first]
    return result


def _transform(axes: int, inverse: bool) -> Operator:
    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if not is_complex(inputs[0].dtype):
            return None
        return [round_to(join_parts(*fourier.transform(*split_parts(inputs[0]), axes, inverse)), inputs[0].dtype)]

    return evaluate


def _transform_real(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    sizes = [int(size) for size in inputs[1]]
    result = join_parts(*fourier.transform_real(widen(inputs[0]), sizes))
    return [round_to(result, np.dtype(attributes.get("Tcomplex", np.complex64)))]


def _invert_real(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    sizes = [int(size) for size in inputs[1]]
    result = fourier.invert_real(*split_parts(inputs[0]), sizes)
    return [round_to(result, np.dtype(attributes.get("Treal", np.float32)))]


def _resize(function: Callable[[Array, Sequence[int], bool, bool], Array]) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        images, size = inputs
        if images.dtype.kind not in "iu" and not is_float(images.dtype):
            return None
        corners = bool(attributes.get("align_corners", False))
        centers = bool(attributes.get("half_pixel_centers", False))
        result = function(widen(images), [int(each) for each in size], corners, centers)
        return [round_to(result, np.dtype(np.float32))]

    return evaluate


def _scale_and_translate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    images, size, scales, shifts = inputs
    kernel = read_text(attributes, "kernel_type", "lanczos3")
    if kernel not in resize.KERNELS or (images.dtype.kind not in "iu" and not is_float(images.dtype)):
        return None
    smooth = bool(attributes.get("antialias", True))
    sizes = [int(each) for each in size]
    result = resize.scale_and_translate(widen(images), sizes, widen(scales), widen(shifts), kernel, smooth)
    return [round_to(result, np.dtype(np.float32))]


def _adjust_contrast(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    """Scale the differences between the values of each channel of an image and their mean."""
    images, factor = widen(inputs[0]), widen(inputs[1])
    means = algebra.average(images, (-3, -2), keep=True)
    return [round_to((images - means) * factor + means, inputs[0].dtype)]


def _check_numbers(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    """Return the input if all of its values are finite. TensorFlow fails in other cases."""
    return [inputs[0]] if bool(np.isfinite(widen(inputs[0])).all()) else None


FOURIER: dict[str, Any] = {
    f"{'I' if inverse else ''}FFT{'' if axes == 1 else f'{axes}D'}": _transform(axes, inverse)
    for axes in (1, 2, 3)
    for inverse in (False, True)
}

OPERATORS: dict[str, Operator] = {
    **FOURIER,
    **dict.fromkeys(("RFFT", "RFFT2D", "RFFT3D"), _transform_real),
    **dict.fromkeys(("IRFFT", "IRFFT2D", "IRFFT3D"), _invert_real),
    **{name: _convolve(windows.convolve) for name in ("Conv2D", "Conv3D")},
    **{name: _pool(windows.average_windows) for name in ("AvgPool", "AvgPool3D")},
    **{name: _pool(windows.find_largest_in_windows) for name in ("MaxPool", "MaxPool3D", "MaxPoolV2")},
    "AdjustContrastv2": _adjust_contrast,
    "CheckNumerics": _check_numbers,
    "CheckNumericsV2": _check_numbers,
    "Cholesky": _use_matrices(lambda _, a: algebra.factor_cholesky(a)),
    "Conv2DBackpropInput": _convolve_transposed(windows.convolve_transposed),
    "Conv3DBackpropInputV2": _convolve_transposed(windows.convolve_transposed),
    "Cross": _use_matrices(_cross),
    "DepthwiseConv2dNative": _convolve(windows.convolve_depthwise),
    "DepthwiseConv2dNativeBackpropInput": _convolve_transposed(windows.convolve_depthwise_transposed),
    "Dilation2D": _dilate,
    "FusedBatchNorm": _normalize_batch_by(5),
    "FusedBatchNormV2": _normalize_batch_by(5),
    "FusedBatchNormV3": _normalize_batch_by(6),
    "LRN": _normalize_locally,
    "LogMatrixDeterminant": _use_matrices(_split_determinant),
    "MatrixDeterminant": _use_matrices(lambda _, a: algebra.find_determinants(a)),
    "MatrixInverse": _use_matrices(lambda attributes, a: algebra.invert(_transpose_adjoint(attributes, a))),
    "MatrixSolve": _use_matrices(lambda attributes, a, b: algebra.solve(_transpose_adjoint(attributes, a), b)),
    "MatrixTriangularSolve": _use_matrices(_solve_triangular),
    "ResizeArea": _resize(resize.resize_by_area),
    "ResizeBicubic": _resize(resize.resize_bicubic),
    "ResizeBilinear": _resize(resize.resize_bilinear),
    "ScaleAndTranslate": _scale_and_translate,
}
