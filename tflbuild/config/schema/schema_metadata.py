"""The schema of TFLite Metadata, which the artifact contains.

A part of the schema; see `config.schema.recipe_schema`. Tensors are named as in the signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Dict, List, Optional


class Content(Enum):
    """The kind of values in a tensor."""

    unsaid = ""
    image = "image"
    audio = "audio"
    feature = "feature"


class ColorSpace(Enum):
    """Colours of an image."""

    unsaid = ""
    rgb = "rgb"
    grayscale = "grayscale"


class Transformation(Enum):
    """The function that is applied to a score before it is calibrated."""

    identity = "identity"
    log = "log"
    inverse_logistic = "inverse_logistic"


@dataclass
class TensorMetadata:
    """The description of any tensor."""

    description: str = ""
    """What it is."""
    content: Content = Content.unsaid
    """`image`, `audio` or `feature`."""
    min: List[float] = field(default_factory=list)
    """Least real value, or one a channel."""
    max: List[float] = field(default_factory=list)
    """Greatest real value, or one a channel."""


@dataclass
class InputMetadata(TensorMetadata):
    """The description of an input."""

    mean: List[float] = field(default_factory=list)
    """An app feeds (value - mean) / std, as real values where the input is quantized too; one, or one a channel."""
    std: List[float] = field(default_factory=list)
    """See `mean`."""
    color_space: ColorSpace = ColorSpace.unsaid
    """`rgb` or `grayscale`, of an image."""
    sample_rate: int = 0
    """Samples a second, of audio; 0: not said."""
    channels: int = 0
    """Channels, of audio; 0: not said."""
    vocabulary: str = ""
    """A file of words, one a line."""


@dataclass
class ScoreCalibration:
    """A score x becomes scale / (1 + exp(-(slope * g(x) + offset))): by a file with a line a class, or by numbers."""

    file: str = ""
    """Lines `scale,slope,offset[,min_score]`, one a class."""
    scale: Optional[float] = None
    """For all classes, where there is no file."""
    slope: Optional[float] = None
    """For all classes, where there is no file."""
    offset: Optional[float] = None
    """For all classes, where there is no file."""
    min_score: Optional[float] = None
    """Scores below get the default one; null: none does."""
    transformation: Transformation = Transformation.identity
    """g: `identity`, `log` or `inverse_logistic`."""
    default_score: float = 0.0
    """What takes the place of a score that is not calibrated."""


@dataclass
class OutputMetadata(TensorMetadata):
    """The description of an output."""

    labels: str = ""
    """A file with the names of the places along its last dimension, one a line."""
    value_labels: str = ""
    """A file with the names of its values, one a line."""
    threshold: Optional[float] = None
    """Scores below are to be dropped."""
    score_calibration: Optional[ScoreCalibration] = None
    """How scores become probabilities: `{file: PATH}`, or `{scale: 1, slope: 2, offset: 0}`."""


@dataclass
class PackedFile:
    """Another file that goes into the artifact."""

    path: str = ""
    """The file."""
    description: str = ""
    """What it is."""


@dataclass
class EntryMetadata:
    """The description of the tensors of another signature."""

    inputs: Dict[str, InputMetadata] = field(default_factory=dict)
    """By name."""
    outputs: Dict[str, OutputMetadata] = field(default_factory=dict)
    """By name."""


@dataclass
class MetadataConfig:
    """The description of the artifact, in the TFLite Metadata format. Without a description, nothing is written."""

    name: str = ""
    """The model's name; empty: the recipe's."""
    description: str = ""
    """What the model does."""
    version: str = ""
    """Its version, as its author counts."""
    author: str = ""
    """Who made it."""
    license: str = ""
    """Under what terms it may be used."""
    inputs: Dict[str, InputMetadata] = field(default_factory=dict)
    """By name, of the main signature: `{image: {mean: [127.5], std: [127.5], content: image}}`."""
    outputs: Dict[str, OutputMetadata] = field(default_factory=dict)
    """By name, of the main signature: `{probabilities: {labels: labels.txt}}`."""
    more: Dict[str, EntryMetadata] = field(default_factory=dict)
    """`inputs` and `outputs` of other signatures, by their key."""
    files: Dict[str, PackedFile] = field(default_factory=dict)
    """Other files to pack, by their name in the artifact: `{README.txt: {path: docs/model.txt}}`."""
