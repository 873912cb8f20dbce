"""Calibration in a process of its own: python -m tflbuild.steps.calibration.range_subprocess FOLDER.

The folder contains model.tflite and asked.json: `samples` and `signature` (paths), and `progress` (the folder of the
step). The result is answer.json. It has `ranges` (tensor name -> [minimum, maximum]) and `tied` (as the fact), or
`error` (the fields of a WorkerError).
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


def measure_ranges(folder: Path) -> dict[str, Any]:
    """Measure the ranges that asked.json of the folder requests, and return the content of answer.json."""
    arguments = json.loads((folder / "asked.json").read_text())
    step_progress.begin(Path(arguments["progress"]))
    signature = json.loads(Path(arguments["signature"]).read_text())
    path = folder / "model.tflite"
    model = read_model(path)
    results = measure(path, PARAMS, signature, model, load_feeds(Path(arguments["samples"]), signature["key"]))
    ranges = {name: [range_.min, range_.max] for name, range_ in join_ranges(model, results).items()}
    return add_cpu_dependence(
        {"ranges": ranges}, [dependence for result in results.values() for dependence in result.ties]
    )


def main() -> None:
    """Write answer.json."""
    end_with_parent()
    folder = Path(sys.argv[1])
    try:
        content = measure_ranges(folder)
    except WorkerError as error:
        content = {"error": error.fields}
    (folder / "answer.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
