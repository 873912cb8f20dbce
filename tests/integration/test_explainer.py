"""Models that do not convert as they are: what is said, and what `doctor` makes of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import matrix
import numpy as np
import pytest
from commandline import Project

pytestmark = pytest.mark.heavy

SYNTHETIC = ("verify=parity", "dataset@verify.dataset=synthetic", "verify.dataset.count=8")
INT8 = ("quantization=int8", "dataset=synthetic", "dataset.count=8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    base = tmp_path_factory.mktemp("explained")
    folder = base / "project"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("explained_nets.py"), folder / "nets.py")
    random = np.random.default_rng(1)
    wrong = {"left": random.normal(size=(8, 4)), "right": random.normal(size=(8, 4)).astype(np.float32)}
    np.savez(folder / "double.npz", **wrong)
    np.savez(folder / "flat.npz", left=wrong["right"][0], right=wrong["right"][0])
    return Project(folder, base / "store")


def net(name, *more):
    return ("source=function", f"source.call=nets.py:{name}", f"name={name}", *more)


def test_every_unsupported_operator_is_named_at_once_with_its_layer_and_line(project):
    done = project.run(*net("exotic"))
    assert done.code == 1
    assert "TFLite has no operator for Svd, Erf" in done.err
    assert "exotic" in done.err
    line = r"\(nets\.py:\d+ in call: singular = tf\.linalg\.svd\(tf\.reshape\(x, \(-1, 2, 4\)\), compute_uv=False\)\)"
    assert re.search(rf"Svd: \S*exotic\S*/Svd {line}", done.err), done.err
    assert "the Flex delegate has none either" in done.err
    assert "1. rewrite Svd" in done.err


def test_what_flex_has_is_offered_and_what_it_lacks_is_not(project):
    assert "opset=select_tf opset.custom=[Svd]" in project.run(*net("exotic")).err
    alone = project.run(*net("erf")).err
    assert "opset=select_tf allows TensorFlow's own operators" in alone
    assert "opset.custom" not in alone


def test_doctor_tries_the_fixes_and_prints_the_command_that_works(project):
    done = project.run("doctor", *net("erf"))
    assert done.code == 0
    assert "needs the Flex delegate (FlexErf)" in done.out
    command = done.out.splitlines()[-1]
    assert command.startswith("builds  tflbuild "), "nothing here can run Flex, so nothing works for sure"
    words = command.removeprefix("builds  tflbuild ").split()
    assert project.run(*words).code == 0


def test_doctor_has_nothing_to_do_for_a_model_that_builds(project):
    done = project.run("doctor", *net("two_inputs"))
    assert done.code == 0
    assert done.out == "nothing is wrong: the recipe builds and passes its gates\n"


def test_doctor_says_when_nothing_helps(project):
    done = project.run("doctor", *net("table", "signature.key=find"), "--json")
    found = json.loads(done.out)
    assert found["problem"]
    assert all(trial["result"] != "works" for trial in found["trials"])
    assert done.code == (0 if found["fix"] else 1)


def test_a_loop_with_a_free_batch_is_explained_and_pinning_it_works(project):
    done = project.run("doctor", *net("lstm", "signature=dynamic", *SYNTHETIC), "--json")
    found = json.loads(done.out)
    assert "a loop keeps a list of unknown shape: TensorListReserve" in found["problem"]
    results = {trial["fix"].split(" ")[0]: trial["result"] for trial in found["trials"]}
    assert results["signature=static"] == "works"
    assert results["source.fused_lstm=true"] == "works"
    single = results["converter._experimental_default_to_single_batch_in_tensor_list_ops=true"]
    assert "cannot run" in single, "it converts, and the batch that it claims to leave free is 1"
    assert found["fix"].startswith("signature=static")


def test_int8_with_float_operators_has_other_schemes_tried(project):
    done = project.run("doctor", *net("sine", *INT8, *SYNTHETIC), "--json")
    found = json.loads(done.out)
    assert "SIN computes in float" in found["problem"]
    results = {trial["fix"]: trial["result"] for trial in found["trials"]}
    assert results["quantization=dynamic_int8"] == "works"


def test_a_model_that_nobody_built_asks_for_its_inputs(project):
    done = project.run(*net("unbuilt"))
    assert done.code == 2
    assert "fixes no inputs, and the recipe declares none" in done.err
    assert project.run(*net("unbuilt", "signature.inputs={x: {shape: [1, 5]}}", *SYNTHETIC)).code == 0


def test_several_inputs_are_fed_by_name_and_wrong_arrays_refused(project):
    feed = ("verify=parity", "verify.dataset.path=double.npz")
    wrong = project.run(*net("two_inputs", *feed))
    assert wrong.code == 2
    assert "array 'left' of 'double.npz' is float64" in wrong.err
    flat = project.run(*net("two_inputs", "verify=parity", "verify.dataset.path=flat.npz"))
    assert flat.code == 2
    assert "has samples of shape []" in flat.err
    good = project.run(*net("two_inputs", *feed, "verify.dataset.scale=1.0"))
    assert good.code == 0, good.err


def test_a_flex_operator_is_listed_and_cannot_be_run_here(project):
    built = project.run(*net("erf", "opset=select_tf"))
    assert built.code == 0
    assert "needs the Flex delegate (FlexErf)" in built.out
    verified = project.run(*net("erf", "opset=select_tf", *SYNTHETIC))
    assert verified.code == 4
    assert "no Python package can run those" in verified.err


def test_a_target_with_fixed_shapes_refuses_free_ones(project):
    done = project.run(*net("sine", "signature=dynamic", "target=integer_only", *INT8))
    assert done.code == 2
    assert "needs fixed shapes" in done.err


def test_weights_above_two_gigabytes_are_refused_before_minutes_are_spent(project):
    done = project.run(*net("TooLarge", "signature.key=look"))
    assert done.code == 2
    assert "the model's variables have 2.40 GB, and a .tflite holds 2.1 GB" in done.err
    assert "_experimental_use_buffer_offset=true" in done.err


def test_a_large_constant_of_one_value_can_be_folded(project):
    plain = project.run(*net("Splat", "signature.key=spread"), "--json")
    option = "converter._experimental_unfold_large_splat_constant=true"
    folded = project.run(*net("Splat", "signature.key=spread", option), "--json")
    sizes = [json.loads(done.out)[0]["artifact"]["bytes"] for done in (plain, folded)]
    assert sizes[1] < sizes[0] / 30


def test_state_that_changes_converts_and_is_verified_call_by_call(project):
    done = project.run(*net("Counter", "signature.key=add", *SYNTHETIC), "--json")
    (row,) = json.loads(done.out)
    assert row["metrics"]["verify"]["outputs"]["total"]["max_abs_error"] < 1e-5


def test_a_mutable_table_is_refused_by_name(project):
    done = project.run(*net("table", "signature.key=find"))
    assert done.code in (1, 2)
    assert "Table" in done.err


def test_a_host_latency_is_called_the_hosts(project):
    done = project.run(*net("sine", "quantization=dynamic_int8", "benchmark=host"), "--json")
    (row,) = json.loads(done.out)
    assert row["metrics"]["benchmark"]["host"]


def test_guesslang_cannot_convert_and_everything_in_the_way_is_named(project):
    """Strings to n-grams: neither TFLite nor Flex has the operator, and nobody says that it works."""
    matrix.unpack_packages(project.folder)
    model = ("source=saved_model", "source.path=guesslang/data/model", "name=guesslang")
    done = project.run(*model, "signature.inputs={string_input: {shape: [1], dtype: string}}")
    assert done.code in (1, 2), done.err
    tried = project.run("doctor", *model, "opset=select_tf")
    assert "TFLite has no operator for StringNGrams, nor has Flex" in tried.err
    assert tried.out.splitlines()[1].split() == [
        *("'opset.custom=[StringNGrams]'", "builds,", "unverified"),
        *tried.out.splitlines()[1].split()[3:],
    ]
    assert "needs kernels of the app's own (StringNGrams)" in tried.out
    assert not tried.out.splitlines()[-1].startswith("works")
