"""The table for TensorFlow Lite Micro against itself: every one-operator model is held against the rules, and run."""

import numpy as np
import pytest
from choice import choose_cases, least
from mcu_edges import EDGES
from one_flow import FLOWS
from one_op import write_model
from one_op_cases import CASES
from random_layers import draw_cases
from random_ops import told

from tflbuild.runtime.forked_process import in_fork
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.verification.parity_figures import parity
from tflbuild.targets.common.cpu_comparison import random_values
from tflbuild.targets.common.lint import check_model
from tflbuild.targets.support_tables import TABLES
from tflbuild.targets.tflm import tflm_runtime
from tflbuild.targets.tflm.proof import find_ports
from tflbuild.targets.tflm.table import DISAGREEMENTS
from tflbuild.tflite.interpreters import dequantize_values, open_signature
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy

LEAST_AGREEMENT = 0.98
MOST_WRONGLY_TAKEN = 0.01  # of drawn models: said to run, and do not
LEAST_SNR_DB = 40
KEY = "serving_default"
FAIL_ON_VALUES = {"RSQRT"}
LEAVE_THE_REST = {"TFLite_Detection_PostProcess"}  # nothing is written behind what was found
ALL = {**CASES, **EDGES}
NEEDED = {*DISAGREEMENTS, "SUM_int8_hw", "SUM_int16_hw", "SQRT_int8"}
# of SUM of integers: the reference kernels of LiteRT 2.3 are wrong, its optimized ones agree with TensorFlow Lite Micro
WRONG_REFERENCE = {name for name in ALL if name.startswith(("SUM_int8", "SUM_int16"))}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder, paths = tmp_path_factory.mktemp("tflm"), {}
    for name, case in choose_cases(ALL, NEEDED).items():
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(write_model(case))
    return paths


def ops_of(path):
    return set(read_model(path).op_counts())


def run_ones(path):
    """Fed with ones, and an operator that fails on some values with the least INT8."""
    ports = find_ports(read_model(path), KEY)
    feeds = [[np.full([abs(size) for size in one.shape], 1, one.type) for one in ports.taken]]
    if ops_of(path) & FAIL_ON_VALUES and ports.taken[0].type == "int8":
        feeds.append([np.full_like(one, -127) for one in feeds[0]])
    return tflm_runtime.call_in_large_arena(path.read_bytes(), feeds, len(ports.outputs), path.with_suffix(".txt"))


def failure(path):
    """Why it does not run, "" where it does; what is not a number is no result."""
    ended = run_ones(path)
    if not ended.good:
        return f"{tflm_runtime.last_words(ended)[-200:]} ({ended.failure[-100:]})"
    if ops_of(path) & LEAVE_THE_REST:
        return ""
    finite = all(np.isfinite(one).all() for call in ended.value.outputs for one in call if one.dtype.kind == "f")
    return "" if finite else "what it gives is not a number"


def test_rules_agree_with_the_runtime(models):
    differ = {}
    for name, path in models.items():
        (judged,) = check_model(TABLES["tflm"], read_model(path))
        failed = failure(path)
        if judged.taken is not (not failed):
            differ[name] = (judged.taken, judged.reason, failed)
    assert set(differ) == set(DISAGREEMENTS), differ
    assert 1 - len(differ) / len(models) >= LEAST_AGREEMENT


@pytest.mark.parametrize("type", ["float32", "int8", "int16", "int32", "int64", "bool", "uint8"])
@pytest.mark.parametrize("name", FLOWS)
def test_subgraphs_and_variables_are_judged_as_the_runtime_does(name, type, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(FLOWS[name](type, (1, 2, 4)))
    judged = check_model(TABLES["tflm"], read_model(path))
    assert {one.taken for one in judged} <= {True, False}
    assert all(one.taken for one in judged) is (failure(path) == "")


HELD_OUT_SEED, HELD_OUT = 20_261_123, least(400)  # no rule was written from what this seed gives


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """By name: the case, what the table says, its reason, and why it does not run."""
    folder, found = tmp_path_factory.mktemp("drawn"), {}
    for name, case in draw_cases(HELD_OUT_SEED, HELD_OUT, TABLES["tflm"].rows).items():
        path = folder / f"{name}.tflite"
        path.write_bytes(write_model(case))
        (judged,) = check_model(TABLES["tflm"], read_model(path))
        found[name] = (told(case), judged.taken, judged.reason, failure(path))
    return found


def test_rules_predict_models_that_they_were_not_written_from(drawn):
    """Drawn at random; what is unknown counts as wrong."""
    wrong = {name: one for name, one in drawn.items() if one[1] is not (one[3] == "")}
    for name, (case, taken, reason, failed) in wrong.items():
        print(f"{name}: {case}\n  the table: {taken} {reason}\n  really: {failed or 'it runs'}")
    assert 1 - len(wrong) / len(drawn) >= LEAST_AGREEMENT
    assert sum(one[1] is True and one[3] != "" for one in wrong.values()) <= MOST_WRONGLY_TAKEN * len(drawn)


def test_what_is_drawn_ends_both_ways(drawn):
    """A table that always says the same would not agree by chance."""
    assert 0.25 <= sum(one[3] == "" for one in drawn.values()) / len(drawn) <= 0.75


def compute(path, kernels):
    """Two calls by LiteRT: feeds, and outputs as real values. Raises WorkerError where it cannot."""
    running, generator = open_signature(path, KEY, kernels), np.random.default_rng(3)
    feeds = [
        {name: random_values(detail, generator) for name, detail in running.input_details.items()} for _ in range(2)
    ]
    made = [running(feed) for feed in feeds]
    details = {
        name: {key: detail[key] for key in ("dtype", "quantization", "quantization_parameters")}
        for name, detail in running.output_details.items()
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
    ended = tflm_runtime.call_in_large_arena(path.read_bytes(), calls, len(ports.outputs), path.with_suffix(".txt"))
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
    assert compared >= least(400)


def test_the_reference_kernels_are_still_wrong(models):
    """Where this fails, LiteRT has mended them: WRONG_REFERENCE can go."""
    assert all(distance_db(models[name], "reference") < 0 for name in ("SUM_int8_hw", "SUM_int16_hw"))


def test_a_model_that_the_cpu_refuses_is_no_error_of_ours(models):
    with pytest.raises(WorkerError):
        compute(models["SQRT_int8"], "reference")
