"""What a step's parameters become in the quantizer's own recipe, in which the last entry that matches counts."""

import pytest
from litert_quantizer.algorithm_manager import AlgorithmName

from tflbuild.steps.quantization.quantizer_recipe import make_recipe

STATIC = {"scheme": "int8", "input_type": "float32", "output_type": "int8"}


def algorithms(entries):
    return [entry["algorithm_key"] for entry in entries]


@pytest.mark.parametrize("scheme", ["dynamic_int8", "weight_only_int8"])
def test_gptq_stands_behind_min_max(scheme):
    found = algorithms(make_recipe({"scheme": scheme, "algorithm": "gptq"}))
    assert found == [AlgorithmName.MIN_MAX_UNIFORM_QUANT, AlgorithmName.GPTQ]


def test_oscar_is_asked_of_dynamic_operators_alone():
    assert AlgorithmName.OSCAR in algorithms(make_recipe({"scheme": "dynamic_int8", "algorithm": "oscar"}))
    rule = {"match": "", "op": "FULLY_CONNECTED", "scheme": "weight_only_int8"}
    params = {"scheme": "dynamic_int8", "algorithm": "oscar", "rules": [rule]}
    found = make_recipe(params, [("FULLY_CONNECTED", "x")])
    assert AlgorithmName.OSCAR not in algorithms(entry for entry in found if "x" in entry["regex"])


def test_float_borders_stand_behind_everything_in_a_place_of_their_own():
    found = make_recipe({**STATIC, "algorithm": "octav"})
    assert found[-1]["algorithm_key"] == AlgorithmName.NO_QUANTIZE
    assert found[-1]["operation"].value == "INPUT"
    assert found[-1]["regex"] not in {entry["regex"] for entry in found[:-1]}


@pytest.mark.parametrize(
    ("params", "symmetric"),
    [
        (STATIC, {False}),
        ({**STATIC, "symmetric": True}, {True}),
        ({**STATIC, "symmetric": True, "scheme": "int4", "algorithm": "gptq"}, {True}),
        ({**STATIC, "scheme": "int16x8", "input_type": "int16"}, {True}),
    ],
)
def test_symmetric_speaks_of_int8_activations(params, symmetric):
    found = [entry["op_config"].get("activation_tensor_config") for entry in make_recipe(params)]
    assert {config["symmetric"] for config in found if config} == symmetric


@pytest.mark.parametrize("rules", [[], [{"match": "", "op": "BATCH_MATMUL", "scheme": "int8"}]])
def test_products_of_integers_have_one_scale_for_each_factor(rules):
    found = make_recipe({**STATIC, "rules": rules}, [("BATCH_MATMUL", "x")])
    configs = [entry["op_config"] for entry in found if entry["operation"].value == "BATCH_MATMUL"]
    assert configs
    assert {config["weight_tensor_config"]["granularity"].value for config in configs} == {"TENSORWISE"}
    dynamic = make_recipe({"scheme": "dynamic_int8"})
    assert "BATCH_MATMUL" not in {entry["operation"].value for entry in dynamic}
