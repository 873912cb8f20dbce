"""Measure which TensorFlow Lite runtimes run which features of a model, and write the table of them.

    python tests/measure_runtimes.py 2.7=PYTHON ... 2.21=PYTHON

Each PYTHON is an interpreter that has that runtime; the last is what the others are compared with. What is written is
`tflbuild/tflite/runtime_evidence.py` and `tests/runtime_rows.json`, the models that the table stands on.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from runtime_rows import ALL_CASES, RowModel, draw_feed, find_op_features, make_models, make_versions

from tflbuild.tflite import runtime_evidence
from tflbuild.tflite.runtime_table import CRASHED, REFUSED, RIGHT, WRONG, write_evidence
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

SCRIPT = Path(__file__).with_name("run_models.py")
CHOSEN = Path(__file__).with_name("runtime_rows.json")
LEAST_SNR_DB = 25.0  # a hybrid kernel rounds activations, and versions differ in how
HEADING = '"""What each runtime did with each feature. Written by tests/measure_runtimes.py: do not edit."""'
STATUS = {"refused": REFUSED, "crashed": CRASHED}


@dataclass(frozen=True)
class Outcome:
    """The result of a runtime for a model: ran, refused or crashed; its message; its outputs."""

    status: str
    text: str
    outputs: list[np.ndarray]


def write_models(rows: Iterable[RowModel], folder: Path) -> dict[str, Model]:
    """Write models, feeds and the list of them for `run_models.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, models, feeds = [], {}, {}
    for row in rows:
        path = folder / f"{row.name}.tflite"
        path.write_bytes(row.model)
        models[row.name] = read_model(path)
        feeds |= {f"{row.name}/{place}": value for place, value in enumerate(draw_feed(row, models[row.name]))}
        entries.append({"name": row.name, "resize": row.resize, "call": row.call})
    np.savez(folder / "feeds.npz", **feeds)
    (folder / "models.json").write_text(json.dumps(entries))
    return models


def run_models(python: str | Path, folder: Path, results: Path) -> dict[str, Outcome]:
    """Run every model of a folder in the runtime of a Python."""
    done = subprocess.run([python, SCRIPT, folder, results], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(read_outcomes(results))


def read_outcomes(results: Path) -> Iterator[tuple[str, Outcome]]:
    """Yield the outcomes in a file. The last one of a model counts: the first one is noted before the model runs."""
    with results.open("rb") as file:
        while True:
            try:
                name, *found = pickle.load(file)
            except EOFError:
                return
            yield name, Outcome(*found)


def judge_outcome(outcome: Outcome, expected: Outcome, model: Model) -> str:
    """Return what a runtime did with a model: right, wrong, refused or crashed."""
    if outcome.status != "ran":
        return STATUS[outcome.status]
    graph = model.subgraphs[-1 if len(model.signatures) > 1 else 0]
    tensors = [graph.tensors[index] for index in graph.outputs]
    zeros = [tensor.zero_points[0] if tensor.scales else 0 for tensor in tensors]
    pairs = zip(outcome.outputs, expected.outputs, zeros, strict=True)
    return RIGHT if all(is_near(*pair) for pair in pairs) else WRONG


def is_near(made: np.ndarray, expected: np.ndarray, zero_point: int) -> bool:
    """Return whether two outputs are the same but for rounding. Scales are the file's, and cancel out."""
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return False
    if made.dtype.kind in "OSb":
        return bool((made == expected).all())
    real, other = expected.astype(np.float64) - zero_point, made.astype(np.float64) - zero_point
    if not (np.isfinite(real) == np.isfinite(other)).all():
        return False
    noise = float(np.square(np.nan_to_num(real) - np.nan_to_num(other)).sum())
    return noise == 0 or 10 * np.log10(float(np.square(np.nan_to_num(real)).sum() + 1e-30) / noise) >= LEAST_SNR_DB


def is_telling(outcome: Outcome, *, constant: bool) -> bool:
    """Return whether outputs can show a fault: they are finite, and unless they are `constant` not all the same."""
    if outcome.status != "ran":
        return False
    numbers = [value.astype(np.float64) for value in outcome.outputs if value.dtype.kind not in "OS"]
    return all(np.isfinite(value).all() and (constant or value.size < 2 or np.ptp(value) > 0) for value in numbers)


def choose_models(folder: Path, python: str) -> dict[str, RowModel]:
    """Return one model for each feature: the first whose outputs on the newest runtime can be compared."""
    rows = list(make_models())
    models, outcomes = write_models(rows, folder), {}
    outcomes = run_models(python, folder, folder / "outcomes")
    chosen: dict[str, RowModel] = {}
    for constant in (False, True):
        for row in rows:
            if is_telling(outcomes[row.name], constant=constant) and (not constant or row.may_be_constant):
                for feature in [row.feature] if row.feature else find_op_features(models[row.name]):
                    chosen.setdefault(feature, row)
    return chosen


def choose_versions(folder: Path, python: str, chosen: Mapping[str, RowModel]) -> dict[str, RowModel]:
    """Return the model of each version of an operator that the newest runtime has."""
    cases = {}
    for row in chosen.values():
        case = ALL_CASES.get(row.name)
        if case is not None:
            cases.setdefault(case.op, case)
    rows = [row for _, case in sorted(cases.items()) for row in make_versions(case)]
    write_models(rows, folder)
    outcomes = run_models(python, folder, folder / "outcomes")
    return {row.feature: row for row in rows if outcomes[row.name].status == "ran"}


def measure_runtimes(pythons: Mapping[str, str], folder: Path) -> None:
    """Choose the models, run them on every runtime, and write the table."""
    newest = pythons[list(pythons)[-1]]
    chosen = choose_models(folder / "candidates", newest)
    chosen |= choose_versions(folder / "versions", newest, chosen)
    rows = {row.name: row for row in chosen.values()}
    models = write_models(rows.values(), folder / "rows")
    outcomes = {
        name: run_models(python, folder / "rows", folder / f"{name}.pickle") for name, python in pythons.items()
    }
    expected = outcomes[list(pythons)[-1]]
    results = {
        feature: [judge_outcome(found[row.name], expected[row.name], models[row.name]) for found in outcomes.values()]
        for feature, row in chosen.items()
    }
    for feature, row in chosen.items():
        for runtime, result in zip(pythons, results[feature], strict=True):
            if result in (WRONG, CRASHED):
                print(f"{runtime}: {feature} ({row.name}) {result} {outcomes[runtime][row.name].text}")
    write_table(list(pythons), results)
    CHOSEN.write_text(json.dumps({feature: row.name for feature, row in sorted(chosen.items())}, indent=0) + "\n")


def write_table(runtimes: list[str], results: Mapping[str, list[str]]) -> None:
    """Write the module that holds the evidence."""
    names = ", ".join(f'"{runtime}"' for runtime in runtimes)
    text = f"""{HEADING}

from __future__ import annotations

RUNTIMES = ({names})
EVIDENCE = \"\"\"
{write_evidence(results)}
\"\"\"
"""
    Path(runtime_evidence.__file__).write_text(text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        measure_runtimes(dict(word.split("=", 1) for word in sys.argv[1:]), Path(scratch))
