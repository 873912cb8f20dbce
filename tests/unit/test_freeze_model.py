"""What a recipe says of the model, composed and frozen: values out of range, and keys that exclude one another."""

import pytest
from freezing import frozen, refused

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.targets.common.requirement_check import STATIC_FIX

KERAS = ("source.path=net.keras",)
FUNCTION = ("source=function", "source.call=net.py:make")
TFLITE = ("source=tflite", "source.path=net.tflite")
INT8 = (*KERAS, "quantization=int8", "dataset=synthetic")
INT16X8 = (*KERAS, "quantization=int16x8", "dataset=synthetic")
STATIC = (*KERAS, "target=cpu", "target.cpu.static_shapes=true")


pytestmark = pytest.mark.usefixtures("empty_folder")


# the source


def test_a_pin_is_64_hex_digits_in_either_case():
    assert frozen(*KERAS, "source.sha256=" + "AB" * 32).source.sha256 == "ab" * 32
    assert refused(*KERAS, "source.sha256=abc").what == "'source.sha256' is 'abc', and must be 64 hex digits"


@pytest.mark.parametrize("call", ["m.py", "m:", ":f", "m.py:f g", "m-x:f", ""])
def test_a_call_names_a_file_or_a_module_and_what_to_call_in_it(call):
    error = refused("source=function", f"source.call='{call}'")
    assert error.what == f"'source.call' is '{call}', and must be 'file.py:name' or 'module:name'"
    assert error.where.startswith("command line: source.call=")


@pytest.mark.parametrize("call", ["m.py:f", "a/b-c.py:f", "m.py:Maker.make", "pkg.mod:f", "~/m.py:f", "../m.py:f"])
def test_calls_that_are_none_of_these_pass(call):
    assert frozen("source=function", f"source.call='{call}'").source.references == (call,)


def test_a_class_is_named_as_a_call_is():
    error = refused(*KERAS, "source.custom_objects={Gate: layers}")
    assert error.what == ("'source.custom_objects.Gate' is 'layers', and must be 'file.py:name' or 'module:name'")
    assert frozen(*KERAS, "source.custom_objects.Gate=layers.py:Gate").source.references == ("layers.py:Gate",)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_arguments_are_what_json_can_hold(number):
    error = refused(*FUNCTION, f"source.arguments={{units: {number}}}")
    assert error.what == "source.arguments cannot be passed on"
    assert error.next_step.startswith("arguments are numbers, strings, true, false, null")


def test_arguments_keep_their_types_and_are_written_without_plus_signs():
    given = frozen(*FUNCTION, "source.arguments={units: 5, rate: 1.0, names: [a, null], deep: {on: true}}")
    assert given.source.arguments == {"units": 5, "rate": 1.0, "names": ["a", None], "deep": {"on": True}}
    assert [type(value) for value in given.source.arguments.values()][:2] == [int, float]
    assert frozen(*FUNCTION, "source.arguments.units=7").source.arguments == {"units": 7}


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (("source.path=''",), "source.path"),
        (("source=hub", "source.handle=''"), "source.handle"),
        ((*KERAS, "signature.key=''"), "signature.key"),
    ],
)
def test_a_name_that_is_empty_is_refused(overrides, key):
    assert key in refused(*overrides).what


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ((*FUNCTION, "source.path=net.keras"), "source.path"),
        (("source=hub", "source.handle=x", "source.path=net"), "source.path"),
        ((*KERAS, "source.files=[words.txt]"), "source.files"),
    ],
)
def test_a_key_that_nothing_would_read_is_refused(overrides, key):
    error = refused(*overrides)
    assert f"'{key}'" in error.what
    assert error.where == f"command line: {overrides[-1]}"


# signatures


def test_what_is_written_of_signatures_arrives():
    recipe = frozen(
        *FUNCTION,
        "signature.key=train",
        "signature.inputs={x: {shape: [1, 8]}}",
        "signature.outputs={loss: l}",
        "signature.more={infer: {entry: predict, batch: null}}",
        "signature.preprocess={x: {scale: 0.5, mean: [1, 2, 3]}}",
    )
    (spec,), (step,), (more,) = recipe.signature.inputs, recipe.signature.preprocess, recipe.more_signatures
    assert (recipe.signature.key, recipe.signature.outputs) == ("train", (("loss", "l"),))
    assert (spec.name, spec.shape, spec.dtype) == ("x", (1, 8), "float32")
    assert (step.input, step.dtype, step.scale, step.mean, step.std) == ("x", "uint8", 0.5, (1.0, 2.0, 3.0), (1.0,))
    assert (more.key, more.entry, more.batch) == ("infer", "predict", None)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("signature.inputs.x.shape=[1,8]", lambda recipe: recipe.signature.inputs[0].shape == (1, 8)),
        ("signature.outputs.a=b", lambda recipe: recipe.signature.outputs == (("a", "b"),)),
        ("signature.preprocess.x.scale=0.5", lambda recipe: recipe.signature.preprocess[0].scale == 0.5),
        ("signature.more.infer.entry=f", lambda recipe: recipe.more_signatures[0].entry == "f"),
        (
            "signature.more.infer.inputs.x.shape=[1,null]",
            lambda recipe: recipe.more_signatures[0].inputs[0].shape == (1, None),
        ),
    ],
)
def test_names_of_the_users_own_are_written_as_dotted_keys_too(override, read):
    assert read(frozen(*KERAS, override))


@pytest.mark.parametrize(
    ("override", "sizes"),
    [
        ("signature.inputs.x.shape=[1,8],[2,8]", [(1, 8), (2, 8)]),
        ("signature.more.infer.inputs.x.shape=[1,8],[2,8]", [(1, 8), (2, 8)]),
    ],
)
def test_they_can_be_swept(override, sizes):
    recipes = [freeze(one) for one in compose([*KERAS, override], multirun=True)]
    found = [
        (*recipe.signature.inputs, *(i for one in recipe.more_signatures for i in one.inputs)) for recipe in recipes
    ]
    assert [spec.shape for (spec,) in found] == sizes


@pytest.mark.parametrize(
    ("override", "key", "value", "rule"),
    [
        ("signature.batch=0", "signature.batch", "0", "at least 1, or null"),
        ("signature.more={infer: {batch: -1}}", "signature.more.infer.batch", "-1", "at least 1, or null"),
        ("signature.inputs={x: {shape: [1, 0]}}", "signature.inputs.x.shape", "[1, 0]", "made of sizes from 1, and"),
        ("signature.inputs={x: {shape: [1, -1]}}", "signature.inputs.x.shape", "[1, -1]", "made of sizes from 1, and"),
        (
            "signature.more={infer: {inputs: {x: {shape: [0]}}}}",
            "signature.more.infer.inputs.x.shape",
            "[0]",
            "made of sizes from 1, and",
        ),
        ("signature.preprocess={x: {mean: []}}", "signature.preprocess.x.mean", "[]", "one number, or one a channel"),
        ("signature.preprocess={x: {std: []}}", "signature.preprocess.x.std", "[]", "one number, or one a channel"),
        (
            "signature.preprocess={x: {std: [1, 0]}}",
            "signature.preprocess.x.std",
            "[1.0, 0.0]",
            "one number, or one a channel, and none of them 0",
        ),
        ("signature.preprocess={x: {scale: 0}}", "signature.preprocess.x.scale", "0.0", ""),
        ("signature.preprocess={x: {scale: nan}}", "signature.preprocess.x.scale", "nan", "a finite number"),
        ("signature.preprocess={x: {mean: [inf]}}", "signature.preprocess.x.mean", "inf", "a finite number"),
    ],
)
def test_a_value_out_of_range_is_refused_under_its_key(override, key, value, rule):
    error = refused(*KERAS, override)
    assert error.what.startswith(f"'{key}")
    assert f"is {value}" in error.what or f"is [{value}]" in error.what
    assert f"must be {rule}" in error.what
    assert error.where in (key, f"command line: {override}")


def test_a_place_inside_of_an_override_in_braces_is_that_override():
    override = "signature.inputs={x: {shape: [0, 8]}}"
    assert refused(*KERAS, override).where == f"command line: {override}"


def test_preprocessing_makes_numbers_of_numbers():
    assert "signature.preprocess.x.dtype" in refused(*KERAS, "signature.preprocess={x: {dtype: string}}").what


def test_one_name_is_one_signature():
    error = refused(*KERAS, "signature.more={serving_default: {}}")
    assert error.what == "the signature 'serving_default' is declared twice"
    assert error.why == "it is signature.key, and stands under signature.more too"


# op sets and the converter


def test_a_runtime_is_a_version():
    assert frozen(*KERAS, "opset.max_runtime='2.14'").opset.max_runtime == "2.14"
    error = refused(*KERAS, "opset.max_runtime=new")
    assert error.what == "'opset.max_runtime' is 'new', and must be a version such as '2.14'"


@pytest.mark.parametrize("number", ["2.10", "2.20"])
def test_a_version_that_yaml_reads_as_another_number_is_refused(number):
    """2.10 is the number 2.1, and the version 2.1 is another runtime."""
    assert f"'{number}'" in refused(*KERAS, f"opset.max_runtime={number}").next_step
    assert frozen(*KERAS, f"opset.max_runtime='{number}'").opset.max_runtime == number


def test_flex_operators_are_not_custom_ones():
    error = refused(*KERAS, "opset=custom", "opset.custom=[FlexErf]")
    assert error.what == "'FlexErf' is a TensorFlow (Flex) operator, not a custom one"
    assert "opset=select_tf allows Flex operators" in error.next_step


def test_an_operator_is_allowed_or_denied():
    error = refused(*KERAS, "opset=custom", "opset.custom=[Mine, Yours]", "opset.deny=[Mine]")
    assert error.what == "the op set both allows and denies Mine"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("experimental_supported_backends=[TPU]", "is 'TPU', and must be GPU"),
        ("_experimental_full_integer_quantization_bias_type=int8", "is 'int8', and must be int32 or int64"),
        ("_experimental_supported_accumulation_type=int8", "is 'int8', and must be float16 or float32"),
    ],
)
def test_a_value_that_the_converter_would_choke_on_is_refused(override, told):
    assert refused(*KERAS, f"converter.{override}").what == f"'converter.{override.partition('=')[0]}' {told}"


@pytest.mark.parametrize(
    ("overrides", "why"), [(KERAS, "nothing is quantized"), (INT16X8, "the LiteRT quantizer does")]
)
def test_an_option_of_a_quantizer_that_is_not_used_is_refused(overrides, why):
    error = refused(*overrides, "converter._experimental_full_integer_quantization_bias_type=int32")
    assert error.what == "'converter._experimental_full_integer_quantization_bias_type' has no effect"
    assert error.why == f"it takes effect while TFLiteConverter quantizes, and here {why}"


def test_it_passes_where_that_quantizer_is_used_and_options_left_alone_are_none():
    option = "converter._experimental_full_integer_quantization_bias_type=int32"
    recipe = frozen(*INT16X8, "quantization.engine=converter", option)
    assert recipe.converter == (("_experimental_full_integer_quantization_bias_type", "int32"),)
    assert frozen(*KERAS).converter == ()
    assert frozen(*KERAS, "converter.unfold_batchmatmul=false").converter == (("unfold_batchmatmul", False),)


def test_user_operators_are_tensorflows():
    option = "converter.experimental_select_user_tf_ops=[Mine]"
    error = refused(*KERAS, option)
    assert error.what == "'converter.experimental_select_user_tf_ops' needs TensorFlow operators to be allowed"
    assert error.next_step == "opset=select_tf"
    frozen(*KERAS, option, "opset=select_tf")


# contradictions


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("signature.more={infer: {}}", "signature.more"),
        ("signature.outputs={a: b}", "signature.outputs"),
        ("signature.preprocess={x: {}}", "signature.preprocess"),
        ("signature.entry=f", "signature.entry"),
        ("converter.unfold_batchmatmul=true", "converter"),
    ],
)
def test_what_acts_while_a_model_is_converted_is_refused_for_one_that_is_converted(override, key):
    error = refused(*TFLITE, override)
    assert error.what == f"'{key}' cannot be applied to a .tflite file"
    assert error.why == "it takes effect while a model is converted, and this one is already converted"
    assert error.where == f"command line: {override}"


def test_the_converter_cannot_quantize_a_tflite_file():
    error = refused(*TFLITE, "quantization=float16", "quantization.engine=converter")
    assert error.what == "engine 'converter' cannot start from a .tflite file"


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_ranges_are_measured_never_guessed(scheme):
    assert refused(*KERAS, f"quantization={scheme}").what == f"quantization={scheme} has no calibration data"


@pytest.mark.parametrize(
    ("overrides", "scheme", "kind", "others"),
    [
        ((*INT8, "quantization.input_type=int16"), "int8", "int16", "int8 or uint8 or float32"),
        ((*INT8, "quantization.output_type=int16"), "int8", "int16", "int8 or uint8 or float32"),
        ((*INT16X8, "quantization.input_type=int8"), "int16x8", "int8", "int16 or float32"),
        ((*INT16X8, "quantization.output_type=uint8"), "int16x8", "uint8", "int16 or float32"),
    ],
)
def test_each_scheme_has_borders_of_its_own(overrides, scheme, kind, others):
    error = refused(*overrides)
    assert error.what == f"quantization={scheme} cannot have '{kind}' inputs or outputs"
    assert error.next_step == f"set it to {others}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((*KERAS, "opset=int8_only"), "int8 arithmetic alone, and quantization is none"),
        ((*INT16X8, "opset=int8_only"), "int8 arithmetic alone, and quantization is int16x8"),
        ((*INT8, "opset=int16x8"), "int16x8 arithmetic alone, and quantization is int8"),
        (
            (*INT8, "opset=int8_only", "opset.select_tf=true"),
            "int8 arithmetic alone, and TensorFlow (Flex) operators compute in float",
        ),
    ],
)
def test_an_op_set_that_confines_arithmetic_wants_what_gives_it(overrides, told):
    assert refused(*overrides).what == f"the op set allows {told}"


def test_the_op_sets_pass_with_their_schemes():
    assert frozen(*INT8, "opset=int8_only").opset.arithmetic == "int8"
    assert frozen(*INT16X8, "opset=int16x8").opset.arithmetic == "int16x8"


@pytest.mark.parametrize(
    "override",
    [
        "signature=dynamic",
        "signature.batch=null",
        "signature.more={infer: {batch: null}}",
        "signature.inputs={x: {shape: [1, null]}}",
        "signature.inputs={x: {shape: [null, 8]}}",
    ],
)
def test_a_target_with_fixed_shapes_refuses_a_free_dimension(override):
    error = refused(*STATIC, override)
    assert error.what == "target=cpu needs fixed shapes, and the signature leaves a dimension free"
    assert error.next_step == STATIC_FIX


def test_what_is_declared_with_every_size_leaves_none_free():
    recipe = frozen(*STATIC, "signature=dynamic", "signature.inputs={x: {shape: [1, 8]}}")
    assert recipe.signature.inputs[0].shape == (1, 8)


def test_a_target_without_floats_refuses_flex_operators():
    error = refused(*INT8, "target=integer_only", "opset=select_tf")
    assert error.what == "target=integer_only cannot run TensorFlow (Flex) operators"
    assert error.next_step == "opset=builtins"


INPUTS = "signature.inputs={image: {shape: [1, 4], dtype: float32}}"


@pytest.mark.parametrize(
    ("overrides", "where", "near"),
    [
        ([INPUTS, "signature.preprocess={imgae: {scale: 0.5}}"], "signature.preprocess.imgae", "image"),
        ([INPUTS, "metadata.inputs={imgae: {mean: [1]}}"], "metadata.inputs.imgae", "image"),
        (
            ["signature.outputs={probs: a, b: b}", "metadata.outputs={prob: {description: p}}"],
            "metadata.outputs.prob",
            "probs",
        ),
        (
            ["signature.more={train: {}}", "metadata.more={trian: {inputs: {x: {description: a}}}}"],
            "metadata.more.trian",
            "train",
        ),
        (["metadata.more={train: {inputs: {x: {description: a}}}}"], "metadata.more.train", "nothing"),
        (
            [
                "signature.more={train: {outputs: {loss: l}}}",
                "metadata.more={train: {outputs: {lost: {description: a}}}}",
            ],
            "metadata.more.train.outputs.lost",
            "loss",
        ),
    ],
)
def test_names_that_the_recipe_does_not_declare_are_refused_with_the_nearest(overrides, where, near):
    error = refused(*KERAS, *overrides)
    assert error.what == f"'{where}' names nothing that the recipe declares"
    assert error.where.startswith("command line: ") and near in error.why


def test_names_that_the_recipe_leaves_open_are_not_refused():
    frozen(*KERAS, "signature.preprocess={x: {scale: 0.5}}", "metadata.inputs={x: {description: a}}")
    frozen(*TFLITE, "metadata.more={train: {inputs: {x: {description: a}}}}")
