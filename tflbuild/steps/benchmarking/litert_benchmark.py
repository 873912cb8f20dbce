"""The step `benchmark`: latency of the artifact on this host, its confidence interval, its memory and its profile."""

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
# The number of operators in the facts. benchmark.json has all of them.
LISTED_OPERATORS = 20
SEED = 20


def run(request: StepRequest) -> Facts:
    """Measure the artifact, and write benchmark.json.

    Times are in milliseconds for one inference, without setting inputs. `params.again` is only part of the cache key:
    with another value everything is measured again.

    Args:
        request: Parameters: `delegate`, `threads`, `runs`, `warmup`, and optionally `precision` and `most_seconds`.

    Returns:
        The content of benchmark.json, with only the slowest operators of the profile.

    Raises:
        WorkerError: The artifact does not run.
    """
    params = request.params
    before, disturbed = host_state.environment(), host_state.disturbance()
    key = request.read_json("signature")["key"]
    runner = open_signature(request.inputs["model"], key, params["delegate"], params["threads"])
    feed = set_inputs(runner)
    timing = timing_of(runner, effort_of(params))
    disturbance = disturbed.since()
    model = read_model(request.inputs["model"])
    profile_request = make_profile_request(request, model, key, feed, params["delegate"], params["threads"])
    memory = profile_request.ask(0)
    notes = [*timing.notes(), *notes_of(before, params["threads"], disturbance, len(timing.times))]
    report = {
        "host": params["host"],
        "device": host_state.device(),
        "delegate": params["delegate"],
        "threads": params["threads"],
        **timing.as_json(),
        # In the executor, `peak_bytes` is the memory of the step itself.
        "model_peak_bytes": memory.get("peak_bytes"),
        "model_peak_bytes_why": memory.get("error", ""),
        "environment": {**before, "runtime": f"{RUNTIME} {version(RUNTIME)}", "mhz_after": host_state.frequency()},
        "disturbance": disturbance,
        "inputs": {name: f"{value.dtype} {list(value.shape)}" for name, value in feed.items()},
        "notes": [*notes, *size_notes(runner)],
        "profile": profile(profile_request, model, placement_of(runner, model), version(RUNTIME)),
    }
    request.write_json("benchmark.json", report)
    shown = report["profile"]["operators"][:LISTED_OPERATORS]
    return {**report, "profile": {**report["profile"], "operators": shown}}


def effort_of(params: Mapping[str, Json]) -> TimingEffort:
    """Return the effort of the measurement from the parameters of the step."""
    return TimingEffort(
        runs=params["runs"],
        warmup=params["warmup"],
        precision=params.get("precision", PRECISION),
        most_seconds=params.get("most_seconds", MOST_SECONDS),
    )


def make_profile_request(
    request: StepRequest, model: Model, key: str, feed: Mapping[str, np.ndarray], delegate: str, threads: int
) -> ProfileRequest:
    """Return the request to run the model with the same inputs in a process of its own."""
    number = next((index for index, signature in enumerate(model.signatures) if signature.key == key), 0)
    inputs = model.signatures[number].inputs if model.signatures else {}
    dynamic_inputs = frozenset(name for name, tensor in inputs.items() if -1 in tensor.shape)
    return ProfileRequest(request.inputs["model"], number, threads, delegate, feed, request.folder, dynamic_inputs)


def set_inputs(runner: OpenSignature) -> dict[str, np.ndarray]:
    """Set the inputs of an open model, and return them.

    Reals are from 0 to 1, 8-bit integers have their whole range, and other inputs are zeros. A dynamic dimension has
    the size 1, as in the file.
    """
    generator = np.random.default_rng(SEED)
    feed = {name: some_values(detail, generator) for name, detail in runner.input_details.items()}
    native = runner.interpreter._interpreter
    native.AllocateTensors(runner.subgraph)
    for name, detail in runner.input_details.items():
        native.SetTensor(detail["index"], feed[name], runner.subgraph)
    return feed


def some_values(detail: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """Return an input that resembles an image or a sound. A possible index is 0, which always exists."""
    dtype, shape = np.dtype(detail["dtype"]), tuple(detail["shape"])
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    if dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return zeros(detail)


def placement_of(runner: OpenSignature, model: Model) -> DelegatePlacement | None:
    """Return the operators that the delegate runs, or None for a subgraph of which the runtime does not list them."""
    if runner.subgraph != 0:
        return None
    return place(runner.interpreter._get_ops_details(), model.subgraphs[0].outputs)


def notes_of(environment: Mapping[str, Json], threads: int, disturbance: Mapping[str, Json], runs: int) -> list[str]:
    """Return notes on the state of this host that make the figures less reliable."""
    notes = []
    cores = environment["cores"]
    if threads > cores:
        notes.append(f"{threads} threads shared {cores} core{'' if cores == 1 else 's'}")
    if environment["load_average"] > 0.5 * cores:
        notes.append(f"the host was busy before: load average {environment['load_average']:.1f} on {cores} cores")
    if environment["governor"] not in ("", "performance"):
        notes.append(f"the clock is governed by `{environment['governor']}`, so it changes with load")
    if environment["virtual"]:
        notes.append("a virtual machine: other machines on its host may slow it down, which cannot be measured")
    if disturbance["preemptions"] > runs / 10:
        notes.append(f"other processes took the core {disturbance['preemptions']:,} times in {runs:,} runs")
    if disturbance["stolen_s"] > 0:
        notes.append(f"the hypervisor took {disturbance['stolen_s']:.2f} s of CPU time away meanwhile")
    return notes


def free_sized(runner: OpenSignature) -> list[str]:
    """Return the inputs with dynamic dimensions. What a delegate runs is only known after a call."""
    return [name for name, detail in runner.input_details.items() if -1 in detail["shape_signature"]]


def size_notes(runner: OpenSignature) -> list[str]:
    """Return a note on dynamic dimensions, which had the smallest size."""
    names = free_sized(runner)
    return [f"dynamic dimensions of {', '.join(names)} were 1; a larger input takes longer"] if names else []


def timing_of(runner: OpenSignature, effort: TimingEffort) -> Timing:
    """Measure the latency of an open model whose inputs are set.

    Raises:
        WorkerError: The model does not run with these inputs.
    """
    try:
        return measure(lambda: runner.interpreter._interpreter.Invoke(runner.subgraph), effort)
    except (RuntimeError, ValueError) as error:
        raise WorkerError(
            "the artifact does not run on the inputs of the benchmark",
            kind="build",
            why=str(error).strip().split("\n")[0],
            next_step="the inputs are random numbers and zeros; benchmark=none builds the artifact without timing",
        ) from error
