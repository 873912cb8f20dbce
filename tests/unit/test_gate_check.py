"""What is said of a missed gate: remedies that compose, no others."""

from pathlib import Path

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.pipeline.gate_check import filter_composable
from tflbuild.report.questions.doctor_text import FixTrial, cells, choose_fix, cut, without_replaced
from tflbuild.search.fixes import Fix

NET = """
defaults: [{override /quantization: int8}, {override /dataset: npz}, {override /verify: parity}]
source: {path: net.keras}
dataset: {path: train.npz}
verify: {dataset: {path: test.npz}, gates: {snr_db: 20}}
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Which remedies of a recipe are kept, as their overrides or texts."""
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text(NET)

    def keep(*remedies, arguments=("+recipe=net",), most=9):
        (composed,) = compose(list(arguments))
        found = filter_composable(freeze(composed), remedies, composed.locations, most)
        return [remedy.overrides or remedy.text for remedy in found]

    return keep


def remedies(*overrides):
    return [Fix(one, "") for one in overrides]


def test_what_does_not_compose_is_no_remedy(kept):
    assert kept(
        *remedies("quantization=none quantization.symmetric=true", "no.such=1", "quantization=dynamic_int8")
    ) == ["quantization=dynamic_int8"]
    floats = remedies("quantization=float16", "quantization.calibration.method=percentile")
    assert kept(*floats, arguments=("+recipe=net", "target=integer_only")) == [floats[1].overrides]


def test_what_changes_nothing_is_no_remedy(kept):
    same = remedies("quantization=int8", "quantization.engine=litert", "quantization.symmetric=false")
    assert kept(*same, *remedies("quantization.symmetric=true", "quantization.symmetric=True")) == [
        "quantization.symmetric=true"
    ]


def test_an_override_of_the_command_line_is_replaced(kept):
    told = ("+recipe=net", "quantization=float16")
    assert kept(*remedies("quantization=float16", "quantization=none"), arguments=told) == ["quantization=none"]


def test_the_cheapest_are_named_and_the_search_always_is(kept):
    found = kept(
        Fix("", "by hand"),
        *remedies("quantization.symmetric=true", "quantization=float16"),
        Fix("quantization=auto quantization.budget.snr_db=20", "", searches=True),
        most=2,
    )
    assert found == ["by hand", "quantization.symmetric=true", "quantization=auto quantization.budget.snr_db=20"]


def test_a_fix_is_shown_as_a_shell_takes_it_and_cut_where_it_is_long():
    trial = FixTrial('a=1 quantization.rules=[{match:"^a;b$",scheme:float32}]', None, {})
    assert cells(trial)[0] == trial.command == "a=1 'quantization.rules=[{match:\"^a;b$\",scheme:float32}]'"
    assert cut("x" * 60) == "x" * 60 and cut("x" * 61) == "x" * 57 + "..."


def test_the_command_that_works_does_not_set_a_key_twice():
    arguments = ["doctor", "+recipe=net", "quantization=int8", "++quantization.rules=[]", "quantization.engine=litert"]
    kept = without_replaced(arguments, FixTrial("quantization=float16 quantization.rules=[{op:TILE}]", None, {}))
    assert kept == ["doctor", "+recipe=net", "quantization.engine=litert"]


def test_a_fix_that_leaves_all_in_float_gives_way_to_a_much_smaller_one_that_is_no_worse():
    def worked(fix, size, error):
        output = {"max_abs_error": error, "rmse": error, "cosine": 1.0, "snr_db": 30.0}
        return FixTrial(fix, None, {"check": {"bytes": size}, "verify": {"outputs": {"y": output}}})

    spared = worked("quantization.rules=[{op:CONV_3D,scheme:float32}]", 16_300, 0.0174)
    dynamic = worked("quantization=dynamic_int8", 6_050, 0.003)
    assert choose_fix([spared, dynamic]) == dynamic
    assert choose_fix([spared, worked("quantization=dynamic_int8", 14_000, 0.003)]) == spared
    assert choose_fix([spared, worked("quantization=dynamic_int4", 5_000, 0.1)]) == spared


def test_what_a_fix_leaves_unread_is_not_in_its_command():
    arguments = ["doctor", "+recipe=net", "quantization=int8", "dataset=synthetic", "dataset.count=8"]
    trial = FixTrial("quantization=dynamic_int8", None, {}, without=("dataset.count=8",))
    assert without_replaced(arguments, trial) == ["doctor", "+recipe=net", "dataset=synthetic"]
