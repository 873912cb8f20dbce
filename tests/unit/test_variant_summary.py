from pathlib import Path

import pytest

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.report.variant_summary import SweepRow, label_variants, summarize


def manifest(*flex, **metrics):
    return {
        "artifact": {
            "bytes": 187464,
            "float_bytes": 550704,
            "sha256": "5" * 64,
            "float_sha256": "6" * 64,
            "contents": {"flex_operators": list(flex), "custom_operators": []},
        },
        "metrics": metrics,
        "synthetic_data": [],
        "warnings": [],
    }


VERIFY = {
    "samples": 2000,
    "outputs": {"p": {"max_abs_error": 0.1, "rmse": 0.01, "cosine": 0.99, "snr_db": 34.8}},
    "classification": {
        "top1": 0.93,
        "top1_source": 0.932,
        "top1_drop": 0.002,
        "intervals": {"top1": {"n": 2000, "low": 0.918, "high": 0.94}, "top1_source": {"low": 0.92, "high": 0.942}},
    },
}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (187464, "187 KB"),
        (1234567, "1.23 MB"),
        (999999, "1000 KB"),
        (5e9, "5 GB"),
    ],
)
def test_sizes_have_three_figures(count, text):
    assert show_bytes(count) == text


def test_the_last_line_says_path_size_accuracy_and_digest():
    assert summarize(Path("outputs/net/default/model.tflite"), manifest(verify=VERIFY)) == (
        "outputs/net/default/model.tflite  187 KB (float 551 KB)  top-1 93.0 % (+-1.1) of 2,000 (float 93.2 %)"
        "  sha256 555555555555"
    )


def test_what_an_app_must_link_stands_in_the_last_line():
    assert "needs the Flex delegate (FlexErf)" in summarize(Path("model.tflite"), manifest("FlexErf"))


def test_without_labels_the_worst_output_counts():
    parity = {name: value for name, value in VERIFY.items() if name != "classification"}
    assert "SNR 34.8 dB against the source (2,000 samples)" in summarize(Path("m"), manifest(verify=parity))


def test_what_was_not_verified_says_so():
    assert "unverified" in summarize(Path("m"), manifest())


def rows(*overrides):
    return [SweepRow("default", "ok", None, tuple(told.split())) for told in overrides]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (["+recipe=a quantization=int8", "+recipe=a quantization=none"], ["quantization=int8", "quantization=none"]),
        (["+recipe=a", "+recipe=b"], ["recipe=a", "recipe=b"]),
        (["quantization.engine=x a.b=1", "quantization.engine=y a.b=2"], ["engine=x b=1", "engine=y b=2"]),
        (["dataset.count=1 verify.dataset.count=2", ""], ["dataset.count=1 verify.dataset.count=2", "default"]),
        (["+recipe=a x=1"], ["default"]),
    ],
)
def test_variants_are_labelled_by_what_tells_them_apart(told, shown):
    assert label_variants(rows(*told)) == shown


def trained(*steps, **weights):
    made = manifest(verify=VERIFY)
    made["artifact"] |= {"gzip_bytes": 108621}
    made["artifact"]["contents"]["weights"] = {"zeros": 0.5, "in_pairs": 0.9, "channel_distinct": 16, **weights}
    pruned, clustered = (["layer"] if step in steps else [] for step in ("prune", "cluster"))
    return made | {"optimized": {"steps": list(steps), "pruned": pruned, "clustered": clustered}}


def test_a_trained_model_says_how_it_packs():
    assert "187 KB (float 551 KB), gzip 109 KB  top-1" in summarize(Path("m"), trained("qat"))
    assert ", gzip 109 KB with 50.0% zero weights  top-1" in summarize(Path("m"), trained("prune"))
    assert "50.0% zero weights, two of four  " in summarize(Path("m"), trained("prune", in_pairs=1.0))
    assert "gzip 109 KB with 16 values a channel" in summarize(Path("m"), trained("cluster"))
    assert "gzip" not in summarize(Path("m"), manifest(verify=VERIFY))
