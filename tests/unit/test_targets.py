"""Targets from the recipe to the verdict: what is refused, which steps are planned, what a gate says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from freezing import frozen, refused
from frozen import around, recipe, resolved
from one_op import write_model
from one_op_cases import CASES

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.project_options import GENERATED, require_seen
from tflbuild.config.freezing.freeze import freeze
from tflbuild.config.reference.target_profiles import list_profiles
from tflbuild.core.recipe import Target
from tflbuild.core.target_gates import evaluate_target_gates, list_failures
from tflbuild.core.verdict import PROVEN, UNPROVEN, Fallback, Verdict, read_verdict, short_verdict
from tflbuild.errors import MachineError, RecipeError, TflbuildError
from tflbuild.plan.planner import make_plan
from tflbuild.plan.target_steps import target_parameters
from tflbuild.report.verdict_text import fallback_lines, more_figures, problems, targets_text
from tflbuild.resolve import target_tools
from tflbuild.resolve.target_tools import TargetTool, find_tool, require_tools
from tflbuild.runtime.step_contract import StepRequest
from tflbuild.targets.common.cpu_comparison import write_verdict

pytestmark = pytest.mark.usefixtures("empty_folder")

MODEL = ("source.path=x.keras",)
INT8 = (*MODEL, "quantization=int8", "dataset=synthetic")
INT8_IO = (*INT8, "quantization.input_type=int8", "quantization.output_type=int8")


def test_several_targets_are_frozen_in_their_order_with_their_own_keys():
    made = frozen(*MODEL, "target=[gpu,cpu]", "target.cpu.threads=3", "target.gpu.precision=float32")
    assert [target.name for target in made.targets] == ["gpu", "cpu"]
    assert made.targets[0].options == {"precision": "float32", "least_snr_db": 20.0}
    assert made.interpreter == {"delegate": "xnnpack", "threads": 3}


def test_without_a_target_nothing_is_required():
    made = frozen(*MODEL)
    assert made.targets == () and made.interpreter == {"delegate": "xnnpack", "threads": 1}


def test_limits_of_all_reach_those_that_have_such_a_figure_and_a_target_s_own_come_first():
    told = ("target.gates.fallback_ops=0", "target.gates.arena_bytes=9000", "target.cpu.gates.fallback_ops=2")
    cpu, tflm = frozen(*INT8_IO, "target=[cpu,tflm]", *told).targets
    assert cpu.gates == (("fallback_ops", 2.0),)
    assert tflm.gates == (("arena_bytes", 9000.0), ("fallback_ops", 0.0))


@pytest.mark.parametrize(
    ("told", "what", "why"),
    [
        (("target=cpu", "target.gates.fallback_opz=0"), "'fallback_opz' is not a figure of 'target'", "fallback_ops"),
        (("target=cpu", "target.cpu.gates.arena_bytes=1"), "'arena_bytes' is not a figure of 'target.cpu'", ""),
        (("target.gates.fallback_ops=0",), "'fallback_ops' is not a figure of a target: none is chosen", ""),
        (("target=cpu", "target.gates.fallback_ops=x"), "'target.gates.fallback_ops' is x, and must be a finite", ""),
        (("target=cpu", "target.cpu.threads_swept=[0]"), "'target.cpu.threads_swept' is 0, and must be at least 1", ""),
        (("target=cpu", "+target.gpu.precision=float32"), "'target.gpu' is no profile that was chosen", ""),
    ],
)
def test_what_no_target_can_mean_is_refused(told, what, why):
    error = refused(*MODEL, *told)
    assert error.what.startswith(what) and why in error.why


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ((*INT8, "quantization.input_type=float32", "target=edgetpu"), "target=edgetpu takes integer models alone"),
        ((*MODEL, "target=ethos_u55"), "target=ethos_u55 has no kernels for quantization=none"),
        ((*INT8_IO, "target=gpu", "opset=select_tf"), "target=gpu cannot run TensorFlow (Flex) operators"),
        ((*INT8_IO, "target=tflm", "signature.batch=null"), "target=tflm needs fixed shapes"),
        ((*INT8_IO, "target=cpu", "target.cpu.per_tensor=true"), "target=cpu takes one scale a tensor"),
        (
            (*MODEL, "target=cpu", "target.cpu.max_rank=2", "signature.inputs={x: {shape: [1, 2, 3]}}"),
            "target=cpu takes inputs of at most 2 dimensions, and 'x' has 3",
        ),
    ],
)
def test_what_a_target_needs_is_held_before_anything_is_read(told, what):
    assert refused(*told).what.startswith(what)


def test_a_converted_model_is_judged_by_its_contents():
    """Whether a .tflite that is taken as it is holds floats is not in the recipe: the target's own step reads it."""
    made = frozen("source=tflite", "source.path=x.tflite", "signature=dynamic", "target=edgetpu")
    assert made.full_integer
    params = target_parameters(made.targets[0], TargetTool(), proves=False)
    assert params["target"]["needs"] == {
        "schemes": ("int8",),
        "full_integer": True,
        "static_shapes": True,
        "select_tf": False,
    }
    assert "needs" not in target_parameters(Target(name="cpu"), TargetTool(), proves=False)["target"]


@pytest.mark.parametrize(("needs", "places"), [({}, []), ({"full_integer": True}, ["in0", "RELU_float32/out0"])])
def test_every_verdict_is_held_against_the_profile_s_needs(needs, places, tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(write_model(CASES["RELU_float32"]))
    (tmp_path / "outputs").mkdir()
    params = {"target": {"name": "board", "needs": needs}}
    request = StepRequest(params=params, inputs={"model": model}, labels={}, folder=tmp_path)
    verdict = read_verdict(write_verdict(request, replace(VERDICT, target="board"))["verdict"])
    assert [one.layer for one in verdict.unmet] == places
    assert replace(verdict, unmet=(), target="gpu") == VERDICT
    assert read_verdict(json.loads((request.outputs / "verdict.json").read_text())) == verdict


@pytest.mark.parametrize(
    ("soc", "near"), [("SM8650", None), ("sm8650", "SM8650"), ("SM8651", "SM8650"), ("a chip", "")]
)
def test_an_unknown_chip_gets_the_nearest_name(soc, near):
    told = (*INT8_IO, "target=npu_qualcomm", f"target.npu_qualcomm.soc='{soc}'")
    if near is None:
        assert frozen(*told).targets[0].options["soc"] == soc
        return
    error = refused(*told)
    assert error.what == f"LiteRT knows no Qualcomm chip '{soc}'" and error.next_step.startswith("one of: SA8255")
    assert near in error.why


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("libs", "plugins", "must be a flag 'qualcomm_...'"),
        ("o", "elsewhere", "must be a flag 'qualcomm_...'"),
        ("mediatek_dla_dir", "x", "must be a flag 'qualcomm_...'"),
        ("qualcomm_x y", "x", "must be a flag 'qualcomm_...'"),
        ("qualcomm_qnn_lib_dir", "./mine", "must be no path"),
    ],
)
def test_no_flag_of_an_npu_compiler_loads_a_library(flag, value, rule):
    error = refused(*INT8_IO, "target=npu_qualcomm", f"target.npu_qualcomm.options={{{flag}: '{value}'}}")
    assert rule in error.what and error.where


def test_by_target_makes_one_job_for_each_preset():
    parts = compose([*INT8, "target=[cpu,tflm,ethos_u55]", "quantization=by_target", "target.cpu.threads=2"])
    made = [freeze(part) for part in parts]
    found = [(one.quantization.scheme, [target.name for target in one.targets]) for one in made]
    assert found == [("dynamic_int8", ["cpu"]), ("int8", ["tflm", "ethos_u55"])]
    assert made[0].interpreter["threads"] == 2
    assert len({part.variant for part in parts}) == 2


def test_what_a_recipe_says_of_targets_and_limits_stays_where_it_is_built_in_parts():
    limits = ("target.gates.fallback_ops=0", "target.gates.arena_bytes=9000", "target.gpu.precision=float32")
    parts = compose([*INT8, "target=[gpu,tflm]", "quantization=by_target", *limits])
    gpu, tflm = (freeze(part).targets for part in parts)
    assert [target.gates for target in (*gpu, *tflm)] == [
        (("fallback_ops", 0.0),),
        (("arena_bytes", 9000.0), ("fallback_ops", 0.0)),
    ]
    assert gpu[0].options["precision"] == "float32"


def test_by_target_with_one_need_is_one_build():
    (part,) = compose([*INT8, "target=[tflm,ethos_u55]", "quantization=by_target"])
    assert part.build.quantization.input_type.value == "int8"


def test_by_target_in_a_sweep_stands_for_its_parts():
    parts = compose([*INT8, "target=[cpu,tflm]", "quantization=by_target,float16"], multirun=True)
    assert [part.build.quantization.scheme for part in parts] == ["dynamic_int8", "int8", "float16"]


def test_by_target_without_a_target_is_refused():
    assert refused(*MODEL, "quantization=by_target").what == "quantization=by_target has no target to go by"


# steps


def steps_of(target, tool, **changes):
    surroundings = replace(around(), tool=lambda _: tool)
    plan = make_plan([resolved(**recipe_changes(target), **changes)], surroundings)
    return plan.steps[plan.goals[0][f"target {target.name}"]]


def recipe_changes(target):
    return {"targets": (target,)}


TFLM = Target(name="tflm", runtime="tflm", table="tflm", options={"symbol": "model"})


def test_a_target_that_can_be_proven_here_is_run_on_the_evaluation_samples():
    step = steps_of(TFLM, TargetTool(present=True))
    assert step.kind == "prove_tflm" and [port.name for port in step.inputs] == ["model", "signature", "samples"]
    assert step.params["target"]["symbol"] == "model" and "host" not in step.params


def test_a_target_that_cannot_be_proven_here_is_held_against_rules():
    step = steps_of(TFLM, TargetTool(to_prove="pip install it"))
    assert step.kind == "lint_target" and [port.name for port in step.inputs] == ["model"]
    assert step.params["to_prove"] == "pip install it"


def test_what_is_timed_holds_for_this_host_alone():
    assert steps_of(Target(name="cpu"), TargetTool(present=True)).params["host"] == "host"


def test_a_compiler_that_may_take_long_is_given_the_time_for_each_of_its_runs():
    hour = 3600.0
    coral = Target(name="edgetpu", runtime="edgetpu", table="edgetpu", options={"timeout_s": 7200})
    assert steps_of(coral, TargetTool(present=True)).seconds == hour + 7200
    intel = Target(name="npu_intel", runtime="npu", options={"vendor": "intel_openvino", "soc": "LNL", "timeout_s": 9})
    assert steps_of(intel, TargetTool(present=True)).seconds == hour + 2 * 9
    assert steps_of(replace(intel, options={**intel.options, "soc": ""}), TargetTool()).seconds == hour + 2 * 2 * 9
    assert steps_of(TFLM, TargetTool(present=True)).seconds is None


def test_limits_are_in_no_key():
    assert (
        steps_of(TFLM, TargetTool(present=True)).id
        == steps_of(replace(TFLM, gates=(("arena_bytes", 1.0),), must_be_proven=True), TargetTool(present=True)).id
    )


# what is here


def test_a_proof_that_is_asked_for_and_cannot_be_had_is_the_machine_s_fault(monkeypatch):
    monkeypatch.setattr(target_tools, "is_absent", lambda package: True)
    assert find_tool(TFLM).to_prove == "pip install 'tflbuild[tflm]'"
    for change in ({"must_be_proven": True}, {"gates": (("arena_bytes", 9.0),)}):
        with pytest.raises(MachineError) as caught:
            require_tools(recipe(targets=(replace(TFLM, **change),)))
        assert caught.value.what == "target=tflm cannot be proven here"
    require_tools(recipe(targets=(replace(TFLM, gates=(("fallback_ops", 0.0),)),)))


def test_every_target_that_can_be_chosen_is_listed_the_project_s_own_too():
    Path("conf/target").mkdir(parents=True)
    Path("conf/target/board.yaml").write_text(
        "# @package target.board\ndefaults: [/schema/target/ethos_u55@_here_, _self_]\naccelerator: ethos-u55-64\n"
    )
    found = {target.name: target for _, target in list_profiles()}
    assert {"cpu", "gpu", "tflm", "edgetpu", "npu_qualcomm", "nnapi", "board"} <= set(found)
    assert found["board"].runtime == "ethos_u" and found["board"].options["accelerator"] == "ethos-u55-64"


HEAD = "# @package target.board\n"
START = "defaults: [/schema/target/ethos_u55@_here_, _self_]\n"


def write_board(text):
    Path("conf/target").mkdir(parents=True)
    Path("conf/target/board.yaml").write_text(text)


@pytest.mark.parametrize("chosen", ["board", "[cpu,board]", "[board,cpu]"])
@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("", "target 'board' is an empty profile", "conf/target/board.yaml"),
        ("# to be written\n", "target 'board' is an empty profile", "conf/target/board.yaml"),
        (HEAD, "target 'board' is an empty profile", "conf/target/board.yaml"),
        (START, "target 'board' lacks its package", "conf/target/board.yaml:1"),
        ("max_rank: 4\n", "target 'board' lacks its package", "conf/target/board.yaml:1"),
        (f"# @package target.other\n{START}", "target 'board' lacks its package", "conf/target/board.yaml:1"),
        (f"{HEAD}max_rank: 4\n", "target 'board' is not based on a profile", "conf/target/board.yaml"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(text, what, where, chosen):
    write_board(text)
    error = refused(*INT8_IO, f"target={chosen}")
    assert (error.what, error.where) == (what, where)
    assert error.why and ("/schema/target/" in error.next_step or HEAD.strip() in error.next_step)
    with pytest.raises(RecipeError, match=what):
        list(list_profiles())
    assert frozen(*INT8_IO, "target=cpu").targets[0].name == "cpu", "what is not chosen is in nobody's way"


def test_a_file_in_a_recipe_s_defaults_is_held_to_the_same():
    write_board(HEAD)
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text("defaults: [{override /target: [board]}]\nsource: {path: x.keras}\n")
    assert refused("+recipe=net").what == "target 'board' is an empty profile"
    Path("conf/target/board.yaml").write_text(HEAD + START)
    assert refused("+recipe=net").what.startswith("target=board has no kernels")


def test_a_file_in_a_folder_of_profiles_is_held_to_the_same():
    Path("conf/target/boards").mkdir(parents=True)
    Path("conf/target/boards/m4.yaml").write_text("")
    error = refused(*INT8_IO, "target=boards/m4")
    assert (error.what, error.where) == ("target 'm4' is an empty profile", "conf/target/boards/m4.yaml")
    Path("conf/target/boards/m4.yaml").write_text(f"# @package target.m4\n{START}")
    assert [target.name for target in frozen(*INT8_IO, "target=[boards/m4,cpu]").targets] == ["m4", "cpu"]


BY_TARGET = (*MODEL, "dataset=synthetic", "quantization=by_target")


@pytest.mark.parametrize(
    ("preset", "what"),
    [
        ("quantization=int9", "no option of the group 'quantization' is called 'int9'"),
        ("quantisation=int8", "'quantisation' is not a key of a recipe"),
        ("quantization.input_type=int9", "'int9' is not a valid value of 'quantization.input_type'"),
        ("quantization=[int8]", "'quantization' takes the name of an option"),
        ("quantization=[int8", "cannot read the override"),
        ("quantization=float16", "target=board has no kernels for quantization=float16"),
    ],
)
def test_what_is_wrong_with_a_preset_is_said_of_the_profile(preset, what):
    lead = "quantization=int8" if "input_type" in preset else "quantization.engine=litert"
    write_board(f"{HEAD}{START}preset:\n  - {lead}\n  - '{preset}'\n")
    with pytest.raises(TflbuildError) as caught:
        [freeze(part) for part in compose([*BY_TARGET, "target=[cpu,board]"])]
    assert what in caught.value.what
    assert caught.value.where.startswith("conf/target/board.yaml:3: target.board.preset")


def test_a_preset_is_blamed_where_it_was_said_last(tmp_path):
    write_board(HEAD + START)

    def where(*told):
        with pytest.raises(TflbuildError) as caught:
            compose([*told, "quantization=by_target"])
        return caught.value.where

    told = "target.board.preset=['quantization=int9']"
    assert where(*MODEL, "target=board", told) == f"command line: {told}: quantization=int9"
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text(
        "defaults: [{override /target: [board]}]\nsource: {path: x.keras}\n"
        "target: {board: {preset: [quantization=int9]}}\n"
    )
    assert where("+recipe=net") == "recipes/net.yaml:3: target.board.preset: quantization=int9"


def test_a_preset_that_comes_with_tflbuild_is_named_by_its_key():
    (part,) = compose([*MODEL, "quantization=by_target", "target=tflm"])
    with pytest.raises(RecipeError) as caught:
        freeze(part)
    assert "no calibration data" in caught.value.what
    assert "target.tflm.preset: quantization=int8" in f"{caught.value.where} {part.locations.find('quantization')}"


# verdicts

GATHER = Fallback(op="GATHER", layer="head/gather", reason="taken only where input 1 is constant", fix="use SLICE")
VERDICT = Verdict(
    target="gpu",
    proof=PROVEN,
    how="executed",
    runs=True,
    ops=3,
    on_delegate=2,
    partitions=2,
    fallbacks=(GATHER,),
    figures={"snr_db": 40.0},
)


def test_a_verdict_survives_json():
    assert read_verdict(VERDICT.as_json()) == VERDICT


def test_limits_are_held_against_what_is_known():
    limits = (("fallback_ops", 0.0), ("partitions", 2.0), ("snr_db", 50.0), ("latency_p90_ms", 1.0))
    gates = {gate.name: gate for gate in evaluate_target_gates(VERDICT, limits)}
    assert {name: gate.passed for name, gate in gates.items()} == {
        "gpu.fallback_ops": False,
        "gpu.partitions": True,
        "gpu.snr_db": False,
        "gpu.latency_p90_ms": False,
    }
    assert gates["gpu.latency_p90_ms"].text() == "gpu.latency_p90_ms is not known, at most 1 is allowed"
    assert gates["gpu.snr_db"].text() == "gpu.snr_db is 40, at least 50 is allowed: 10 too low"


def test_an_operator_that_nothing_is_known_of_makes_the_count_unknown():
    (gate,) = evaluate_target_gates(
        replace(VERDICT, unknown=("FOO: not in the rules",), on_delegate=None), (("fallback_ops", 9.0),)
    )
    assert gate.value is None and not gate.passed


@pytest.mark.parametrize(
    ("verdict", "strict", "texts"),
    [
        (VERDICT, True, []),
        (replace(VERDICT, runs=False), False, ["gpu cannot run it"]),
        (replace(VERDICT, unmet=(GATHER,)), False, ["the artifact is not what gpu needs:"]),
        (replace(VERDICT, proof=UNPROVEN, how="no driver"), True, ["gpu is unproven, not proven: no driver"]),
        (replace(VERDICT, proof=UNPROVEN, how="no driver"), False, []),
        (
            replace(VERDICT, proof=UNPROVEN, agrees=False, how="SNR 3 dB"),
            False,
            ["gpu gives other results than the CPU: SNR 3 dB"],
        ),
    ],
)
def test_faults_that_no_limit_allows(verdict, strict, texts):
    assert list(list_failures(verdict, must_be_proven=strict)) == texts


def test_a_missed_limit_names_operator_layer_reason_and_fix():
    made = recipe(targets=(Target(name="gpu", runtime="gpu", gates=(("fallback_ops", 0.0),)),))
    first, second = problems(made, [VERDICT])["gpu"]
    assert first == "gpu.fallback_ops is 1, at most 0 is allowed: 1 too high"
    assert second.strip() == "GATHER 'head/gather': taken only where input 1 is constant; use SLICE"


FLOAT = Fallback(op="input", layer="image", reason="it is float32", fix="quantization=int8")


def test_an_unmet_need_fails_without_a_limit_and_says_where():
    made = recipe(targets=(Target(name="gpu", runtime="gpu"),))
    assert problems(made, [replace(VERDICT, unmet=(FLOAT,) * 7)])["gpu"] == [
        "the artifact is not what gpu needs:",
        "  input x7 'image', 'image', 'image' and 4 more: it is float32; quantization=int8",
    ]
    table = targets_text([replace(VERDICT, unmet=(FLOAT,))]).splitlines()
    assert "proven: needs unmet" in table[1]
    assert table[4].strip() == "unmet need: input 'image': it is float32; quantization=int8"
    assert short_verdict(replace(VERDICT, unmet=(FLOAT,))) == "gpu needs unmet"


def test_the_table_says_operators_partitions_and_figures():
    lines = targets_text([VERDICT, replace(VERDICT, target="tflm", runs=False, partitions=None)]).split("\n")
    assert lines[0].split() == ["target", "verdict", "operators", "partitions", "figures"]
    assert lines[1].split("  ")[0] == "gpu" and "2 of 3" in lines[1] and "SNR 40.0 dB" in lines[1]
    assert "proven: cannot run" in lines[2]


def test_fallbacks_of_one_reason_are_a_line_and_many_reasons_are_counted():
    layers = tuple(replace(GATHER, layer=f"layer{number}") for number in range(5))
    (line,) = fallback_lines(replace(VERDICT, fallbacks=layers))
    assert line.startswith("GATHER x5 'layer0', 'layer1', 'layer2' and 2 more: ")
    (line,) = fallback_lines(replace(VERDICT, fallbacks=layers[:2]))
    assert line.startswith("GATHER x2 'layer0', 'layer1': ")
    (line,) = fallback_lines(replace(VERDICT, fallbacks=(replace(GATHER, layer=""),) * 4))
    assert line.startswith("GATHER x4: ")
    kinds = (*layers, *(replace(GATHER, op=op, layer=f"of {op}") for op in ("ADD", "MUL", "SUB")))
    (line,) = fallback_lines(replace(VERDICT, fallbacks=kinds))
    assert line.startswith("GATHER x5, ADD, MUL and 1 kinds more, the first 'layer0': ")
    reasons = tuple(replace(GATHER, reason=f"reason {number % 7}") for number in range(14))
    lines = list(fallback_lines(replace(VERDICT, fallbacks=reasons)))
    assert len(lines) == 6 and lines[-1] == "and 4 more: --json has all"


def test_lines_are_folded_to_the_screen_and_nowhere_else():
    verdict = replace(VERDICT, how="executed " * 30, notes=("word " * 40,))
    folded = targets_text([verdict], 80).splitlines()[3:]
    assert max(map(len, folded)) <= 80 and len(folded) >= 8
    assert all(line.startswith((verdict.target, " ")) for line in folded)
    assert "".join(targets_text([verdict], 80).split()) == "".join(targets_text([verdict]).split())
    assert targets_text([verdict], 30) == targets_text([verdict])


def test_other_numbers_of_threads_and_memory_have_a_line_of_their_own():
    figures = {
        "latency_p50_ms": 1.0,
        "latency_p50_ms_threads_4": 0.25,
        "latency_p50_ms_threads_2": 0.5,
        "peak_bytes": 2e6,
    }
    assert list(more_figures(figures)) == ["p50 with 2 threads 500 µs, 4 threads 250 µs", "peak memory 2 MB"]
    assert list(more_figures({"snr_db": 3.0})) == []


def test_of_what_nothing_is_known_no_count_is_zero():
    nothing = replace(VERDICT, on_delegate=None, partitions=None, fallbacks=(), unknown=())
    assert nothing.measured() == {"snr_db": 40.0}
    gates = evaluate_target_gates(nothing, (("unknown_ops", 0.0), ("fallback_ops", 0.0)))
    assert not any(gate.passed for gate in gates)


def test_an_option_of_ones_own_that_a_shipped_one_hides_is_refused(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "board.yaml").write_text("# @package target.board\n")
    require_seen(tmp_path)
    (tmp_path / "target" / "cpu.yaml").write_text(f"# @package target.cpu\n{GENERATED}\n")
    require_seen(tmp_path)  # of a clone
    (tmp_path / "target" / "cpu.yaml").write_text("# @package target.cpu\n")
    with pytest.raises(RecipeError, match="target=cpu is an option of tflbuild") as caught:
        require_seen(tmp_path)
    assert caught.value.where == "conf/target/cpu.yaml"
