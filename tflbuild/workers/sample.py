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
    """Outputs samples.npz; facts: count, available, synthetic."""
    params = request.params
    wanted = request.read_json("signature")["inputs"]
    if params["kind"] == "synthetic":
        inputs, labels, available = synthesize(wanted, params), None, params["count"]
    else:
        label = request.labels["dataset"]
        arrays = read_npz(request.inputs["dataset"], label, request.section)
        inputs, labels, available = Chooser(arrays, params, label, request.section).choose(wanted)
    save_samples(request.outputs / "samples.npz", inputs, labels)
    count = len(next(iter(inputs.values())))
    return {"count": count, "available": available, "synthetic": params["kind"] == "synthetic"}


def synthesize(wanted: list[dict[str, Any]], params: Any) -> Arrays:
    """Uniform random samples between `low` and `high`, from the seed."""
    generator = np.random.default_rng(params["seed"])
    inputs = {}
    for spec in wanted:
        shape = (params["count"], *sample_shape(spec))
        inputs[spec["name"]] = generator.uniform(params["low"], params["high"], shape).astype(spec["dtype"])
    return inputs


def sample_shape(spec: dict[str, Any]) -> tuple[int, ...]:
    """The shape of one sample without its batch. Raises WorkerError where a size is free."""
    if any(size is None for size in spec["shape"][1:]):
        raise WorkerError(
            f"input '{spec['name']}' has a free dimension: {spec['shape']}",
            where="signature.inputs",
            next_step="declare its sizes under signature.inputs",
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

    def choose(self, wanted: list[dict[str, Any]]) -> tuple[Arrays, np.ndarray | None, int]:
        """(inputs, labels, samples there are): checked, cast as declared, thinned to `count` by the seed."""
        renamed = dict(self.params["arrays"])
        known = {spec["name"] for spec in wanted}
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
        one = sample_shape(spec)
        if array.shape[1:] != one:
            raise self.refuse(
                f"array '{name}' of '{self.label}' has samples of shape {list(array.shape[1:])}",
                why=f"input '{spec['name']}' takes {list(one)} a sample (its shape is {spec['shape']})",
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
