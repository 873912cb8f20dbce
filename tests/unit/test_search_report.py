"""What a person and a program are told of a search."""

from dataclasses import replace

from frozen import int8

from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Quantization
from tflbuild.core.search_result import SearchResult, SearchTrial
from tflbuild.core.step_result import Failure
from tflbuild.report.likely_mistakes import list_likely_mistakes
from tflbuild.report.search_text import failure_lines, search_json, search_text

FIGURES = {"max_abs_error": 0.1, "rmse": 0.1, "cosine": 0.9, "snr_db": 30.0}
FACTS = {"check": {"bytes": 12345678, "gzip_bytes": 7654321}, "verify": {"samples": 9, "outputs": {"y": FIGURES}}}
BUDGET = (("gzip_bytes", 9e6),)
GOOD = SearchTrial("float16", Quantization(scheme="float16"), FACTS, (Gate("gzip_bytes", 9e6, 7654321.0),))
BAD = SearchTrial("int8", int8(), failure=Failure(kind="build", what="it is not int8", why="NEG " * 60 + "\nmore"))
FOUND = SearchResult("size", BUDGET, (GOOD, BAD), GOOD)


def test_a_failed_trial_is_told_with_its_reason_and_no_line_is_wide():
    lines = search_text(FOUND).splitlines()
    assert any(line.startswith("int8: NEG NEG") for line in lines) and "more" not in search_text(FOUND)
    assert all(len(line) <= 120 for line in lines)


def test_where_nothing_was_measured_the_error_alone_gives_the_reason():
    assert failure_lines([BAD]) == []


def test_bytes_are_in_full_in_the_table():
    assert "7,654,321" in search_text(FOUND)


def test_a_program_is_told_why_too():
    assert [one["why"] for one in search_json(FOUND)["trials"]] == ["", BAD.failure.why]


def found_on(part, value):
    """A search whose trials were measured on a part of the samples, and the budget's value on the other."""
    verify = {**FACTS["verify"], "samples": 500, "part": {"name": "selection", "of": 1000, **part}}
    trial = replace(GOOD, facts={**FACTS, "verify": verify})
    return replace(FOUND, trials=(trial,), chosen=trial, reported=(Gate("snr_db", 30.0, value),))


def test_figures_are_told_of_samples_that_the_search_did_not_see():
    text = search_text(found_on({}, 29.5))
    assert "selected on 500 samples; on the other 500, which the search did not see: snr_db 29.5" in text
    told = search_json(found_on({}, 29.5))
    assert told["part"] == {"name": "selection", "of": 1000, "samples": 500}
    assert told["reported"] == [{"name": "snr_db", "limit": 30.0, "value": 29.5}]
    (warning,) = list_likely_mistakes({"search": told})
    assert warning.startswith(
        "on samples that the search did not see, snr_db is 29.5, at least 30 is allowed: 0.5 too low"
    )
    assert list_likely_mistakes({"search": search_json(found_on({}, 30.5))}) == []


def test_samples_that_are_not_split_are_told_and_warned_of():
    found = found_on({"unsplit": "there are 4 different samples, and 10 are needed"}, 31.0)
    assert "selected and reported on the same 500 samples: there are 4 different samples" in search_text(found)
    (warning,) = list_likely_mistakes({"search": search_json(found)})
    assert "flatters the artifact: there are 4 different samples" in warning
