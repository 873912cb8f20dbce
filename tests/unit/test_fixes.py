"""What is proposed for a failure or a missed gate, in which order."""

from dataclasses import replace

import pytest
from frozen import int8, recipe

from tflbuild.config.composing.compose import compose
from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Opset, Quantization, QuantizationRule, Target, Verify
from tflbuild.core.step_result import Failure
from tflbuild.search.fixes import (
    MeasuredSizes,
    find_gate_fixes,
    find_repairs,
    gate_subject,
    keep_worst_in_float,
    write_rules,
)

SIZES = MeasuredSizes(float_bytes=1_000_000, artifact=280_000)
TILE = [{"op": "TILE", "match": ""}]
SNR = Gate("snr_db", 20.0, 12.0)
BYTES = Gate("bytes", 200_000, 280_000)


def failure(fixes=(), operators=TILE):
    return Failure(kind="build", what="not what was declared", fixes=fixes, operators=operators)


def overrides(found):
    return [remedy.overrides for remedy in found if remedy.overrides]


def test_ways_to_the_same_scheme_come_before_other_schemes():
    found = find_repairs(recipe(), failure(fixes=("quantization=float16", "source.fused_lstm=true")))
    assert found == [
        "source.fused_lstm=true",
        "quantization.engine=converter",
        "quantization.symmetric=true",
        "quantization.granularity=per_tensor",
        "quantization.rules=[{op:TILE,scheme:float32}]",
        "quantization=float16",
    ]


def test_rules_take_the_engine_that_reads_them():
    found = find_repairs(recipe(quantization=int8(engine="converter")), failure())
    assert found[0] == "quantization.engine=litert"
    assert found[-1] == "quantization.engine=litert quantization.rules=[{op:TILE,scheme:float32}]"


def test_a_failure_that_blames_no_operator_has_its_own_fixes_alone():
    assert find_repairs(recipe(), failure(fixes=("a=1", "b=2", "a=1"), operators=())) == ["a=1", "b=2"]
    assert find_repairs(recipe(quantization=Quantization(scheme="none")), failure()) == []


def test_a_failure_of_a_scheme_has_other_ways_to_it_tried_though_it_blames_no_operator():
    found = find_repairs(recipe(), failure(fixes=("quantization=float16",), operators=()))
    assert "quantization.granularity=per_tensor" in found and found[-1] == "quantization=float16"
    assert not any("rules" in fix for fix in found)


def test_no_rule_is_proposed_where_nothing_may_be_float():
    for changes in ({"opset": Opset(arithmetic="int8")}, {"targets": (Target(name="board", full_integer=True),)}):
        assert not any("rules" in fix for fix in find_repairs(recipe(**changes), failure()))


def test_rules_that_the_recipe_has_are_kept():
    rules = (QuantizationRule(match="head/", op="", scheme="int16x8"),)
    found = find_repairs(recipe(quantization=int8(rules=rules)), failure())
    assert 'quantization.rules=[{match:"head/",scheme:static_wi8_ai16},{op:TILE,scheme:float32}]' in found


@pytest.mark.parametrize(
    "match",
    ["^a/b;c(;|$)", r"^it's\.a\[0\]$", 'say "so"', r"with\ blank and one", r"back\\slash", "a,b:{c}", "(#|%)=$"],
)
def test_rules_on_a_command_line_are_read_as_they_were_meant(match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rules = [QuantizationRule(match=match, op="", scheme="none"), QuantizationRule(match="", op="TILE", scheme="int8")]
    word = write_rules(rules)
    assert " " not in word
    (composed,) = compose(["+recipe=mobilenet_int8", word])
    (first, second) = composed.build.quantization.rules
    assert first.match == match.replace(r"\ ", r"\s").replace(" ", r"\s") and first.scheme == "float32"
    assert (second.op, second.scheme) == ("TILE", "static_wi8_ai8")


def test_against_lost_accuracy_what_keeps_the_size_comes_first():
    found = find_gate_fixes(recipe(quantization=int8(granularity="per_tensor", symmetric=True)), [SNR], SIZES)
    assert overrides(found) == [
        "quantization.granularity=per_channel",
        "quantization.symmetric=false",
        "quantization.calibration.method=percentile",
        "quantization.engine=converter",
        "quantization=int16x8",
        "quantization=dynamic_int8",
        "quantization=float16",
        "quantization=none",
        "quantization=auto quantization.budget.snr_db=20",
    ]
    texts = [remedy.text for remedy in found if not remedy.overrides]
    assert any("tflbuild advise" in text for text in texts) and any("tflbuild sensitivity" in text for text in texts)


def test_what_is_set_already_is_not_proposed():
    quantization = int8(engine="converter", calibration={"method": "percentile"})
    found = overrides(find_gate_fixes(recipe(quantization=quantization), [SNR], SIZES))
    assert found[0] == "quantization.engine=litert"
    assert not any("granularity" in one or "method" in one or "symmetric" in one for one in found)


def test_schemes_that_need_data_are_not_proposed_without_it():
    bare = recipe(quantization=Quantization(scheme="none"), dataset=None)
    found = overrides(find_gate_fixes(bare, [BYTES], MeasuredSizes(1_000_000, 1_000_000)))
    assert "quantization=dynamic_int4" in found and not any("int8" in one.split("=")[1][:4] for one in found)


def test_rules_for_single_operators_are_not_advised_where_nothing_may_be_float():
    for changes in ({"opset": Opset(arithmetic="int8")}, {"targets": (Target(name="board", full_integer=True),)}):
        found = find_gate_fixes(recipe(**changes), [SNR], SIZES)
        assert not any("sensitivity" in remedy.text for remedy in found)


def test_against_too_many_bytes_what_keeps_the_limit_and_loses_least_comes_first():
    floats = recipe(quantization=Quantization(scheme="none"))
    found = find_gate_fixes(floats, [Gate("bytes", 400_000, 1_000_000)], MeasuredSizes(1_000_000, 1_000_000))
    assert overrides(found)[0] == "quantization=dynamic_int8", "float16 would have about 500 KB"
    assert "about 288 KB" in found[0].text


def test_a_limit_that_no_scheme_keeps_is_said_to_be_one():
    found = find_gate_fixes(recipe(), [Gate("bytes", 10_000, 280_000)], SIZES)
    assert overrides(found) == ["quantization=dynamic_int4", "quantization=int4"]
    assert found[-1].text == "no scheme alone makes it 10 KB: fewer channels or layers would"


def test_what_would_break_the_limit_on_bytes_is_no_remedy_for_lost_accuracy():
    limited = recipe(verify=Verify(kind="parity", gates=(("bytes", 300_000.0), ("snr_db", 20.0))))
    found = overrides(find_gate_fixes(limited, [SNR], SIZES))
    assert "quantization=int16x8" in found and "quantization=float16" not in found and "quantization=none" not in found
    both = overrides(find_gate_fixes(limited, [SNR, BYTES], SIZES))
    assert "quantization=int4" not in both and "quantization.calibration.method=percentile" in both


def test_a_limit_of_a_target_on_time_or_memory_asks_for_another_scheme():
    wide = recipe(quantization=replace(int8(), scheme="int16x8", input_type="int16", output_type="int16"))
    assert overrides(find_gate_fixes(wide, [Gate("board.arena_bytes", 1.0, 2.0)], SIZES)) == ["quantization=int8"]
    assert overrides(find_gate_fixes(recipe(), [Gate("cpu.latency_p50_ms", 1.0, 2.0)], SIZES)) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("snr_db", "accuracy"),
        ("top1_drop", "accuracy"),
        ("outputs.boxes.max_abs_error", "accuracy"),
        ("at_least.recall", "accuracy"),
        ("at_most.bytes", "accuracy"),
        ("gpu.snr_db", "accuracy"),
        ("bytes", "size"),
        ("gzip_bytes", "size"),
        ("tflm.arena_bytes", "speed"),
        ("cpu.latency_p90_ms", "speed"),
    ],
)
def test_what_a_gate_is_about(name, kind):
    assert gate_subject(name) == kind


@pytest.mark.parametrize("scheme", ["none", "float16", "dynamic_int8", "int8", "int4"])
def test_an_estimate_for_a_scheme_starts_from_what_was_measured(scheme):
    """A model of 900 KB weights and 100 KB besides."""
    bits = {"none": 1, "float16": 2, "dynamic_int8": 4, "int8": 4, "int4": 8}[scheme]
    measured = 100_000 + 900_000 // 4
    assert MeasuredSizes(1_000_000, measured).estimate(scheme, "int8") == 100_000 + 900_000 // bits


def test_the_operators_that_lose_most_are_spared_one_by_one_but_not_most_of_them():
    rows = [{"name": f"layer_{number}", "twins": ["twin"] if number == 0 else []} for number in range(9)]
    first, second = keep_worst_in_float(recipe(), rows)
    assert "layer_0(;|$)" in first and "twin(;|$)" in first and "layer_1" not in first
    assert all(f"layer_{number}(;|$)" in second for number in range(3)) and "layer_3" not in second
