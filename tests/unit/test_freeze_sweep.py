"""Objectives: what may be one, and what the variants of a sweep must agree on."""

from dataclasses import replace

import freezing
import pytest
from frozen import around, recipe, resolved

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.freezing.freeze_sweep import require_same_objectives
from tflbuild.core.objective import Objective
from tflbuild.core.recipe import Benchmark, Target, Verify
from tflbuild.errors import RecipeError
from tflbuild.plan.planner import make_plan

pytestmark = pytest.mark.usefixtures("empty_folder")

RECIPE = "+recipe=mobilenet_int8"
TOP1 = Objective("top1", "max")
LATENCY = Objective("latency_ms", "min")
TFLM = Target(name="tflm", runtime="tflm", table="tflm")
GPU = Target(name="gpu", runtime="gpu", table="gpu")


def test_objectives_are_frozen_in_their_order():
    told = "[gzip_bytes:min,outputs.probabilities.rmse:min,latency_ms:min,top1:max]"
    found = freezing.frozen(RECIPE, f"sweep.objectives={told}").objectives
    assert f"[{','.join(one.text for one in found)}]" == told
    assert freezing.frozen(RECIPE).objectives == ()


def test_a_figure_of_a_target_is_an_objective_whichever_targets_a_variant_has():
    told = "[tflm.arena_bytes:min,cpu.latency_p50_ms_threads_4:min,gpu.on_delegate:max,mine.partitions:min]"
    found = freezing.frozen(RECIPE, f"sweep.objectives={told}").objectives
    assert f"[{','.join(one.text for one in found)}]" == told


def test_a_metric_of_ones_own_is_a_figure_where_the_recipe_has_it():
    own = "verify.metrics.iou=m.py:iou"
    assert freezing.frozen(RECIPE, own, "sweep.objectives=[metrics.iou:max]").objectives[0].figure == "metrics.iou"
    error = freezing.refused(RECIPE, own, "sweep.objectives=[metrics.iuo:max]")
    assert "did you mean: metrics.iou" in error.why


@pytest.mark.parametrize(
    ("told", "what", "more"),
    [
        ("[top1]", "'top1' is no objective", "top1:min or top1:max"),
        ("[top1:most]", "'top1:most' is no objective", "top1:min or top1:max"),
        ("[':max']", "':max' is no objective", ""),
        ("[top:max]", "'top' is no figure that is measured", "did you mean: topk, top1"),
        ("[latncy_ms:min]", "'latncy_ms' is no figure that is measured", "did you mean: latency_ms"),
        ("[outputs.y:max]", "'outputs.y' is no figure that is measured", "outputs.NAME.snr_db"),
        ("[outputs.y.top1:max]", "'outputs.y.top1' is no figure that is measured", "outputs.NAME.snr_db"),
        ("[arena_bytes:min]", "'arena_bytes' does not name a target", "tflm.arena_bytes"),
        ("[tflm.arena_byte:min]", "'tflm.arena_byte' is no figure that is measured", "did you mean: tflm.arena_bytes"),
        ("[tflm.arena_byte:min]", "'tflm.arena_byte' is no figure that is measured", "known of target=tflm: fallback"),
        ("[mine.cycles:min]", "'mine.cycles' is no figure that is measured", "did you mean: mine.cycles"),
        ("[tflm.:min]", "'tflm.' is no figure that is measured", "TARGET.FIGURE"),
        ("[bytes:min,bytes:max]", "'bytes' is an objective twice", "name it once"),
    ],
)
def test_what_is_no_objective_is_refused_with_the_nearest(told, what, more):
    error = freezing.refused(RECIPE, f"sweep.objectives={told}")
    assert error.what == what and more in error.why + error.next_step
    assert error.where == f"command line: sweep.objectives={told}"


def test_a_misspelt_key_is_refused():
    assert "did you mean: objectives" in freezing.refused(RECIPE, "sweep.objektives=[]").why


def test_objectives_are_in_no_name_and_in_no_key():
    told = ["sweep.objectives=[bytes:min]", "quantization=float16"]
    assert compose([RECIPE, *told])[0].variant == compose([RECIPE, told[1]])[0].variant == "quantization=float16"
    plain, aimed = (make_plan([resolved(objectives=aims)], around()) for aims in ((), (LATENCY,)))
    assert plain.steps.keys() == aimed.steps.keys()


def test_variants_of_one_sweep_have_one_aim():
    require_same_objectives([recipe(objectives=(TOP1,)), recipe(objectives=(TOP1,))], [KeyLocations()] * 2)
    with pytest.raises(RecipeError) as caught:
        require_same_objectives([recipe(objectives=(TOP1,)), recipe()], [KeyLocations()] * 2)
    assert "different objectives" in caught.value.what and "top1:max\nnone" in caught.value.why


@pytest.mark.parametrize(
    ("aim", "changes", "needed"),
    [
        (LATENCY, {}, "benchmark=host"),
        (TOP1, {"verify": Verify(kind="parity")}, "verify=classification"),
        (Objective("snr_db", "max"), {"verify": Verify(kind="none")}, "verify=parity or verify=classification"),
    ],
)
def test_an_objective_that_no_variant_measures_is_refused_before_anything_runs(aim, changes, needed):
    with pytest.raises(RecipeError) as caught:
        require_same_objectives([recipe(objectives=(aim,), **changes)], [KeyLocations()])
    assert f"no variant of this sweep measures '{aim.figure}'" in caught.value.what and needed in caught.value.why


def test_one_variant_that_measures_it_is_enough():
    timed = recipe(objectives=(LATENCY,), benchmark=Benchmark(kind="host", options={"runs": 10}))
    require_same_objectives([timed, recipe(objectives=(LATENCY,))], [KeyLocations()] * 2)
    require_same_objectives([], [])


def aimed(figure, *targets):
    return recipe(objectives=(Objective(figure, "min"),), targets=targets)


def test_one_variant_with_such_a_target_is_enough():
    require_same_objectives([aimed("tflm.arena_bytes"), aimed("tflm.arena_bytes", TFLM)], [KeyLocations()] * 2)
    require_same_objectives(
        [aimed("gpu.fallback_ops", GPU)], [KeyLocations()], lambda _: "a driver"
    )  # rules count operators


@pytest.mark.parametrize(
    ("figure", "targets", "to_prove", "what", "more"),
    [
        ("tfml.arena_bytes", (TFLM,), "", "no variant of this sweep has target 'tfml'", "did you mean: tflm"),
        ("gpu.snr_db", (TFLM,), "", "no variant of this sweep has target 'gpu'", "target=gpu, or"),
        ("gpu.snr_db", (), "", "no variant of this sweep has target 'gpu'", "none of them has a target"),
        ("tflm.inference_ms", (TFLM, GPU), "", "target=tflm reports no 'inference_ms'", "known of it: fallback_ops, "),
        ("tflm.model_bytes", (GPU, replace(TFLM, runtime="table")), "", "target=tflm reports no 'model_bytes'", ""),
        (
            "gpu.snr_db",
            (GPU,),
            "install a driver",
            "no variant of this sweep measures 'gpu.snr_db'",
            "install a driver",
        ),
    ],
)
def test_a_figure_that_no_target_of_the_sweep_will_have_is_refused(figure, targets, to_prove, what, more):
    with pytest.raises(RecipeError) as caught:
        require_same_objectives([aimed(figure), aimed(figure, *targets)], [KeyLocations()] * 2, lambda _: to_prove)
    assert what in caught.value.what and more in caught.value.why + caught.value.next_step
