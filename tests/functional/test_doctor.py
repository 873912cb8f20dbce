"""`tflbuild doctor` and what a missed gate advises, on the real command line and without TensorFlow."""

from __future__ import annotations

import json
import shlex

import pytest
from one_op import write_model
from one_op_cases import CASES

pytestmark = pytest.mark.heavy

READY = ("+recipe=ready", "verify.dataset.count=200")
PLANTED = (
    *("source=tflite", "source.path=planted.tflite", "signature=dynamic", "name=planted"),
    *("quantization=int8", "dataset=synthetic", "dataset.count=8"),
    *("verify=parity", "dataset@verify.dataset=synthetic", "verify.dataset.count=8"),
)


def plant(project, *names):
    """A float model of these operators, one after another."""
    (project.folder / "planted.tflite").write_bytes(write_model(*(CASES[name] for name in names)))


def ask(project, *arguments):
    """The answer of `doctor --json`, and what came of each fix."""
    done = project.run("doctor", *arguments, "--json")
    found = json.loads(done.out)
    assert done.code == (0 if found["fix"] or not found["problem"] else 1), done.err
    return found, {trial["fix"]: trial["result"] for trial in found["trials"]}


def test_an_operator_without_an_int8_kernel_is_left_in_float_by_a_rule(project):
    plant(project, "CONV_2D_float32", "COS_float32", "RELU_float32")
    found, results = ask(project, *PLANTED)
    assert "COS computes in float" in found["problem"] and "tflbuild doctor" not in found["problem"]
    rule = "'quantization.rules=[{op:COS,scheme:float32}]'"
    assert results[rule] == "works"
    assert found["fix"] == rule, "it keeps the scheme, and stands before other schemes"
    assert not any("engine=converter" in fix for fix in results), "the source is a .tflite: that does not compose"
    done = project.run(*PLANTED, *shlex.split(found["fix"]))
    assert done.code == 0, done.err


def test_no_rule_is_tried_where_a_target_has_no_floating_point(project):
    plant(project, "CONV_2D_float32", "COS_float32")
    found, results = ask(project, *PLANTED, "target=integer_only")
    assert "COS computes in float" in found["problem"]
    assert results and not any("float32" in fix or "float16" in fix or "dynamic" in fix for fix in results)
    assert "works" not in results.values() and found["fix"] is None


def test_a_fix_that_builds_and_misses_a_gate_is_no_fix(project):
    plant(project, "CONV_2D_float32", "COS_float32", "RELU_float32")
    found, results = ask(project, *PLANTED, "verify.gates.snr_db=100")
    rule = next(result for fix, result in results.items() if "COS" in fix)
    assert rule.startswith("misses a gate: snr_db is ") and "at least 100 is allowed" in rule
    assert not any(result == "works" and "float16" not in fix for fix, result in results.items())
    assert found["fix"] is None or results[found["fix"]] == "works"


@pytest.fixture(scope="module")
def ready(ready_project):
    """The default model's float .tflite, as int8."""
    return ready_project()


def test_doctor_judges_by_the_gates_of_the_recipe(ready):
    gate = "verify.gates.snr_db=38"
    built = ready.run(*READY, gate)
    assert built.code == 3, built.err
    advised = built.err.partition("the cheapest first:")[2]
    first, second = advised.index("quantization.calibration.method=percentile"), advised.index("quantization=int16x8")
    assert first < advised.index("tflbuild sensitivity") < second
    assert "quantization.engine" not in advised, "a .tflite has one engine"
    assert "quantization=auto quantization.budget.snr_db=38" in advised and "`tflbuild doctor`" in advised
    done = ready.run("doctor", *READY, gate)
    assert done.code == 0, done.err
    assert "nothing is wrong" not in done.out and "does not pass its gates" in done.err
    assert "`tflbuild doctor`" not in done.err, "that is what is running"
    assert "misses a gate: snr_db is" in done.out
    command = shlex.split(done.out.splitlines()[-1].removeprefix("works  "))
    again = ready.run(*command[1:])
    assert again.code == 0, again.err


def test_what_stands_in_the_recipe_and_passes_needs_nothing(ready):
    done = ready.run("doctor", *READY, "verify.gates.snr_db=20")
    assert (done.code, done.out) == (0, "nothing is wrong: the recipe builds and passes its gates\n")


def test_too_many_bytes_ask_for_fewer_bits_and_no_more_data(ready):
    built = ready.run(*READY, "quantization=float16", "verify.gates.bytes=200000")
    assert built.code == 3, built.err
    advised = built.err.partition("the cheapest first:")[2]
    assert advised.index("quantization=dynamic_int8") < advised.index("quantization=int8")
    assert "float16:" not in advised and "percentile" not in advised and "auto" not in advised
    found, results = ask(ready, *READY, "quantization=float16", "verify.gates.bytes=200000")
    assert found["fix"] == "quantization=dynamic_int8" and list(results) == [found["fix"]], (
        "the first that passes ends it"
    )


def test_the_targets_of_a_recipe_are_gates_as_well(ready):
    limit = ("target=tflm", "target.tflm.gates.arena_bytes=1000")
    built = ready.run(*READY, *limit)
    assert built.code == 3 and "arena_bytes" in built.err
    found, results = ask(ready, *READY, *limit)
    assert "arena_bytes" in found["problem"] and found["fix"] is None and results == {}


def test_nothing_that_helps_is_said_to_be_so(ready):
    done = ready.run("doctor", *READY, "quantization=none", "verify.gates.top1=1")
    assert done.code == 1
    assert done.out == "no automatic fix is known for this failure\n"


def test_the_advice_of_a_sweep_is_that_of_each_variant(ready):
    done = ready.run("-m", *READY, "quantization=float16,dynamic_int8", "verify.gates.bytes=150000")
    assert done.code == 3, done.err
    errors = done.err.split("error[gate]")[1:]
    assert len(errors) == 2 and all("the cheapest first:" in error for error in errors)
    assert "quantization=dynamic_int4" in errors[1] and "- quantization=dynamic_int8:" not in errors[1]
