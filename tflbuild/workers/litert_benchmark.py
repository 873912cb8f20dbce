"""The step `benchmark`: latency of the artifact on this host."""

from __future__ import annotations

import time

import numpy as np

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.interpreters import open_signature, zeros


def run(request: Request) -> Facts:
    """Outputs benchmark.json; facts: the same. Times are milliseconds an inference, inputs already set."""
    params = request.params
    key = request.read_json("signature")["key"]
    running = open_signature(request.inputs["model"], key, params["delegate"], params["threads"])
    native, subgraph = running.interpreter._interpreter, running.subgraph
    for detail in running.runner.get_input_details().values():
        native.SetTensor(detail["index"], zeros(detail), subgraph)
    for _ in range(params["warmup"]):
        native.Invoke(subgraph)
    times = []
    for _ in range(params["runs"]):
        started = time.perf_counter_ns()
        native.Invoke(subgraph)
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
