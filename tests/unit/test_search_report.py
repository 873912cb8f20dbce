"""What a person and a program are told of a search."""

from frozen import int8

from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Quantization
from tflbuild.core.result import Failure
from tflbuild.core.trial import Found, Trial
from tflbuild.report.search import failure_lines, search_json, search_text

FIGURES = {"max_abs_error": 0.1, "rmse": 0.1, "cosine": 0.9, "snr_db": 30.0}
FACTS = {"check": {"bytes": 12345678, "gzip_bytes": 7654321}, "verify": {"samples": 9, "outputs": {"y": FIGURES}}}
BUDGET = (("gzip_bytes", 9e6),)
GOOD = Trial("float16", Quantization(scheme="float16"), FACTS, (Gate("gzip_bytes", 9e6, 7654321.0),))
BAD = Trial("int8", int8(), failure=Failure(kind="build", what="it is not int8", why="NEG " * 60 + "\nmore"))
FOUND = Found("size", BUDGET, (GOOD, BAD), GOOD)


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
