"""A benchmark as a person reads it."""

from __future__ import annotations

import pytest

from tflbuild.report.benchmark_text import BAR, bar, benchmark_text, latency_line, show_bytes, show_ms

FOUND = {
    "device": "this host: Some CPU, 2 cores",
    "delegate": "xnnpack",
    "threads": 1,
    "runs": 2896,
    "p10_ms": 1.1,
    "p50_ms": 1.2,
    "p90_ms": 1.5,
    "least_ms": 1.0,
    "most_ms": 9.0,
    "mad_ms": 0.05,
    "iqr_ms": 0.1,
    "confidence": 0.95,
    "interval_ms": [1.19, 1.21],
    "precision": 0.02,
    "reached_precision": 0.0083,
    "reached": True,
    "drift": -0.005,
    "model_peak_bytes": 4 << 20,
    "environment": {"cpu": "Some CPU", "governor": "", "mhz": None, "load_average": 0.25, "virtual": False},
    "disturbance": {"preemptions": 3, "stolen_s": 0.0},
    "notes": ["the host was busy"],
    "profile": {
        "how": "LiteRT's profiler",
        "why": "",
        "operators": [
            {
                "op": "CONV_2D",
                "layer": "stem;fused",
                "kernel": "Convolution",
                "delegate": True,
                "us": 750,
                "percent": 75,
            },
            {"op": "", "layer": "", "kernel": "Static Reshape", "delegate": True, "us": 200, "percent": 20},
            {"op": "SIGN", "layer": "last", "kernel": "SIGN", "delegate": False, "us": 50, "percent": 5},
        ],
    },
}


def test_the_headline_has_the_interval():
    lines = benchmark_text(FOUND).split("\n")
    assert lines[0] == "this host: Some CPU, 2 cores, delegate xnnpack, 1 thread"
    assert "4.0 MiB" in lines[4]
    assert lines[1] == "median 1.2 ms (95% confidence: 1.19 ms to 1.21 ms, ±0.8%), 2,896 runs"


def test_a_build_ends_with_what_it_timed_and_where():
    line = latency_line({"metrics": {"benchmark": FOUND}})
    assert line == (
        "latency  median 1.2 ms (95% confidence: 1.19 ms to 1.21 ms, ±0.8%), 2,896 runs;"
        " this host: Some CPU, 2 cores, delegate xnnpack, 1 thread\n"
    )
    mean = latency_line({"metrics": {"benchmark": {"device": "Google Pixel 7", "p50_ms": None, "mean_ms": 55.04}}})
    assert mean.startswith("latency  mean 55 ms") and mean.endswith("; Google Pixel 7\n")
    assert latency_line({}) == latency_line({"metrics": {"verify": {}}}) == ""


def test_what_was_not_reached_is_said():
    text = benchmark_text({**FOUND, "reached_precision": 0.05, "reached": False})
    assert "±5.0%, not the ±2.0% that were asked for" in text
    assert "too few runs for an interval" in benchmark_text({**FOUND, "reached_precision": None, "reached": False})


def test_operators_have_bars_and_layers():
    text = benchmark_text(FOUND)
    (conv,) = (line for line in text.split("\n") if "CONV_2D" in line)
    assert conv.count("█") == round(BAR * 0.75)
    assert "CONV_2D: Convolution" in conv and conv.endswith("stem")
    assert "Static Reshape" in text and "SIGN: SIGN" not in text


def test_what_is_unknown_is_left_out():
    text = benchmark_text(FOUND)
    assert "governor" not in text and "mhz" not in text
    assert "virtual       no" in text
    assert text.endswith("note: the host was busy")


def test_a_missing_profile_has_its_reason():
    text = benchmark_text({**FOUND, "profile": {"how": "", "why": "it has no kernels", "operators": []}})
    assert "no profile of operators: it has no kernels" in text


def test_threads_are_held_against_the_declared_number():
    figures = {"latency_p50_ms": 2.0, "latency_p90_ms": 2.2, "snr_db": 90.0}
    swept = {**figures, "latency_p50_ms_threads_2": 1.0, "latency_p90_ms_threads_2": 1.3}
    text = benchmark_text({"device": "this host: Some CPU, 2 cores", "figures": swept, "notes": []})
    (two,) = (line for line in text.split("\n") if line.startswith("2 "))
    assert two.split() == ["2", "1", "ms", "1.3", "ms", "2.00", "x"]


def test_a_tool_that_tells_means_alone_is_taken_at_its_word():
    text = benchmark_text({"device": "Google Pixel 7", "p50_ms": None, "mean_ms": 55.04, "runs": 50, "profile": {}})
    assert "mean 55 ms; the tool on the device does not report a median" in text


@pytest.mark.parametrize(
    ("value", "text"), [(0.000451, "0.451 µs"), (0.0567, "56.7 µs"), (1.0, "1 ms"), (15.25, "15.2 ms"), (2500, "2.5 s")]
)
def test_times_have_the_unit_that_reads_best(value, text):
    assert show_ms(value) == text


def test_sizes_and_bars():
    assert (show_bytes(1536), show_bytes(5 << 20)) == ("1.5 KiB", "5.0 MiB")
    assert (bar(100), bar(0.1), bar(0)) == ("█" * BAR, "█", "▏")
