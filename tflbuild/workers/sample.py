"""The step `sample`: a dataset becomes the very samples that will be fed.

Every disagreement with the signature is refused here, by name, with what the dataset has beside
what the model wants.
"""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.samples import Arrays, save_samples

NPY_MAGIC = b"\x93NUMPY"


def run(request: Request) -> Facts:
    """Outputs samples.npz; facts: count, available, synthetic, and the signatures left unfed."""
    params = request.params
    signature = request.read_json("signature")
    wanted = signature["inputs"]
    others = {entry["key"]: entry["inputs"] for entry in signature["more"]}
    if params["kind"] == "synthetic":
        inputs, labels, available = synthesize(wanted, params), None, params["count"]
        more = {key: synthesize(specs, params) for key, specs in others.items() if can_be_random(specs)}
    else:
        label = request.labels["dataset"]
        arrays = read_npz(request.inputs["dataset"], label, request.section)
        chooser = Chooser(arrays, params, label, request.section)
        inputs, labels, available = chooser.choose(wanted, others)
        more = chooser.choose_more(others, available)
    save_samples(request.outputs / "samples.npz", inputs, labels, more)
    facts = {"count": len(next(iter(inputs.values()))), "available": available}
    facts["synthetic"] = params["kind"] == "synthetic"
    unfed = [key for key in others if key not in more]
    return facts | ({"unfed": unfed} if unfed else {})


def synthesize(wanted: list[dict[str, Any]], params: Any) -> Arrays:
    """Uniform random samples between `low` and `high`, from the seed."""
    generator = np.random.default_rng(params["seed"])
    inputs = {}
    for spec in wanted:
        if not can_be_random([spec]):
            raise WorkerError(
                f"input '{spec['name']}' is a string, which no random number is",
                where="dataset",
                next_step="dataset=npz with an array of strings",
            )
        shape = (params["count"], *sample_shape(spec))
        inputs[spec["name"]] = generator.uniform(params["low"], params["high"], shape).astype(spec["dtype"])
    return inputs


def can_be_random(wanted: list[dict[str, Any]]) -> bool:
    """Whether random numbers can stand for all of these inputs."""
    return all(spec["dtype"] != "string" and spec["shape"] and None not in spec["shape"][1:] for spec in wanted)


def sample_shape(spec: dict[str, Any]) -> tuple[int, ...]:
    """The shape of one sample without its batch. Raises WorkerError where a size is free."""
    if any(size is None for size in spec["shape"][1:]):
        raise WorkerError(
            f"input '{spec['name']}' has a free dimension: {spec['shape']}",
            where="signature.inputs",
            why="random data has no size to take for it",
            next_step="declare its sizes under signature.inputs, or take dataset=npz, whose arrays have sizes",
        )
    return tuple(spec["shape"][1:])


def read_npz(path: Path, label: str, section: str) -> Arrays:
    """The arrays of a .npz file. Raises WorkerError for what is none."""
    if not zipfile.is_zipfile(path):
        what = "one array, not an archive of named ones" if path.read_bytes()[:6] == NPY_MAGIC else "no archive at all"
        raise WorkerError(
            f"'{label}' is not a .npz file",
            where=section,
            why=f"it is {what}, or was cut short",
            next_step="write it with numpy.savez(path, name=array, ...)",
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive provokes errors of a dozen classes
        raise WorkerError(
            f"'{label}' is damaged",
            where=section,
            why=str(error).split("\n")[0] or type(error).__name__,
            next_step="write it again with numpy.savez(path, name=array, ...)",
        ) from error


@dataclass(frozen=True)
class Chooser:
    """Arrays of one dataset, against its declaration. `label` and `section` name both for a person."""

    arrays: Arrays
    params: Mapping[str, Any]
    label: str
    section: str

    def refuse(self, what: str, key: str = "", why: str = "", next_step: str = "") -> WorkerError:
        where = f"{self.section}.{key}" if key else self.section
        return WorkerError(what, where=where, why=why, next_step=next_step)

    def choose(
        self, wanted: list[dict[str, Any]], others: Mapping[str, list[dict[str, Any]]]
    ) -> tuple[Arrays, np.ndarray | None, int]:
        """(inputs, labels, samples there are): checked, cast as declared, thinned to `count` by the seed."""
        renamed = dict(self.params["arrays"])
        known = {spec["name"] for spec in wanted}
        known |= {f"{key}/{spec['name']}" for key, specs in others.items() for spec in specs}
        for name in renamed.keys() - known:
            raise self.refuse(
                f"'{self.section}.arrays' names the input '{name}', which the model lacks",
                "arrays",
                why=f"the model's inputs: {', '.join(sorted(known))}" + _near(name, known),
            )
        inputs = {spec["name"]: self.fit(spec, renamed.get(spec["name"], spec["name"])) for spec in wanted}
        labels = self.labels()
        available = self.count(inputs, labels)
        picked = self.pick(available)
        return (
            {name: array[picked] for name, array in inputs.items()},
            None if labels is None else labels[picked],
            available,
        )

    def choose_more(self, others: Mapping[str, list[dict[str, Any]]], available: int) -> dict[str, Arrays]:
        """The same samples for further signatures, of those that this dataset has arrays for."""
        renamed = dict(self.params["arrays"])
        picked = self.pick(available)
        more = {}
        for key, specs in others.items():
            names = {spec["name"]: self.array_of(key, spec["name"], renamed) for spec in specs}
            if all(name in self.arrays for name in names.values()) and all(spec["shape"] for spec in specs):
                inputs = {spec["name"]: self.fit(spec, names[spec["name"]]) for spec in specs}
                self.count(inputs, None)
                more[key] = {name: array[picked] for name, array in inputs.items()}
        return more

    @staticmethod
    def array_of(key: str, name: str, renamed: Mapping[str, str]) -> str:
        """The array of a further signature's input: as mapped for it, as for the main one, or by its name."""
        return renamed.get(f"{key}/{name}") or renamed.get(name) or name

    def count(self, inputs: Arrays, labels: np.ndarray | None) -> int:
        """Samples there are; every array must have as many."""
        counts = {name: len(array) for name, array in inputs.items()}
        if labels is not None:
            counts[f"label '{self.params['label']}'"] = len(labels)
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name}: {count}" for name, count in counts.items())
            raise self.refuse(f"the arrays of '{self.label}' differ in length", why=told)
        available = next(iter(counts.values()))
        if available == 0:
            raise self.refuse(
                f"'{self.label}' holds no samples", why="every array has length 0", next_step="add samples to it"
            )
        return available

    def pick(self, available: int) -> np.ndarray:
        """Indices, ascending: all of them, or `count` drawn by the seed without replacement."""
        count = self.params["count"]
        if count is None or count == available:
            return np.arange(available)
        if count > available:
            raise self.refuse(
                f"'{self.label}' holds {available} samples, and {count} are asked for",
                "count",
                next_step=f"set count to {available} or less, or to null for all",
            )
        return np.sort(np.random.default_rng(self.params["seed"]).choice(available, count, replace=False))

    def fit(self, spec: dict[str, Any], name: str) -> np.ndarray:
        """The array of one input, in its dtype."""
        if name not in self.arrays:
            held = ", ".join(f"{n} {a.dtype}{list(a.shape)}" for n, a in self.arrays.items()) or "nothing"
            raise self.refuse(
                f"'{self.label}' has no array '{name}' for the model's input '{spec['name']}'",
                why=f"it holds {held}" + _near(name, self.arrays),
                next_step=f"rename the array, or map it: {self.section}.arrays.{spec['name']}=<array>",
            )
        array = self.arrays[name]
        if not spec["shape"]:
            raise self.refuse(
                f"input '{spec['name']}' is a single number or string",
                why="samples lie along the first axis, and it has none",
                next_step="give the input a batch dimension, or use verify=none",
            )
        one = spec["shape"][1:]
        fits = len(array.shape) == len(one) + 1 and all(
            size in (None, has) for size, has in zip(one, array.shape[1:], strict=True)
        )
        if not fits:
            raise self.refuse(
                f"array '{name}' of '{self.label}' has samples of shape {list(array.shape[1:])}",
                why=f"input '{spec['name']}' takes {one} a sample (its shape is {spec['shape']})",
                next_step="reshape the array, or declare the shape under signature.inputs",
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self.refuse(
                f"array '{name}' of '{self.label}' holds NaN or infinity",
                why=f"{int((~np.isfinite(array)).sum())} values of {array.size}",
            )
        return self.cast(array, name, spec)

    def cast(self, array: np.ndarray, name: str, spec: dict[str, Any]) -> np.ndarray:
        """`value * scale + offset` where one is declared; else the dtype must be the input's own."""
        if spec["dtype"] == "string":
            return self.strings(array, name, spec)
        dtype = np.dtype(spec["dtype"])
        scale, offset = self.params["scale"], self.params["offset"]
        numeric = array.dtype.kind in "biuf"
        if numeric and (scale is not None or offset is not None):
            scaled = array.astype(np.float64) * (1.0 if scale is None else scale) + (offset or 0.0)
            return self.fit_range(scaled, name, dtype)
        if array.dtype != dtype:
            raise self.refuse(
                f"array '{name}' of '{self.label}' is {array.dtype}",
                why=f"input '{spec['name']}' takes {dtype}",
                next_step=f"say how values are converted: {self.section}.scale=1.0 feeds them unchanged, as {dtype}"
                if numeric
                else "store numbers",
            )
        return array

    def strings(self, array: np.ndarray, name: str, spec: dict[str, Any]) -> np.ndarray:
        """Text or bytes, as UTF-8 bytes of one width, which is how NumPy stores them without pickling."""
        if array.dtype.kind not in "US":
            raise self.refuse(
                f"array '{name}' of '{self.label}' is {array.dtype}",
                why=f"input '{spec['name']}' takes strings",
                next_step="store text: numpy.array(['yes', 'no'])",
            )
        return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array

    def fit_range(self, values: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
        """Scaled values in the input's dtype, which must be able to hold them."""
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype) if dtype.kind == "f" else None
        if limits is not None and values.size and (values.min() < limits.min or values.max() > limits.max):
            raise self.refuse(
                f"array '{name}' of '{self.label}' does not fit into {dtype} once scaled",
                "scale",
                why=f"its values run from {values.min():.6g} to {values.max():.6g}",
            )
        return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)

    def labels(self) -> np.ndarray | None:
        """Class indices, int64 [samples], where a label array is declared."""
        name = self.params["label"]
        if not name:
            return None
        if name not in self.arrays:
            raise self.refuse(
                f"'{self.label}' has no label array '{name}'",
                "label",
                why=f"it holds {', '.join(self.arrays)}" + _near(name, self.arrays),
            )
        labels = self.arrays[name]
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise self.refuse(
                f"label array '{name}' of '{self.label}' is {labels.dtype}{list(labels.shape)}",
                "label",
                why="labels are one integer class index a sample",
            )
        if labels.size and labels.min() < 0:
            raise self.refuse(
                f"label array '{name}' of '{self.label}' holds {labels.min()}", "label", why="class indices start at 0"
            )
        return labels.astype(np.int64)


def _near(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
