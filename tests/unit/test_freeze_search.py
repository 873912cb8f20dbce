"""What quantization=auto may be told, and what it refuses."""

import pytest
from freezing import frozen, refused

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
