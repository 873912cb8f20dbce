"""Microcontroller targets on planted models: Vela and TensorFlow Lite Micro are the real ones."""

import pytest
from one_op_cases import CASES
from proving import prove, request

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.targets.ethos_u import proof as target_ethos_u
from tflbuild.targets.ethos_u import vela_compiler
from tflbuild.targets.tflm import proof as target_tflm
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy

U55 = {
    "name": "board",
    "table": "ethos_u55",
    "version": "",
    "accelerator": "ethos-u55-128",
    "system_config": "Ethos_U55_High_End_Embedded",
    "memory_mode": "Shared_Sram",
    "optimise": "Performance",
}
U85 = {**U55, "table": "ethos_u85", "accelerator": "ethos-u85-256", "system_config": "Ethos_U85_SYS_DRAM_Mid"}
TFLM = {"name": "board", "table": "tflm", "version": "", "least_snr_db": 40}
OWN_CONFIG = """
[System_Config.Slow]
core_clock=100e6
axi0_port=Sram
axi1_port=OffChipFlash
Sram_clock_scale=1.0
Sram_burst_length=32
Sram_read_latency=32
Sram_write_latency=32
OffChipFlash_clock_scale=0.125
OffChipFlash_burst_length=128
OffChipFlash_read_latency=64
OffChipFlash_write_latency=64
[Memory_Mode.Shared]
const_mem_area=Axi1
arena_mem_area=Axi0
cache_mem_area=Axi0
"""


def ask(folder, target, *names):
    return request(folder, target, *(CASES[name] for name in names))


def test_a_model_that_fits_is_compiled_whole(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, U55, "RELU_int8", "CONV_2D_int8"))
    assert (verdict.proof, verdict.how) == ("proven", f"compiled by Vela {vela_compiler.version()}")
    assert (verdict.ops, verdict.on_delegate, verdict.partitions, verdict.fallbacks) == (2, 2, 1, ())
    assert verdict.runs is True and verdict.agrees is None
    figures = verdict.figures
    assert figures["cycles_total"] >= figures["cycles_npu"] > 0
    assert figures["macs"] >= 8 * 8 * 8 * 3 * 3 * 4
    assert figures["inference_ms"] == pytest.approx(figures["cycles_total"] / 500e6 * 1e3)
    assert verdict.device == "estimate by Vela for ethos-u55-128, Ethos_U55_High_End_Embedded, 500 MHz"
    compiled = read_model(tmp_path / "outputs" / "compiled" / "model_vela.tflite")
    assert compiled.custom_ops() == ["ethos-u"]
    assert figures["model_bytes"] == compiled.bytes


def test_an_operator_that_it_does_not_have_is_named_with_layer_and_reason(tmp_path):
    names = ("RELU_int8", "SQRT_int8", "ABS_int8", "DEPTHWISE_CONV_2D_int8_stride2")
    verdict = prove(target_ethos_u.run, ask(tmp_path, U55, *names))
    (fallback,) = verdict.fallbacks
    assert (fallback.op, fallback.layer, fallback.index) == ("SQRT", "SQRT_int8/out0", 1)
    assert fallback.reason == "Vela: Unsupported opType"
    assert (verdict.ops, verdict.on_delegate, verdict.partitions) == (4, 3, 2)
    assert verdict.runs is False  # TensorFlow Lite Micro has SQRT of floats alone
    assert "npu_ms" in verdict.figures and "inference_ms" not in verdict.figures


def test_a_rule_that_is_broken_is_told_in_velas_words(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, U55, "RELU_int8", "DEPTHWISE_CONV_2D_int8_stride4"))
    (fallback,) = verdict.fallbacks
    assert (fallback.op, fallback.index) == ("DEPTHWISE_CONV_2D", 1)
    assert fallback.reason.startswith("Vela: Unsupported kernel stride: 4, 4")


def test_floats_stay_on_the_cpu_with_a_way_out(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, U55, "RELU_float32", "CONV_2D_float32_relu6"))
    assert (verdict.proof, verdict.runs, verdict.on_delegate, verdict.partitions) == ("proven", True, 0, 0)
    assert [one.op for one in verdict.fallbacks] == ["RELU", "CONV_2D"]
    assert {one.fix for one in verdict.fallbacks} == {"quantization=int8"}
    assert all(one.reason.startswith("Vela: Operation has tensor with unsupported") for one in verdict.fallbacks)
    assert set(verdict.figures) == {"model_bytes"}


def test_what_vela_fails_on_is_unproven_in_its_words(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, U55, "RELU_int8", "EQUAL_int8"))
    assert (verdict.proof, verdict.runs) == ("unproven", False)
    assert "RuntimeError: Non-passthrough operation (And) could not run on NPU" in verdict.how
    assert "Traceback" not in verdict.how and "File " not in verdict.how
    assert [one.op for one in verdict.fallbacks] == ["EQUAL"]


def test_what_crashes_vela_is_unproven(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, U85, "SQUARED_DIFFERENCE_int32"))
    assert (verdict.proof, verdict.runs) == ("unproven", False)
    assert [one.op for one in verdict.fallbacks] == ["SQUARED_DIFFERENCE"]


def test_the_u85_takes_what_the_u55_does_not(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, U85, "RELU_int8", "DEPTHWISE_CONV_2D_int8_stride4"))
    assert (verdict.on_delegate, verdict.fallbacks) == (2, ())


def test_a_configuration_of_ones_own(tmp_path):
    target = {**U55, "config": OWN_CONFIG, "system_config": "Slow", "memory_mode": "Shared"}
    verdict = prove(target_ethos_u.run, ask(tmp_path, target, "CONV_2D_int8"))
    assert verdict.device == "estimate by Vela for ethos-u55-128, Slow, 100 MHz"


@pytest.mark.parametrize(
    "wrong",
    [{"memory_mode": "Nope"}, {"system_config": "Nope"}, {"accelerator": "ethos-u55-1"}, {"config": "no section"}],
)
def test_a_configuration_that_vela_does_not_know_is_the_recipes_mistake(tmp_path, wrong):
    with pytest.raises(WorkerError) as caught:
        target_ethos_u.run(ask(tmp_path, {**U55, **wrong}, "CONV_2D_int8"))
    assert caught.value.fields["kind"] == "recipe"
    assert caught.value.fields["why"]


def test_velas_defaults_are_told(tmp_path):
    verdict = prove(target_ethos_u.run, ask(tmp_path, {**U55, "system_config": "", "memory_mode": ""}, "CONV_2D_int8"))
    assert any("Vela's default is system_config Ethos_U55_High_End_Embedded" in note for note in verdict.notes)


def test_the_same_model_is_compiled_to_the_same_bytes(tmp_path):
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        prove(target_ethos_u.run, ask(tmp_path / name, U55, "RELU_int8", "CONV_2D_int8"))
        made.append((tmp_path / name / "outputs" / "compiled" / "model_vela.tflite").read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("type", ["float32", "int8", "int16"])
def test_tensorflow_lite_micro_runs_all_three_real_types(tmp_path, type):
    verdict = prove(target_tflm.run, ask(tmp_path, TFLM, f"RELU_{type}", f"CONV_2D_{type}"))
    assert (verdict.proof, verdict.agrees) == ("proven", True)
    assert verdict.figures["arena_bytes"] % 16 == 0


def test_tensorflow_lite_micro_names_every_operator_that_it_lacks(tmp_path):
    verdict = prove(target_tflm.run, ask(tmp_path, TFLM, "RELU_int8", "GELU_int8", "NEG_int8", "CONV_2D_int8"))
    assert verdict.runs is False
    assert [(one.op, one.layer) for one in verdict.fallbacks] == [("GELU", "GELU_int8/out0"), ("NEG", "NEG_int8/out0")]
    assert verdict.fallbacks[1].reason == "TensorFlow Lite Micro: Type INT8 (9) not supported."
