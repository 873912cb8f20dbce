import time

import pytest

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.value_limits import require_bounded, require_plain, require_readable
from tflbuild.errors import RecipeError, UsageError


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("a=" + "[" * 200 + "]" * 200, "200 levels deep"),
        ("a=" + "f(" * 5000, "5000 levels deep"),
        ("a=" + "${b:" * 500, "500 levels deep"),
        ("a=" + "x" * 100_000, "100,002 characters"),
        ("a=" + "9" * 500, "500 digits"),
        ("a=\udcff", "surrogate"),
    ],
)
def test_an_override_that_the_grammar_chokes_on_is_refused(override, why):
    with pytest.raises(UsageError) as refused:
        require_readable(["b=1", override])
    assert why in refused.value.why
    str(refused.value).encode()


def test_usual_overrides_pass():
    require_readable(["a={b:[1,2,{c:x}]}", "a.b=" + "1," * 5000, "sha256=" + "9" * 64, "name=ä", "a=)))"])


def chain(levels, form):
    return {f"v{n}": form.format(next=f"v{n + 1}") for n in range(levels)} | {f"v{levels}": "x"}


@pytest.mark.parametrize(
    "plain",
    [
        chain(40, "${{{next}}}${{{next}}}"),
        {"a": {"b": chain(40, "${{.{next}}}${{.{next}}}")}},
        {"a": [chain(40, "${{a[0].{next}}}-${{a[0].{next}}}")]},
        {"a": [f"${{a[{n + 1}]}}${{a.{n + 1}}}" for n in range(40)] + ["x"]},
        chain(40, "${{oc.select:{next}}}${{oc.select:{next}}}"),
        {f"m{n}": {"x": f"${{m{n + 1}}}", "y": f"${{m{n + 1}}}"} for n in range(40)} | {"m40": {"z": "${w}"}, "w": "x"},
    ],
)
def test_interpolations_that_multiply_are_refused_before_they_are_resolved(plain):
    start = time.monotonic()
    with pytest.raises(RecipeError, match="too much text"):
        require_bounded(plain, KeyLocations())
    assert time.monotonic() - start < 1


def test_usual_interpolations_pass():
    plain = {"name": "${source.path}", "source": {"path": "${oc.env:HOME}/${name}"}, "l": ["${name}${name}"] * 20}
    require_bounded(plain, KeyLocations())


@pytest.mark.parametrize("value", [{"a": {"b": "x\0"}}, {"a": ["\ud800"]}, {"\ud800": 1}, {"a": 2**65}])
def test_values_that_no_later_stage_can_work_with_are_refused(value):
    with pytest.raises(RecipeError, match="cannot be used"):
        require_plain(value, KeyLocations())
