"""What `tflbuild benchmark` makes of a recipe before it is built."""

from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra

from tflbuild.config.composing.benchmark_overrides import compose_timed
from tflbuild.config.composing.compose import compose
from tflbuild.errors import RecipeError

pytestmark = pytest.mark.usefixtures("empty_folder")
RECIPE = "+recipe=mobilenet_int8"


@pytest.mark.parametrize(
    ("told", "kind", "runs"),
    [
        ((), "host", 200),
        (("benchmark.runs=30",), "host", 30),
        (("benchmark=host", "benchmark.runs=40"), "host", 40),
        (("benchmark=android", "benchmark.runs=50"), "android", 50),
        (("quantization=by_target", "target=cpu", "benchmark.runs=60"), "host", 60),
    ],
)
def test_a_recipe_is_timed_on_this_host_unless_it_says_where(told, kind, runs):
    (made,) = compose_timed([RECIPE, *told])
    assert (made.build.benchmark.kind, made.build.benchmark.runs) == (kind, runs)


def test_what_a_recipe_says_of_timing_stays():
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text(
        "defaults: [mobilenet_int8, override /benchmark: android]\nbenchmark: {threads: 3}\n"
    )
    (made,) = compose_timed(["+recipe=net", "benchmark.runs=70"])
    assert (made.build.benchmark.kind, made.build.benchmark.threads, made.build.benchmark.runs) == ("android", 3, 70)


def test_all_else_is_as_a_build_has_it():
    (timed,), (built,) = (
        compose_timed([RECIPE, "benchmark.runs=30"]),
        compose([RECIPE, "benchmark=host", "benchmark.runs=30"]),
    )
    assert timed.build == built.build and timed.name == built.name


def test_it_is_composed_once(monkeypatch):
    calls = []
    composed = Hydra.compose_config
    monkeypatch.setattr(Hydra, "compose_config", lambda *told, **more: calls.append(1) or composed(*told, **more))
    compose_timed([RECIPE, "benchmark.runs=30"])
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("told", "what"),
    [("benchmark.run=30", "'run' is not a key of 'benchmark'"), ("benchmark.serial=x", "has no key 'serial'")],
)
def test_a_key_that_is_none_of_timing_on_a_host_is_refused(told, what):
    with pytest.raises(RecipeError, match=what):
        compose_timed([RECIPE, told])
