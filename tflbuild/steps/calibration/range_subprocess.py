"""Ranges of a float model in a process of its own: python -m tflbuild.steps.calibration.range_subprocess FOLDER.

The folder has model.tflite and asked.json: `samples` and `signature` (paths), `progress` (the folder of the step).
answer.json is `ranges`, tensor -> [least, greatest], and `tied`, as a fact is, or `error`, the fields of a WorkerError.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tflbuild.core.cpu_dependence import add_cpu_dependence
from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import WorkerError, end_with_parent
from tflbuild.steps.calibration.litert_calibrate import join_ranges, measure
from tflbuild.steps.datasets.sample_files import load_feeds
from tflbuild.tflite.tflite_reader import read_model

PARAMS = {"method": "min_max", "kernels": "fast"}


def answer(folder: Path) -> dict[str, Any]:
    """Return what is asked for in the folder."""
    asked = json.loads((folder / "asked.json").read_text())
    step_progress.begin(Path(asked["progress"]))
    signature = json.loads(Path(asked["signature"]).read_text())
    path = folder / "model.tflite"
    model = read_model(path)
    settlements = measure(path, PARAMS, signature, model, load_feeds(Path(asked["samples"]), signature["key"]))
    ranges = {name: [found.min, found.max] for name, found in join_ranges(model, settlements).items()}
    return add_cpu_dependence({"ranges": ranges}, [tie for each in settlements.values() for tie in each.ties])


def main() -> None:
    """Write the answer."""
    end_with_parent()
    folder = Path(sys.argv[1])
    try:
        found = answer(folder)
    except WorkerError as error:
        found = {"error": error.fields}
    (folder / "answer.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
