"""The step `benchmark`: what the artifact takes of this host, how sure that is, and which operators it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from tflbuild.core.digest import Json
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.benchmarking import host_state
from tflbuild.steps.benchmarking.latency_timing import Timing, TimingEffort, measure
from tflbuild.steps.benchmarking.op_profile import ProfileRequest, profile
from tflbuild.tflite.delegate_partitions import DelegatePlacement, place
from tflbuild.tflite.interpreters import OpenSignature, open_signature, zeros
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

RUNTIME = "ai-edge-litert"
PRECISION = 0.02
MOST_SECONDS = 30.0
TOLD = 20  # operators that are told of in the facts; benchmark.json has all of them
SEED = 20


def run(request: StepRequest) -> Facts:
    """Outputs benchmark.json; facts: the same, of the profile the slowest operators alone.

    Times are milliseconds an inference, inputs already set. `params.again` is there for the key alone: with another
    one the step is another, and everything is measured anew.
    """
    params = request.params
    before, disturbed = host_state.environment(), host_state.disturbance()
    key = request.read_json("signature")["key"]
    running = open_signature(request.inputs["model"], key, params["delegate"], params["threads"])
    feed = set_inputs(running)
    timing = timing_of(running, effort_of(params))
    disturbance = disturbed.since()
    model = read_model(request.inputs["model"])
    inquiry = make_profile_request(request, model, key, feed, params["delegate"], params["threads"])
    told = inquiry.ask(0)
    notes = [*timing.notes(), *notes_of(before, params["threads"], disturbance, len(timing.times))]
    report = {
        "host": params["host"],
        "device": host_state.device(),
        "delegate": params["delegate"],
        "threads": params["threads"],
        **timing.as_json(),
        "model_peak_bytes": told.get("peak_bytes"),  # `peak_bytes` is what the executor calls a step's own memory
        "model_peak_bytes_why": told.get("error", ""),
        "environment": {**before, "runtime": f"{RUNTIME} {version(RUNTIME)}", "mhz_after": host_state.frequency()},
        "disturbance": disturbance,
        "inputs": {name: f"{value.dtype} {list(value.shape)}" for name, value in feed.items()},
        "notes": [*notes, *size_notes(running)],
        "profile": profile(inquiry, model, placement_of(running, model), version(RUNTIME)),
    }
    request.write_json("benchmark.json", report)
    shown = report["profile"]["operators"][:TOLD]
    return {**report, "profile": {**report["profile"], "operators": shown}}


def effort_of(params: Mapping[str, Json]) -> TimingEffort:
    """How long it is measured."""
    return TimingEffort(
        runs=params["runs"],
        warmup=params["warmup"],
        precision=params.get("precision", PRECISION),
        most_seconds=params.get("most_seconds", MOST_SECONDS),
    )


def make_profile_request(
    request: StepRequest, model: Model, key: str, feed: Mapping[str, np.ndarray], delegate: str, threads: int
) -> ProfileRequest:
    """The same model, fed the same, in a process of its own."""
    number = next((place for place, one in enumerate(model.signatures) if one.key == key), 0)
    inputs = model.signatures[number].inputs if model.signatures else {}
    free = frozenset(name for name, tensor in inputs.items() if -1 in tensor.shape)
    return ProfileRequest(request.inputs["model"], number, threads, delegate, feed, request.folder, free)


def set_inputs(running: OpenSignature) -> dict[str, np.ndarray]:
    """Give the open model its inputs, and tell them: reals from 0 to 1, 8-bit numbers over their range, else zeros.

    A size that is free is 1, as the file has it.
    """
    generator = np.random.default_rng(SEED)
    feed = {name: some_values(detail, generator) for name, detail in running.input_details.items()}
    native = running.interpreter._interpreter
    native.AllocateTensors(running.subgraph)
    for name, detail in running.input_details.items():
        native.SetTensor(detail["index"], feed[name], running.subgraph)
    return feed


def some_values(detail: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """An input that an image or a sound might be; what may be an index is 0, which exists."""
    dtype, shape = np.dtype(detail["dtype"]), tuple(detail["shape"])
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    if dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return zeros(detail)


def placement_of(running: OpenSignature, model: Model) -> DelegatePlacement | None:
    """What the delegate took; None where the runtime does not tell, which it does of the first subgraph alone."""
    if running.subgraph != 0:
        return None
    return place(running.interpreter._get_ops_details(), model.subgraphs[0].outputs)


def notes_of(environment: Mapping[str, Json], threads: int, disturbance: Mapping[str, Json], runs: int) -> list[str]:
    """What of this host speaks against the figures."""
    found = []
    cores = environment["cores"]
    if threads > cores:
        found.append(f"{threads} threads shared {cores} core{'' if cores == 1 else 's'}")
    if environment["load_average"] > 0.5 * cores:
        found.append(f"the host was busy before: load average {environment['load_average']:.1f} on {cores} cores")
    if environment["governor"] not in ("", "performance"):
        found.append(f"the clock is governed by `{environment['governor']}`, so it changes with load")
    if environment["virtual"]:
        found.append("a virtual machine: others on its host may slow it down unseen")
    if disturbance["preemptions"] > runs / 10:
        found.append(f"other processes took the core {disturbance['preemptions']:,} times in {runs:,} runs")
    if disturbance["stolen_s"] > 0:
        found.append(f"the hypervisor took {disturbance['stolen_s']:.2f} s of CPU time away meanwhile")
    return found


def free_sized(running: OpenSignature) -> list[str]:
    """The inputs of which the model leaves a size open: what a delegate takes is known when it was called."""
    return [name for name, detail in running.input_details.items() if -1 in detail["shape_signature"]]


def size_notes(running: OpenSignature) -> list[str]:
    """That a size which is free was taken to be the least."""
    free = free_sized(running)
    return [f"a free size of {', '.join(free)} was 1: a larger input takes longer"] if free else []


def timing_of(running: OpenSignature, effort: TimingEffort) -> Timing:
    """The latency of an open model whose inputs are set. Raises WorkerError when it does not run with them."""
    try:
        return measure(lambda: running.interpreter._interpreter.Invoke(running.subgraph), effort)
    except (RuntimeError, ValueError) as error:
        raise WorkerError(
            "the artifact does not run on the inputs that it is timed with",
            kind="build",
            why=str(error).strip().split("\n")[0],
            next_step="they are random reals and zeros; benchmark=none builds it",
        ) from error
