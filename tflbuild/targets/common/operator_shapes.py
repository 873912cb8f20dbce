"""Shapes and constant parameters of an operator, as the rules of several targets need them."""

from __future__ import annotations

from fractions import Fraction

from tflbuild.targets.common.rules import OperatorView

# The size does not change.
SAME = "same"
# The input is a single pixel.
OF_ONE = "of one"


def four(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape with at least four sizes, by adding ones at the front."""
    return (1,) * (4 - len(shape)) + shape


def axes_of(view: OperatorView) -> tuple[int, ...] | None:
    """Return the axes in input 1, counted from 0, or None if they are unknown."""
    tensor, axes = view.input(0), view.input(1)
    if tensor is None or axes is None or not axes.values:
        return None
    return tuple(int(axis) % len(tensor.shape) for axis in axes.values)


def permutation_of(view: OperatorView) -> tuple[int, ...] | None:
    """Return the permutation of a transposition, with leading axes added up to four, or None if it is unknown."""
    permutation = view.input(1)
    if permutation is None or not permutation.values:
        return None
    added = max(0, 4 - len(permutation.values))
    return (*range(added), *(int(axis) + added for axis in permutation.values))


def strides_of_slice(view: OperatorView) -> tuple[int, ...] | None:
    """Return the strides of a strided slice, with leading ones added up to four, or None if they are unknown."""
    strides = view.input(3)
    return None if strides is None or not strides.values else four(tuple(int(stride) for stride in strides.values))


def padding_of(view: OperatorView) -> tuple[int, int] | None:
    """Return the padding of a convolution or pooling along height and width in elements, or None if it is unknown."""
    image = view.input(0)
    strides = (view.option("strideH"), view.option("strideW"))
    if image is None or len(image.shape) != 4 or None in strides or view.option("padding") is None:
        return None
    if view.option("padding") == 1:
        return (0, 0)
    kernel = _kernel(view)
    if kernel is None:
        return None
    paddings = []
    for side, size, stride in zip(image.shape[1:3], kernel, strides, strict=True):
        paddings.append(max(0, (-(-side // stride) - 1) * stride + size - side))
    return (paddings[0], paddings[1])


def _kernel(view: OperatorView) -> tuple[int, int] | None:
    """Return the height and width that the filter covers, with dilation."""
    if view.option("filterHeight"):
        return (view.option("filterHeight"), view.option("filterWidth"))
    weights = view.input(1)
    if weights is None or len(weights.shape) != 4:
        return None
    down, across = view.option("dilationHFactor") or 1, view.option("dilationWFactor") or 1
    return ((weights.shape[1] - 1) * down + 1, (weights.shape[2] - 1) * across + 1)


def scale_factors(view: OperatorView) -> tuple[Fraction, Fraction] | str | None:
    """Return the factors by which a resize changes height and width; SAME, OF_ONE, or None if they are unknown."""
    image = view.input(0)
    if image is None or len(image.shape) != 4 or not view.outputs:
        return None
    old_size, new_size = image.shape[1:3], view.outputs[0].shape[1:3]
    if -1 in (*old_size, *new_size) or 0 in old_size:
        return None
    if old_size == new_size:
        return SAME
    if old_size == (1, 1):
        return OF_ONE
    corners = bool(view.option("alignCorners"))
    down, across = (_resize_factor(old, new, corners) for old, new in zip(old_size, new_size, strict=True))
    return down, across


def _resize_factor(old: int, new: int, corners: bool) -> Fraction:
    """Return the factor of one dimension.

    With `alignCorners`, distances between pixel centres count. A single pixel has none, so its size counts.
    """
    return Fraction(new - 1, old - 1) if corners and old > 1 else Fraction(new, old)
