"""Limits held against what was measured, and where they were written."""

import pytest
from frozen import recipe

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.core.recipe import Search, Verify
from tflbuild.errors import RecipeError
from tflbuild.pipeline.search_stage import evaluate_gates, limit_key

FACTS = {
    "check": {"bytes": 10},
    "verify": {"outputs": {"scores": {"max_abs_error": 0.1, "rmse": 0.1, "cosine": 0.9, "snr_db": 30.0}}},
}
SEARCH = Search(budget=(("outputs.score.snr_db", 30.0),), schemes=("int8",))


@pytest.mark.parametrize(("search", "place"), [(None, "verify.gates"), (SEARCH, "quantization.budget")])
def test_a_limit_on_an_output_that_there_is_not_is_a_mistake_in_the_recipe(search, place):
    asked = recipe(verify=Verify(kind="parity", gates=(("outputs.score.snr_db", 30.0),)), search=search)
    written = f"{place}.outputs.score.snr_db=30"
    with pytest.raises(RecipeError) as caught:
        evaluate_gates(asked, FACTS, KeyLocations(overrides=(written,)))
    error = caught.value
    assert (error.what, error.where) == ("there is no output 'score'", f"command line: {written}")
    assert (error.why, error.next_step) == ("did you mean: scores", "the outputs are: scores")


def test_a_limit_has_the_key_that_set_it():
    asked = recipe(search=Search(budget=(("top1_drop", 0.5), ("snr_db", 9.0)), schemes=("int8",)))
    assert limit_key(asked, "snr_db", 9.0) == "quantization.budget.snr_db"
    assert limit_key(asked, "top1_drop", 0.01) == "verify.gates.top1_drop"
