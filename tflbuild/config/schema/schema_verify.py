"""The schema of verification: figures, gates, evaluation data.

A part of the schema; see `config.schema.recipe_schema`. The options are listed there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Dict, List, Optional

from tflbuild.config.schema.schema_data import DatasetConfig


@dataclass
class OutputGates:
    """Limits of one output. null: not gated."""

    max_abs_error: Optional[float] = None
    rmse: Optional[float] = None
    cosine: Optional[float] = None
    snr_db: Optional[float] = None


@dataclass
class Gates:
    """Limits that fail the build, exit code 3. null: not gated."""

    top1_drop: Optional[float] = None
    """Most that top-1 accuracy may fall below the source's, as a share (0.01 is one point)."""
    top1: Optional[float] = None
    """Least top-1 accuracy, as a share."""
    agreement: Optional[float] = None
    """Least share of samples on which source and artifact name the same class."""
    max_abs_error: Optional[float] = None
    """Most that any output value may differ from the source's, in the output's unit."""
    rmse: Optional[float] = None
    """Most root mean square error of any output."""
    cosine: Optional[float] = None
    """Least cosine similarity of any output."""
    snr_db: Optional[float] = None
    """Least signal-to-noise ratio of any output, in dB."""
    bytes: Optional[int] = None
    """Most bytes the artifact may have."""
    gzip_bytes: Optional[int] = None
    """Most bytes it may have when it is packed by gzip, as a download is."""
    outputs: Dict[str, OutputGates] = field(default_factory=dict)
    """Limits of one output alone, by its name: `{NAME: {snr_db: 40}}`."""
    at_least: Dict[str, float] = field(default_factory=dict)
    """Lower limits of metrics of your own (`verify.metrics`), by name."""
    at_most: Dict[str, float] = field(default_factory=dict)
    """Upper limits of metrics of your own, by name."""
    confidence: Optional[float] = None
    """Accuracy gates (`top1`, `top1_drop`, `agreement`) demand the bound of the interval of this confidence (0.95)."""


@dataclass
class VerifyConfig:
    """How the artifact is compared with its source."""

    unused: ClassVar[tuple[str, ...]] = ()

    kind: str = "none"
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """The evaluation dataset; choose its kind with `dataset@verify.dataset=...`."""
    output: str = ""
    """Output that holds the class scores; empty: the only one."""
    top_k: int = 5
    """k of the second accuracy."""
    metrics: Dict[str, str] = field(default_factory=dict)
    """Metrics of your own, name to `file.py:function`: gets `expected`, `actual` (outputs by name), `labels`."""
    files: List[str] = field(default_factory=list)
    """Further files that the code of `metrics` reads or imports by computed names; plain imports are found."""
    gates: Gates = field(default_factory=Gates)
    """Limits that fail the build, exit code 3."""


@dataclass
class NoVerify(VerifyConfig):
    """No verification and no gates: the manifest says `unverified`."""

    unused: ClassVar[tuple[str, ...]] = ("dataset", "output", "top_k", "metrics", "files", "gates")

    kind: str = "none"


@dataclass
class ParityVerify(VerifyConfig):
    """Source and artifact run on an evaluation dataset; their outputs are compared."""

    unused: ClassVar[tuple[str, ...]] = ("output", "top_k")

    kind: str = "parity"


@dataclass
class ClassificationVerify(VerifyConfig):
    """Parity, and top-1 and top-k accuracy against labels."""

    kind: str = "classification"
