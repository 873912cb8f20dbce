"""The schema of targets: profiles of the devices on which the artifact must run.

A part of the schema; see `config.schema.recipe_schema`, which lists the options. Each is at `target.<option>`, so that
one recipe has several. `runtime` and `table` are names of `tflbuild.targets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Dict, List, Optional

INT8_ALONE = ["quantization=int8", "quantization.input_type=int8", "quantization.output_type=int8"]


class Delegate(Enum):
    """The delegate that runs the operators on this host."""

    xnnpack = "xnnpack"
    none = "none"


class Precision(Enum):
    """The precision in which a GPU computes."""

    float16 = "float16"
    float32 = "float32"


class Optimise(Enum):
    """The figure that Vela optimizes."""

    Performance = "Performance"
    Size = "Size"


class Require(Enum):
    """The verdict that a target needs."""

    any = "any"
    proven = "proven"


@dataclass
class NoTarget:
    """No device is declared: nothing is required and nothing proven; verified on this host's CPU."""


@dataclass
class TargetConfig:
    """A device profile: what it needs, and how it is known that an artifact runs there."""

    runtime: ClassVar[str] = ""
    table: ClassVar[str] = ""

    require: Require = Require.any
    """`any`: a verdict by rules will do where nothing here can prove it; `proven`: then the build fails."""
    gates: Dict[str, float] = field(default_factory=dict)
    """Limits of this target alone, as in `target.gates`: `{fallback_ops: 0}`. Exit code 3."""
    preset: List[str] = field(default_factory=lambda: ["quantization=none"])
    """The overrides that `quantization=by_target` stands for."""
    schemes: List[str] = field(default_factory=list)
    """Quantization schemes that it has kernels for; empty: all."""
    full_integer: bool = False
    """Require that no tensor of the artifact is floating point."""
    static_shapes: bool = False
    """Require that every dimension is fixed."""
    per_tensor: bool = False
    """Require one scale a tensor: quantization.granularity=per_tensor."""
    select_tf: bool = True
    """Whether an app there can link TensorFlow (Flex) operators."""
    max_rank: Optional[int] = None
    """Most dimensions that an input may have. null: any."""


@dataclass
class CpuTarget(TargetConfig):
    """CPUs of phones, servers and boards through XNNPACK: run on this host's, operators counted, threads timed."""

    runtime: ClassVar[str] = "cpu"

    preset: List[str] = field(default_factory=lambda: ["quantization=dynamic_int8"])
    delegate: Delegate = Delegate.xnnpack
    """What runs the operators on this host: `xnnpack`, or `none` for the plain optimized kernels."""
    threads: int = 1
    """Threads of the interpreter when the artifact is verified and timed."""
    threads_swept: List[int] = field(default_factory=lambda: [1, 2, 4])
    """Numbers of threads that are timed; more than this host has cores are left out."""
    least_snr_db: float = 20.0
    """Least signal-to-noise ratio of its outputs against the reference kernels', in dB."""


@dataclass
class IntegerOnlyTarget(CpuTarget):
    """A device without floating point: full int8, including inputs and outputs, and fixed shapes."""

    delegate: Delegate = Delegate.none
    preset: List[str] = field(default_factory=lambda: list(INT8_ALONE))
    full_integer: bool = True
    static_shapes: bool = True
    select_tf: bool = False


@dataclass
class GpuTarget(TargetConfig):
    """GPUs of phones and desktops by LiteRT's delegate: run on a Vulkan device, be it one of software."""

    runtime: ClassVar[str] = "gpu"
    table: ClassVar[str] = "gpu"

    preset: List[str] = field(default_factory=lambda: ["quantization=float16"])
    static_shapes: bool = True
    select_tf: bool = False
    precision: Precision = Precision.float16
    """What the GPU computes in: values beyond 65,504 overflow in float16, and are looked for."""
    least_snr_db: float = 20.0
    """Least signal-to-noise ratio of its outputs against the CPU's, in dB."""


@dataclass
class EthosUTarget(TargetConfig):
    """An Arm Ethos-U NPU."""

    runtime: ClassVar[str] = "ethos_u"

    preset: List[str] = field(default_factory=lambda: list(INT8_ALONE))
    schemes: List[str] = field(default_factory=lambda: ["int8", "int16x8"])
    static_shapes: bool = True
    select_tf: bool = False
    accelerator: str = "ethos-u55-128"
    """Vela's name of the accelerator and its size: `ethos-u55-128` has 128 multipliers."""
    system_config: str = ""
    """Vela's system configuration (clock and memories of the chip), named with `memory_mode`; empty: its default."""
    memory_mode: str = ""
    """Vela's memory mode, named with `system_config`; empty: its default."""
    config: str = ""
    """A vela.ini that has system configurations of your own; empty: none."""
    optimise: Optimise = Optimise.Performance
    """`Performance` or `Size`, which takes less SRAM."""
    arena_cache_bytes: int = 0
    """SRAM that activations may take, in bytes; 0: as the memory mode says."""


@dataclass
class EthosU55Target(EthosUTarget):
    """Arm Ethos-U55 (Cortex-M): compiled with Vela, which reports the operators on the NPU, cycles, SRAM and flash."""

    table: ClassVar[str] = "ethos_u55"


@dataclass
class EthosU65Target(EthosUTarget):
    """Arm Ethos-U65 (Cortex-A and M): compiled with Vela."""

    table: ClassVar[str] = "ethos_u65"

    accelerator: str = "ethos-u65-256"
    """Vela's name of the accelerator and its size."""


@dataclass
class EthosU85Target(EthosUTarget):
    """Arm Ethos-U85: compiled with Vela."""

    table: ClassVar[str] = "ethos_u85"

    accelerator: str = "ethos-u85-256"
    """Vela's name of the accelerator and its size."""


@dataclass
class TflmTarget(TargetConfig):
    """Microcontrollers: run by TFLite Micro on this host, its arena found; a C array and header are made."""

    runtime: ClassVar[str] = "tflm"
    table: ClassVar[str] = "tflm"

    preset: List[str] = field(default_factory=lambda: list(INT8_ALONE))
    schemes: List[str] = field(default_factory=lambda: ["none", "int8", "int16x8"])
    static_shapes: bool = True
    select_tf: bool = False
    symbol: str = "model"
    """What the names in `model.cc` and `model.h` begin with."""
    least_snr_db: float = 20.0
    """Least signal-to-noise ratio of its outputs against the CPU's, in dB."""


@dataclass
class EdgetpuTarget(TargetConfig):
    """Coral's Edge TPU: compiled with edgetpu_compiler if that is on PATH, otherwise checked against Coral's rules."""

    runtime: ClassVar[str] = "edgetpu"
    table: ClassVar[str] = "edgetpu"

    preset: List[str] = field(default_factory=lambda: list(INT8_ALONE))
    schemes: List[str] = field(default_factory=lambda: ["int8"])
    full_integer: bool = True
    static_shapes: bool = True
    select_tf: bool = False
    multiple_subgraphs: bool = False
    """Let the compiler go on behind an operator that it leaves to the CPU (its experimental option -a)."""
    timeout_s: int = 600
    """Seconds that the compiler may take."""


@dataclass
class NpuTarget(TargetConfig):
    """A phone's NPU, by LiteRT's ahead-of-time compiler."""

    runtime: ClassVar[str] = "npu"
    vendor: ClassVar[str] = ""

    preset: List[str] = field(default_factory=lambda: list(INT8_ALONE))
    static_shapes: bool = True
    select_tf: bool = False
    soc: str = ""
    """The chip, as LiteRT calls it: `SM8750`, `MT6991`, `Tensor_G5`, `LNL`, `E9965`; empty: all that it knows."""
    options: Dict[str, str] = field(default_factory=dict)
    """Flags of the vendor's compiler plugin, by name (`intel_openvino_...`), without paths."""
    timeout_s: int = 600
    """Seconds that the compiler may take for each chip."""


@dataclass
class QualcommTarget(NpuTarget):
    """Qualcomm's NPU (HTP), where its SDK's package is installed."""

    vendor: ClassVar[str] = "qualcomm"


@dataclass
class MediatekTarget(NpuTarget):
    """MediaTek's NPU (APU), where its SDK's package is installed."""

    vendor: ClassVar[str] = "mediatek"


@dataclass
class GoogleTensorTarget(NpuTarget):
    """Google Tensor's TPU, where its SDK's package is installed."""

    vendor: ClassVar[str] = "google_tensor"


@dataclass
class IntelTarget(NpuTarget):
    """Intel's NPU by OpenVINO, where its package is installed."""

    vendor: ClassVar[str] = "intel_openvino"


@dataclass
class SamsungTarget(NpuTarget):
    """Samsung's NPU (Exynos), where its SDK's package is installed."""

    vendor: ClassVar[str] = "samsung"


@dataclass
class TableTarget(TargetConfig):
    """A delegate of which only the published operators are known."""

    runtime: ClassVar[str] = "table"

    version: str = ""
    """Version of the delegate; empty: the last one."""


@dataclass
class NnapiTarget(TableTarget):
    """Android's NNAPI, deprecated since Android 15: checked against the operators of a feature level."""

    table: ClassVar[str] = "nnapi"

    static_shapes: bool = True
    select_tf: bool = False
    version: str = "1.3"
    """Feature level: 1.0 (Android 8.1), 1.1 (9), 1.2 (10) or 1.3 (11 and later)."""


@dataclass
class HexagonTarget(TableTarget):
    """Qualcomm's Hexagon DSP delegate: checked against its published operators."""

    table: ClassVar[str] = "hexagon"

    preset: List[str] = field(default_factory=lambda: list(INT8_ALONE))
    schemes: List[str] = field(default_factory=lambda: ["int8"])
    static_shapes: bool = True
    select_tf: bool = False


@dataclass
class CoremlTarget(TableTarget):
    """Apple's Core ML delegate: checked against its published operators."""

    table: ClassVar[str] = "coreml"

    preset: List[str] = field(default_factory=lambda: ["quantization=float16"])
    schemes: List[str] = field(default_factory=lambda: ["none", "float16"])
    static_shapes: bool = True
    select_tf: bool = False
    version: str = "3"
    """Version of Core ML: 2 or 3."""
