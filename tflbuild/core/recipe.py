"""The frozen recipe: what one variant of a model is to be, as values.

`config.freezing.freeze` makes these from the composed YAML; nothing changes them afterwards.
Enumerated fields hold the plain strings that the YAML has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tflbuild.core.digest import Json
from tflbuild.core.objective import Objective
from tflbuild.core.schemes import CALIBRATED
from tflbuild.core.target_requirements import TargetRequirements

DEFAULT_VARIANT = "default"

# Options of TFLiteConverter that act while it quantizes; its float models do not depend on them.
CONVERTER_QUANTIZER_OPTIONS = (
    "experimental_new_quantizer",
    "experimental_new_dynamic_range_quantizer",
    "_experimental_disable_per_channel",
    "_experimental_disable_per_channel_quantization_for_dense_layers",
    "_experimental_full_integer_quantization_bias_type",
    "_experimental_variable_quantization",
    "_experimental_low_bit_qat",
    "_experimental_strict_qdq",
    "_experimental_supported_accumulation_type",
)

# The key that says where a source of some kind is; of the other kinds it is `path`.
LOCATORS = {"hub": "handle", "function": "call"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the model comes from. `kind`: keras | saved_model | hub | function | tflite.

    `path` is a file or folder, `handle` a TF Hub handle, `call` a `file.py:callable` or
    `module:callable` with `arguments` (plain JSON, never changed). `custom_objects` are
    (name, reference to a class), `files` what such code reads besides what it imports. `sha256` pins the
    model, "" does not. `allow` are the layers or operators that run code or reach outside the model, and may.
    """

    kind: str
    path: str = ""
    sha256: str = ""
    tags: tuple[str, ...] = ()
    handle: str = ""
    call: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict)
    weights: str = ""
    allow: tuple[str, ...] = ()
    custom_objects: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    fused_lstm: bool = False

    @property
    def references(self) -> tuple[str, ...]:
        """Every `file.py:name` or `module:name` that the recipe lets run."""
        return (*([self.call] if self.call else ()), *(reference for _, reference in self.custom_objects))


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A declared tensor. `shape` has None for a dimension left free; `dtype` is a NumPy name, or `string`."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What the artifact does to an input: (value * scale - mean) / std, then the model's layout and size.

    `mean` and `std` have one number, or one a channel; `layout`: keep | nchw_to_nhwc | nhwc_to_nchw;
    `resize`: none | bilinear | nearest.
    """

    input: str
    dtype: str = "uint8"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "keep"
    resize: str = "none"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """An entry point of the artifact. `entry` is its name in the source, "" when it is `key`.

    `inputs` is empty where the source's own are taken; `batch` pins a free first dimension, None
    leaves it free. `outputs` are (name, the source's name), empty for all as they are.
    """

    key: str
    entry: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    batch: int | None = 1
    outputs: tuple[tuple[str, str], ...] = ()
    preprocess: tuple[Preprocess, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Opset:
    """Which operators the artifact may hold, besides the TFLite builtins, and which not.

    `arithmetic`: any | int8 | int16x8, what activations may be. `max_runtime` is a version, "" for any.
    """

    select_tf: bool = False
    custom: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    max_runtime: str = ""
    arithmetic: str = "any"


ALGORITHMS_WITH_DATA = ("gptq", "oscar")  # those that choose weights by what comes in


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How activation ranges are found. `method`: min_max | moving_average | percentile | mse."""

    method: str = "min_max"
    kernels: str = "fast"
    percentile: float = 99.99
    smoothing: float = 0.95


@dataclass(frozen=True, kw_only=True)
class QuantizationRule:
    """An exception: operators whose output's name `match` is found in, and that are `op` ("" for any), get `scheme`."""

    match: str
    op: str
    scheme: str


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """`scheme` and those of `rules` are names of `core.schemes`; `engine`: litert | converter.

    The I/O types and `symmetric` activations belong to static schemes, the calibration to whatever is
    calibrated. Of several rules that match an operator the last counts.
    """

    scheme: str
    engine: str = "litert"
    algorithm: str = "min_max"
    granularity: str = "per_channel"
    rules: tuple[QuantizationRule, ...] = ()
    input_type: str = "float32"
    output_type: str = "float32"
    symmetric: bool = False
    calibration: Calibration | None = None

    @property
    def calibrated(self) -> bool:
        """Whether something is quantized by ranges that were measured."""
        schemes = {self.scheme, *(rule.scheme for rule in self.rules)}
        return not schemes.isdisjoint(CALIBRATED)

    @property
    def weighs_data(self) -> bool:
        """Whether weights are chosen by what the samples make of their inputs."""
        return self.algorithm in ALGORITHMS_WITH_DATA


@dataclass(frozen=True, kw_only=True)
class Search:
    """How `quantization=auto` looks for a Quantization. `budget` are limits as those of `Verify.gates`, `confidence` is
    what accuracies in it demand.

    `objective`: size | latency. `schemes`, `algorithms` and `methods` are what may be used; `trials` is the most
    artifacts that are measured, `samples` how many tell each operator's own damage.
    """

    budget: tuple[tuple[str, float], ...]
    confidence: float | None = None
    objective: str = "size"
    schemes: tuple[str, ...]
    algorithms: tuple[str, ...] = ("min_max",)
    methods: tuple[str, ...] = ("min_max",)
    trials: int = 40
    samples: int = 32
    input_type: str = "float32"
    output_type: str = "float32"
    kernels: str = "fast"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples by input name. `arrays` maps an input to an array's name.

    `kind`: npz | npy | image_folder | csv | tfrecord | tfds | audio_folder | callable | synthetic; `options`
    are what one kind alone has, as plain JSON. With `scale` or `offset` set, values are fed as
    `value * scale + offset` in the input's dtype; with neither, dtypes must agree. `call` is a
    reference to code, `files` what it reads besides what it imports.
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
    call: str = ""
    files: tuple[str, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Optimize:
    """What a Keras model is trained for before it is converted. `steps`, in order: prune | cluster | qat.

    Each step sees `dataset` for `epochs`. `optimizer`: adam | sgd | rmsprop; `loss`: crossentropy |
    crossentropy_logits | source_mse; `pattern`: any | two_of_four. `sparsity` (a share) and `pattern` are None
    without the step prune, `clusters` without the step cluster.
    """

    steps: tuple[str, ...]
    dataset: Dataset
    epochs: int = 1
    batch: int = 64
    learning_rate: float = 1e-4
    optimizer: str = "adam"
    loss: str = "crossentropy"
    seed: int = 0
    sparsity: float | None = None
    pattern: str | None = None
    clusters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verify:
    """What is measured. `kind`: none | parity | classification. Gates are (figure, limit) as in `core.gates`,
    `metrics` the user's own: (name, reference to a function), `files` what they read besides what they import. With
    `confidence`, gates on accuracies demand the bound of the interval of that confidence. `part`: "" for all samples;
    of a search, `selection` is what its trials are measured on, and `report` what it never sees."""

    kind: str
    dataset: Dataset | None = None
    output: str = ""
    top_k: int = 5
    metrics: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    gates: tuple[tuple[str, float], ...] = ()
    confidence: float | None = None
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class Target(TargetRequirements):
    """A device profile: what it needs, and how a verdict on it is had.

    `runtime` and `table` are names of `tflbuild.targets`, `options` what its runtime alone has, as plain
    JSON. `gates` are (figure, limit), those of all targets included. With `must_be_proven` a verdict by
    rules will not do.
    """

    name: str
    runtime: str = "cpu"
    table: str = ""
    must_be_proven: bool = False
    gates: tuple[tuple[str, float], ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Metadata:
    """What the artifact says of itself: `described` as plain JSON that names files by their names in the artifact.

    `files` are (name in the artifact, key in the recipe, path).
    """

    described: Mapping[str, Json]
    files: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Latency. `kind`: none | host | android; `options` are what a kind alone has, as plain JSON."""

    kind: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One variant, complete and cross-checked. `overrides` are what told it from its recipe.

    `signature` is the one that datasets feed, `more_signatures` stand beside it in the artifact.
    `converter` are TFLiteConverter's options that differ from its defaults, by name. With a `search`,
    `quantization` is yet to be found, and its scheme is `auto`. `objectives` are what a sweep is judged by.
    """

    name: str
    variant: str
    source: Source
    signature: Signature
    opset: Opset
    quantization: Quantization
    dataset: Dataset | None
    verify: Verify
    targets: tuple[Target, ...]
    benchmark: Benchmark
    search: Search | None = None
    more_signatures: tuple[Signature, ...] = ()
    optimize: Optimize | None = None
    metadata: Metadata | None = None
    converter: tuple[tuple[str, Json], ...] = ()
    output_root: str = "outputs"
    objectives: tuple[Objective, ...] = ()
    overrides: tuple[str, ...] = field(default=(), compare=False)

    @property
    def ranges_trained(self) -> bool:
        """Whether quantization-aware training brings activation ranges along."""
        return self.optimize is not None and "qat" in self.optimize.steps

    @property
    def full_integer(self) -> bool:
        """Whether a target has no floating point."""
        return any(target.full_integer for target in self.targets)

    @property
    def interpreter(self) -> dict[str, Json]:
        """How the artifact is run on this host's CPU: `delegate` and `threads`, of the first target that has them."""
        told = next((one.options for one in self.targets if one.runtime == "cpu"), {})
        return {"delegate": told.get("delegate", "xnnpack"), "threads": told.get("threads", 1)}

    def as_json(self) -> Json:
        """The recipe as plain JSON, for the manifest."""
        return asdict(self)
