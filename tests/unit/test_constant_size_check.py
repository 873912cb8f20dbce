"""What stays wider than a scheme says: excused by name, or a finding."""

from __future__ import annotations

import numpy as np
import pytest
from one_op import Case, T, write_model

from tflbuild.report.variant_notes import constant_notes
from tflbuild.steps.checking import constant_size_check
from tflbuild.steps.checking.constant_value_checks import check_finite
from tflbuild.tflite.tflite_reader import read_buffers, read_model

RANDOM = np.random.default_rng(3)
TABLE = RANDOM.normal(size=(64, 64)).astype(np.float32)
ROW = T((1, 64), "float32")


def dense(name, values=TABLE, op="FULLY_CONNECTED", custom=b"", bias=None):
    kind = "" if custom else "FullyConnectedOptions"
    inputs = (ROW, T((64, 64), "float32", values), bias)
    return Case(name, op, inputs, (ROW,), kind, {}, custom=custom)


def coded(name, type="int8", channels=0, scale=1 / 32):
    codes = np.clip(np.rint(TABLE / scale), -127, 127)
    inputs = (ROW, T((64, 64), type, codes, scale=scale, zero_point=0, channels=channels), None)
    return Case(name, "FULLY_CONNECTED", inputs, (ROW,), "FullyConnectedOptions", {})


def look(tmp_path, *cases, scheme="dynamic_int8", rules=()):
    """(findings, the constants as JSON) of a model that a quantizer made so."""
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(*cases))
    model = read_model(path)
    constants = constant_size_check.list_constants(model)
    exemptions = constant_size_check.find_exemptions(constants, {"scheme": scheme, "rules": rules})
    total = sum(constant.tensor.elements * 4 for constant in constants)
    copies = constant_size_check.find_copies(constants, read_buffers(path))
    described = constant_size_check.describe_constants(constants, exemptions, copies)
    return [finding.text for finding in constant_size_check.check_budget(exemptions, total)], described


def reasons(described):
    return [one["reason"] for one in described["wider"]]


def test_a_large_constant_that_stays_float_for_no_reason_is_a_finding_with_its_name(tmp_path):
    (text,), described = look(tmp_path, dense("fc"), coded("other"))
    assert text.startswith("fc/in1 stays float32: 16,384 bytes, 50% of the float model's constants, read by FULLY")
    assert described["count"] == 2 and described["bytes"] == 16384 + 4096


def test_so_is_one_that_an_operator_of_the_app_reads(tmp_path):
    (text,), _ = look(tmp_path, dense("own", op="MyLookup", custom=b"\0"))
    assert "own/in1 stays float32" in text and "read by MyLookup" in text


def test_a_small_share_is_named_alone(tmp_path):
    findings, described = look(tmp_path, *(coded(f"c{number}") for number in range(12)), dense("fc"))
    assert findings == [] and reasons(described) == [""]


def test_a_rule_a_bias_and_one_value_a_channel_are_reasons(tmp_path):
    bias = T((1, 512), "float32", np.zeros((1, 512)))
    wide = Case("add", "ADD", (T((1, 512), "float32"), bias), (T((1, 512), "float32"),), "AddOptions", {})
    biased = dense("fc", bias=T((512,), "float32", np.zeros(512)))
    rule = {"op": "FULLY_CONNECTED", "match": "", "scheme": "none"}
    findings, described = look(tmp_path, biased, rules=[rule])
    assert findings == [] and [one["by_rule"] for one in described["wider"]] == [True, True]
    assert reasons(look(tmp_path, wide)[1]) == ["one value a channel"]
    assert "a bias, which kernels add as it is" in reasons(look(tmp_path, biased)[1])


def test_int8_where_int4_was_declared_names_the_operator_without_a_kernel(tmp_path):
    inputs = (T((1, 64, 64), "float32"), T((64, 64), "int8", np.rint(TABLE * 30), scale=1 / 30, zero_point=0))
    case = Case("mul", "BATCH_MATMUL", inputs, (T((1, 64, 64), "float32"),), "BatchMatMulOptions", {})
    findings, described = look(tmp_path, case, scheme="dynamic_int4")
    assert findings == [] and reasons(described) == ["BATCH_MATMUL has no int4 kernel"]


def test_the_same_values_in_two_codes_are_told(tmp_path):
    _, described = look(tmp_path, coded("one", scale=1 / 32), coded("two", scale=1 / 25))
    assert [copy["bytes"] for copy in described["copies"]] == [4096]
    other = Case("other", "FULLY_CONNECTED", (ROW, T((64, 64), "int8", TABLE[::-1] * 30)), (ROW,), "", {})
    assert look(tmp_path, coded("one"), other)[1]["copies"] == []


def manifest(described, bytes, float_bytes):
    return {"artifact": {"bytes": bytes, "float_bytes": float_bytes, "contents": {"constants": described}}}


def test_a_quantized_artifact_near_the_float_size_says_why(tmp_path):
    rule = {"op": "FULLY_CONNECTED", "match": "", "scheme": "none"}
    _, described = look(tmp_path, dense("fc"), rules=[rule])
    first, second = constant_notes(manifest(described, 16900, 17000))
    assert first == "99% of the float model's bytes: 1 of 1 constants above 1 KiB stay wide"
    assert second == (
        "1 constant stays wider than the scheme says: fc/in1 float32 16.4 KB, 100% of all constants"
        " (a rule leaves FULLY_CONNECTED at this width)"
    )
    assert constant_notes(manifest(described, 9000, 17000)) == [], "a rule is the user's own word"


def test_a_small_model_says_that_its_structure_is_large():
    described = {"count": 0, "bytes": 0, "wider": [], "copies": []}
    (note,) = constant_notes(manifest(described, 11500, 12000))
    assert "constants above 1 KiB are only 0 B of 11.5 KB, the rest is the structure of the file" in note


@pytest.mark.parametrize(
    ("values", "source", "text"),
    [
        ([np.inf, 1], [1e5, 1], "1 of 2 values of the constant c/in1 are infinite; quantizing made them"),
        ([np.nan, 1], [1, 1], "1 of 2 values of the constant c/in1 are NaN; quantizing made them"),
        ([np.nan, 1], [np.nan, 1], "the float model holds NaN too: they are the source's"),
        ([-np.inf, 1], [-np.inf, 1], None),
        ([-np.inf, 1], None, None),
        ([np.nan, 1], None, "the source holds them, or converting it made them"),
    ],
)
def test_what_is_no_number_is_found_and_says_whose_fault_it_is(tmp_path, values, source, text):
    models = []
    for name, numbers in (("artifact", values), ("source", source)):
        one = T((2,), "float32")
        path = tmp_path / name
        case = Case("c", "ADD", (one, T((2,), "float32", numbers or [0, 0])), (one,), "AddOptions", {})
        path.write_bytes(write_model(case))
        models.append((read_model(path), read_buffers(path)))
    (made, buffers), (before, source_buffers) = models
    found = list(check_finite(made, buffers, before if source else None, source_buffers if source else ()))
    assert [finding.rule for finding in found] == ([] if text is None else ["finite"])
    assert text is None or text in found[0].text


def test_float16_says_what_it_can_hold(tmp_path):
    one = T((2,), "float32")
    for name, type in (("artifact", "float16"), ("source", "float32")):
        with np.errstate(over="ignore"):
            case = Case("c", "ADD", (one, T((2,), type, np.array([1e5, 1]))), (one,), "AddOptions", {})
            (tmp_path / name).write_bytes(write_model(case))
    (artifact, source) = (tmp_path / "artifact", tmp_path / "source")
    made = check_finite(read_model(artifact), read_buffers(artifact), read_model(source), read_buffers(source))
    assert "a float16 holds at most 65504" in next(made).text
