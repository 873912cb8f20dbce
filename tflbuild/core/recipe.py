"""The frozen recipe: what one variant of a model is to be, as values.

`config.freeze` makes these from the composed YAML; nothing changes them afterwards.
Enumerated fields hold the plain strings that the YAML has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from tflbuild.core.digest import Json

DEFAULT_VARIANT = "default"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the model comes from. `kind`: keras | saved_model | tflite. `sha256` pins its bytes, "" does not."""

    kind: str
    path: str
    sha256: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A declared tensor. `shape` has None for a dimension left free; `dtype` is a NumPy name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The entry point to convert, and its inputs. `inputs` is empty: the source's own are taken.

    `batch` pins a free first dimension; None leaves it free.
    """

    key: str
    inputs: tuple[TensorSpec, ...] = ()
    batch: int | None = 1


@dataclass(frozen=True, kw_only=True)
class Opset:
    """Which operators the artifact may hold, besides the TFLite builtins."""

    select_tf: bool = False


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How activation ranges are found. `method`: min_max | moving_average | percentile | mse."""

    method: str = "min_max"
    kernels: str = "reference"
    percentile: float = 99.99
    smoothing: float = 0.95


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """`scheme`: none | float16 | dynamic_int8 | int8; `engine`: litert | converter.

    The I/O types and the calibration belong to int8 alone.
    """

    scheme: str
    engine: str = "litert"
    input_type: str = "float32"
    output_type: str = "float32"
    calibration: Calibration | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples by input name. `kind`: npz | synthetic. `arrays` maps an input to an array's name.

    With `scale` or `offset` set, values are fed as `value * scale + offset` in the input's dtype;
    with neither, dtypes must agree.
    """

    kind: str
    path: str = ""
    count: int | None = None
    seed: int = 0
    arrays: tuple[tuple[str, str], ...] = ()
    label: str = ""
    scale: float | None = None
    offset: float | None = None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """What is measured. `kind`: none | parity | classification. Gates are (metric, limit)."""

    kind: str
    dataset: Dataset | None = None
    output: str = ""
    top_k: int = 5
    gates: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """The device profile: what it requires, and how its artifacts are run here."""

    name: str
    delegate: str = "xnnpack"
    threads: int = 1
    full_integer: bool = False
    static_shapes: bool = False


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Latency on this host. `kind`: none | host."""

    kind: str
    runs: int = 0
    warmup: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One variant, complete and cross-checked. `overrides` are what told it from its recipe."""

    name: str
    variant: str
    source: Source
    signature: Signature
    opset: Opset
    quantization: Quantization
    dataset: Dataset | None
    verify: Verify
    target: Target
    benchmark: Benchmark
    output_root: str = "outputs"
    overrides: tuple[str, ...] = field(default=(), compare=False)

    def as_json(self) -> Json:
        """The recipe as plain JSON, for the manifest."""
        return asdict(self)
