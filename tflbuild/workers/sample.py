"""The step `sample`: a dataset becomes the very samples that will be fed.

Every disagreement with the signature is refused here, by name, with what the dataset has beside
what the model wants.
"""

from __future__ import annotations

import difflib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.samples import Arrays, save_samples


def run(request: Request) -> Facts:
    """Outputs samples.npz; facts: count, available, synthetic."""
    params = request.params
    wanted = request.read_json("signature")["inputs"]
    if params["kind"] == "synthetic":
        inputs, labels, available = synthesize(wanted, params), None, params["count"]
    else:
        label = request.labels["dataset"]
        arrays = read_npz(request.inputs["dataset"], label)
        inputs, labels, available = choose(arrays, wanted, params, label)
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


def read_npz(path: Path, label: str) -> Arrays:
    """The arrays of a .npz file. Raises WorkerError for what is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ValueError("it holds one array, not an archive of named ones")
            return {name: archive[name] for name in archive.files}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
    ) as error:
        raise WorkerError(
            f"'{label}' cannot be read as a .npz file",
            where="dataset",
            why=str(error).split("\n")[0] or type(error).__name__,
            next_step="write it again with numpy.savez(path, name=array, ...)",
        ) from error
    except Exception as error:  # zlib.error and what a damaged archive else provokes
        raise WorkerError(
            f"'{label}' is damaged", where="dataset", why=f"{type(error).__name__}: {error}", next_step="make it anew"
        ) from error


def choose(arrays: Arrays, wanted: list[dict[str, Any]], params: Any, label: str) -> tuple[Arrays, Any, int]:
    """(inputs, labels, samples there are): checked, cast as declared, thinned to `count` by the seed."""
    renamed = dict(params["arrays"])
    known = {spec["name"] for spec in wanted}
    for name in renamed:
        if name not in known:
            raise WorkerError(
                f"dataset.arrays names the input '{name}', which the model lacks",
                where="dataset.arrays",
                why=f"the model's inputs: {', '.join(sorted(known))}" + _near(name, known),
            )
    inputs = {
        spec["name"]: _fit(arrays, spec, renamed.get(spec["name"], spec["name"]), params, label) for spec in wanted
    }
    counts = {name: len(array) for name, array in inputs.items()}
    labels = _labels(arrays, params["label"], label)
    if labels is not None:
        counts[f"label '{params['label']}'"] = len(labels)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise WorkerError(f"the arrays of '{label}' differ in length", where="dataset", why=told)
    available = next(iter(counts.values()))
    if available == 0:
        raise WorkerError(
            f"'{label}' holds no samples",
            where="dataset",
            why="every array has length 0",
            next_step="add samples to it",
        )
    picked = pick(available, params["count"], params["seed"], label)
    return (
        {name: array[picked] for name, array in inputs.items()},
        None if labels is None else labels[picked],
        available,
    )


def pick(available: int, count: int | None, seed: int, label: str) -> Any:
    """Indices, ascending: all of them, or `count` drawn by the seed without replacement."""
    if count is None or count == available:
        return np.arange(available)
    if count > available:
        raise WorkerError(
            f"'{label}' holds {available} samples, and {count} are asked for",
            where="dataset.count",
            next_step=f"set count to {available} or less, or to null for all",
        )
    return np.sort(np.random.default_rng(seed).choice(available, count, replace=False))


def _fit(arrays: Arrays, spec: dict[str, Any], name: str, params: Any, label: str) -> np.ndarray:
    if name not in arrays:
        held = ", ".join(f"{n} {a.dtype}{list(a.shape)}" for n, a in arrays.items()) or "nothing"
        raise WorkerError(
            f"'{label}' has no array '{name}' for the model's input '{spec['name']}'",
            where="dataset",
            why=f"it holds {held}" + _near(name, arrays),
            next_step=f"rename the array, or map it: dataset.arrays.{spec['name']}=<array>",
        )
    array = arrays[name]
    one = sample_shape(spec)
    if array.shape[1:] != one:
        raise WorkerError(
            f"array '{name}' of '{label}' has samples of shape {list(array.shape[1:])}",
            where="dataset",
            why=f"input '{spec['name']}' takes {list(one)} a sample (its shape is {spec['shape']})",
            next_step="reshape the array, or declare the shape under signature.inputs",
        )
    dtype = np.dtype(spec["dtype"])
    if params["scale"] is not None or params["offset"] is not None:
        scaled = array.astype(np.float64) * (1.0 if params["scale"] is None else params["scale"])
        array = (scaled + (params["offset"] or 0.0)).astype(dtype)
    elif array.dtype != dtype:
        raise WorkerError(
            f"array '{name}' of '{label}' is {array.dtype}",
            where="dataset",
            why=f"input '{spec['name']}' takes {dtype}",
            next_step="say how values are converted: dataset.scale=1.0 feeds them unchanged as " + str(dtype),
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise WorkerError(
            f"array '{name}' of '{label}' holds NaN or infinity",
            where="dataset",
            why=f"{int((~np.isfinite(array)).sum())} values of {array.size}",
        )
    return array


def _labels(arrays: Arrays, name: str, label: str) -> np.ndarray | None:
    if not name:
        return None
    if name not in arrays:
        raise WorkerError(
            f"'{label}' has no label array '{name}'",
            where="dataset.label",
            why=f"it holds {', '.join(arrays)}" + _near(name, arrays),
        )
    labels = arrays[name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise WorkerError(
            f"label array '{name}' of '{label}' is {labels.dtype}{list(labels.shape)}",
            where="dataset.label",
            why="labels are one integer class index a sample",
        )
    if labels.size and labels.min() < 0:
        raise WorkerError(f"label array '{name}' of '{label}' holds {labels.min()}", why="class indices start at 0")
    return labels.astype(np.int64)


def _near(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
