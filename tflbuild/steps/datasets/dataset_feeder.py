"""A dataset held against the signature, and fed: every disagreement is refused by the names of both sides."""

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
FEW_VALUES = 16  # of which nothing can be said
ROUNDED = 0.1  # of an integer: further away no value was meant as one


@dataclass
class DatasetFeeder:
    """Feeds the inputs of the main signature, `declared.wanted`, and of others as far as the dataset has arrays.

    Names, and the shapes and dtypes that the dataset tells beforehand, are checked when this is made;
    values, and what is only known then, as they are read. Raises WorkerError.
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
        """The array of labels, "" for none."""
        return str(self.declared.params["label"])

    def feedable(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Further signatures that the dataset has all arrays for, with input -> array."""
        for key, specs in self.others.items():
            names = {spec["name"]: self.array_of(key, spec["name"]) for spec in specs}
            if all(name in self.opened.arrays for name in names.values()) and all(spec["shape"] for spec in specs):
                for spec in specs:
                    self.require_form(spec, names[spec["name"]])
                yield key, names

    def array_of(self, key: str, name: str) -> str:
        """The array of an input: as mapped for its signature, as for the main one, the only one, or by its name."""
        renamed = dict(self.declared.params["arrays"])
        alone = len(self.others.get(key, self.declared.wanted)) == 1
        return renamed.get(f"{key}/{name}") or renamed.get(name) or (self.opened.only if alone else "") or name

    # before anything is read

    def require_known_inputs(self) -> None:
        """What `arrays` maps must be inputs."""
        known = {spec["name"] for spec in self.declared.wanted}
        known |= {f"{key}/{spec['name']}" for key, specs in self.others.items() for spec in specs}
        for name in dict(self.declared.params["arrays"]).keys() - known:
            raise self.declared.refuse(
                f"'{self.declared.section}.arrays' names the input '{name}', which the model lacks",
                "arrays",
                why=f"the model's inputs: {', '.join(sorted(known))}" + suggest_name(name, known),
            )

    def require_form(self, spec: Mapping[str, Any], name: str) -> None:
        """An input's array: it must be there and, as far as that is known, fit."""
        if name not in self.opened.arrays:
            holds = ", ".join(f"{n} {a}".strip() for n, a in self.opened.arrays.items()) or "nothing"
            raise self.declared.refuse(
                f"'{self.declared.label}' has no array '{name}' for the model's input '{spec['name']}'",
                why=f"it holds {holds}" + suggest_name(name, self.opened.arrays),
                next_step=f"rename the array, or map it: {self.declared.section}.arrays.{spec['name']}=<array>",
            )
        if not spec["shape"]:
            raise self.declared.refuse(
                f"input '{spec['name']}' is a single number or string",
                why="samples lie along the first axis, and it has none",
                next_step="give the input a batch dimension, or use verify=none",
            )
        held = self.opened.arrays[name]
        if held.shape is not None:
            self.require_shape(spec, name, held.shape)
        if held.dtype is not None:
            self.require_dtype(spec, name, held.dtype)

    def require_shape(self, spec: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> None:
        """The shape of an array, samples first."""
        one = spec["shape"][1:]
        fits = len(shape) == len(one) + 1 and all(size in (None, has) for size, has in zip(one, shape[1:], strict=True))
        if not fits:
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' has samples of shape {list(shape[1:])}",
                why=f"input '{spec['name']}' takes {one} a sample (its shape is {spec['shape']})",
                next_step="reshape the array, or declare the shape under signature.inputs",
            )

    def require_dtype(self, spec: Mapping[str, Any], name: str, dtype: np.dtype) -> None:
        """Strings for strings; numbers of the input's dtype, or numbers that are declared to be converted."""
        if spec["dtype"] == "string":
            if dtype.kind not in "US":
                raise self.declared.refuse(
                    f"array '{name}' of '{self.declared.label}' is {dtype}",
                    why=f"input '{spec['name']}' takes strings",
                    next_step="store text: numpy.array(['yes', 'no'])",
                )
            return
        numeric = dtype.kind in "biuf"
        if (numeric and (self.conversion != (None, None) or self.opened.untyped)) or dtype == np.dtype(spec["dtype"]):
            return
        raise self.declared.refuse(
            f"array '{name}' of '{self.declared.label}' is {dtype}",
            why=f"input '{spec['name']}' takes {spec['dtype']}",
            next_step=f"say how values are converted: {self.declared.section}.scale=1.0 feeds them unchanged,"
            f" as {spec['dtype']}"
            if numeric
            else "store numbers",
        )

    @property
    def conversion(self) -> tuple[float | None, float | None]:
        """(scale, offset) that are still to be applied; None where the recipe declares none."""
        if self.opened.converted:
            return None, None
        return self.declared.params["scale"], self.declared.params["offset"]

    def require_labels(self, name: str) -> None:
        """One integer a sample."""
        if name not in self.opened.arrays:
            raise self.declared.refuse(
                f"'{self.declared.label}' has no label array '{name}'",
                "label",
                why=f"it holds {', '.join(self.opened.arrays)}" + suggest_name(name, self.opened.arrays),
            )
        held = self.opened.arrays[name]
        if held.shape is not None and held.dtype is not None:
            self.require_integers(name, held)

    def require_integers(self, name: str, held: ArrayHeader) -> None:
        """Raises WorkerError for labels that are no class indices."""
        shape, dtype = held.shape or (), held.dtype
        assert dtype is not None
        if (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) and dtype.kind in "iu":
            return
        raise self.declared.refuse(
            f"label array '{name}' of '{self.declared.label}' is {held}",
            "label",
            why="labels are one integer class index a sample",
        )

    def used(self) -> dict[str, str]:
        """What a person calls an array that is read -> its name."""
        told = dict(self.names)
        told |= {f"{key}/{spec}": name for key, names in self.more.items() for spec, name in names.items()}
        return told | ({f"label '{self.label}'": self.label} if self.label else {})

    def require_one_length(self) -> None:
        """Arrays that tell how many samples they have must agree."""
        shapes = {told: self.opened.arrays[name].shape for told, name in self.used().items()}
        counts = {told: shape[0] for told, shape in shapes.items() if shape}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name}: {count}" for name, count in counts.items())
            raise self.declared.refuse(f"the arrays of '{self.declared.label}' differ in length", why=told)

    def available(self) -> int | None:
        """Samples there are; None where only reading tells. Raises WorkerError for none."""
        lengths = [shape[0] for name in self.used().values() if (shape := self.opened.arrays[name].shape)]
        count = lengths[0] if lengths else self.opened.count
        if count == 0:
            raise self.no_samples()
        return count

    def no_samples(self) -> WorkerError:
        """The error for an empty dataset."""
        return self.declared.refuse(
            f"'{self.declared.label}' holds no samples", why="there is nothing to feed", next_step="add samples to it"
        )

    def pick(self, available: int) -> np.ndarray | None:
        """Indices, ascending, of `count` samples drawn by the seed without replacement; None for all."""
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
        """Further signatures that the dataset has no arrays for."""
        return [key for key in self.others if key not in self.more]

    # while it is read

    def require_count(self, count: int) -> None:
        """What only reading to the end tells: there were samples, and as many as were asked for."""
        if count == 0:
            raise self.no_samples()
        if self.available() is None and self.declared.params["count"] not in (None, count):
            self.pick(count)

    def feed(self) -> Iterator[tuple[Arrays, np.ndarray | None, dict[str, Arrays]]]:
        """Blocks of (inputs, labels, inputs of further signatures), as they are fed."""
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
        """A block of one input, in its dtype."""
        array = block[name]
        self.require_shape(spec, name, array.shape)
        self.require_dtype(spec, name, array.dtype)
        if self.seen.setdefault(name, array.shape[1:]) != array.shape[1:]:
            raise self.declared.refuse(
                f"samples of array '{name}' of '{self.declared.label}' differ in shape",
                why=f"{list(self.seen[name])} and {list(array.shape[1:])}",
                next_step="give all samples one shape",
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' holds NaN or infinity",
                why=f"{int((~np.isfinite(array)).sum())} of the {array.size} values that were read last",
            )
        return self.cast(array, name, spec)

    def cast(self, array: np.ndarray, name: str, spec: Mapping[str, Any]) -> np.ndarray:
        """`value * scale + offset` where one is declared; else the values as they are."""
        if spec["dtype"] == "string":  # as UTF-8 bytes of one width, which NumPy stores without pickling
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
        """Values in the input's dtype, which must be able to hold them; fractions are rounded to integers."""
        if dtype.kind == "b":
            limits: tuple[float, float] = (0, 1)
        else:
            info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
            limits = (info.min, info.max) if dtype.kind in "iu" else (float(info.min), float(info.max))
        # Python compares integers and floats exactly, NumPy after a conversion.
        least, greatest = (values.min().item(), values.max().item()) if values.size else limits
        if least < limits[0] or greatest > limits[1]:
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' does not fit into {dtype} once scaled",
                "scale",
                why=f"its values run from {least:.6g} to {greatest:.6g}",
            )
        if dtype.kind in "iu" and values.dtype.kind == "f" and is_lost_to_rounding(values):
            raise self.declared.refuse(
                f"array '{name}' of '{self.declared.label}' would become {np.rint(values.min()):g} and"
                f" {np.rint(values.max()):g} in {dtype}",
                "scale",
                why=f"its values run from {values.min():.6g} to {values.max():.6g} once scaled",
                next_step=f"leave {self.declared.section}.scale, .mean and .std out where the input takes raw values",
            )
        return (np.rint(values) if dtype.kind in "iu" and values.dtype.kind == "f" else values).astype(dtype)

    def require_unchanged(self, array: np.ndarray, values: np.ndarray, name: str) -> None:
        """`scale: 1.0` feeds values unchanged: only digits of a float may be rounded to those of a shorter one.

        Raises WorkerError for fractions in an integer or boolean input, and for integers that a float cannot hold.
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
                next_step="store values that the input takes, or declare the scale that makes them so",
            )

    def labels(self, block: Block) -> np.ndarray:
        """Class indices, int64 [samples]."""
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
    """Whether fractions of 0 to 1 are about to be rounded to integers."""
    if values.size < FEW_VALUES or values.max() - values.min() > 1.0:
        return False
    return bool(np.abs(values - np.rint(values)).max() > ROUNDED)
