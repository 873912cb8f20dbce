"""Every scheme, algorithm and rule on the default model: what was asked is what the artifact is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tflbuild.steps.calibration.moments_file import load_moments

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=mobilenet_int8"
OPEN = "verify.gates.top1_drop=null"  # int4 is here to be told apart, not to be good


def build(warm, *overrides):
    done = warm.run(RECIPE, OPEN, *overrides, "--json")
    (row,) = json.loads(done.out)
    assert row["error"] is None, row["error"]
    return row


def refused(warm, *overrides):
    done = warm.run(RECIPE, OPEN, *overrides)
    assert done.code in (1, 2), done.out
    return done.err


@pytest.fixture(scope="module")
def swept(built, tmp_path_factory):
    """Scheme -> its row, of one sweep over all of them."""
    schemes = ["none", "float16", "dynamic_int8", "dynamic_int4", "weight_only_int8", "weight_only_int4"]
    schemes += ["int8", "int4", "int16x8"]
    out = tmp_path_factory.mktemp("swept")
    done = built.run("-m", RECIPE, OPEN, f"output_root={out}", f"quantization={','.join(schemes)}", "--json")
    return dict(zip(schemes, json.loads(done.out), strict=True))


def test_every_scheme_is_built_as_it_is_declared(swept):
    assert {scheme: row["error"] for scheme, row in swept.items()} == dict.fromkeys(swept)


def test_fewer_bits_are_fewer_bytes(swept):
    size = {scheme: row["artifact"]["bytes"] for scheme, row in swept.items()}
    assert size["int4"] < size["int8"] < size["float16"] < size["none"]
    assert size["dynamic_int4"] < size["dynamic_int8"] < size["float16"]
    assert size["weight_only_int4"] < size["weight_only_int8"] < size["float16"]


def test_weights_alone_cost_the_least_and_int16_less_than_int8(swept):
    noise = {
        scheme: min(output["snr_db"] for output in row["metrics"]["verify"]["outputs"].values())
        for scheme, row in swept.items()
    }
    assert noise["float16"] > noise["weight_only_int8"] > noise["int8"]
    assert noise["int16x8"] > noise["int8"]


@pytest.mark.parametrize("algorithm", ["octav", "mse"])
def test_an_algorithm_changes_the_weights(warm, algorithm):
    row = build(warm, f"quantization.algorithm={algorithm}")
    assert row["artifact"]["sha256"] != warm_sha(warm)
    assert row["metrics"]["verify"]["classification"]["top1"] > 0.9


def snr(row):
    return min(output["snr_db"] for output in row["metrics"]["verify"]["outputs"].values())


DENSE = """
import keras, numpy as np

def make():
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(64, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((64,), name="x"), *layers, keras.layers.Dense(8, name="y")])
"""


def test_what_comes_in_chooses_better_int4_weights(warm):
    """gptq and oscar, on layers whose inputs vary together; and the quantizer's own statistics are the same."""
    mixed = np.random.default_rng(0).normal(size=(320, 8)) @ np.random.default_rng(1).normal(size=(8, 64))
    np.savez(warm.folder / "a.npz", x=mixed[:256].astype(np.float32))
    np.savez(warm.folder / "b.npz", x=mixed[256:].astype(np.float32))
    warm.write("dense.py", DENSE)
    warm.write(
        "recipes/dense.yaml",
        "defaults: [{override /source: function}, {override /dataset: npz}, {override /verify: parity}]\n"
        "source: {call: 'dense.py:make'}\ndataset: {path: a.npz}\nverify: {dataset: {path: b.npz}}\n",
    )
    swept = warm.run(
        *("-m", "+recipe=dense", "quantization=dynamic_int4", "quantization.algorithm=min_max,gptq,oscar", "--json")
    )
    plain, gptq, oscar = json.loads(swept.out)
    assert snr(gptq) > snr(plain) + 2 and snr(oscar) > snr(plain) + 0.5
    static = warm.run("-m", "+recipe=dense", "quantization=int4", "quantization.algorithm=min_max,gptq", "--json")
    assert static.steps["moments"] == "hit"
    plain, gptq = json.loads(static.out)
    assert snr(gptq) > snr(plain)
    warm.write("recipes/float.yaml", "defaults: [{override /source: function}]\nsource: {call: 'dense.py:make'}\n")
    assert warm.run("+recipe=float").code == 0
    compare_with_the_quantizer(warm.output("float") / "model.tflite", mixed[:256].astype(np.float32), warm)


def compare_with_the_quantizer(model, samples, warm):
    from litert_quantizer import quantizer, recipe
    from litert_quantizer.algorithm_manager import AlgorithmName

    theirs = quantizer.Quantizer(str(model), recipe.dynamic_wi4_afp32(algorithm_key=AlgorithmName.GPTQ))
    theirs = theirs.calibrate({"serving_default": [{"x": sample[None]} for sample in samples]})
    (path,) = {
        file for file in (warm.store / "cas").glob("*/*") if file.read_bytes()[:4] == b"PK\x03\x04" and is_matrix(file)
    }
    ours = load_moments(path)
    assert len(ours) == 4
    for name, one in ours.items():
        np.testing.assert_allclose(one["hessian"], theirs[name]["hessian"], rtol=2e-3, atol=1e-3)


def is_matrix(file):
    with np.load(file) as found:
        return "names" in found and found["0"].ndim == 2


def test_symmetric_activations_are_another_artifact(warm):
    row = build(warm, "quantization.symmetric=true", "quantization.input_type=uint8")
    assert row["metrics"]["verify"]["classification"]["top1"] > 0.92


def test_float_borders_stand_with_every_algorithm(warm):
    build(warm, "quantization.algorithm=octav", "quantization.input_type=float32", "quantization.output_type=float32")


def warm_sha(warm):
    return build(warm)["artifact"]["sha256"]


def test_an_algorithm_that_can_be_applied_nowhere_is_refused(warm):
    told = refused(warm, "quantization=dynamic_int8", "quantization.algorithm=hadamard")
    assert "quantization.algorithm=hadamard changes nothing in this model" in told or "custom operators" in told


def test_one_scale_a_tensor_is_smaller_and_another_artifact(warm):
    row = build(warm, "quantization.granularity=per_tensor")
    assert row["artifact"]["bytes"] < build(warm)["artifact"]["bytes"]


@pytest.mark.parametrize(
    "rule",
    [
        "{op: SOFTMAX, scheme: float32}",
        "{op: SOFTMAX, scheme: static_wi8_ai16}",
        "{op: CONV_2D, scheme: dynamic_int8}",
    ],
)
def test_a_rule_is_applied_and_the_rest_stays(warm, rule):
    row = build(warm, f"quantization.rules=[{rule}]")
    assert row["artifact"]["sha256"] != warm_sha(warm)
    assert row["metrics"]["verify"]["classification"]["top1"] > 0.92


def test_of_two_rules_the_last_counts(warm):
    one = build(warm, "quantization.rules=[{op: SOFTMAX, scheme: float32}]")
    rules = "[{op: CONV_2D, scheme: float32},{op: CONV_2D, scheme: int8},{op: SOFTMAX, scheme: float32}]"
    assert build(warm, f"quantization.rules={rules}")["artifact"]["sha256"] == one["artifact"]["sha256"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{match: nowhere, scheme: float32}", "rule 1 of quantization.rules matches no operator"),
        ("{op: LSTM, scheme: float32}", "there is no LSTM"),
        ("{op: SOFTMAX, scheme: int9}", "'int9' is no scheme"),
        ("{scheme: float32}", "rule 1 matches every operator"),
        ("{match: '(', scheme: float32}", "'(' is no regular expression"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(warm, rule, told):
    assert told in refused(warm, f"quantization.rules=[{rule}]")


def test_a_rule_that_the_quantizer_cannot_honour_is_refused(warm):
    told = refused(warm, "quantization.rules=[{op: SOFTMAX, scheme: dynamic_int8}]")
    assert "the LiteRT quantizer does not support dynamic_int8 for SOFTMAX" in told


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("quantization.rules=[{op: SOFTMAX, scheme: float32}]", "rules"),
        ("quantization.algorithm=mse", "algorithm"),
        ("quantization.granularity=per_tensor", "granularity"),
        ("quantization.symmetric=true", "symmetric"),
        ("quantization=int4", "scheme"),
    ],
)
def test_the_converter_has_none_of_it(warm, override, key):
    told = refused(warm, override, "quantization.engine=converter")
    assert f"engine 'converter' cannot honour quantization.{key}" in told


def test_blocks_are_for_int4_weights(warm):
    assert "cannot have blockwise_32 weights" in refused(warm, "quantization.granularity=blockwise_32")


def test_sensitivity_ranks_the_operators_and_its_rule_can_be_pasted(warm):
    found = json.loads(warm.run("sensitivity", RECIPE, "--json").out)
    noise = [one["snr_db"] for one in found["operators"]]
    assert noise == sorted(noise) and len(noise) > 10
    assert abs(sum(one["share"] for one in found["operators"]) - 1) < 1e-6
    command = warm.run("sensitivity", RECIPE)
    page = warm.folder / command.out.splitlines()[-1].removeprefix("chart  ")
    assert page == warm.output() / "sensitivity.html" and page.read_text().count("<rect") == 2 * len(noise)
    rule = command.out.splitlines()[-2].removeprefix("to spare the worst: ").strip("'")
    assert build(warm, rule)["artifact"]["sha256"] != warm_sha(warm)


def test_sensitivity_needs_a_scheme_and_evaluation_data(warm):
    assert "sensitivity needs a scheme" in warm.run("sensitivity", RECIPE, "quantization=none").err
    assert "sensitivity needs evaluation data" in warm.run("sensitivity", RECIPE, "verify=none").err
