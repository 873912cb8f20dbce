"""Inference of the output shapes of Keras layers from their configuration. Other layers have unknown shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from tflbuild.tflite.signature_checks import Shape

Shapes = Sequence[Shape | None]
Config = Mapping[str, Any]
Rule = Callable[[Config, Shapes], Shape | None]

LARGEST_SIZE = 2**63


def _words(text: str) -> list[str]:
    return text.split()


SAME = _words(
    """
    Activation ActivityRegularization AlphaDropout BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Dropout
    ELU GaussianDropout GaussianNoise GroupNormalization Identity LayerNormalization LeakyReLU Masking Normalization
    PReLU RMSNormalization RandomBrightness RandomColorJitter RandomContrast RandomFlip RandomHue RandomRotation
    RandomSaturation RandomTranslation RandomZoom ReLU Rescaling Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D ThresholdedReLU UnitNormalization
    Abs Absolute Ceil Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSilu LeakyRelu Log LogSoftmax Negative Relu Relu6
    Round Rsqrt Selu Sigmoid Sign Silu Sin Sqrt Square StopGradient Tanh
    nn.relu nn.relu6 nn.elu nn.gelu nn.leaky_relu nn.sigmoid nn.silu nn.swish nn.softmax nn.softplus nn.tanh
    nn.l2_normalize
    math.abs math.exp math.log math.negative math.round math.rsqrt math.sigmoid math.sqrt math.square math.tanh
    clip_by_value identity stop_gradient
    """
)
MERGED = _words(
    """
    Add Average Maximum Minimum Multiply Subtract Divide TrueDivide Power
    __operators__.add math.add math.subtract math.multiply math.divide math.truediv math.pow math.maximum math.minimum
    math.squared_difference
    """
)


def infer_shape(kind: str, config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of a layer's output; None if it is not known.

    Args:
        kind: The class of the layer, or the symbol that a TFOpLambda calls.
        config: Its configuration.
        shapes: The shapes of its inputs; None for an unknown one.
    """
    rule = RULES.get(kind)
    if rule is None or not shapes or shapes[0] is None:
        return None
    try:
        shape = rule(config, shapes)
    # Keras did not write this configuration.
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    return shape if shape is not None and all(size is None or is_size(size) for size in shape) else None


def is_size(value: Any) -> bool:
    """Return whether a value can be the size of a dimension."""
    return type(value) is int and 0 <= value < LARGEST_SIZE


def merge_shapes(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of tensors that are broadcast to each other."""
    known = [shape for shape in shapes if shape is not None]
    rank = max(map(len, known))
    if len(known) != len(shapes):
        return None
    padded = [(1,) * (rank - len(shape)) + shape for shape in known]
    return tuple(
        None if None in sizes and set(sizes) <= {None, 1} else max(size or 0 for size in sizes)
        for sizes in zip(*padded, strict=True)
    )


def numbers(value: Any, rank: int) -> tuple[int, ...]:
    """Return one number for each of `rank` dimensions."""
    return (int(value),) * rank if isinstance(value, int) else tuple(int(part) for part in value)


def split_shape(config: Config, shape: Shape) -> tuple[Shape, int | None]:
    """Return the spatial sizes and the channels of a batch of images, signals or volumes."""
    first = config.get("data_format") == "channels_first"
    return (shape[2:], shape[1]) if first else (shape[1:-1], shape[-1])


def join_shape(config: Config, shape: Shape, space: Shape, channels: int | None) -> Shape:
    """Return a shape with a batch, spatial sizes and channels in the layout of the layer."""
    first = config.get("data_format") == "channels_first"
    return (shape[0], channels, *space) if first else (shape[0], *space, channels)


def count_windows(size: int | None, window: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """Return the number of windows along a dimension; None for a dynamic dimension."""
    if size is None:
        return None
    if padding in ("same", "causal"):
        return -(-size // stride)
    return (size - (window - 1) * dilation - 1) // stride + 1


def convolve(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of a convolution, which may be depthwise."""
    shape = shapes[0]
    assert shape is not None
    space, channels = split_shape(config, shape)
    rank = len(space)
    windows, strides = numbers(config["kernel_size"], rank), numbers(config.get("strides", 1), rank)
    dilations, padding = numbers(config.get("dilation_rate", 1), rank), str(config.get("padding", "valid"))
    sizes = tuple(
        count_windows(size, window, stride, padding, dilation)
        for size, window, stride, dilation in zip(space, windows, strides, dilations, strict=True)
    )
    filters = config.get("filters") or (None if channels is None else channels * config.get("depth_multiplier", 1))
    return join_shape(config, shape, sizes, filters)


def convolve_transposed(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of a transposed convolution."""
    shape = shapes[0]
    assert shape is not None
    if config.get("output_padding") is not None:
        return None
    space, _ = split_shape(config, shape)
    windows, strides = numbers(config["kernel_size"], len(space)), numbers(config.get("strides", 1), len(space))
    same = config.get("padding") == "same"
    sizes = tuple(
        None if size is None else size * stride + (0 if same else max(window - stride, 0))
        for size, window, stride in zip(space, windows, strides, strict=True)
    )
    return join_shape(config, shape, sizes, config["filters"])


def pool(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of pooling over windows."""
    shape = shapes[0]
    assert shape is not None
    space, channels = split_shape(config, shape)
    windows = numbers(config["pool_size"], len(space))
    strides = numbers(config["strides"] if config.get("strides") is not None else config["pool_size"], len(space))
    padding = str(config.get("padding", "valid"))
    sizes = tuple(count_windows(*part, padding) for part in zip(space, windows, strides, strict=True))
    return join_shape(config, shape, sizes, channels)


def pool_globally(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of global pooling."""
    shape = shapes[0]
    assert shape is not None
    space, channels = split_shape(config, shape)
    return join_shape(config, shape, (1,) * len(space), channels) if config.get("keepdims") else (shape[0], channels)


def change_space(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of padding, cropping or upsampling."""
    shape = shapes[0]
    assert shape is not None
    space, channels = split_shape(config, shape)
    if "size" in config:
        factors = numbers(config["size"], len(space))
        sizes = tuple(None if size is None else size * factor for size, factor in zip(space, factors, strict=True))
        return join_shape(config, shape, sizes, channels)
    sign, key = (1, "padding") if "padding" in config else (-1, "cropping")
    ends = config[key]
    ends = [ends] if len(space) == 1 else ends
    added = [2 * end if isinstance(end, int) else sum(end) for end in numbers_or_pairs(ends, len(space))]
    sizes = tuple(None if size is None else size + sign * more for size, more in zip(space, added, strict=True))
    return join_shape(config, shape, sizes, channels)


def numbers_or_pairs(value: Any, rank: int) -> list[Any]:
    """Return one number, or one pair of numbers, for each of `rank` dimensions."""
    return [value] * rank if isinstance(value, int) else list(value)


def reshape(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of a Reshape layer."""
    shape = shapes[0]
    assert shape is not None
    target = [int(size) for size in config["target_shape"]]
    if -1 in target:
        rest = shape[1:]
        known = None if None in rest else prod(size or 0 for size in rest) // max(1, prod(s for s in target if s != -1))
        return (shape[0], *(known if size == -1 else size for size in target))
    return (shape[0], *target)


def flatten(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of a Flatten layer: all dimensions except the batch become one."""
    shape = shapes[0]
    assert shape is not None
    return (shape[0], None if None in shape[1:] else prod(size or 0 for size in shape[1:]))


def concatenate(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of a concatenation along an axis."""
    known = [shape for shape in shapes if shape is not None]
    axis = int(config.get("axis", -1))
    if len(known) != len(shapes):
        return None
    along = [shape[axis] for shape in known]
    merged = list(known[0])
    merged[axis] = None if None in along else sum(size or 0 for size in along)
    return tuple(merged)


def recur(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of the output of an LSTM, a GRU or a SimpleRNN."""
    shape = shapes[0]
    assert shape is not None
    return (*shape[: 2 if config.get("return_sequences") else 1], config["units"])


def resize(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of images that are resized to a fixed size."""
    shape = shapes[0]
    assert shape is not None
    _, channels = split_shape(config, shape)
    return join_shape(config, shape, (config["height"], config["width"]), channels)


def attend(config: Config, shapes: Shapes) -> Shape | None:
    """Return the shape of the output of attention, which has one value per query."""
    shape = shapes[0]
    assert shape is not None
    output_shape = config.get("output_shape")
    return shape if output_shape is None else (*shape[:-1], *numbers(output_shape, 1))


def _last(key: str) -> Rule:
    return lambda config, shapes: (*(shapes[0] or ())[:-1], config[key])


def _dimensions(name: str) -> list[str]:
    return [f"{name}{rank}D" for rank in (1, 2, 3)]


RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, lambda config, shapes: shapes[0]),
    **dict.fromkeys(MERGED, merge_shapes),
    **dict.fromkeys(
        [
            *_dimensions("Conv"),
            *_dimensions("DepthwiseConv"),
            *_dimensions("SeparableConv"),
            *_dimensions("Convolution"),
        ],
        convolve,
    ),
    **dict.fromkeys(["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"], convolve_transposed),
    **dict.fromkeys([*_dimensions("MaxPooling"), *_dimensions("AveragePooling")], pool),
    **dict.fromkeys([*_dimensions("GlobalMaxPooling"), *_dimensions("GlobalAveragePooling")], pool_globally),
    **dict.fromkeys([*_dimensions("ZeroPadding"), *_dimensions("Cropping"), *_dimensions("UpSampling")], change_space),
    **dict.fromkeys(["LSTM", "GRU", "SimpleRNN"], recur),
    **dict.fromkeys(["MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention"], attend),
    "Dense": _last("units"),
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": lambda config, shapes: ((shapes[0] or ())[0], *((shapes[0] or ())[axis] for axis in config["dims"])),
    "RepeatVector": lambda config, shapes: ((shapes[0] or ())[0], config["n"], *(shapes[0] or ())[1:]),
    "Concatenate": concatenate,
    "Embedding": lambda config, shapes: (*(shapes[0] or ()), config["output_dim"]),
    "Resizing": resize,
}
