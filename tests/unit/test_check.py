import pytest
from one_op import Case, T, write_model

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.checking import check
from tflbuild.tflite.tflite_reader import read_model


@pytest.fixture
def run_once(tmp_path):
    """The one call of an artifact that has this operator alone."""

    def run(*cases):
        (tmp_path / "model.tflite").write_bytes(write_model(*cases))
        asked = StepRequest(
            tmp_path,
            {"run": {"delegate": "reference", "threads": 1}},
            {"model": tmp_path / "model.tflite"},
            {},
        )
        specs = [{"shape": [4], "dtype": case.inputs[0].type} for case in cases[:1]]
        model = read_model(tmp_path / "model.tflite")
        check.run_once(asked, model, {"key": model.signatures[0].key, "inputs": specs})

    return run


def test_a_function_that_is_not_defined_at_zero_is_tried_at_one(run_once, capsys):
    whole = T((4,), "int32")
    run_once(Case("div", "DIV", (whole, whole), (whole,), "DivOptions", {}))
    assert capsys.readouterr().out == "the runtime refused zeros; running on ones\n"


def test_what_no_values_run_is_refused(run_once):
    with pytest.raises(WorkerError):
        run_once(
            Case("div", "DIV", (T((4,), "int32"), T((4,), "int32", [0] * 4)), (T((4,), "int32"),), "DivOptions", {})
        )
