"""The schema of datasets: where samples come from, and how they are turned into inputs of the model.

A part of the schema; see `config.schema.recipe_schema`. The options are listed there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Dict, List, Optional

from omegaconf import MISSING


class Resampling(Enum):
    """How an image becomes smaller or larger; all but nearest are antialiased."""

    bilinear = "bilinear"
    nearest = "nearest"
    bicubic = "bicubic"


class Crop(Enum):
    """The part of an image of other proportions that is cut off."""

    none = "none"
    center = "center"


class ImageAxes(Enum):
    """The order of an image's axes."""

    nhwc = "nhwc"
    nchw = "nchw"


@dataclass
class DatasetConfig:
    """Samples of the model's inputs. A key that an option lists in `unused` is refused under it where a recipe or the
    command line declares it, or noted where another variant reads it (`config.composing.unused_keys`)."""

    unused: ClassVar[tuple[str, ...]] = ()

    kind: str = "none"
    path: str = ""
    """The file or folder, relative to the current directory; `tflbuild://` means the files tflbuild ships."""
    count: Optional[int] = None
    """Samples to take; null takes all that there are."""
    seed: int = 0
    """Seed of the choice when fewer are taken than there are, and of synthetic data."""
    arrays: Dict[str, str] = field(default_factory=dict)
    """Input name -> array name, where they differ; `signature/input` for inputs of `signature.more`."""
    label: str = ""
    """Array of integer class labels, one a sample; empty: there are none."""
    scale: Optional[float] = None
    """Feed `value * scale + offset` in the input's dtype; null (with offset null): dtypes must agree."""
    offset: Optional[float] = None
    """Added after `scale`; see there."""


@dataclass
class NoDataset(DatasetConfig):
    """No dataset."""

    unused: ClassVar[tuple[str, ...]] = ("path", "count", "seed", "arrays", "label", "scale", "offset")

    kind: str = "none"


@dataclass
class NpzDataset(DatasetConfig):
    """Arrays in a NumPy `.npz` file, samples along the first axis."""

    kind: str = "npz"
    path: str = MISSING


@dataclass
class NpyDataset(DatasetConfig):
    """One array in a NumPy `.npy` file, samples along the first axis, for the model's only input."""

    unused: ClassVar[tuple[str, ...]] = ("arrays", "label")

    kind: str = "npy"
    path: str = MISSING


@dataclass
class ImageDataset(DatasetConfig):
    """Samples of which some or all are images."""

    size: List[int] = field(default_factory=list)
    """[height, width] that images are brought to; empty: the input's."""
    resize: Resampling = Resampling.bilinear
    """`bilinear`, `nearest` or `bicubic`, as Pillow does them: antialiased when an image gets smaller."""
    crop: Crop = Crop.none
    """`center` cuts to the proportions of `size` first; `none` squeezes the whole image."""
    layout: ImageAxes = ImageAxes.nhwc
    """Order of the axes of inputs that take images: `nhwc` or `nchw`."""


@dataclass
class ImageFolderDataset(ImageDataset):
    """Image files in a folder, or in one folder a class, for the model's only input; in the order of their names."""

    unused: ClassVar[tuple[str, ...]] = ("arrays",)

    kind: str = "image_folder"
    path: str = MISSING
    label: str = ""
    """`folder`: an image's label is the place of its folder among the classes; empty: no labels."""
    classes: List[str] = field(default_factory=list)
    """Class folders in the order of the model's classes; empty: those there are, sorted by name."""
    scale: Optional[float] = None
    """Feed `(pixel * scale + offset - mean) / std`; with none of them declared, pixels are uint8, 0 to 255."""
    mean: List[float] = field(default_factory=list)
    """Subtracted after scale and offset: one number, or one a channel; empty: nothing."""
    std: List[float] = field(default_factory=list)
    """Divisor after `mean`: one number, or one a channel; empty: none."""


@dataclass
class CsvDataset(DatasetConfig):
    """A CSV file whose first line names the columns, a sample a line; every value a number, or text for strings."""

    unused: ClassVar[tuple[str, ...]] = ("arrays",)

    kind: str = "csv"
    path: str = MISSING
    columns: Dict[str, List[str]] = field(default_factory=dict)
    """Input -> its columns, in the order of its values; patterns such as `pixel*` will do. Left out: its own name."""
    label: str = ""
    """Column of integer class labels; empty: there are none."""
    delimiter: str = ","
    """What stands between values."""


@dataclass
class TfrecordDataset(DatasetConfig):
    """tf.train.Example records in TFRecord files (plain or gzip); read without TensorFlow, checksums verified."""

    kind: str = "tfrecord"
    path: str = MISSING
    """A file, or a folder of files, read in the order of their names."""
    arrays: Dict[str, str] = field(default_factory=dict)
    """Input name -> feature name, where they differ."""
    raw: Dict[str, str] = field(default_factory=dict)
    """Feature of bytes -> element type (little-endian) that they hold, such as `{image: uint8}`."""
    label: str = ""
    """Feature of one integer class label; empty: there are none."""


@dataclass
class TfdsDataset(ImageDataset):
    """A split of a dataset that TensorFlow Datasets has prepared as TFRecord files; read without that package."""

    kind: str = "tfds"
    path: str = MISSING
    """The folder of the version, such as `~/tensorflow_datasets/mnist/3.0.1`; `tflbuild://` is for shipped files."""
    split: str = MISSING
    """The whole split of this name, in the order of its shards; `count` draws a part of it."""
    arrays: Dict[str, str] = field(default_factory=dict)
    """Input name -> feature name, where they differ; `outer/inner` for nested features."""
    label: str = ""
    """Feature of one integer class label; empty: there are none."""


@dataclass
class AudioFolderDataset(DatasetConfig):
    """WAV files in a folder, or in one folder a class, for the model's only input: mono, -1 to 1, by name."""

    unused: ClassVar[tuple[str, ...]] = ("arrays",)

    kind: str = "audio_folder"
    path: str = MISSING
    label: str = ""
    """`folder`: a recording's label is the place of its folder among the classes; empty: no labels."""
    classes: List[str] = field(default_factory=list)
    """Class folders in the order of the model's classes; empty: those there are, sorted by name."""
    sample_rate: Optional[int] = None
    """Hz that every file must have; null: any, the same in all. Nothing is resampled."""
    length: Optional[int] = None
    """Samples that a recording is cut to, or filled up to with zeros, at its end; null: as long as it is."""


@dataclass
class CallableDataset(DatasetConfig):
    """Python code that yields samples: dicts of input name -> array, one per sample, from a generator or a list."""

    unused: ClassVar[tuple[str, ...]] = ("path", "seed")

    kind: str = "callable"
    call: str = MISSING
    """`file.py:function` or `module:function`; the files that it imports are inputs of the build."""
    arguments: Dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the call."""
    files: List[str] = field(default_factory=list)
    """Further files that the code reads or imports by computed names; plain imports are found."""
    count: Optional[int] = None
    """The first so many samples; null takes all, so the code must come to an end."""
    label: str = ""
    """Key of the integer class label in each dict; empty: there are none."""


@dataclass
class SyntheticDataset(DatasetConfig):
    """Uniform random numbers. They say nothing about accuracy; the manifest says that they were used."""

    unused: ClassVar[tuple[str, ...]] = ("path", "arrays", "label", "scale", "offset")

    kind: str = "synthetic"
    count: Optional[int] = 64
    low: float = 0.0
    """Least value."""
    high: float = 1.0
    """Greatest value."""
