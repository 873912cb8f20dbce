"""Which figures a target's verdict can have."""

import pytest
from freezing import frozen

from tflbuild.config.freezing.target_figures import (
    COUNTED,
    is_profile,
    is_reported,
    list_figure_names,
    list_target_figures,
)

pytestmark = pytest.mark.usefixtures("empty_folder")

MODEL = ("source=tflite", "source.path=model.tflite", "signature=dynamic")


def target(name, *more):
    (made,) = frozen(*MODEL, f"target={name}", *more).targets
    return made


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("cpu", "latency_p90_ms", "arena_bytes"),
        ("tflm", "arena_bytes", "inference_ms"),
        ("ethos_u55", "inference_ms", "snr_db"),
        ("gpu", "float16_headroom", "latency_p50_ms"),
        ("edgetpu", "on_chip_bytes", "sram_bytes"),
        ("npu_qualcomm", "compiled_bytes", "snr_db"),
    ],
)
def test_a_proof_has_the_figures_of_its_runtime(name, has, lacks):
    found = list_target_figures(target(name), proves=True)
    assert {has, *COUNTED} <= set(found) and lacks not in found and len(set(found)) == len(found)


def test_rules_count_operators_and_nothing_else():
    assert (
        list_target_figures(target("gpu"), proves=False) == COUNTED == list_target_figures(target("nnapi"), proves=True)
    )
    assert list_target_figures(target("npu_qualcomm"), proves=False) == ()  # its operators are published nowhere


def test_numbers_of_threads_are_those_that_are_timed_besides():
    found = list_target_figures(target("cpu", "target.cpu.threads=2", "target.cpu.threads_swept=[1,2,8]"), proves=True)
    assert [one for one in found if "threads" in one] == [
        *("latency_p50_ms_threads_1", "latency_p50_ms_threads_8"),
        *("latency_p90_ms_threads_1", "latency_p90_ms_threads_8"),
    ]


@pytest.mark.parametrize(
    ("figure", "known"),
    [
        ("arena_bytes", True),
        ("on_delegate", True),
        ("latency_p50_ms_threads_16", True),
        ("latency_p50_ms_threads_", False),
        ("latency_ms", False),
        ("top1", False),
    ],
)
def test_a_name_is_one_that_some_target_has(figure, known):
    assert is_reported(figure) is known


def test_names_to_choose_from_are_those_of_the_target_or_of_all():
    assert "tflm.arena_bytes" in list_figure_names() and "gpu.arena_bytes" not in list_figure_names()
    assert {one.partition(".")[0] for one in list_figure_names("tflm")} == {"tflm"}
    assert {"mine.arena_bytes", "mine.inference_ms"} <= set(list_figure_names("mine"))
    assert is_profile("cpu") and not is_profile("none") and not is_profile("mine")
