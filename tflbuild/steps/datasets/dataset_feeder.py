"""Feeding of a dataset to a model: every difference between dataset and signature is an error that names both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.dataset_readers import ArrayHeader, Block, DeclaredDataset, OpenDataset, suggest_name
from tflbuild.steps.datasets.sample_files import Arrays

Specs = Sequence[Mapping[str, Any]]
# A smaller number of values does not show whether they are meant as integers.
FEW_VALUES = 16
# A value that is further away from an integer is not meant as one.
ROUNDED = 0.1


@dataclass
class DatasetFeeder:
    """Feeds the inputs of the main signature, and of further signatures if the dataset has arrays for them.

    Names, shapes and dtypes are checked at construction, as far as they are known. Values, and the rest, are checked
    while they are read. Both raise WorkerError.

    Attributes:
        declared: The dataset in the recipe. Its `wanted` are the inputs of the main signature.
        opened: The dataset.
        others: The inputs of further signatures, by signature name.
        names: Input -> array, for the main signature.
        more: Signature name -> input -> array, for the further signatures that are fed.
        seen: Array -> the shape of its samples.
    """

    declared: DeclaredDataset
    opened: OpenDataset
    others: Mapping[str, Specs]
    names: dict[str, str] = field(init=False)
    more: dict[str, dict[str, str]] = field(init=False)
    seen: dict[str, tuple[int, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.require_known_inputs()
        self.names = {spec["name"]: self.array_of("", spec["name"]) for spec in self.declared.wanted}
        for spec in self.declared.wanted:
            self.require_form(spec, self.names[spec["name"]])
        if self.label:
            self.require_labels(self.label)
        self.more = dict(self.feedable())
        self.require_one_length()

    @property
    def label(self) -> str:
        """The name of the label array; "" if there is none."""
        return str(self.declared.params["label"])

    def feedable(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield each further signature for which the dataset has all arrays, and its inputs with their arrays."""
        for key, specs in self.others.items():
            names = {spec["name"]: self.array_of(key, spec["name"]) for spec in specs}
            if all(name in self.opened.arrays for name in names.values()) and all(spec["shape"] for spec in specs):
                for spec in specs:
                    self.require_form(spec, names[spec["name"]])
                yield key, names

    def array_of(self, key: str, name: str) -> str:
        """Return the array of an input.

        It is the one that `arrays` maps to it for its signature, or for the main signature; or else the only array of
        the dataset for an only input; or else the array with the name of the input.

        Args:
            key: The signature name; "" for the main signature.
            name: The input.
        """
        renamed = dict(self.declared.params["arrays"])
        is_only_input = len(self.others.get(key, self.declared.wanted)) == 1
        return renamed.get(f"{key}/{name}") or renamed.get(name) or (self.opened.only if is_only_input else "") or name

    def require_known_inputs(self) -> None:
        """Raise WorkerError if `arrays` maps a name that is not an input."""
        inputs = {spec["name"] for spec in self.declared.wanted}
        inputs |= {f"{key}/{spec['name']}" for key, specs in self.others.items() for spec in specs}
        for name in dict(self.declared.params["arrays"]).keys() - inputs:
            raise self.declared.refuse(
                f"'{self.declared.section}.arrays' names the input '{name}', which the model lacks",
                "arrays",
                why=f"the model's inputs: {', '.join(sorted(inputs))}" + suggest_name(name, inputs),
            )

    def require_form(self, spec: Mapping[str, Any], name: str) -> None:
        """Raise WorkerError if the array of an input does not exist, or has another shape or dtype."""
        if name not in self.opened.arrays:
            contents = ", ".join(f"{n} {a}".strip() for n, a in self.opened.arrays.items()) or "nothing"
            raise self.declared.refuse(
                f"'{self.declared.label}' has no array '{name}' for the model's input '{spec['name']}'",
                why=f"it contains {contents}" + suggest_name(name, self.opened.arrays),
                next_step=f"rename the array, or map it: {self.declared.section}.arrays.{spec['name']}=<array>",
            )
        if not spec["shape"]:
            raise self.declared.refuse(
                f"input '{spec['name']}' is a single number or string",
                why="the first axis of an input is that of the samples, and this input has no axis",
                next_step="give the input a batch dimension, or use verify=none",
            )
        header = self.opened.arrays[name]
        if header.shape is not None:
            self.require_shape(spec, name, header.shape)
        if header.dtype is not None:
            self.require_dtype(spec, name, header.dtype)

    def require_shape(self, spec: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> None:
        """Raise WorkerError if the shape of an array, with the samples first, is not that of the input."""
        sample_shape = spec["shape"][1:]
        fits = len(shape) == len(sample_shape) + 1 and all(
            size in (None, actual) for size, actual in zip(sample_shape, shape[1:], strict=True)
        )
        if not fits:
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' has samples of shape {list(shape[1:])}",
                why=f"input '{spec['name']}' needs {sample_shape} per sample (its shape is {spec['shape']})",
                next_step="reshape the array, or declare the shape under signature.inputs",
            )

    def require_dtype(self, spec: Mapping[str, Any], name: str, dtype: np.dtype) -> None:
        """Raise WorkerError unless the dtype of an array is that of the input, or may be converted to it."""
        if spec["dtype"] == "string":
            if dtype.kind not in "US":
                raise self.declared.refuse(
                    f"array '{name}' of '{self.declared.label}' is {dtype}",
                    why=f"input '{spec['name']}' needs strings",
                    next_step="store text: numpy.array(['yes', 'no'])",
                )
            return
        numeric = dtype.kind in "biuf"
        if (numeric and (self.conversion != (None, None) or self.opened.untyped)) or dtype == np.dtype(spec["dtype"]):
            return
        raise self.declared.refuse(
            f"array '{name}' of '{self.declared.label}' is {dtype}",
            why=f"input '{spec['name']}' needs {spec['dtype']}",
            next_step=f"declare how values are converted: {self.declared.section}.scale=1.0 feeds them unchanged,"
            f" as {spec['dtype']}"
            if numeric
            else "store numbers",
        )

    @property
    def conversion(self) -> tuple[float | None, float | None]:
        """The scale and the offset that are still to be applied; None for each that the recipe does not declare."""
        if self.opened.converted:
            return None, None
        return self.declared.params["scale"], self.declared.params["offset"]

    def require_labels(self, name: str) -> None:
        """Raise WorkerError if there is no label array, or it does not have one integer per sample."""
        if name not in self.opened.arrays:
            raise self.declared.refuse(
                f"'{self.declared.label}' has no label array '{name}'",
                "label",
                why=f"it contains {', '.join(self.opened.arrays)}" + suggest_name(name, self.opened.arrays),
            )
        header = self.opened.arrays[name]
        if header.shape is not None and header.dtype is not None:
            self.require_integers(name, header)

    def require_integers(self, name: str, header: ArrayHeader) -> None:
        """Raise WorkerError for labels that are not class indices."""
        shape, dtype = header.shape or (), header.dtype
        assert dtype is not None
        if (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) and dtype.kind in "iu":
            return
        raise self.declared.refuse(
            f"label array '{name}' of '{self.declared.label}' is {header}",
            "label",
            why="labels are class indices: one integer per sample",
        )

    def used(self) -> dict[str, str]:
        """Return the arrays that are read: the label of each for messages -> its name."""
        arrays = dict(self.names)
        arrays |= {f"{key}/{spec}": name for key, names in self.more.items() for spec, name in names.items()}
        return arrays | ({f"label '{self.label}'": self.label} if self.label else {})

    def require_one_length(self) -> None:
        """Raise WorkerError if the arrays have different numbers of samples, as far as these are known."""
        shapes = {label: self.opened.arrays[name].shape for label, name in self.used().items()}
        counts = {label: shape[0] for label, shape in shapes.items() if shape}
        if len(set(counts.values())) > 1:
            lengths = ", ".join(f"{label}: {count}" for label, count in counts.items())
            raise self.declared.refuse(f"the arrays of '{self.declared.label}' differ in length", why=lengths)

    def available(self) -> int | None:
        """Return the number of samples; None if it is known only after reading. Raise WorkerError if there are none."""
        lengths = [shape[0] for name in self.used().values() if (shape := self.opened.arrays[name].shape)]
        count = lengths[0] if lengths else self.opened.count
        if count == 0:
            raise self.no_samples()
        return count

    def no_samples(self) -> WorkerError:
        """Return the error for an empty dataset."""
        return self.declared.refuse(
            f"'{self.declared.label}' holds no samples", why="there is nothing to feed", next_step="add samples to it"
        )

    def pick(self, available: int) -> np.ndarray | None:
        """Select `count` samples at random, with the seed of the recipe and without replacement.

        Returns:
            Their indices in ascending order; None for all samples.

        Raises:
            WorkerError: The dataset has fewer samples.
        """
        count = self.declared.params["count"]
        if count is None or count == available:
            return None
        if count > available:
            raise self.declared.refuse(
                f"'{self.declared.label}' holds {available} samples, and {count} are asked for",
                "count",
                next_step=f"set count to {available} or less, or to null for all",
            )
        return np.sort(np.random.default_rng(self.declared.params["seed"]).choice(available, count, replace=False))

    def unfed(self) -> list[str]:
        """Return the further signatures for which the dataset has no arrays."""
        return [key for key in self.others if key not in self.more]

    def require_count(self, count: int) -> None:
        """Raise WorkerError if no samples, or fewer than requested, were read. Call it after reading."""
        if count == 0:
            raise self.no_samples()
        if self.available() is None and self.declared.params["count"] not in (None, count):
            self.pick(count)

    def feed(self) -> Iterator[tuple[Arrays, np.ndarray | None, dict[str, Arrays]]]:
        """Yield blocks of samples: the inputs, the labels (or None), and the inputs of further signatures.

        Raises:
            WorkerError: A value does not fit the input or is not a class index.
        """
        available = self.available()
        picked = None if available is None else self.pick(available)
        step_progress.expect((available or 0) if picked is None else len(picked))
        specs = {spec["name"]: spec for spec in self.declared.wanted}
        others = {key: {spec["name"]: spec for spec in self.others[key]} for key in self.more}
        for block in self.opened.read(list(dict.fromkeys(self.used().values())), picked):
            inputs = {name: self.fit(specs[name], array, block) for name, array in self.names.items()}
            more = {
                key: {name: self.fit(others[key][name], array, block) for name, array in names.items()}
                for key, names in self.more.items()
            }
            yield inputs, self.labels(block) if self.label else None, more
            step_progress.advance(len(next(iter(block.values()))))

    def fit(self, spec: Mapping[str, Any], name: str, block: Block) -> np.ndarray:
        """Return a block of one input in its dtype. Raise WorkerError if shape, dtype or values do not fit."""
        array = block[name]
        self.require_shape(spec, name, array.shape)
        self.require_dtype(spec, name, array.dtype)
        if self.seen.setdefault(name, array.shape[1:]) != array.shape[1:]:
            raise self.declared.refuse(
                f"samples of array '{name}' of '{self.declared.label}' differ in shape",
                why=f"{list(self.seen[name])} and {list(array.shape[1:])}",
                next_step="use the same shape for all samples",
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' holds NaN or infinity",
                why=f"{int((~np.isfinite(array)).sum())} of the {array.size} values that were read last",
            )
        return self.cast(array, name, spec)

    def cast(self, array: np.ndarray, name: str, spec: Mapping[str, Any]) -> np.ndarray:
        """Return `value * scale + offset` in the dtype of the input, or the unchanged values if neither is declared."""
        # Text becomes UTF-8 bytes of one width, which NumPy can store without pickling.
        if spec["dtype"] == "string":
            return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array
        scale, offset = self.conversion
        dtype = np.dtype(spec["dtype"])
        changed = (1.0 if scale is None else scale, offset or 0.0) != (1.0, 0.0)
        if array.dtype == dtype and not changed:
            return array
        if changed:
            return self.fit_range(
                array.astype(np.float64) * (1.0 if scale is None else scale) + (offset or 0.0), name, dtype
            )
        values = self.fit_range(array, name, dtype)
        if not self.opened.untyped:
            self.require_unchanged(array, values, name)
        return values

    def fit_range(self, values: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
        """Convert values to the dtype of the input. Fractions are rounded to integers if the dtype is one of integers.

        Raises:
            WorkerError: A value is outside the range of the dtype, or rounding would lose the content.
        """
        if dtype.kind == "b":
            limits: tuple[float, float] = (0, 1)
        else:
            bounds = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
            limits = (bounds.min, bounds.max) if dtype.kind in "iu" else (float(bounds.min), float(bounds.max))
        # Python compares integers and floats exactly. NumPy would convert them first.
        lowest, highest = (values.min().item(), values.max().item()) if values.size else limits
        if lowest < limits[0] or highest > limits[1]:
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' does not fit into {dtype} after scaling",
                "scale",
                why=f"its values are from {lowest:.6g} to {highest:.6g}",
            )
        if dtype.kind in "iu" and values.dtype.kind == "f" and is_lost_to_rounding(values):
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' would become {np.rint(values.min()):g} and"
                f" {np.rint(values.max()):g} in {dtype}",
                "scale",
                why=f"after scaling, its values are from {values.min():.6g} to {values.max():.6g}",
                next_step=f"if the input needs raw values, remove {self.declared.section}.scale, .mean and .std",
            )
        return (np.rint(values) if dtype.kind in "iu" and values.dtype.kind == "f" else values).astype(dtype)

    def require_unchanged(self, array: np.ndarray, values: np.ndarray, name: str) -> None:
        """Check that values are fed unchanged (`scale: 1.0`). Only a float may be rounded to a shorter float.

        Raises:
            WorkerError: An integer or boolean input would get a fraction, or a float input an integer that it cannot
                represent.
        """
        if array.dtype.kind == "f" and values.dtype.kind == "f":
            return
        exact = values.astype(array.dtype) == array
        if not exact.all():
            first = array[~exact].ravel()[0]
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' holds {first}, which {values.dtype} cannot hold",
                "scale",
                why=f"{int((~exact).sum())} of the {array.size} values that were read last would be changed",
                next_step="store values that the input accepts, or declare a scale that converts them",
            )

    def labels(self, block: Block) -> np.ndarray:
        """Return the labels of a block: class indices, int64 of shape [samples]. Raise WorkerError for other values."""
        labels = block[self.label]
        self.require_integers(self.label, ArrayHeader(labels.dtype, labels.shape))
        labels = labels.reshape(len(labels))
        if labels.size and labels.min() < 0:
            raise self.declared.refuse(
                f"label array '{self.label}' of '{self.declared.label}' holds {labels.min()}",
                "label",
                why="class indices start at 0",
            )
        if labels.size and labels.max() > np.iinfo(np.int64).max:
            raise self.declared.refuse(
                f"label array '{self.label}' of '{self.declared.label}' holds {labels.max()}", "label"
            )
        return labels.astype(np.int64)


def is_lost_to_rounding(values: np.ndarray) -> bool:
    """Return whether values within a range of 1, which are not integers, would be rounded to integers."""
    if values.size < FEW_VALUES or values.max() - values.min() > 1.0:
        return False
    return bool(np.abs(values - np.rint(values)).max() > ROUNDED)
