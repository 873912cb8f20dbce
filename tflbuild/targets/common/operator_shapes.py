"""What rules of several targets ask of an operator's shapes and constant parameters."""

from __future__ import annotations

from fractions import Fraction

from tflbuild.targets.common.rules import OperatorView

SAME = "same"  # nothing is resized
OF_ONE = "of one"  # a single pixel is spread


def four(shape: tuple[int, ...]) -> tuple[int, ...]:
    """As batch, height, width, channels: leading ones are added."""
    return (1,) * (4 - len(shape)) + shape


def axes_of(view: OperatorView) -> tuple[int, ...] | None:
    """The axes that input 1 names, from 0; None where they are not known."""
    tensor, given = view.input(0), view.input(1)
    if tensor is None or given is None or not given.values:
        return None
    return tuple(int(axis) % len(tensor.shape) for axis in given.values)


def permutation_of(view: OperatorView) -> tuple[int, ...] | None:
    """A transposition's order, with leading axes that stay up to four; None where it is not known."""
    given = view.input(1)
    if given is None or not given.values:
        return None
    added = max(0, 4 - len(given.values))
    return (*range(added), *(int(axis) + added for axis in given.values))


def strides_of_slice(view: OperatorView) -> tuple[int, ...] | None:
    """A strided slice's strides, with leading ones up to four; None where they are not known."""
    given = view.input(3)
    return None if given is None or not given.values else four(tuple(int(stride) for stride in given.values))


def padding_of(view: OperatorView) -> tuple[int, int] | None:
    """By how much a window's operator reaches over height and width, in elements; None where it is not known."""
    image = view.input(0)
    strides = (view.option("strideH"), view.option("strideW"))
    if image is None or len(image.shape) != 4 or None in strides or view.option("padding") is None:
        return None
    if view.option("padding") == 1:
        return (0, 0)
    kernel = _kernel(view)
    if kernel is None:
        return None
    found = []
    for side, size, stride in zip(image.shape[1:3], kernel, strides, strict=True):
        found.append(max(0, (-(-side // stride) - 1) * stride + size - side))
    return (found[0], found[1])


def _kernel(view: OperatorView) -> tuple[int, int] | None:
    """Height and width of what is covered at once, dilation counted."""
    if view.option("filterHeight"):
        return (view.option("filterHeight"), view.option("filterWidth"))
    weights = view.input(1)
    if weights is None or len(weights.shape) != 4:
        return None
    down, across = view.option("dilationHFactor") or 1, view.option("dilationWFactor") or 1
    return ((weights.shape[1] - 1) * down + 1, (weights.shape[2] - 1) * across + 1)


def scale_factors(view: OperatorView) -> tuple[Fraction, Fraction] | str | None:
    """How much a resize makes of height and width; SAME, OF_ONE, or None where it is not known."""
    image = view.input(0)
    if image is None or len(image.shape) != 4 or not view.outputs:
        return None
    given, made = image.shape[1:3], view.outputs[0].shape[1:3]
    if -1 in (*given, *made) or 0 in given:
        return None
    if given == made:
        return SAME
    if given == (1, 1):
        return OF_ONE
    corners = bool(view.option("alignCorners"))
    down, across = (_grown(old, new, corners) for old, new in zip(given, made, strict=True))
    return down, across


def _grown(old: int, new: int, corners: bool) -> Fraction:
    """Between corners pixels' distances count; a single pixel has none, and is as wide as it is."""
    return Fraction(new - 1, old - 1) if corners and old > 1 else Fraction(new, old)
