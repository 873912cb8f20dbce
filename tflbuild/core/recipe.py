"""The frozen recipe: the values that describe a variant.

`config.freezing.freeze` makes these immutable values from the composed YAML. Fields with a fixed set of values contain
the strings of the YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tflbuild.core.digest import Json
from tflbuild.core.objective import Objective
from tflbuild.core.schemes import CALIBRATED
from tflbuild.core.target_requirements import TargetRequirements

DEFAULT_VARIANT = "default"

# Options of TFLiteConverter that take effect only when it quantizes. Its float models do not depend on them.
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

# The recipe key, below `source`, with the location of the model, by kind of source. For other kinds it is `path`.
LOCATORS = {"hub": "handle", "function": "call"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of the model.

    Attributes:
        kind: `keras`, `saved_model`, `hub`, `function` or `tflite`.
        sha256: The digest that the model must have, "" for any.
        call: A reference to the user code that makes the model: `file.py:callable` or `module:callable`.
        allow: Layers or operators that run code or access files, and are allowed nevertheless.
        custom_objects: (name, reference to a class) for the layers of a Keras file.
        files: Files that the user code reads, in addition to the modules that it imports.
        fused_lstm: Convert LSTM layers to the fused operator.
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
        """Return every reference to user code in the source, as `file.py:name` or `module:name`."""
        return (*([self.call] if self.call else ()), *(reference for _, reference in self.custom_objects))


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A declared tensor. A dynamic dimension of `shape` is None; `dtype` is the name of a NumPy dtype, or `string`."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Preprocessing of an input within the artifact: (value * scale - mean) / std, then layout and size.

    Attributes:
        mean, std: One number, or one for each channel.
        layout: `keep`, `nchw_to_nhwc` or `nhwc_to_nchw`.
        resize: `none`, `bilinear` or `nearest`.
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
    """A signature of the artifact.

    Attributes:
        key: The signature name in the artifact.
        entry: The entry point in the source, "" if its name is `key`.
        inputs: The declared inputs. Empty: those of the source.
        batch: The size of a dynamic first dimension, None to leave it dynamic.
        outputs: (name in the artifact, name in the source) of each output. Empty: those of the source.
    """

    key: str
    entry: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    batch: int | None = 1
    outputs: tuple[tuple[str, str], ...] = ()
    preprocess: tuple[Preprocess, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Opset:
    """The op set of the artifact.

    Attributes:
        deny: The names of builtin operators that are not allowed.
        max_runtime: The newest allowed minimum runtime, as a version. "" for any.
        arithmetic: The allowed types of activations: `any`, `int8` or `int16x8`.
    """

    select_tf: bool = False
    custom: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    max_runtime: str = ""
    arithmetic: str = "any"


# Algorithms that use statistics of activations to choose the quantized weights.
ALGORITHMS_WITH_DATA = ("gptq", "oscar")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration of activation ranges. `method` is `min_max`, `moving_average`, `percentile` or `mse`."""

    method: str = "min_max"
    kernels: str = "fast"
    percentile: float = 99.99
    smoothing: float = 0.95


@dataclass(frozen=True, kw_only=True)
class QuantizationRule:
    """An exception to the scheme.

    It assigns `scheme` to operators of the kind `op` ("" for any) with an output in whose name `match` is found.
    """

    match: str
    op: str
    scheme: str


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """The quantization of a variant.

    Attributes:
        scheme: The name of a scheme in `core.schemes`.
        engine: `litert` or `converter`.
        granularity: `per_tensor`, `per_channel` or `blockwise_N`.
        rules: Exceptions to the scheme. If several rules match an operator, the last one applies.
        input_type, output_type: The types of the inputs and outputs, for static schemes.
        symmetric: Use zero point 0 for activations, for static schemes.
        calibration: How ranges are measured, None if nothing is calibrated.
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
        """Return whether the scheme or a rule needs calibration."""
        schemes = {self.scheme, *(rule.scheme for rule in self.rules)}
        return not schemes.isdisjoint(CALIBRATED)

    @property
    def weighs_data(self) -> bool:
        """Return whether the algorithm uses statistics of activations to choose the quantized weights."""
        return self.algorithm in ALGORITHMS_WITH_DATA


@dataclass(frozen=True, kw_only=True)
class Search:
    """The settings of a search (`quantization=auto`).

    Attributes:
        budget: (figure, limit) of each limit that the result must meet, as in `Verify.gates`.
        confidence: The confidence of the intervals whose bounds accuracies in the budget are compared with.
        objective: `size` or `latency`.
        schemes, algorithms, methods: The schemes, algorithms and calibration methods that may be used.
        trials: The maximum number of trials that are measured.
        samples: The number of evaluation samples that the sensitivity is measured on.
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
    """A dataset.

    With `scale` or `offset`, the model receives `value * scale + offset` in the dtype of its input. With neither, the
    dtypes must be equal.

    Attributes:
        kind: `npz`, `npy`, `image_folder`, `csv`, `tfrecord`, `tfds`, `audio_folder`, `callable` or `synthetic`.
        count: The number of samples, None for all.
        seed: The seed of the random selection, or of synthetic samples.
        arrays: (input of the model, name of the array) for each renamed input.
        label: The name of the array of labels.
        low, high: The range of synthetic values.
        files: Files that the user code reads, in addition to the modules that it imports.
        options: The options of this kind of dataset, as plain JSON.
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
    """The training of a Keras model before conversion.

    Attributes:
        steps: The training steps in their order: `prune`, `cluster` and `qat`.
        optimizer: `adam`, `sgd` or `rmsprop`.
        loss: `crossentropy`, `crossentropy_logits` or `source_mse`.
        sparsity: The fraction of weights that become zero. None without the step `prune`.
        pattern: `any` or `two_of_four`. None without the step `prune`.
        clusters: The number of distinct weights of a layer. None without the step `cluster`.
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
    """The verification of the artifact on evaluation samples.

    Attributes:
        kind: `none`, `parity` or `classification`.
        output: The output with the scores of a classification, "" for the only one.
        top_k: The k of the top-k accuracy.
        metrics: (name, reference to a function) of each metric.
        files: Files that the functions read, in addition to the modules that they import.
        gates: (figure, limit) of each gate, as in `core.gates`.
        confidence: The confidence of the intervals whose bounds gates on accuracies are compared with, None to compare
            the accuracies themselves.
        part: "" for all samples. In a search, `selection` for the part on which trials are measured, and `report` for
            the part on which only the result is measured.
    """

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
    """The profile of a target: its requirements, and how it is evaluated.

    Attributes:
        runtime: The name of a runtime in `tflbuild.targets`.
        table: The name of a support table, "" for none.
        must_be_proven: The build fails unless the verdict is `proven`.
        gates: (figure, limit) of each gate, including the gates of all targets.
        options: The options of this runtime, as plain JSON.
    """

    name: str
    runtime: str = "cpu"
    table: str = ""
    must_be_proven: bool = False
    gates: tuple[tuple[str, float], ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Metadata:
    """The TFLite Metadata of the artifact.

    `described` is plain JSON, which refers to files by their names in the artifact. `files` contains (name in the
    artifact, recipe key, path) of each file.
    """

    described: Mapping[str, Json]
    files: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The latency benchmark. `kind` is `none`, `host` or `android`, `options` the options of this kind, as JSON."""

    kind: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The recipe of one variant, complete and validated.

    Attributes:
        signature: The main signature, whose inputs are the samples of datasets.
        quantization: The quantization. In a search its scheme is `auto`, since it is not decided yet.
        dataset: The representative dataset, None if nothing needs one.
        more_signatures: The other signatures of the artifact.
        converter: (name, value) of each option of TFLiteConverter that differs from its default.
        objectives: The objectives by which the variants of a sweep are compared.
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
        """Return whether the model has activation ranges from quantization-aware training."""
        return self.optimize is not None and "qat" in self.optimize.steps

    @property
    def full_integer(self) -> bool:
        """Return whether a target supports integer arithmetic only."""
        return any(target.full_integer for target in self.targets)

    @property
    def interpreter(self) -> dict[str, Json]:
        """Return how this host's CPU runs the artifact: the `delegate` and `threads` of the first CPU target."""
        options = next((target.options for target in self.targets if target.runtime == "cpu"), {})
        return {"delegate": options.get("delegate", "xnnpack"), "threads": options.get("threads", 1)}

    def as_json(self) -> Json:
        """Return the recipe as plain JSON, for the manifest."""
        return asdict(self)
