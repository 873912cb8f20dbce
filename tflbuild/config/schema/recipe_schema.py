"""The typed schema of a recipe, with which YAML files and overrides are checked.

The text under each field is its documentation: the comments in conf/ and docs/reference.md are generated from it
(`python -m tflbuild.config.reference --write`). It says what the key does, its unit, and what its absence means.
OPTIONS at the end lists the options of each group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from omegaconf import MISSING

from tflbuild.config.schema.schema_benchmark import AndroidBenchmark, BenchmarkConfig, HostBenchmark
from tflbuild.config.schema.schema_data import (
    AudioFolderDataset,
    CallableDataset,
    CsvDataset,
    DatasetConfig,
    ImageFolderDataset,
    NoDataset,
    NpyDataset,
    NpzDataset,
    SyntheticDataset,
    TfdsDataset,
    TfrecordDataset,
)
from tflbuild.config.schema.schema_metadata import MetadataConfig
from tflbuild.config.schema.schema_model import (
    Converter,
    CustomOpset,
    DynamicSignature,
    FunctionSource,
    HubSource,
    Int8OnlyOpset,
    Int16x8Opset,
    KerasSource,
    OpsetConfig,
    SavedModelSource,
    SelectTfOpset,
    SignatureConfig,
    SourceConfig,
    TfliteSource,
)
from tflbuild.config.schema.schema_optimize import (
    ClusterOptimize,
    CqatOptimize,
    OptimizeConfig,
    PqatOptimize,
    PruneOptimize,
    PrunePairsOptimize,
    QatOptimize,
)
from tflbuild.config.schema.schema_quantization import (
    AutoQuantization,
    ByTargetQuantization,
    DynamicInt4Quantization,
    DynamicInt8Quantization,
    Float16Quantization,
    Int4Quantization,
    Int8Quantization,
    Int16x8Quantization,
    QuantizationConfig,
    WeightOnlyInt4Quantization,
    WeightOnlyInt8Quantization,
)
from tflbuild.config.schema.schema_target import (
    CoremlTarget,
    CpuTarget,
    EdgetpuTarget,
    EthosU55Target,
    EthosU65Target,
    EthosU85Target,
    GoogleTensorTarget,
    GpuTarget,
    HexagonTarget,
    IntegerOnlyTarget,
    IntelTarget,
    MediatekTarget,
    NnapiTarget,
    NoTarget,
    QualcommTarget,
    SamsungTarget,
    TflmTarget,
)
from tflbuild.config.schema.schema_verify import ClassificationVerify, NoVerify, ParityVerify, VerifyConfig


@dataclass
class ExecutorConfig:
    """Steps run on this machine, as many at once as `--jobs` says."""

    kind: str = "local"


@dataclass
class RayExecutor(ExecutorConfig):
    """Steps are tasks of a Ray cluster that is there; see docs/ray.md. Needs `pip install 'tflbuild[ray]'`."""

    kind: str = "ray"
    address: str = ""
    """`HOST:PORT` or `auto` on a machine of the cluster, `ray://HOST:10001` from outside; empty: `$RAY_ADDRESS`."""
    slots: Optional[int] = None
    """Steps at once over the whole cluster. null: as many as its CPUs allow."""
    cpus: float = 1.0
    """CPUs of its node that a step holds."""
    memory: str = ""
    """Memory of its node that a step holds, such as 2G; empty: none is counted."""
    resources: Dict[str, float] = field(default_factory=dict)
    """Resources of your own that a step holds; only nodes that have them take steps: `{build: 1}`."""
    store: str = ""
    """Folder of each node for what it is sent; empty: the node's own store (`$TFLBUILD_STORE`, or the user's cache)."""


@dataclass
class SweepConfig:
    """How the variants of a sweep (`-m`) are compared with each other."""

    objectives: List[str] = field(default_factory=list)
    """`FIGURE:min` or `FIGURE:max`, of a target `TARGET.FIGURE:min`; the first sorts (docs/sweeps.md). Empty: accuracy,
    then bytes."""


@dataclass
class StoreConfig:
    """A remote cache, which several machines use in addition to their own stores."""

    remote: str = ""
    """URL of the store that machines share: `http(s)://`, `s3://`, `gs://`, `az://`; else `$TFLBUILD_REMOTE`. That of a
    recipe is used once it was confirmed with `--trust-store`."""
    push: bool = False
    """Send there what this build makes; without it (or `TFLBUILD_PUSH=true`) it is only read."""
    seconds: float = 60.0
    """How long a build waits for that store in all. What has not come by then is made here."""


@dataclass
class RecipeConfig:
    """The whole of a composed recipe."""

    name: str = ""
    """Folder below `output_root`; empty takes the name of the recipe."""
    output_root: str = "outputs"
    """Folder that artifacts are written to, as `<output_root>/<name>/<variant>/`."""
    source: SourceConfig = MISSING
    optimize: OptimizeConfig = field(default_factory=OptimizeConfig)
    signature: SignatureConfig = field(default_factory=SignatureConfig)
    opset: OpsetConfig = field(default_factory=OpsetConfig)
    converter: Converter = field(default_factory=Converter)
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    target: Dict[str, Any] = field(default_factory=dict)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    metadata: MetadataConfig = field(default_factory=MetadataConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)


# group -> option -> schema.
OPTIONS: dict[str, dict[str, type]] = {
    "source": {
        "keras": KerasSource,
        "saved_model": SavedModelSource,
        "hub": HubSource,
        "function": FunctionSource,
        "tflite": TfliteSource,
    },
    "optimize": {
        "none": OptimizeConfig,
        "prune": PruneOptimize,
        "prune_2_4": PrunePairsOptimize,
        "cluster": ClusterOptimize,
        "qat": QatOptimize,
        "pqat": PqatOptimize,
        "cqat": CqatOptimize,
    },
    "signature": {"static": SignatureConfig, "dynamic": DynamicSignature},
    "opset": {
        "builtins": OpsetConfig,
        "select_tf": SelectTfOpset,
        "custom": CustomOpset,
        "int8_only": Int8OnlyOpset,
        "int16x8": Int16x8Opset,
    },
    "converter": {"default": Converter},
    "quantization": {
        "none": QuantizationConfig,
        "float16": Float16Quantization,
        "dynamic_int8": DynamicInt8Quantization,
        "dynamic_int4": DynamicInt4Quantization,
        "weight_only_int8": WeightOnlyInt8Quantization,
        "weight_only_int4": WeightOnlyInt4Quantization,
        "int8": Int8Quantization,
        "int4": Int4Quantization,
        "int16x8": Int16x8Quantization,
        "auto": AutoQuantization,
        "by_target": ByTargetQuantization,
    },
    "dataset": {
        "none": NoDataset,
        "npz": NpzDataset,
        "npy": NpyDataset,
        "image_folder": ImageFolderDataset,
        "csv": CsvDataset,
        "tfrecord": TfrecordDataset,
        "tfds": TfdsDataset,
        "audio_folder": AudioFolderDataset,
        "callable": CallableDataset,
        "synthetic": SyntheticDataset,
    },
    "target": {
        "none": NoTarget,
        "cpu": CpuTarget,
        "integer_only": IntegerOnlyTarget,
        "gpu": GpuTarget,
        "ethos_u55": EthosU55Target,
        "ethos_u65": EthosU65Target,
        "ethos_u85": EthosU85Target,
        "tflm": TflmTarget,
        "edgetpu": EdgetpuTarget,
        "npu_qualcomm": QualcommTarget,
        "npu_mediatek": MediatekTarget,
        "npu_google_tensor": GoogleTensorTarget,
        "npu_intel": IntelTarget,
        "npu_samsung": SamsungTarget,
        "nnapi": NnapiTarget,
        "hexagon": HexagonTarget,
        "coreml": CoremlTarget,
    },
    "verify": {"none": NoVerify, "parity": ParityVerify, "classification": ClassificationVerify},
    "benchmark": {"none": BenchmarkConfig, "host": HostBenchmark, "android": AndroidBenchmark},
    "executor": {"local": ExecutorConfig, "ray": RayExecutor},
}
