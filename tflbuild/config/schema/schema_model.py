"""The schema of the model: its source, its signatures, its op set, its conversion.

A part of the schema; see `config.schema.recipe_schema`. The options are listed there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Dict, List, Optional

from omegaconf import MISSING


class Dtype(Enum):
    """Element types of a declared tensor."""

    float32 = "float32"
    float16 = "float16"
    float64 = "float64"
    int8 = "int8"
    uint8 = "uint8"
    int16 = "int16"
    int32 = "int32"
    int64 = "int64"
    bool = "bool"
    string = "string"


class ImageLayout(Enum):
    """How the axes of an image given by the app become the model's."""

    keep = "keep"
    nchw_to_nhwc = "nchw_to_nhwc"
    nhwc_to_nchw = "nhwc_to_nchw"


class Resize(Enum):
    """How an image of the declared size is resized to the model's size."""

    none = "none"
    bilinear = "bilinear"
    nearest = "nearest"


class Arithmetic(Enum):
    """Element types that an op set confines activations to."""

    any = "any"
    int8 = "int8"
    int16x8 = "int16x8"


@dataclass
class SourceConfig:
    """Where the model comes from."""

    unused: ClassVar[tuple[str, ...]] = ()

    kind: str = MISSING
    path: str = MISSING
    """File or folder, relative to the current directory; `tflbuild://` means the files tflbuild ships."""
    sha256: str = ""
    """Digest that the model must have (a manifest says it); empty: not pinned."""


@dataclass
class KerasSource(SourceConfig):
    """A Keras model in a `.keras` or HDF5 file; Keras 3 loads it, or else tf_keras. Code is run where named."""

    kind: str = "keras"
    allow: List[str] = field(default_factory=list)
    """Paths (`outer/inner/name`) of layers that carry code or reach outside the file (Lambda, TFOpLambda), and may."""
    custom_objects: Dict[str, str] = field(default_factory=dict)
    """Name in the file -> `file.py:Class` or `module:Class` that it stands for."""
    files: List[str] = field(default_factory=list)
    """Further files that this code reads or imports by computed names; plain imports are found."""
    fused_lstm: bool = False
    """Trace LSTM layers as tf_keras does: one fused operator each (batch fixed), where Keras 3 gives a loop."""


@dataclass
class SavedModelSource(SourceConfig):
    """A TensorFlow SavedModel folder, of TensorFlow 1 or 2, with or without signatures."""

    kind: str = "saved_model"
    tags: List[str] = field(default_factory=lambda: ["serve"])
    """Tags of the graph to load."""
    allow: List[str] = field(default_factory=list)
    """Operators that touch files, the network or other programs, and may: `ReadFile`."""


@dataclass
class HubSource(SourceConfig):
    """A TF Hub handle: https, Kaggle, gs://, a folder or an archive; downloaded once, then kept in the store."""

    unused: ClassVar[tuple[str, ...]] = ("path",)

    kind: str = "hub"
    path: str = ""
    handle: str = MISSING
    """What `tensorflow_hub.resolve` takes, or a local `.tar.gz`. `--offline` refuses what is not in the store."""
    tags: List[str] = field(default_factory=lambda: ["serve"])
    """Tags of the graph to load; a TF1 Hub module has none: []."""
    allow: List[str] = field(default_factory=list)
    """Operators that touch files, the network or other programs, and may: `ReadFile`."""


@dataclass
class FunctionSource(SourceConfig):
    """Python code that makes the model: a Keras model, a tf.Module or a tf.function."""

    unused: ClassVar[tuple[str, ...]] = ("path",)

    kind: str = "function"
    path: str = ""
    call: str = MISSING
    """`file.py:callable` or `module:callable`; the files that it imports are inputs of the build."""
    arguments: Dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the call."""
    weights: str = ""
    """File of weights that the Keras model which is made then loads (`.weights.h5`); empty: none."""
    files: List[str] = field(default_factory=list)
    """Further files that the code reads or imports by computed names; plain imports are found."""
    fused_lstm: bool = False
    """Trace LSTM layers as tf_keras does: one fused operator each (batch fixed), where Keras 3 gives a loop."""


@dataclass
class TfliteSource(SourceConfig):
    """A float `.tflite` file: quantized, checked and verified without TensorFlow."""

    kind: str = "tflite"


@dataclass
class TensorConfig:
    """An input as the artifact shall have it."""

    shape: List[Optional[int]] = MISSING
    """Sizes of all dimensions, batch first; null leaves one free."""
    dtype: Dtype = Dtype.float32
    """Element type; it must be what the model has, where the model fixes one."""


@dataclass
class PreprocessConfig:
    """The operations that the artifact applies to an input first: `(value * scale - mean) / std`."""

    dtype: Dtype = Dtype.uint8
    """Element type that the artifact takes, unless the input is declared."""
    scale: float = 1.0
    """Factor; 0.00392156862745098 brings bytes to 0..1."""
    mean: List[float] = field(default_factory=lambda: [0.0])
    """Subtracted after scaling: one number, or one a channel."""
    std: List[float] = field(default_factory=lambda: [1.0])
    """Divisor: one number, or one a channel."""
    layout: ImageLayout = ImageLayout.keep
    """`nchw_to_nhwc`, `nhwc_to_nchw` or `keep`: from the app's axes to the model's."""
    resize: Resize = Resize.none
    """`bilinear` or `nearest`: images of the declared height and width are brought to the model's."""


@dataclass
class SignatureBaseConfig:
    """One signature of the artifact."""

    entry: str = ""
    """Its name in the source: a SavedModel's signature, or a method of the object; empty: the same name."""
    batch: Optional[int] = 1
    """Size that a free batch dimension is pinned to; null leaves it free."""
    inputs: Dict[str, TensorConfig] = field(default_factory=dict)
    """Inputs by name, checked against the model's; empty takes the model's own."""
    outputs: Dict[str, str] = field(default_factory=dict)
    """Output name -> the model's own name of it; empty keeps all, else exactly these are kept."""
    preprocess: Dict[str, PreprocessConfig] = field(default_factory=dict)
    """Input name -> what the artifact does to it first: `{dtype, scale, mean, std, layout, resize}`."""


@dataclass
class SignatureConfig(SignatureBaseConfig):
    """The entry point that is converted, with every dimension fixed."""

    key: str = "serving_default"
    """Name of the signature in the artifact."""
    more: Dict[str, SignatureBaseConfig] = field(default_factory=dict)
    """Further signatures of the same artifact: name -> `{entry, batch, inputs, outputs, preprocess}`."""


@dataclass
class DynamicSignature(SignatureConfig):
    """The entry point that is converted. A dynamic batch dimension stays dynamic."""

    batch: Optional[int] = None


@dataclass
class OpsetConfig:
    """Only builtin operators of TensorFlow Lite: the app links nothing else."""

    unused: ClassVar[tuple[str, ...]] = ()

    select_tf: bool = False
    """Also allow TensorFlow (Flex) operators; the app must then link the Flex delegate."""
    custom: List[str] = field(default_factory=list)
    """Custom operators that the artifact may hold, by name; the app must register them."""
    deny: List[str] = field(default_factory=list)
    """Operators that the artifact may not hold, by the names that `tflbuild inspect` shows."""
    max_runtime: str = ""
    """Newest TFLite runtime that may be needed, such as `2.14` (docs/runtimes.md); empty: any."""
    arithmetic: Arithmetic = Arithmetic.any
    """`int8` or `int16x8`: no operator may compute on other activations; `any`: as quantized."""


@dataclass
class SelectTfOpset(OpsetConfig):
    """TFLite builtins, and TensorFlow operators where no builtin exists."""

    select_tf: bool = True


@dataclass
class CustomOpset(OpsetConfig):
    """TFLite builtins, and custom operators allowed one by one."""


@dataclass
class Int8OnlyOpset(OpsetConfig):
    """TFLite builtins that compute in int8, inputs and outputs included."""

    arithmetic: Arithmetic = Arithmetic.int8


@dataclass
class Int16x8Opset(OpsetConfig):
    """TFLite builtins that compute on int16 activations with int8 weights."""

    arithmetic: Arithmetic = Arithmetic.int16x8


@dataclass
class Converter:
    """Options of tf.lite.TFLiteConverter, under its own names; null leaves the converter's default."""

    exclude_conversion_metadata: Optional[bool] = None
    """Write no metadata about the conversion into the artifact."""
    experimental_enable_resource_variables: Optional[bool] = None
    """Keep variables as resources; true is needed for state that changes."""
    unfold_batchmatmul: Optional[bool] = None
    """Turn BATCH_MATMUL into FULLY_CONNECTED operators."""
    legalize_custom_tensor_list_ops: Optional[bool] = None
    """Turn tensor lists into custom operators (they must be allowed by opset.custom)."""
    canonicalizing_inf_as_min_max_float: Optional[bool] = None
    """Replace infinite constants by the greatest finite ones."""
    serialize_debug_metadata: Optional[bool] = None
    """Write each operator's origin into the artifact."""
    experimental_select_user_tf_ops: List[str] = field(default_factory=list)
    """TensorFlow operators of the user's own that become Flex ones; they need opset.select_tf."""
    experimental_supported_backends: List[str] = field(default_factory=list)
    """`GPU`: lower for what this backend can run."""
    EXPERIMENTAL_SPARSITY: Optional[bool] = None
    """Encode pruned weights sparsely (of tf.lite.Optimize)."""
    _experimental_lower_tensor_list_ops: Optional[bool] = None
    """false keeps tensor lists as Flex operators: the way out for loops of unknown length."""
    _experimental_default_to_single_batch_in_tensor_list_ops: Optional[bool] = None
    """Take a free batch inside tensor lists to be 1: rescues recurrent layers with a free batch."""
    _experimental_unfold_large_splat_constant: Optional[bool] = None
    """Store a large constant of one value as that value and a FILL operator."""
    _experimental_enable_dynamic_update_slice: Optional[bool] = None
    """Use the operator DYNAMIC_UPDATE_SLICE (runtime 2.9 or newer)."""
    _experimental_preserve_assert_op: Optional[bool] = None
    """Keep Assert operators; they need opset.select_tf."""
    _experimental_guarantee_all_funcs_one_use: Optional[bool] = None
    """Clone functions so that each is called once."""
    _experimental_allow_all_select_tf_ops: Optional[bool] = None
    """With opset.select_tf: any TensorFlow operator, not only those that the Flex delegate is known to have."""
    _experimental_disable_fuse_mul_and_fc: Optional[bool] = None
    """Leave a multiplication beside FULLY_CONNECTED instead of folding it into the weights."""
    _experimental_use_buffer_offset: Optional[bool] = None
    """Convert a model above 2 GB: its weights lie behind the flatbuffer, unless the file is smaller in the end."""
    _experimental_enable_composite_direct_lowering: Optional[bool] = None
    """Lower composite operators directly."""
    _experimental_unsafe_fuse_dynamic_shaped_broadcast: Optional[bool] = None
    """Fuse broadcasts of free shapes; the result may be wrong, so verify it."""
    _experimental_reduce_type_precision: Optional[bool] = None
    """Use narrower integer types where values allow it."""
    experimental_new_quantizer: Optional[bool] = None
    """engine=converter: quantize with the MLIR quantizer."""
    experimental_new_dynamic_range_quantizer: Optional[bool] = None
    """engine=converter: quantize dynamic ranges with the MLIR quantizer."""
    _experimental_disable_per_channel: Optional[bool] = None
    """engine=converter: one scale a weight tensor instead of one a channel."""
    _experimental_disable_per_channel_quantization_for_dense_layers: Optional[bool] = None
    """engine=converter: the same for FULLY_CONNECTED alone, as older runtimes need."""
    _experimental_full_integer_quantization_bias_type: Optional[str] = None
    """engine=converter, int16x8: `int32` or `int64` biases."""
    _experimental_variable_quantization: Optional[bool] = None
    """engine=converter: quantize variables too."""
    _experimental_low_bit_qat: Optional[bool] = None
    """engine=converter: honour quantization-aware training below 8 bits."""
    _experimental_strict_qdq: Optional[bool] = None
    """engine=converter: quantize only what the model's own quantization nodes say."""
    _experimental_supported_accumulation_type: Optional[str] = None
    """engine=converter, float16: `float16` or `float32` sums, as a hint to the runtime."""
