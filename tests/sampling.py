"""A step's request, for tests that call a worker in-process."""

from __future__ import annotations

import json
from typing import Any

from tflbuild.runtime.step_contract import StepRequest
from tflbuild.steps.datasets import sample
from tflbuild.steps.datasets.sample_files import load_samples


def spec(name: str, shape: list[int | None], dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": dtype}


def sample_request(folder, params, inputs, data=None, more=(), code=None) -> StepRequest:
    """A request of the step `sample`; `params` without those that have defaults."""
    count = len(list(folder.glob("step-*")))
    place = folder / f"step-{count}"
    (place / "outputs").mkdir(parents=True)
    signature = place / "signature.json"
    signature.write_text(json.dumps({"key": "main", "inputs": list(inputs), "more": list(more)}))
    usual = {"count": None, "seed": 0, "arrays": [], "label": "", "scale": None, "offset": None, "options": {}}
    paths = {"signature": signature}
    paths |= {} if data is None else {"dataset": data}
    paths |= {} if code is None else {"code": code}
    labels = {} if data is None else {"dataset": data.name}
    return StepRequest(folder=place, params=usual | params, inputs=paths, labels=labels, section="dataset")


def sampled(folder, params, inputs, data=None, **more):
    """(inputs by name, labels, facts) of the step `sample`."""
    request = sample_request(folder, params, inputs, data, **more)
    facts = sample.run(request)
    return *load_samples(request.outputs / "samples"), facts
