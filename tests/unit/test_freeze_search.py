"""What quantization=auto may be told, and what it refuses."""

import pytest
from freezing import frozen, refused

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.errors import RecipeError
from tflbuild.pipeline.search_stage import require_candidates

PARITY = ("source.path=net.keras", "verify=parity", "verify.dataset.path=test.npz")
AUTO = (*PARITY, "quantization=auto")
BUDGET = "quantization.budget.snr_db=30"


pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_budget_is_named_as_gates_are():
    search = frozen(*AUTO, BUDGET, "quantization.budget.outputs.y.cosine=0.9", "quantization.budget.bytes=100").search
    assert search.budget == (("bytes", 100.0), ("outputs.y.cosine", 0.9), ("snr_db", 30.0))


def test_a_search_needs_a_budget():
    assert refused(*AUTO).what == "quantization=auto has no budget"


def test_a_search_needs_evaluation_data():
    error = refused("source.path=net.keras", "quantization=auto", "quantization.budget.bytes=100")
    assert error.what == "quantization=auto needs evaluation data"


def test_a_budget_is_of_what_is_measured():
    error = refused(*AUTO, "quantization.budget.top1_drop=0.01")
    assert error.what == "the gate 'top1_drop' is not measured by verify=parity"
    assert error.where.startswith("command line: quantization.budget.top1_drop")


def test_a_metric_in_a_budget_is_declared():
    error = refused(*AUTO, "verify.metrics.wer=m.py:f", "quantization.budget.at_most.wre=0.1")
    assert (error.what, error.why) == ("there is no metric 'wre'", "did you mean: wer")
    assert frozen(*AUTO, "verify.metrics.wer=m.py:f", "quantization.budget.at_most.wer=0.1").search is not None


def test_a_metric_is_a_reference():
    assert "must be 'file.py:name'" in refused(*PARITY, "verify.metrics.wer=m.py").what


def test_a_recipe_cannot_bring_the_program_that_speaks_to_devices(tmp_path, monkeypatch):
    """A program in the project is refused, also behind a link: steps that use adb are not confined."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(".")
    for program in ("./adb", "tools/adb", f"{tmp_path}/link/adb"):
        assert "benchmark.adb" in refused(*AUTO, BUDGET, "benchmark=android", f"benchmark.adb={program}").where
    other = frozen(*AUTO, BUDGET, "benchmark=android", "benchmark.adb=/opt/android/adb")
    assert other.benchmark.options["adb"] == "/opt/android/adb"


def test_latency_needs_a_benchmark():
    assert "needs a benchmark" in refused(*AUTO, BUDGET, "quantization.objective=latency").what
    assert frozen(*AUTO, BUDGET, "quantization.objective=latency", "benchmark=host").search.objective == "latency"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("quantization.schemes=[int9]", "'int9' is no scheme"),
        ("quantization.schemes=[]", "'quantization.schemes' is empty"),
        ("quantization.trials=0", "'quantization.trials' is 0, and must be at least 1"),
        ("quantization.samples=0", "'quantization.samples' is 0, and must be at least 1"),
        ("quantization.budget.snr_db=nan", "must be a finite number"),
    ],
)
def test_values_that_leave_nothing_to_try_are_refused(override, told):
    assert told in refused(*AUTO, BUDGET, override).what


def test_schemes_may_be_named_in_the_fields_grammar():
    search = frozen(*AUTO, BUDGET, "quantization.schemes=[float32,static_wi8_ai8,int8]").search
    assert search.schemes == ("none", "int8")


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("top1_drop=5", "a share from -1 to 1"),
        ("top1=93", "a share from 0 to 1"),
        ("cosine=1.5", "from -1 to 1"),
        ("bytes=0", "at least 1"),
        ("outputs.y.rmse=-1", "at least 0"),
    ],
)
@pytest.mark.parametrize("place", ["quantization.budget", "verify.gates"])
def test_a_limit_that_always_or_never_holds_is_refused(place, limit, told):
    error = refused(*AUTO, BUDGET, "verify=classification", "verify.dataset.label=y", f"{place}.{limit}")
    assert told in error.what and error.where == f"command line: {place}.{limit}"


@pytest.mark.parametrize(
    ("overrides", "reason", "then"),
    [
        (("quantization.schemes=[int8,int4]",), "int8: quantization=int8 has no calibration data", "dataset=npz"),
        (("target=integer_only",), "none: target=integer_only takes integer models alone", "quantization.input_type"),
        (("opset=int8_only",), "int8: the op set allows int8 arithmetic alone", "an integer type"),
        (
            ("quantization.schemes=[float16]", "quantization.input_type=int8"),
            "float16: it has only float32 inputs and outputs",
            "quantization.schemes=",
        ),
    ],
)
def test_a_search_in_which_nothing_may_be_tried_is_refused(overrides, reason, then):
    data = () if "int4" in overrides[0] else ("dataset=npz", "dataset.path=x.npz")
    (composed,) = compose([*AUTO, BUDGET, *data, *overrides])
    with pytest.raises(RecipeError) as caught:
        require_candidates(freeze(composed), composed.locations)
    assert caught.value.what == "quantization=auto has no scheme that it may try"
    assert reason in caught.value.why
    assert then in caught.value.next_step


def test_an_algorithm_that_a_scheme_has_not_leaves_the_others():
    told = ("quantization.algorithms=[oscar]", "quantization.schemes=[int8,dynamic_int8]")
    (composed,) = compose([*AUTO, BUDGET, "dataset=npz", "dataset.path=x.npz", *told])
    require_candidates(freeze(composed), composed.locations)


def test_a_budget_may_demand_a_confidence():
    labelled = (*AUTO[:1], "verify=classification", "verify.dataset.path=t.npz", "verify.dataset.label=l")
    asked = (*labelled, "quantization=auto", "quantization.budget.confidence=0.9")
    assert frozen(*asked, "quantization.budget.top1_drop=0.01").search.confidence == 0.9
    error = refused(*asked, "quantization.budget.bytes=100")
    assert error.what == "'quantization.budget.confidence' has no gate that it applies to"
