"""How figures are called and shown."""

import pytest

from tflbuild.report.figure_text import (
    column_heading,
    is_cost,
    is_of_a_host,
    name_in_heading,
    name_in_sentence,
    show_figure,
    show_tick,
)


@pytest.mark.parametrize(
    ("figure", "in_a_sentence", "beside", "above"),
    [
        ("ethos_u55.inference_ms", "ethos_u55 inference", "ethos_u55 inference, ms", "ethos_u55 inference ms"),
        ("tflm.arena_bytes", "tflm arena", "tflm arena, bytes", "tflm arena bytes"),
        ("ethos_u55.sram_bytes", "ethos_u55 SRAM", "ethos_u55 SRAM, bytes", "ethos_u55 SRAM bytes"),
        ("cpu.latency_p50_ms_threads_4", "cpu latency p50 threads 4", "cpu latency p50 threads 4, ms", None),
        ("gpu.snr_db", "gpu SNR", "gpu SNR, dB", "gpu SNR dB"),
        ("gpu.fallback_ops", "gpu fallback ops", "gpu fallback ops", "gpu fallback ops"),
        ("latency_ms", "median latency", "median latency, ms", "p50 ms"),
        ("bytes", "bytes", "bytes", "bytes"),
        ("gzip_bytes", "bytes after gzip", "bytes after gzip", "gzip"),
        ("outputs.y.snr_db", "outputs.y.snr_db", "outputs.y.snr_db, dB", "outputs.y.snr_db"),
        ("metrics.iou", "metrics.iou", "metrics.iou", "metrics.iou"),
    ],
)
def test_a_figure_is_called_with_its_unit(figure, in_a_sentence, beside, above):
    assert name_in_sentence(figure) == in_a_sentence and name_in_heading(figure) == beside
    assert above is None or column_heading(figure) == above


@pytest.mark.parametrize(
    ("figure", "value", "shown"),
    [
        ("tflm.arena_bytes", 91168.0, "91,168"),
        ("ethos_u55.inference_ms", 0.551434, "0.5514"),
        ("ethos_u55.inference_ms", 2.0, "2"),
        ("ethos_u55.cycles_total", 268080.0, "268,080"),
        ("gpu.fallback_ops", 0.0, "0"),
        ("gpu.snr_db", 32.04, "32.0"),
        ("gpu.cosine", 0.99999812, "0.999998"),
        ("gzip_bytes", 12345.0, "12,345"),
        ("top1_drop", 0.012, "+1.20"),
        ("metrics.mean_bytes", 0.5, "0.5"),
    ],
)
def test_a_figure_is_shown_as_its_unit_asks(figure, value, shown):
    assert show_figure(figure, value) == shown


def test_values_at_an_axis_are_short():
    assert show_tick("tflm.arena_bytes", 91000.0) == "91 KB" and show_tick("top1", 0.935) == "93.5 %"
    assert show_tick("ethos_u55.cycles_total", 268000.0) == "268,000" and show_tick("rmse", 0.00012) == "0.00012"


def test_what_costs_lies_across_and_nearness_stands_upwards():
    costs = ("bytes", "latency_p90_ms", "tflm.arena_bytes", "gpu.fallback_ops", "ethos_u55.cycles_total")
    assert all(is_cost(one) for one in costs)
    assert not any(is_cost(one) for one in ("top1", "rmse", "gpu.snr_db", "metrics.bytes", "outputs.y.cosine"))


def test_latency_of_this_host_is_known_from_a_compilers_estimate():
    assert is_of_a_host("latency_ms") and is_of_a_host("cpu.latency_p50_ms")
    assert not is_of_a_host("ethos_u55.inference_ms") and not is_of_a_host("cpu.peak_bytes")
