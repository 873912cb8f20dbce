"""The table of the GPU target against LiteRT's own delegate: every model of one operator is judged, then really run.

"Taken" means taken and computed rightly: what the delegate takes with other results than the CPU's, or ends the process
over, counts as not taken, and the table must say so.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from choice import choose_cases, least
from needs import require
from one_op import write_model
from one_op_cases import CASES
from one_op_edges import EDGES
from packed_weights import packed

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.verification.parity_figures import parity
from tflbuild.targets.common.lint import check_model
from tflbuild.targets.gpu.gpu_delegate import GpuDevice, GpuJob, run_jobs
from tflbuild.targets.gpu.measured_runs import CRASHED, DISAGREEMENTS, SILENTLY_WRONG
from tflbuild.targets.gpu.table import TABLE
from tflbuild.targets.gpu.vulkan import find_drivers
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy
KEY = "serving_default"
ALL = {**CASES, **EDGES}
NOT_NEGATIVE = ("LOG", "SQRT", "RSQRT", "POW", "DIV", "FLOOR_DIV", "FLOOR_MOD")
BETWEEN = {
    "REDUCE_PROD": (0.9, 1.1),  # or nothing is left of the product
    "ARG_MAX": (-2, -0.5),  # below the zeros that fill the last four channels
}
LEAST_SNR_DB = 40.0
LEAST_AGREEMENT = 0.98
STEP = 1.01  # of a quantized output: a value on the edge may be rounded either way


@dataclass(frozen=True)
class Tried:
    """What the table said of a case, and what the delegate did: right | refused | wrong | crashed."""

    said: bool | None
    did: str
    why: str


def device():
    """Skip where there is none, but not on CI."""
    drivers = find_drivers()
    require(f"a Vulkan device: {drivers.lacks}", not drivers.lacks, drivers.install)
    for number, driver in enumerate(drivers.candidates):
        found = GpuDevice(driver, drivers.loader)
        if works(found, number):
            return found
    raise AssertionError("no Vulkan driver here has a device that LiteRT takes")


def works(found, number):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(write_model(CASES["RELU_float32"]))
        return run_jobs([GpuJob(path, KEY, alone=True)], found, Path(folder) / "runs")[0].full


def feed_for(op, takes):
    """Values that the operator is defined for, different from one another."""
    generator = np.random.default_rng(3)
    least, found = float(op in NOT_NEGATIVE), {}
    for name, detail in takes.items():
        dtype, shape = np.dtype(detail["dtype"]), tuple(detail["shape"])
        if dtype.kind == "f":
            values = generator.uniform(*BETWEEN.get(op, (0.25 if least else -2, 2)), shape)
        elif dtype.kind == "b":
            values = generator.integers(0, 2, shape)
        elif dtype.itemsize <= 2:
            values = generator.integers(1 if least or dtype.kind == "u" else -100, 100, shape)
        else:
            values = generator.integers(int(least), 4, shape)  # indices, among others: of rows that are there
        found[name] = values.astype(dtype)
    return found


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Every case that this host's CPU can run, by name."""
    return try_all(choose_cases(ALL, {*DISAGREEMENTS, *SILENTLY_WRONG, *CRASHED}), tmp_path_factory.mktemp("gpu"))


def try_all(cases, folder):
    """Runs on the delegate those cases that the CPU can run, and that are of the shapes they say."""
    jobs, known = [], []
    for name, case in cases.items():
        path = folder / f"{name}.tflite"
        try:
            path.write_bytes(write_model(case))
            running = open_signature(path, KEY, "none")
            feed = feed_for(case.op, running.input_details)
            expected = running(feed)
        except (WorkerError, IndexError):
            continue
        if [value.shape for value in expected.values()] != [one.shape for one in case.outputs]:
            continue
        jobs.append(GpuJob(path, KEY, (feed,), alone=True))
        known.append((name, expected, running.output_details))
    outcomes = run_jobs(jobs, device(), folder / "runs")
    found = {}
    for job, (name, expected, gives), outcome in zip(jobs, known, outcomes, strict=True):
        (judged,) = check_model(TABLE, read_model(job.model))
        found[name] = Tried(judged.taken, *went(outcome, expected, gives))
    return found


def variants():
    """Yield the chosen cases again with a batch of two, with other sizes, or with a dimension less."""
    for label, change in (("batch", in_batches), ("sizes", resized), ("flat", flattened)):
        for case in choose_cases(ALL).values():
            inputs, outputs = tuple(map(change, case.inputs)), tuple(map(change, case.outputs))
            if inputs != case.inputs:
                yield replace(case, name=f"{case.name}@{label}", inputs=inputs, outputs=outputs)


def moves(tensor):
    return tensor is not None and tensor.values is None


def in_batches(tensor):
    batch = moves(tensor) and len(tensor.shape) > 1 and tensor.shape[0] == 1 and not tensor.raw
    return replace(tensor, shape=(2, *tensor.shape[1:])) if batch else tensor


def resized(tensor):
    other = {8: 7, 4: 6, 16: 10}
    return replace(tensor, shape=tuple(other.get(size, size) for size in tensor.shape)) if moves(tensor) else tensor


def flattened(tensor):
    image = moves(tensor) and len(tensor.shape) == 4 and tensor.shape[0] == 1
    return replace(tensor, shape=tensor.shape[1:]) if image else tensor


def went(outcome, expected, gives):
    if outcome.crashed:
        return "crashed", outcome.ended
    if not outcome.compiled:
        return "refused", outcome.refused[0][1] if outcome.refused else outcome.ended
    if outcome.ended or outcome.faults:
        return "wrong", outcome.ended or outcome.faults[0]
    for name, value in expected.items():
        apart = difference(value, outcome.outputs[0][name], gives[name])
        if apart:
            return "wrong", apart
    return "right", ""


def difference(expected, found, detail):
    """In words, "" where there is none worth a word."""
    if expected.shape != found.shape:
        return f"shape {found.shape}, not {expected.shape}"
    a, b = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    if not np.isfinite(b).all():
        return "not finite"
    if len(detail["quantization_parameters"]["scales"]):
        most = np.abs(a - b).max(initial=0)
        return f"{most:g} steps apart" if most > STEP else ""
    ratio = parity(a, b)["snr_db"]
    return f"SNR {ratio:.1f} dB" if ratio < LEAST_SNR_DB else ""


def test_it_holds_for_variants_of_the_cases(tmp_path):
    found = try_all(choose_cases({case.name: case for case in variants()}), tmp_path)
    apart = {name: one for name, one in found.items() if disagrees(one)}
    for name, one in apart.items():
        print(name, one)
    print(len(found), Counter(one.did for one in found.values()), len(apart))
    assert len(found) >= least(least(1500))
    assert 1 - len(apart) / len(found) >= LEAST_AGREEMENT


@pytest.mark.parametrize("type", ["float16", "int8"])
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"])
def test_packed_weights_are_judged_as_the_delegate_does(tmp_path, op, type):
    name = {"FULLY_CONNECTED": "FULLY_CONNECTED_float32_batch1", "BATCH_MATMUL": "BATCH_MATMUL_float32_stored"}
    path = tmp_path / "model.tflite"
    path.write_bytes(packed(write_model(ALL[name.get(op, f"{op}_float32")]), type, least_rank=2))
    (outcome,) = run_jobs([GpuJob(path, KEY)], device(), tmp_path / "runs")
    assert all(one.taken for one in check_model(TABLE, read_model(path))) is outcome.full


def disagrees(one):
    return one.said is not (one.did == "right")


def test_the_table_is_the_delegate(tried):
    apart = {name: one for name, one in tried.items() if disagrees(one)}
    for name, one in apart.items():
        print(name, one)
    print(len(tried), Counter(one.did for one in tried.values()), len(apart))
    assert len(tried) >= least(900)
    assert set(apart) == set(DISAGREEMENTS)
    assert 1 - len(apart) / len(tried) >= LEAST_AGREEMENT


def test_what_is_silently_wrong_and_what_ends_the_process_is_what_is_listed(tried):
    """The repository's lists, which docs/targets/ shows, are what is seen now."""
    assert {name: kind(one) for name, one in tried.items() if one.did == "wrong"} == SILENTLY_WRONG
    assert {name: one.why.split()[-1] for name, one in tried.items() if one.did == "crashed"} == CRASHED


def kind(one):
    return "a shader that does not compile: zeros" if "rror" in one.why else "other values"
