"""The step `prove_gpu` on planted artifacts: of what runs, of what does not, and of what is silently wrong."""

import json
import time

import numpy as np
import pytest
from needs import require
from one_op import Case, T, write_model
from one_op_cases import CASES, IMAGE
from one_op_edges import EDGES

from tflbuild.core.verdict import LINTED, PROVEN, UNPROVEN
from tflbuild.execute.worker_process import WorkerServerProcess
from tflbuild.runtime.step_contract import StepRequest
from tflbuild.targets.gpu import gpu_delegate
from tflbuild.targets.gpu import proof as target_gpu
from tflbuild.targets.gpu.vulkan import find_drivers

pytestmark = pytest.mark.heavy
ALL = {**CASES, **EDGES}
F = "float32"


def named(case):
    return ALL[case] if isinstance(case, str) else case


@pytest.fixture(autouse=True)
def a_device():
    """Skip where there is none, but not on CI."""
    drivers = find_drivers()
    require(f"a Vulkan device: {drivers.lacks}", not drivers.lacks, drivers.install)


@pytest.fixture
def prove(tmp_path):
    """The verdict on a chain of cases, or on a file's bytes."""

    def ask(*cases, **target):
        data = cases[0] if isinstance(cases[0], bytes) else write_model(*map(named, cases))
        (tmp_path / "outputs").mkdir(parents=True)
        (tmp_path / "model.tflite").write_bytes(data)
        (tmp_path / "signature.json").write_text(json.dumps({"key": "serving_default", "batch": 1}))
        known = {"name": "gpu", "runtime": "litert", "table": "gpu", "version": "", "precision": "float16"}
        inputs = {"model": tmp_path / "model.tflite", "signature": tmp_path / "signature.json"}
        request = StepRequest(tmp_path, {"target": {**known, "least_snr_db": 30.0, **target}}, inputs, {})
        verdict = target_gpu.run(request)["verdict"]
        assert json.loads((tmp_path / "outputs" / "verdict.json").read_text()) == json.loads(json.dumps(verdict))
        return verdict

    return ask


def test_what_runs_is_proven_and_the_device_is_said_to_be_a_program(prove):
    told = prove("CONV_2D_float32")
    assert (told["proof"], told["runs"], told["agrees"]) == (PROVEN, True, True)
    assert (told["ops"], told["on_delegate"], told["partitions"], told["fallbacks"]) == (1, 1, 1, [])
    assert told["figures"]["snr_db"] > 60 and told["figures"]["float16_headroom"] > 1000
    assert not [name for name in told["figures"] if name.endswith("_ms")]
    assert "8 calls" in told["how"]
    if "software" in told["device"]:
        assert any("no time was taken" in note for note in told["notes"])


def test_operators_that_the_gpu_has_not_are_named_with_layer_reason_and_fix(prove):
    chain = ("RELU_float32", "TANH_float32", "L2_NORMALIZATION_rank4", "EXP_float32", "LOG_SOFTMAX_rank4")
    told = prove(*chain)
    assert (told["proof"], told["runs"], told["on_delegate"], told["partitions"]) == (PROVEN, True, 2, 1)
    lost = {one["op"]: one for one in told["fallbacks"]}
    assert set(lost) == {"L2_NORMALIZATION", "LOG_SOFTMAX", "EXP"}
    assert lost["L2_NORMALIZATION"]["layer"] == "L2_NORMALIZATION_rank4/out0"
    assert lost["L2_NORMALIZATION"]["reason"] == "Operation is not supported."
    assert "rsqrt" in lost["L2_NORMALIZATION"]["fix"] and lost["L2_NORMALIZATION"]["index"] == 2
    assert "apart from the largest piece" in lost["EXP"]["reason"]


def test_a_rule_stands_beside_the_runtime_s_own_words(prove):
    told = prove("LOGISTIC_rank5")
    (lost,) = told["fallbacks"]
    assert lost["reason"].startswith("Tensor dimensions must be less than 5. in0: taken only where")
    assert "reshape" in lost["fix"]
    assert (told["on_delegate"], told["partitions"]) == (0, 0)
    assert "takes none of it" in told["how"]


@pytest.mark.parametrize("name", ["CONV_2D_float32_tanh", "ADD_int32_stored", "FULLY_CONNECTED_rank4_flattened"])
def test_what_the_delegate_computes_wrongly_is_not_proven_and_the_layer_is_named(prove, name):
    told = prove(name)
    assert (told["proof"], told["runs"], told["agrees"]) == (UNPROVEN, True, False)
    assert "output out0 is not the CPU's: SNR" in told["how"]
    assert f"it parts at {ALL[name].op} {name}/out0" in told["how"]
    assert "wrong results" in told["how"]


def test_a_result_that_is_disturbed_is_found(prove, monkeypatch):
    real = gpu_delegate.run_jobs

    def disturbed(jobs, device, scratch, *rest):
        outcomes = real(jobs, device, scratch, *rest)
        if scratch.name == "run":
            outcomes[0].outputs[5]["out0"][0, 0, 0, 0] += 30.0
        return outcomes

    monkeypatch.setattr(target_gpu, "run_jobs", disturbed)
    told = prove("CONV_2D_float32")
    assert (told["proof"], told["agrees"]) == (UNPROVEN, False)
    assert "off by up to 30" in told["how"] and "parts at" not in told["how"]


def test_a_result_that_is_not_a_number_is_found(prove, monkeypatch):
    real = gpu_delegate.run_jobs

    def spoilt(jobs, device, scratch, *rest):
        outcomes = real(jobs, device, scratch, *rest)
        if scratch.name == "run":
            outcomes[0].outputs[0]["out0"][0, 0, 0, 0] = np.nan
        return outcomes

    monkeypatch.setattr(target_gpu, "run_jobs", spoilt)
    told = prove("CONV_2D_float32")
    assert told["agrees"] is False and "output out0 is not finite" in told["how"]


def test_a_crash_of_the_native_code_is_a_verdict(prove):
    told = prove("EMBEDDING_LOOKUP_stored")
    assert (told["proof"], told["runs"]) == (UNPROVEN, None)
    assert "SIGABRT" in told["how"]
    assert any("Check failed" in note for note in told["notes"])
    assert told["fallbacks"][0]["op"] == "EMBEDDING_LOOKUP"


def test_a_model_that_cannot_be_compiled_for_it_does_not_run(prove):
    told = prove("MEAN_float32_moving_axis")
    assert (told["proof"], told["runs"]) == (UNPROVEN, False)
    assert told["fallbacks"][0]["fix"] == "make it a constant of the model"


def test_what_16_bit_floats_cannot_hold_is_named(prove):
    image = T(IMAGE, F)
    big = Case("big", "MUL", (image, T((), F, 3e5)), (image,), "MulOptions")
    small = Case("small", "MUL", (image, T((), F, 1e-4)), (image,), "MulOptions")
    told = prove(big, small)
    assert told["figures"]["max_abs_activation"] == pytest.approx(3e5, rel=0.1)
    assert told["figures"]["float16_headroom"] < 0.25
    assert any("MUL big/out0 reaches" in note and "65504" in note for note in told["notes"])
    assert any("big/in1 holds 3e+05" in note for note in told["notes"])


def test_with_32_bit_floats_asked_for_there_is_no_such_limit(prove):
    image = T(IMAGE, F)
    told = prove(Case("big", "MUL", (image, T((), F, 3e5)), (image,), "MulOptions"), precision="float32")
    assert told["proof"] == PROVEN
    assert not any("16-bit" in note for note in told["notes"])


def test_without_a_device_the_rules_judge_and_say_what_to_install(prove, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere/icd.json")
    told = prove("L2_NORMALIZATION_float32")
    assert (told["proof"], told["on_delegate"]) == (LINTED, 0)
    assert told["fallbacks"][0]["op"] == "L2_NORMALIZATION"
    assert "/nowhere/icd.json" in told["to_prove"] and "chromium" in told["to_prove"]


def test_a_job_that_takes_too_long_is_ended_and_the_next_goes_on(tmp_path, monkeypatch):
    drivers = find_drivers()
    device = gpu_delegate.GpuDevice(drivers.candidates[0], drivers.loader)
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(CASES["RELU_float32"]))
    real = gpu_delegate._do

    def slow(job, float32, folder):
        if folder.name == "0":
            time.sleep(60)
        real(job, float32, folder)

    monkeypatch.setattr(gpu_delegate, "_do", slow)
    jobs = [gpu_delegate.GpuJob(path, "serving_default", alone=True)] * 2
    first, second = gpu_delegate.run_jobs(jobs, device, tmp_path / "runs", seconds=3)
    assert first.ended == "it ran longer than 3 s" and first.crashed
    assert second.full


def test_where_the_cpu_may_help_all_on_the_cpu_is_not_taken_for_the_gpu(tmp_path):
    """LiteRT's own is_fully_accelerated() says yes when XNNPACK takes everything."""
    drivers = find_drivers()
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(CASES["LOGISTIC_rank5"]))
    device = gpu_delegate.GpuDevice(drivers.candidates[0], drivers.loader)
    (outcome,) = gpu_delegate.run_jobs([gpu_delegate.GpuJob(path, "serving_default")], device, tmp_path / "runs")
    assert outcome.compiled and not outcome.full and outcome.taken == 0


def test_it_runs_in_a_worker_whose_environment_is_scrubbed(tmp_path, monkeypatch):
    """As a build runs it: a child of the warm server, which passes on next to nothing of the environment."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    folder = tmp_path / "step"
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    (folder / "inputs" / "model").write_bytes(write_model(ALL["CONV_2D_int8"]))
    (folder / "inputs" / "signature").write_text(json.dumps({"key": "serving_default", "batch": 1}))
    target = {"name": "gpu", "table": "gpu", "version": "", "precision": "float16", "least_snr_db": 30.0}
    given = {"params": {"target": target}, "labels": {}, "section": "target"}
    given["inputs"] = {"model": "model", "signature": "signature"}
    (folder / "input.json").write_text(json.dumps(given))
    server = WorkerServerProcess("litert", tmp_path)
    try:
        server.send(1, "targets.gpu.proof", folder, 120.0)
        answers = []
        while not answers:
            answers = server.receive()
    finally:
        server.close()
    assert (answers[0].exit, answers[0].signal) == (0, None), (folder / "log.txt").read_text()[-2000:]
    assert json.loads((folder / "outputs" / "verdict.json").read_text())["proof"] == PROVEN
    assert "Selected adapter" in (folder / "log.txt").read_text()
