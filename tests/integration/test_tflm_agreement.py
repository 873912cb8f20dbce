"""The table for TensorFlow Lite Micro against itself: every one-operator model is held against the rules, and run."""

import numpy as np
import pytest
from mcu_edges import EDGES
from one_op import write_model
from one_op_cases import CASES

from tflbuild.targets.lint import judge_all
from tflbuild.targets.tables import TABLES
from tflbuild.targets.tflm import DISAGREEMENTS
from tflbuild.workers import tflm_runtime
from tflbuild.workers.contract import WorkerError
from tflbuild.workers.flatbuffer import read_model
from tflbuild.workers.forked import in_fork
from tflbuild.workers.interpreters import dequantize_values, open_signature
from tflbuild.workers.metrics import parity
from tflbuild.workers.target_tflm import find_ports
from tflbuild.workers.target_trial import random_values

pytestmark = pytest.mark.heavy

LEAST_AGREEMENT = 0.98
LEAST_SNR_DB = 40
KEY = "serving_default"
ALL = {**CASES, **EDGES}
# of SUM of integers: the reference kernels of LiteRT 2.3 are wrong, its optimized ones agree with TensorFlow Lite Micro
WRONG_REFERENCE = {name for name in ALL if name.startswith(("SUM_int8", "SUM_int16"))}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder, paths = tmp_path_factory.mktemp("tflm"), {}
    for name, case in ALL.items():
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(write_model(case))
    return paths


def run_ones(path):
    """Whether it runs, fed with ones."""
    ports = find_ports(read_model(path), KEY)
    feed = [np.ones([abs(size) for size in one.shape], one.type) for one in ports.taken]
    return tflm_runtime.call_in_any(path.read_bytes(), [feed], len(ports.outputs), path.with_suffix(".txt"))


def test_rules_agree_with_the_runtime(models):
    differ = {}
    for name, path in models.items():
        (judged,) = judge_all(TABLES["tflm"], read_model(path))
        ended = run_ones(path)
        if judged.taken is not ended.good:
            differ[name] = (judged.taken, judged.reason, ended.failure, ended.said[-200:])
    assert set(differ) == set(DISAGREEMENTS), differ
    assert 1 - len(differ) / len(models) >= LEAST_AGREEMENT


def compute(path, kernels):
    """Two calls by LiteRT: feeds, and outputs as real values. Raises WorkerError where it cannot."""
    running, generator = open_signature(path, KEY, kernels), np.random.default_rng(3)
    feeds = [{name: random_values(detail, generator) for name, detail in running.takes.items()} for _ in range(2)]
    made = [running(feed) for feed in feeds]
    details = {
        name: {key: detail[key] for key in ("dtype", "quantization", "quantization_parameters")}
        for name, detail in running.gives.items()
    }
    return feeds, [{name: dequantize_values(one[name], details[name]) for name in one} for one in made], details


def distance_db(path, kernels):
    """How near TensorFlow Lite Micro's outputs are to LiteRT's, the worst; None where LiteRT does not run it."""
    computed = in_fork(lambda: compute(path, kernels), path.with_suffix(".cpu.txt"))
    if not computed.good:
        return None
    feeds, expected, details = computed.value
    ports = find_ports(read_model(path), KEY)
    calls = [ports.feed(feed) for feed in feeds]
    ended = tflm_runtime.call_in_any(path.read_bytes(), calls, len(ports.outputs), path.with_suffix(".txt"))
    if not ended.good:
        return None
    worst = float("inf")
    for place, name in enumerate(ports.outputs):
        real = np.stack([one[name] for one in expected]).astype(np.float64)
        found = np.stack([dequantize_values(one[place], details[name]) for one in ended.value.outputs])
        found = found.reshape(real.shape).astype(np.float64)
        assert (np.isfinite(found) == np.isfinite(real)).all(), (path.stem, name)
        worst = min(worst, parity(np.nan_to_num(real), np.nan_to_num(found))["snr_db"])
    return worst


def test_what_runs_gives_the_results_of_the_cpu(models):
    compared, far = 0, {}
    for name, path in models.items():
        near = distance_db(path, "none" if name in WRONG_REFERENCE else "reference")
        compared += near is not None
        if near is not None and near < LEAST_SNR_DB:
            far[name] = near
    assert not far
    assert compared >= 400


def test_the_reference_kernels_are_still_wrong(models):
    """Where this fails, LiteRT has mended them: WRONG_REFERENCE can go."""
    assert all(distance_db(models[name], "reference") < 0 for name in ("SUM_int8_hw", "SUM_int16_hw"))


def test_a_model_that_the_cpu_refuses_is_no_error_of_ours(models):
    with pytest.raises(WorkerError):
        compute(models["SQRT_int8"], "reference")
