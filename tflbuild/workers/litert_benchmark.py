"""The step `benchmark`: latency of the artifact on this host."""

from __future__ import annotations

import time

import numpy as np

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.interpreters import open_model


def run(request: Request) -> Facts:
    """Outputs benchmark.json; facts: the same. Times are milliseconds an inference, inputs already set."""
    params = request.params
    interpreter = open_model(request.inputs["model"], params["delegate"], params["threads"])
    key = request.read_json("signature")["key"]
    details = interpreter.get_signature_runner(key).get_input_details()
    for detail in details.values():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    for _ in range(params["warmup"]):
        interpreter.invoke()
    times = []
    for _ in range(params["runs"]):
        started = time.perf_counter_ns()
        interpreter.invoke()
        times.append((time.perf_counter_ns() - started) / 1e6)
    p10, p50, p90 = np.percentile(times, [10, 50, 90])
    report = {
        "host": params["host"],
        "delegate": params["delegate"],
        "threads": params["threads"],
        "runs": params["runs"],
        "p10_ms": float(p10),
        "p50_ms": float(p50),
        "p90_ms": float(p90),
    }
    request.write_json("benchmark.json", report)
    return report
