"""The schema of quantization: schemes, algorithms, rules, calibration.

A part of the schema; see `config.schema.recipe_schema`. The options are listed there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, List

from omegaconf import MISSING

from tflbuild.config.schema.schema_verify import Gates


class Engine(Enum):
    """Who quantizes."""

    litert = "litert"
    converter = "converter"


class IoType(Enum):
    """Types of an integer model's inputs and outputs."""

    int8 = "int8"
    uint8 = "uint8"
    int16 = "int16"
    float32 = "float32"


class Method(Enum):
    """Ways to find the range of an activation."""

    min_max = "min_max"
    moving_average = "moving_average"
    percentile = "percentile"
    mse = "mse"


class Kernels(Enum):
    """Kernels that run the float model while it is calibrated."""

    reference = "reference"
    fast = "fast"


class Algorithm(Enum):
    """How the LiteRT quantizer chooses quantized weights."""

    min_max = "min_max"
    octav = "octav"
    mse = "mse"
    hadamard = "hadamard"
    decomposed_hadamard = "decomposed_hadamard"
    gptq = "gptq"
    oscar = "oscar"


class Granularity(Enum):
    """How many weights share a scale."""

    per_channel = "per_channel"
    per_tensor = "per_tensor"
    blockwise_32 = "blockwise_32"
    blockwise_64 = "blockwise_64"
    blockwise_128 = "blockwise_128"
    blockwise_256 = "blockwise_256"


@dataclass
class QuantizationRuleConfig:
    """An exception for some operators; of several that match, the last counts."""

    match: str = ""
    """Regular expression that the name of the operator's output contains; empty: any."""
    op: str = ""
    """Operator, such as SOFTMAX; empty: any."""
    scheme: str = MISSING
    """What these operators shall be: `float32`, an option of the group, or its name in full (`static_wi8_ai16`)."""


@dataclass
class QuantizationConfig:
    """No quantization: the float32 model itself."""

    unused: ClassVar[tuple[str, ...]] = ("algorithm", "granularity", "rules")

    scheme: str = "none"
    engine: Engine = Engine.litert
    """Who quantizes: `litert` (the LiteRT quantizer, from the float model) or `converter` (TFLiteConverter's own)."""
    algorithm: Algorithm = Algorithm.min_max
    """Engine litert: how weights are chosen: `octav`, `mse` clip, hadamards rotate, `gptq`, `oscar` use the dataset."""
    granularity: Granularity = Granularity.per_channel
    """Engine litert: weights that share a scale; blockwise is for int4 weights of FULLY_CONNECTED alone."""
    rules: List[QuantizationRuleConfig] = field(default_factory=list)
    """Engine litert: exceptions by name or operator: `{match, op, scheme}`; one that nothing matches is refused."""


@dataclass
class Float16Quantization(QuantizationConfig):
    """Weights float16, arithmetic float32 on a CPU and float16 on a GPU: half the size."""

    unused: ClassVar[tuple[str, ...]] = ("granularity",)

    scheme: str = "float16"


@dataclass
class DynamicInt8Quantization(QuantizationConfig):
    """Weights int8 per channel, activations quantized while running: a quarter of the size, no data needed."""

    unused: ClassVar[tuple[str, ...]] = ()

    scheme: str = "dynamic_int8"


@dataclass
class DynamicInt4Quantization(DynamicInt8Quantization):
    """Weights int4 if a kernel supports them (CONV_2D, FULLY_CONNECTED, EMBEDDING_LOOKUP), otherwise int8."""

    scheme: str = "dynamic_int4"


@dataclass
class WeightOnlyInt8Quantization(DynamicInt8Quantization):
    """Weights int8, dequantized to float32 before use: a quarter of the size, float arithmetic."""

    scheme: str = "weight_only_int8"


@dataclass
class WeightOnlyInt4Quantization(DynamicInt8Quantization):
    """Weights int4 if a kernel supports them, otherwise int8, dequantized to float32 before use."""

    scheme: str = "weight_only_int4"


@dataclass
class CalibrationConfig:
    """How the ranges of the activations are found."""

    method: Method = Method.min_max
    """`min_max` (order-independent), `moving_average`, `percentile` or `mse`; engine `converter` has min_max alone."""
    kernels: Kernels = Kernels.fast
    """The kernels that run every sample: `fast` (XNNPACK) or `reference`. Float64 settles bounds that are unsure."""
    percentile: float = 99.99
    """For `percentile`: the share of values, in percent, that the range keeps."""
    smoothing: float = 0.95
    """For `moving_average`: the weight of what was seen before, per sample."""


@dataclass
class Int8Quantization(QuantizationConfig):
    """Weights and activations int8, only integer arithmetic. It needs a representative dataset."""

    unused: ClassVar[tuple[str, ...]] = ()

    scheme: str = "int8"
    input_type: IoType = IoType.int8
    """Type of every input: int8, uint8 or float32."""
    output_type: IoType = IoType.int8
    """Type of every output: int8, uint8 or float32."""
    symmetric: bool = False
    """Engine litert: int8 activations have the zero point 0, but where a kernel fixes it (SOFTMAX, LOGISTIC)."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    """How the ranges of the activations are found."""


@dataclass
class Int4Quantization(Int8Quantization):
    """int8 with int4 weights in CONV_2D and FULLY_CONNECTED; verify it, plain int4 loses much."""

    scheme: str = "int4"


@dataclass
class Int16x8Quantization(Int8Quantization):
    """Weights int8 and activations int16: where int8 activations lose too much; few delegates run it."""

    unused: ClassVar[tuple[str, ...]] = ("symmetric",)  # int16 activations always are

    scheme: str = "int16x8"
    input_type: IoType = IoType.int16
    """Type of every input: int16 or float32."""
    output_type: IoType = IoType.int16
    """Type of every output: int16 or float32."""


class SearchObjective(Enum):
    """The figure that the best artifact minimizes."""

    size = "size"
    latency = "latency"


@dataclass
class ByTargetQuantization(QuantizationConfig):
    """The quantization of each target's `preset`. Targets with the same preset share one artifact."""

    unused: ClassVar[tuple[str, ...]] = ("engine", "algorithm", "granularity", "rules")

    scheme: str = "by_target"


@dataclass
class AutoQuantization(QuantizationConfig):
    """The smallest, or the fastest, artifact within a budget: found by building and measuring, given as plain rules."""

    unused: ClassVar[tuple[str, ...]] = ("engine", "algorithm", "granularity", "rules")

    scheme: str = "auto"
    budget: Gates = field(default_factory=Gates)
    """What it may lose, as `verify` measures it: `{top1_drop: 0.005}`, `{snr_db: 40}`. `verify.gates` hold as well."""
    objective: SearchObjective = SearchObjective.size
    """What is wanted least of: `size` (bytes) or `latency` (median on this host; needs `benchmark=host`)."""
    schemes: List[str] = field(
        default_factory=lambda: [
            *("float32", "float16", "dynamic_int8", "weight_only_int8", "dynamic_int4", "weight_only_int4"),
            *("int8", "int4", "int16x8"),
        ]
    )
    """Schemes that may be used, for the model or for single operators."""
    algorithms: List[Algorithm] = field(default_factory=lambda: [Algorithm.min_max, Algorithm.mse, Algorithm.octav])
    """Ways to choose the scale of weights; the first for every scheme, the others where it misses the budget."""
    methods: List[Method] = field(default_factory=lambda: [Method.min_max, Method.percentile, Method.mse])
    """Ways to find the range of an activation; the first for every scheme, the others where it misses the budget."""
    trials: int = 40
    """Most artifacts that are built and measured."""
    samples: int = 8
    """Most evaluation samples on which each operator's own damage is measured; every trial is measured on all."""
    input_type: IoType = IoType.float32
    """Type of every input; an integer type leaves static schemes alone."""
    output_type: IoType = IoType.float32
    """Type of every output."""
    kernels: Kernels = Kernels.fast
    """What runs the samples of calibration: `fast` (XNNPACK) or the `reference` kernels."""
