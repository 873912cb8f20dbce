"""What is wrong with a recipe or a command line is said at once, with its place and what was meant."""

from __future__ import annotations

import re

import pytest
from refusals import RECIPE, ROOT, refused_at_once

SHIPPED = (ROOT / "recipes" / "mobilenet_int8.yaml").read_text()
SOURCE = "source: {path: tflbuild://fashion_mobilenet/model.keras}\n"


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def local(project, old, new):
    """A recipe `mine`: the shipped one with one thing written otherwise."""
    assert old in SHIPPED
    text = SHIPPED.replace(old, new, 1)
    project.write("recipes/mine.yaml", text)
    return text


# on the command line: what was written, and what was meant


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("quantizaton=int8", "quantization"),
        ("quantization=int9", "int8"),
        ("quantization.input_typ=uint8", "input_type"),
        ("quantization.engine=litertt", "litert"),
        ("quantization.calibration.method=minmax", "min_max"),
        ("quantization.calibration.percentil=99", "percentile"),
        ("verify.gates.top1_drp=0.1", "top1_drop"),
        ("verify.dataset.lable=label", "label"),
        ("dataset@verify.dataset=npzz", "npz"),
        ("target=integer_onli", "integer_only"),
        ("signature.inputs.image.dtype=flot32", "float32"),
    ],
)
def test_something_misspelt_is_named_with_the_nearest_name(project, override, meant):
    found = refused_at_once(project.run(RECIPE, override))
    assert found.where == f"command line: {override}"
    assert re.search(rf"did you mean: (\w+, )*{meant}\b", found.why), found.text


def test_a_misspelt_input_lacks_its_shape_and_the_nearest_one_is_named(project):
    found = refused_at_once(project.run(RECIPE, "signature.inputs.imgae.dtype=float32"))
    assert found.what == "signature.inputs.imgae.shape is not set"
    assert "did you mean: image" in found.why


@pytest.mark.parametrize("spelling", ["+recipe=mobilenet_int", "recipe=mobilenet_int"])
def test_a_misspelt_recipe_is_named_with_the_nearest_one(project, spelling):
    found = refused_at_once(project.run(spelling))
    assert found.what == "no recipe is called 'mobilenet_int'"
    assert "recipe=mobilenet_int" in found.where
    assert "did you mean: mobilenet_int8" in found.why and "./recipes" in found.why


def test_a_misspelt_package_of_a_group_is_refused_with_a_reason(project):
    found = refused_at_once(project.run(RECIPE, "dataset@verify.datset=npz"))
    assert found.where == "command line: dataset@verify.datset=npz"
    assert "verify.dataset" in found.why + found.next


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("dataset.count=many", "many"),
        ("dataset.scale=big", "big"),
        ("quantization.calibration.percentile=much", "much"),
        ("store.push=maybe", "maybe"),
        ("verify.gates.top1=high", "high"),
        ("signature.batch=one", "one"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_place(project, override, word):
    found = refused_at_once(project.run(RECIPE, override))
    assert found.where == f"command line: {override}"
    assert word in found.what


@pytest.mark.parametrize("override", ["quantization=3", "quantization=null", "~quantisation"])
def test_a_group_that_is_given_no_option_of_it_is_refused(project, override):
    assert "quanti" in refused_at_once(project.run(RECIPE, override)).where


@pytest.mark.parametrize("override", ["+dataset.scael=2", "++dataset.scael=2"])
def test_plus_does_not_smuggle_an_unknown_key_in(project, override):
    found = refused_at_once(project.run("plan", RECIPE, override))
    assert "scale" in found.why and "scael" in found.where


@pytest.mark.parametrize(
    ("overrides", "where", "word"),
    [
        (["dataset.count=0"], "dataset.count=0", "at least 1"),
        (["verify.dataset.count=-3"], "verify.dataset.count=-3", "at least 1"),
        (["quantization.calibration.percentile=120"], "quantization.calibration.percentile=120", "100"),
        (["quantization.calibration.smoothing=1"], "quantization.calibration.smoothing=1", "between 0 and 1"),
        (["signature.batch=0"], "signature.batch=0", "at least 1"),
        (["signature.inputs.image.shape=[1,28,28,0]"], "signature.inputs.image.shape=[1,28,28,0]", "from 1"),
        (["target=cpu", "target.cpu.threads=0"], "target.cpu.threads=0", "at least 1"),
        (["verify.top_k=0"], "verify.top_k=0", "at least 1"),
        (["benchmark=host", "benchmark.runs=3"], "benchmark.runs=3", "at least 10"),
        (["benchmark=host", "benchmark.warmup=-1"], "benchmark.warmup=-1", "at least 0"),
        (["dataset.scale=nan"], "dataset.scale=nan", "finite"),
        (["verify.gates.top1_drop=inf"], "verify.gates.top1_drop=inf", "finite"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_value_out_of_range_is_refused_with_the_range(project, overrides, where, word):
    found = refused_at_once(project.run(RECIPE, *overrides))
    assert found.where == f"command line: {where}"
    assert word in found.what


# what contradicts itself


def test_int8_without_data_is_refused(project):
    found = refused_at_once(project.run(RECIPE, "dataset=none"))
    assert found.what == "quantization=int8 has no calibration data"
    assert found.where == "command line: dataset=none"
    assert "dataset=npz" in found.next and "dataset=synthetic" in found.next


def test_a_recipe_of_int8_without_data_is_refused(project):
    project.write("recipes/bare.yaml", f"defaults:\n  - override /quantization: int8\n{SOURCE}")
    found = refused_at_once(project.run("+recipe=bare"))
    assert found.what == "quantization=int8 has no calibration data"


@pytest.mark.parametrize("algorithm", ["gptq", "oscar"])
def test_weights_chosen_by_samples_need_some(project, algorithm):
    choice = ("quantization=dynamic_int4", f"quantization.algorithm={algorithm}")
    found = refused_at_once(project.run(RECIPE, *choice, "dataset=none"))
    assert found.what == f"quantization.algorithm={algorithm} has no representative samples"
    assert found.where == "command line: dataset=none"


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (["quantization.algorithm=oscar"], "quantization=int8 cannot have its weights chosen by oscar"),
        (["quantization=weight_only_int4", "quantization.algorithm=oscar"], "cannot have its weights chosen by oscar"),
        (
            ["quantization=dynamic_int4", "quantization.granularity=blockwise_32", "quantization.algorithm=mse"],
            "the algorithm mse cannot choose blockwise_32 weights",
        ),
        (["quantization=weight_only_int4", "quantization.granularity=blockwise_32"], "cannot have blockwise_32"),
        (["quantization=float16", "quantization.algorithm=mse"], "'quantization.algorithm' is not used"),
        (["quantization=none", "quantization.granularity=per_tensor"], "'quantization.granularity' is not used"),
        (["quantization=int16x8", "quantization.symmetric=true"], "'quantization.symmetric' is not used"),
    ],
)
def test_a_refinement_that_the_scheme_cannot_have_is_refused(project, overrides, what):
    assert what in refused_at_once(project.run(RECIPE, *overrides)).what


def test_a_gate_that_is_not_measured_is_refused(project):
    found = refused_at_once(project.run(RECIPE, "verify=parity"))
    assert "top1_drop" in found.what and "verify=parity" in found.what
    assert found.where.endswith(f"mobilenet_int8.yaml:{line_of(SHIPPED, 'top1_drop')}: verify.gates.top1_drop")
    assert "verify=classification" in found.next


def test_the_converter_calibrates_by_min_max_alone(project):
    method = "quantization.calibration.method=percentile"
    found = refused_at_once(project.run(RECIPE, "quantization.engine=converter", method))
    assert found.where == f"command line: {method}"
    assert "converter" in found.what and "percentile" in found.what
    assert "quantization.engine=litert" in found.next and "min_max" in found.next


@pytest.mark.parametrize(
    "override",
    ["quantization=none", "quantization=float16", "quantization=dynamic_int8", "quantization.output_type=float32"],
)
def test_a_target_of_integers_takes_no_other_model(project, override):
    found = refused_at_once(project.run(RECIPE, "target=integer_only", override))
    assert "integer_only" in found.what
    assert "quantization=int8" in found.next


@pytest.mark.parametrize("override", ["signature.inputs.image.shape=[null,28,28,1]", "opset=select_tf"])
def test_a_target_of_integers_takes_no_free_shape_and_no_flex(project, override):
    assert "integer_only" in refused_at_once(project.run(RECIPE, "target=integer_only", override)).what


@pytest.mark.parametrize("override", ["signature=dynamic", "signature.batch=null"])
def test_nor_a_free_batch_where_no_shape_is_declared(project, override):
    model = ("source.path=net.keras", "quantization=int8", "dataset=synthetic", "target=integer_only")
    assert "needs fixed shapes" in refused_at_once(project.run(*model, override)).what


def test_accuracy_without_labels_is_refused(project):
    found = refused_at_once(project.run(RECIPE, "verify.dataset.label=''"))
    assert found.where == "command line: verify.dataset.label=''"
    assert "verify=parity" in found.next


def test_verification_without_data_is_refused(project):
    found = refused_at_once(project.run(RECIPE, "dataset@verify.dataset=none"))
    assert "has no dataset" in found.what


@pytest.mark.parametrize(
    ("override", "option"), [("dataset.kind=synthetic", "dataset=synthetic"), ("quantization.scheme=none", "=none")]
)
def test_an_options_own_name_is_not_set_by_hand(project, override, option):
    found = refused_at_once(project.run(RECIPE, override))
    assert found.where == f"command line: {override}"
    assert option in found.next


@pytest.mark.parametrize("name", ["../../elsewhere", "{folder}/elsewhere"])
def test_a_name_cannot_lead_out_of_the_outputs_folder(project, name):
    found = refused_at_once(project.run("plan", RECIPE, f"name={name.format(folder=project.folder)}"))
    assert "name" in found.where


# in a recipe's file: the file, the line, and what was meant


def test_a_misspelt_key_in_a_recipe_has_its_line_and_the_nearest_name(project):
    text = local(project, "    label: label", "    lable: label")
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where.startswith(f"recipes/mine.yaml:{line_of(text, 'lable')}: ")
    assert "'lable'" in found.what and "did you mean: label" in found.why


@pytest.mark.parametrize(
    ("written", "wrong", "meant"),
    [
        ("verify:\n", "verfy:\n", "verify"),
        ("    top1_drop:", "    top1_dorp:", "top1_drop"),
        ("  scale: 1.0", "  sclae: 1.0", "scale"),
        ("  gates:", "  gaets:", "gates"),
        ("shape: [1", "shap: [1", "shape"),
    ],
)
def test_a_key_at_any_depth_has_its_line(project, written, wrong, meant):
    text = local(project, written, wrong)
    found = refused_at_once(project.run("+recipe=mine"))
    word = wrong.strip().split(":")[0]
    assert found.where.startswith(f"recipes/mine.yaml:{line_of(text, word)}: ")
    assert re.search(rf"did you mean: (\w+, )*{meant}\b", found.why), found.text


@pytest.mark.parametrize(
    ("written", "wrong", "word"),
    [
        ("scale: 1.0", "scale: much", "much"),
        ("dtype: float32", "dtype: flot32", "flot32"),
        ("shape: [1, 28, 28, 1]", "shape: [1, x, 28, 1]", "x"),
        ("top1_drop: 0.005", "top1_drop: half", "half"),
    ],
)
def test_a_wrong_value_in_a_recipe_has_its_line(project, written, wrong, word):
    text = local(project, written, wrong)
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where.startswith(f"recipes/mine.yaml:{line_of(text, wrong)}: ")
    assert word in found.what


def test_a_value_out_of_range_in_a_recipe_has_its_line(project):
    text = local(project, "  scale: 1.0", "  scale: 1.0\n  count: 0")
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where == f"recipes/mine.yaml:{line_of(text, 'count: 0')}: dataset.count"


@pytest.mark.parametrize(
    ("written", "wrong", "meant"),
    [
        ("override /quantization: int8", "override /quantization: int9", "int8"),
        ("override /quantization: int8", "override /quantizaton: int8", "quantization"),
        ("override /dataset: npz", "override /dataset: npzz", "npz"),
    ],
)
def test_a_wrong_default_has_its_file_and_the_nearest_name(project, written, wrong, meant):
    local(project, written, wrong)
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where.startswith("recipes/mine.yaml")
    assert re.search(rf"did you mean: (\w+, )*{meant}\b", found.why), found.text


@pytest.mark.parametrize(
    "entry", ["quantization: int8", "/quantization: int8", "override quantization: int8", "nothing_like_it"]
)
def test_a_default_of_the_wrong_form_has_its_file(project, entry):
    project.write("recipes/mine.yaml", f"defaults:\n  - {entry}\n{SOURCE}")
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where.startswith("recipes/mine.yaml")
    assert "recipe/quantization" not in found.text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source: {path: x\n  foo: : 3\n", 2),
        ("source:\n\tpath: x\n", 2),
        ("source: {path: x}\nsource: {path: y}\n", 2),
        ("source: {path: x}\nname: 'open\n", 3),
    ],
    ids=["brackets", "tab", "twice", "quote"],
)
def test_what_is_no_yaml_has_its_file_and_line(project, text, line):
    project.write("recipes/mine.yaml", text)
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.what == "not valid YAML" and found.why
    assert found.where == f"recipes/mine.yaml:{line}"


def test_broken_yaml_of_an_option_of_ones_own_is_named_by_its_file(project):
    project.write("conf/quantization/mine.yaml", "defaults: [int8]\nrules: [\n  {a: b\nx: y\n")
    found = refused_at_once(project.run(RECIPE, "quantization=mine"))
    assert found.what == "not valid YAML" and found.where == "conf/quantization/mine.yaml:4"


@pytest.mark.parametrize("text", ["just words\n", "- a\n- b\n", "defaults: 3\n", "source: 3\n", "dataset: [1]\n"])
def test_yaml_of_another_shape_has_its_file(project, text):
    project.write("recipes/mine.yaml", text)
    assert refused_at_once(project.run("+recipe=mine")).where.startswith("recipes/mine.yaml")


def test_a_recipe_that_is_no_text_has_its_file(project):
    project.write("recipes/mine.yaml", "").write_bytes(b"\xff\xfe\x00")
    assert refused_at_once(project.run("+recipe=mine")).where.startswith("recipes/mine.yaml")


def test_a_recipe_without_a_source_names_the_key(project):
    project.write("recipes/mine.yaml", "name: mine\n")
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.what == "source.path is not set" and found.where == "recipes/mine.yaml"
    assert "source.path=" in found.next


def test_no_recipe_at_all_says_how_to_name_one(project):
    assert "+recipe=mobilenet_int8" in refused_at_once(project.run()).next


@pytest.mark.parametrize("resolver", ["now:%Y", "random:1", "hydra:job.num"])
def test_what_differs_from_run_to_run_is_refused(project, resolver):
    project.write("recipes/mine.yaml", f"{SOURCE}name: ${{{resolver}}}\n")
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where.startswith("recipes/mine.yaml")
    assert resolver.split(":")[0] in found.what and "oc.env" in found.next


@pytest.mark.parametrize(("text", "word"), [("${oc.env:NOT_SET_X}", "NOT_SET_X"), ("${nope}", "nope")])
def test_an_interpolation_of_nothing_has_its_line(project, text, word):
    project.write("recipes/mine.yaml", f"{SOURCE}name: {text}\n")
    found = refused_at_once(project.run("+recipe=mine"))
    assert found.where.startswith("recipes/mine.yaml")
    assert word in found.what


# the command line itself


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["bild", RECIPE], "did you mean: build"),
        ([RECIPE, "explian"], "did you mean: explain"),
        (["build", "plan", RECIPE], "plan"),
        ([RECIPE, "--josb", "3"], "--josb"),
        ([RECIPE, "--jobs", "0"], "--jobs is 0"),
        ([RECIPE, "--jobs", "some"], "some"),
        ([RECIPE, "--jobs"], "--jobs"),
        ([RECIPE, "--clear"], "cache"),
        (["cache", RECIPE], "cache takes no overrides"),
        ([RECIPE, "dataset=[1"], "dataset=[1"),
        ([RECIPE, "=3"], "=3"),
        (["-sc", "install=bsh"], "bsh"),
        (["-sc"], "install="),
        ([RECIPE, "--cfg", "jobb"], "jobb"),
        ([RECIPE, "--cfg", "job", "-p", "quantizaton"], "quantizaton"),
        (["--info", "nothing"], "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_refused(project, arguments, word):
    assert word in refused_at_once(project.run(*arguments), "usage").text


def test_a_verb_given_twice_is_not_met_with_its_own_name(project):
    assert "did you mean: plan" not in refused_at_once(project.run("build", "plan", RECIPE), "usage").why


@pytest.mark.parametrize("override", [RECIPE, "+recipe=other", "+recipe=3", "+recipe=null"])
def test_a_recipe_that_cannot_be_added_is_refused(project, override):
    first = [RECIPE] if "mobilenet" in override or "other" in override else []
    project.write("recipes/other.yaml", SOURCE)
    assert "recipe" in refused_at_once(project.run(*first, override)).text


def test_choices_without_m_say_that_m_is_wanted(project):
    found = refused_at_once(project.run(RECIPE, "quantization=none,int8"))
    assert found.where == "command line: quantization=none,int8"
    assert "-m" in found.why + found.next


def test_a_sweep_of_refused_jobs_alone_is_refused(project):
    found = refused_at_once(project.run("-m", RECIPE, "dataset.count=0,-5"))
    assert found.where == "command line: dataset.count=0"


def test_a_choice_that_there_is_not_refuses_the_whole_sweep(project):
    assert "int9" in refused_at_once(project.run("-m", RECIPE, "quantization=int8,int9")).what


@pytest.mark.parametrize("verb", ["plan", "explain"])
def test_a_refused_job_is_left_out_of_the_plan_and_told(project, verb):
    done = project.run(verb, "-m", RECIPE, "dataset.count=0,5")
    assert done.code == 2 and "dataset.count=0" in done.err and "Traceback" not in done.err
    assert "convert" in done.out


@pytest.mark.parametrize("verb", ["plan", "explain"])
def test_every_verb_refuses_alike(project, verb):
    found = refused_at_once(project.run(verb, RECIPE, "quantization=int9"))
    assert "did you mean: int8" in found.why


def test_a_refused_command_leaves_nothing_behind(project):
    refused_at_once(project.run(RECIPE, "quantization=int9"))
    assert list(project.folder.iterdir()) == []
    assert list((project.store / "tmp").iterdir()) == []


# Hydra as it is known


def test_cfg_shows_the_composed_recipe(project):
    done = project.run(RECIPE, "quantization.input_type=uint8", "--cfg", "job")
    assert done.code == 0 and done.err == ""
    assert "input_type: uint8" in done.out and "tflbuild://fashion_mobilenet/model.keras" in done.out
    part = project.run(RECIPE, "--cfg", "job", "-p", "quantization.calibration")
    assert part.code == 0 and "method: min_max" in part.out and "source" not in part.out


def test_cfg_of_a_wrong_recipe_is_refused_alike(project):
    assert "did you mean: int8" in refused_at_once(project.run(RECIPE, "quantization=int9", "--cfg", "job")).why
    wrong = refused_at_once(project.run(RECIPE, "verify=[1]", "--cfg", "job"))
    assert wrong.what == "'verify' takes the name of an option, not [1]"


def test_help_lists_the_verbs_the_groups_and_the_flags(project):
    project.write("recipes/mine.yaml", SOURCE)
    done = project.run("--help")
    assert done.code == 0 and done.err == ""
    for word in ("plan", "explain", "cache", "--jobs", "--json", "--multirun", "quantization", "dynamic_int8", "mine"):
        assert word in done.out


def test_help_keeps_the_schemas_to_itself(project):
    assert "schema/" not in project.run("--help").out


def test_version_is_printed(project):
    done = project.run("--version")
    assert done.code == 0 and re.fullmatch(r"tflbuild \d+\.\d+\.\d+\n", done.out)


@pytest.mark.parametrize("what", ["defaults", "searchpath", "config"])
def test_info_shows_hydras_view(project, what):
    done = project.run(RECIPE, "--info", what)
    assert done.code == 0 and done.err == ""
    assert "mobilenet_int8" in done.out or "recipes" in done.out or "tflbuild://" in done.out


def test_recipe_is_added_with_a_plus_or_without(project):
    with_plus = project.run(RECIPE, "--cfg", "job")
    assert with_plus.code == 0
    assert project.run("recipe=mobilenet_int8", "--cfg", "job").out == with_plus.out


def test_a_recipe_in_the_project_comes_before_the_shipped_one(project):
    project.write("recipes/mobilenet_int8.yaml", "source: {path: my.keras}\n")
    assert "path: my.keras" in project.run(RECIPE, "--cfg", "job").out
    assert "my.keras" in refused_at_once(project.run(RECIPE)).what


def test_a_recipe_in_a_folder_is_named_with_it(project):
    project.write("recipes/phones/small.yaml", "source: {path: my.keras}\n")
    assert "path: my.keras" in project.run("+recipe=phones/small", "--cfg", "job").out


def completions(project, line):
    done = project.run("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.code == 0 and done.err == "", done.err
    return done.out.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tflbuild +recipe=mob", ["+recipe=mobilenet_int8"]),
        ("tflbuild recipe=mob", ["recipe=mobilenet_int8"]),
        ("tflbuild plan +recipe=mob", ["+recipe=mobilenet_int8"]),
        ("tflbuild -m +recipe=mob", ["+recipe=mobilenet_int8"]),
        (
            "tflbuild +recipe=mobilenet_int8 quantization=int",
            [f"quantization={one}" for one in ("int16x8", "int4", "int8")],
        ),
        ("tflbuild quantization=int8 quantization.in", ["quantization.input_type="]),
        ("tflbuild +recipe=mobilenet_int8 quantization.in", ["quantization.input_type="]),
    ],
)
def test_tab_completes(project, line, offered):
    assert completions(project, line) == offered


def test_tab_completes_a_projects_own_recipe(project):
    project.write("recipes/mine.yaml", SOURCE)
    assert completions(project, "tflbuild +recipe=mi") == ["+recipe=mine"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_installs_by_a_script(project, shell):
    done = project.run("-sc", f"install={shell}")
    assert done.code == 0 and done.err == ""
    assert "complet" in done.out and "COMP_LINE" in done.out


@pytest.mark.parametrize(
    ("override", "what", "next_step"),
    [
        ("+signature.inputs.imge.dtype=float32", "signature.inputs.imge.shape is not set", "in the recipe"),
        ("~dataset.scale", "'dataset.scale' cannot be deleted", "dataset.scale=null"),
    ],
)
def test_what_a_typed_recipe_cannot_do_comes_with_what_it_can(project, override, what, next_step):
    found = refused_at_once(project.run(RECIPE, override))
    assert what in found.what and next_step in found.next
    assert override.lstrip("+").partition(".")[0] in found.where


@pytest.mark.parametrize("override", ["quantization.input_type=int8", "+quantization.budget.snr_db=30"])
def test_a_key_of_another_option_is_told_whose_it_is(project, override):
    found = refused_at_once(project.run(RECIPE, "quantization=none", override))
    assert found.where == f"command line: {override}" and "quantization=auto" in found.why


def test_of_two_overrides_of_one_key_the_last_is_the_wrong_one(project):
    found = refused_at_once(project.run(RECIPE, "dataset.count=3", "dataset.count=0"))
    assert found.where == "command line: dataset.count=0"
