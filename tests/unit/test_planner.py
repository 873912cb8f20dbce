from dataclasses import replace

import pytest
from frozen import FILES, around, int8, recipe, resolved

from tflbuild.core.recipe import Benchmark, Dataset, Metadata, Optimize, Quantization, Source, Target, Verify
from tflbuild.core.step import FileInput
from tflbuild.plan.planner import make_plan
from tflbuild.registry.step_kinds import KINDS
from tflbuild.resolve.input_digests import UserCode

SCHEMES = ("none", "float16", "dynamic_int8")


def goals(**changes):
    (found,) = make_plan([resolved(**changes)], around()).goals
    return found


def changed_roles(before, after):
    return {role for role in before.keys() | after.keys() if before.get(role) != after.get(role)}


def test_import_gets_the_names_that_metadata_uses_and_nothing_else_of_it():
    def signature(metadata):
        plan = make_plan([resolved(metadata=metadata)], around())
        return plan.steps[plan.goals[0]["import"]].params["signatures"][0]

    described = {"name": "net", "inputs": {"b": {"mean": [1.0]}, "a": {"name": "x"}}}
    assert signature(Metadata(described))["described"] == {"inputs": ["a", "b"]}
    assert signature(Metadata({"name": "net"})) == signature(None)


def test_int8_walks_the_whole_corridor():
    assert list(goals()) == [
        "import",
        "convert",
        "compare float",
        "evaluation samples",
        "predict",
        "calibration samples",
        "calibrate",
        "quantize",
        "overlap",
        "check",
        "verify",
        "package",
    ]


def test_no_quantization_needs_no_data_for_it():
    assert {"calibration samples", "calibrate", "quantize"}.isdisjoint(goals(quantization=Quantization(scheme="none")))


def test_inputs_come_before_the_steps_that_take_them():
    plan = make_plan([resolved()], around())
    seen = set()
    for step in plan.steps.values():
        assert set(step.upstream()) <= seen
        seen.add(step.id)


def test_a_sweep_over_schemes_shares_all_that_comes_before():
    variants = [resolved(), *(resolved(quantization=Quantization(scheme=scheme)) for scheme in SCHEMES)]
    plan = make_plan(variants, around())
    for role in ("import", "convert", "compare float", "predict", "evaluation samples"):
        assert len({goals[role] for goals in plan.goals}) == 1
    alone = [len(make_plan([one], around()).steps) for one in variants]
    assert len(plan.steps) == sum(alone) - 3 * 5


def test_equal_variants_are_one():
    assert len(make_plan([resolved(), resolved()], around()).steps) == len(make_plan([resolved()], around()).steps)


CALIBRATED = {"calibrate", "quantize", "check", "verify", "package"}
FED = CALIBRATED | {"calibration samples", "overlap"}
QUANTIZED = {"quantize", "check", "verify", "package"}


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({"quantization": int8(calibration={"method": "mse"})}, CALIBRATED),
        ({"quantization": replace(int8(), input_type="uint8")}, QUANTIZED),
        ({"dataset": Dataset(kind="npz", path="train.npz", count=10)}, FED),
        ({"verify": replace(recipe().verify, top_k=3)}, {"verify", "package"}),
        ({"targets": (Target(name="cpu", options={"threads": 2}),)}, {"verify", "package", "target cpu"}),
        ({"name": "other"}, {"package"}),
    ],
)
def test_a_parameter_reaches_what_depends_on_it_and_no_more(changes, roles):
    assert changed_roles(goals(), goals(**changes)) == roles


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": "other"},
        {"output_root": "elsewhere"},
        {"verify": replace(recipe().verify, gates=(("top1_drop", 0.5),))},
        {"dataset": Dataset(kind="npz", path="moved/train.npz")},
    ],
)
def test_names_paths_and_gates_are_in_no_key(changes):
    assert goals() == goals(**changes)


def test_new_bytes_at_the_same_path_are_another_step():
    files = FILES | {"dataset": FileInput(name="dataset", digest="0" * 64, path="/dataset")}
    (after,) = make_plan([resolved(files=files)], around()).goals
    assert changed_roles(goals(), after) == FED


def test_the_same_bytes_at_another_path_are_the_same_step():
    files = {name: replace(file, path=f"/moved{file.path}") for name, file in FILES.items()}
    (after,) = make_plan([resolved(files=files)], around()).goals
    assert goals() == after


def test_an_upgraded_package_is_another_step():
    (after,) = make_plan([resolved()], around(calibrate={"ai-edge-litert": "9"})).goals
    assert changed_roles(goals(), after) == CALIBRATED


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_ranges_belong_to_no_cpu(kernels):
    plan = make_plan([resolved(quantization=int8(calibration={"kernels": kernels}))], around())
    step = plan.steps[plan.goals[0]["calibrate"]]
    assert step.params == {"method": "min_max", "kernels": kernels} and not step.ties


def test_a_benchmark_belongs_to_its_host():
    plan = make_plan([resolved(benchmark=Benchmark(kind="host", options={"runs": 10}))], around())
    assert plan.steps[plan.goals[0]["benchmark"]].params["host"] == "host"


def test_the_converter_engine_needs_no_ranges_of_ours():
    plan = make_plan([resolved(quantization=int8(engine="converter"))], around())
    assert plan.steps[plan.goals[0]["quantize"]].kind == "quantize_in_converter"
    assert "calibrate" not in plan.goals[0]


def test_a_float_tflite_is_its_own_float_model():
    found = goals(source=Source(kind="tflite", path="float.tflite"))
    assert found["convert"] == found["import"]
    plan = make_plan([resolved(source=Source(kind="tflite", path="float.tflite"))], around())
    assert {KINDS[step.kind].server for step in plan.steps.values()} == {"litert"}


def test_without_verification_the_source_is_not_run():
    assert {"predict", "verify", "evaluation samples"}.isdisjoint(goals(verify=Verify(kind="none")))


def test_what_no_verification_will_run_is_run_by_check():
    """And its key does not change where one will."""
    plans = [make_plan([resolved(**changes)], around()) for changes in ({}, {"verify": Verify(kind="none")})]
    params = [plan.steps[plan.goals[0]["check"]].params for plan in plans]
    assert params[1] == params[0] | {"run": {"delegate": "xnnpack", "threads": 1}}


def test_random_numbers_are_not_compared_with_test_samples():
    assert "overlap" not in goals(dataset=Dataset(kind="synthetic", count=4))


def test_without_calibration_there_is_nothing_to_keep_apart():
    assert "overlap" not in goals(quantization=Quantization(scheme="none"))


def weighed(algorithm, scheme="dynamic_int4"):
    return resolved(quantization=Quantization(scheme=scheme, algorithm=algorithm))


def test_moments_are_measured_once_for_all_schemes_that_go_by_them():
    variants = [weighed("gptq"), weighed("gptq", "dynamic_int8"), resolved(quantization=int8(algorithm="gptq"))]
    plan = make_plan(variants, around())
    assert len({goals["moments"] for goals in plan.goals}) == 1
    assert len({goals["quantize"] for goals in plan.goals}) == 3
    assert "calibrate" not in plan.goals[0] and "calibrate" in plan.goals[2]


@pytest.mark.parametrize(("algorithm", "moments"), [("gptq", "matrix"), ("oscar", "diagonal")])
def test_neither_moments_nor_what_goes_by_them_belong_to_a_cpu(algorithm, moments):
    plan = make_plan([weighed(algorithm)], around())
    steps = {role: plan.steps[step] for role, step in plan.goals[0].items()}
    assert steps["moments"].params == {"moments": moments}
    assert not steps["quantize"].ties and not steps["moments"].ties


@pytest.mark.parametrize("algorithm", ["min_max", "mse"])
def test_other_algorithms_need_no_data(algorithm):
    found = make_plan([weighed(algorithm)], around()).goals[0]
    assert {"moments", "calibration samples", "overlap"}.isdisjoint(found)


CALL = Dataset(kind="callable", call="feed.py:make", options={"arguments": {"n": 3}})


def called(entry="feed.py:make", packages=(), digest="c" * 64):
    files = {**FILES, "dataset code": FileInput(name="dataset code", digest=digest, path="/project")}
    codes = {"dataset": UserCode(entries=(entry,), packages=packages)}
    one = replace(resolved(files=files, dataset=CALL), codes=codes)
    return make_plan([one], around())


@pytest.mark.parametrize("change", [{"packages": (("numpy", "9"),)}, {"digest": "d" * 64}, {"entry": "feed.py:other"}])
def test_the_code_behind_a_dataset_is_its_step_s_input(change):
    (before,), (after,) = called().goals, called(**change).goals
    assert changed_roles(before, after) == FED
    step = called().steps[before["calibration samples"]]
    assert [port.name for port in step.inputs] == ["signature", "code"]
    assert step.params["call"] == "feed.py:make" and step.params["options"] == {"arguments": {"n": 3}}


def qat(**changes):
    return Optimize(**{"steps": ("qat",), "dataset": Dataset(kind="npz", path="train.npz", label="label")} | changes)


def optimized(**changes):
    files = {**FILES, "training": FileInput(name="training", digest="7" * 64, path="/training")}
    return make_plan([resolved(files=files, **{"optimize": qat(), **changes})], around())


TRAINED = {"optimize", "import optimized", "compare import optimized", "convert", "compare float", *CALIBRATED}


def test_training_comes_between_the_source_and_what_is_converted():
    plan = optimized()
    (found,) = plan.goals
    assert found["import"] == goals()["import"] and found["predict"] == goals()["predict"]
    assert plan.steps[found["import optimized"]].inputs[0].step_id == found["optimize"]
    assert plan.steps[found["convert"]].inputs[0].step_id == found["import optimized"]
    assert plan.steps[found["predict"]].inputs[0].step_id == found["import"]
    assert changed_roles(goals(), found) == TRAINED | {"training samples", "training overlap"}


@pytest.mark.parametrize(
    "change", [{"epochs": 2}, {"seed": 1}, {"loss": "source_mse"}, {"steps": ("prune", "qat"), "sparsity": 0.5}]
)
def test_how_a_model_is_trained_reaches_what_is_made_of_it(change):
    (before,), (after,) = optimized().goals, optimized(optimize=qat(**change)).goals
    assert changed_roles(before, after) == TRAINED


def test_training_belongs_to_this_kind_of_cpu():
    plan = optimized()
    (step,) = [one for one in plan.steps.values() if one.ties]
    assert step.kind == "optimize" and step.cpu == "cpu"


def test_trained_ranges_need_no_samples_and_the_converter_takes_none():
    (found,) = optimized(dataset=None).goals
    assert "calibrate" in found and "calibration samples" not in found
    (found,) = optimized(quantization=int8(engine="converter")).goals
    assert "calibration samples" not in found and "training overlap" in found


def test_the_artifact_is_held_against_what_training_made():
    plan = optimized()
    assert "optimized" in {port.name for port in plan.steps[plan.goals[0]["check"]].inputs}
    assert "optimized" not in {port.name for port in make_plan([resolved()], around()).steps[goals()["check"]].inputs}
