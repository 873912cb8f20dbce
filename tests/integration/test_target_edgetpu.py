"""The step `prove_edgetpu` with a stand-in that speaks as Coral's compiler does: the compiler itself is in no registry.

The stand-in prints a log of tests/edgetpu_logs.py and writes the model that it is given; it compiles nothing.
"""

import json
import sys

import edgetpu_logs as logs
import pytest
from one_op import write_model
from one_op_cases import CASES

from tflbuild.core.verdict import LINTED, PROVEN, read_verdict
from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.targets.edgetpu import proof as target_edgetpu
from tflbuild.targets.edgetpu.compiler_log import MAPPED, SECOND_SUBGRAPH

pytestmark = pytest.mark.heavy

STAND_IN = """#!{python}
import pathlib, sys, time
place = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
assert "-s" in sys.argv and pathlib.Path(sys.argv[-1]).is_file(), sys.argv
(place / "asked.txt").write_text(" ".join(sys.argv[1:]))
left = pathlib.Path({left!r})
if left.is_file():
    (place / "model_edgetpu.tflite").write_bytes(left.read_bytes())
print({log!r})
"""
NOTHING_LEFT = ("RELU_N1_TO_1_int8",)  # an operator that is in none of the models, for the compiler's own
CHAIN = ("CONV_2D_int8_relu6", "HARD_SWISH_int8", "CONV_2D_int8")
PARTLY = logs.log(("CONV_2D", 1, MAPPED), ("CONV_2D", 1, SECOND_SUBGRAPH), ("HARD_SWISH", 1, "Operation not supported"))


@pytest.fixture
def prove(tmp_path, monkeypatch):
    """Run the step on a chain of cases; `log` None: no compiler is there. `left`: what the compiled model still has."""

    def run(*names, log=None, left=None, compiler=None, **told):
        (tmp_path / "bin").mkdir()
        (tmp_path / "outputs").mkdir()
        (tmp_path / "model").write_bytes(write_model(*(CASES[name] for name in names)))
        if left is not None:
            (tmp_path / "left").write_bytes(write_model(*(CASES[name] for name in left)))
        if log is not None:
            program = tmp_path / "bin" / "edgetpu_compiler"
            program.write_text(STAND_IN.format(python=sys.executable, left=str(tmp_path / "left"), log=log))
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        target = {"name": "coral", "runtime": "edgetpu", "table": "edgetpu", "version": ""}
        tool = {} if log is None and compiler is None else {"compiler": compiler or logs.VERSION}
        params = {"target": target | told, "tool": tool, "to_prove": ""}
        request = StepRequest(tmp_path, params, {"model": tmp_path / "model"}, {}, "target")
        facts = json.loads(json.dumps(target_edgetpu.run(request)))
        assert json.loads((tmp_path / "outputs" / "verdict.json").read_text()) == facts["verdict"]
        verdict = read_verdict(facts["verdict"])
        return verdict, sorted(path.name for path in (tmp_path / "outputs" / "compiled").iterdir())

    return run


def test_without_the_compiler_it_is_linted_and_says_what_to_install(prove):
    verdict, compiled = prove(*CHAIN)
    assert (verdict.proof, compiled, verdict.figures) == (LINTED, [], {})
    assert "edgetpu-compiler" in verdict.to_prove
    assert [one.index for one in verdict.fallbacks] == [1, 2]


def test_all_mapped(prove):
    log = logs.log(("CONV_2D", 1, MAPPED), ("RELU", 1, MAPPED), on_chip="1.50MiB", left="6.00MiB", off_chip="2.00KiB")
    verdict, compiled = prove("CONV_2D_int8", "RELU_int8", log=log, left=NOTHING_LEFT)
    assert (verdict.proof, verdict.runs, verdict.on_delegate, verdict.partitions) == (PROVEN, True, 2, 1)
    assert verdict.fallbacks == ()
    assert compiled == ["model_edgetpu.tflite"]
    assert verdict.figures["on_chip_bytes"] == 1.5 * 2**20
    assert verdict.figures["off_chip_bytes"] == 2048
    assert verdict.figures["compiled_bytes"] > 0
    assert logs.VERSION in verdict.how


def test_partly(prove):
    verdict, compiled = prove(*CHAIN, log=PARTLY, left=("HARD_SWISH_int8", "CONV_2D_int8"))
    assert (verdict.proof, verdict.ops, verdict.on_delegate, verdict.partitions) == (PROVEN, 3, 1, 1)
    assert compiled == ["model_edgetpu.tflite"]
    assert [(one.op, one.layer) for one in verdict.fallbacks] == [
        ("HARD_SWISH", "HARD_SWISH_int8/out0"),
        ("CONV_2D", "CONV_2D_int8/out0"),
    ]
    assert "Operation not supported" in verdict.fallbacks[0].reason
    assert SECOND_SUBGRAPH in verdict.fallbacks[1].reason
    assert not any("foresaw" in note for note in verdict.notes)


def test_where_the_compiler_does_otherwise_than_the_rules(prove):
    rows = (("CONV_2D", 1, "Operation not supported"), ("RELU", 1, MAPPED))
    verdict, _ = prove("CONV_2D_int8", "RELU_int8", log=logs.log(*rows), left=("CONV_2D_int8",))
    assert [one.op for one in verdict.fallbacks] == ["CONV_2D"]
    assert "the published rules predict 2 operators on the Edge TPU, the compiler maps 1" in verdict.notes


def test_an_error_of_the_compiler_is_a_verdict(prove):
    verdict, compiled = prove(*CHAIN, log=logs.CRASHED)
    assert (verdict.proof, verdict.runs, verdict.on_delegate, compiled) == (PROVEN, False, 0, [])
    assert "Internal compiler error" in verdict.how
    assert len(verdict.fallbacks) == 3
    assert all("Internal compiler error" in one.reason for one in verdict.fallbacks)


def test_too_late_is_a_failure_that_is_not_kept(prove):
    with pytest.raises(WorkerError, match="not done in 180 s"):
        prove("RELU_int8", log=logs.LATE, timeout_s=180)


def test_another_compiler_than_the_plan_saw(prove):
    with pytest.raises(WorkerError, match=r"15\.0 was planned with"):
        prove("RELU_int8", log=logs.log(("RELU", 1, MAPPED)), left=NOTHING_LEFT, compiler="15.0")


def test_a_compiler_that_went_away(prove):
    with pytest.raises(WorkerError, match="not on the PATH"):
        prove("RELU_int8", compiler=logs.VERSION)


def test_many_partitions_are_asked_for(prove, tmp_path):
    rows = (("CONV_2D", 2, MAPPED), ("HARD_SWISH", 1, "Operation not supported"))
    prove(*CHAIN, log=logs.log(*rows), left=("HARD_SWISH_int8",), multiple_subgraphs=True, timeout_s=60)
    asked = (tmp_path / "edgetpu" / "asked.txt").read_text().split()
    assert asked[0] == "-a"
    assert asked[asked.index("-t") + 1] == "60"
