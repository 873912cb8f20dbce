"""Mistakes of the corpus that a person makes in a recipe, refused before anything runs."""

from __future__ import annotations

from functools import partial

from corpus_types import Mistake

RECIPE = "+recipe=mobilenet_int8"
SOURCE = "source: {path: tflbuild://fashion_mobilenet/model.keras}\n"


def told(name: str, override: str, what: str, text: str, caught_by: str = "freeze", **more) -> Mistake:
    """One override of the shipped recipe."""
    return Mistake(
        name=name, place="recipe", what=what, arguments=(RECIPE, override), text=text, caught_by=caught_by, **more
    )


mistake = partial(Mistake, place="recipe", caught_by="freeze")

MISTAKES = (
    # names
    mistake(
        name="a_key_is_misspelt",
        what="A key of the recipe is misspelt",
        arguments=("recipe=mine",),
        files={"recipes/mine.yaml": f"{SOURCE}opset: {{max_runtim: '2.14'}}\n"},
        text="did you mean: max_runtime",
        caught_by="compose",
    ),
    told(
        "a_key_of_a_rule_is_misspelt",
        "quantization.rules=[{opp: CONV_2D, scheme: float32}]",
        "A key within a list is misspelt",
        "did you mean: op",
        "compose",
    ),
    told(
        "a_scheme_of_a_rule_is_misspelt",
        "quantization.rules=[{op: CONV_2D, scheme: int9}]",
        "The scheme of a rule is misspelt",
        "'int9' is no scheme",
    ),
    told(
        "an_option_is_misspelt",
        "target=integer_onli",
        "An option of a group is misspelt",
        "did you mean: integer_only",
        "compose",
    ),
    mistake(
        name="an_objective_has_no_side",
        what="An objective of a sweep does not say which side is better",
        arguments=("-m", RECIPE, "quantization=none,int8", "sweep.objectives=[speed]"),
        text="speed:min or speed:max",
    ),
    # files
    told(
        "a_file_is_misspelt",
        "metadata.outputs.class.labels=labls.txt",
        "A label file is misspelt",
        "did you mean: labels.txt",
        "resolve",
        files={"labels.txt": "a\n"},
    ),
    told(
        "a_digest_is_not_the_files",
        f"source.sha256={64 * '0'}",
        "The source is not the one that the recipe pins",
        "is not the model that the recipe pins",
        "resolve",
    ),
    told("a_digest_is_cut", "source.sha256=abc", "A pinned digest is not whole", "must be 64 hex digits"),
    told(
        "a_path_is_an_address",
        "source.path=https://example.org/model.keras",
        "An address is given for a file",
        "'https://example.org/model.keras' does not exist",
        "resolve",
    ),
    mistake(
        name="code_is_missing",
        what="The file of a function does not exist",
        arguments=("source=function", "source.call=nets.py:make"),
        text="'nets.py' does not exist",
        caught_by="resolve",
    ),
    # units and limits
    told(
        "a_share_is_in_percent",
        "verify.gates.top1=93",
        "A gate on an accuracy is in percent and not a share",
        "'verify.gates.top1' is 93, and must be a share from 0 to 1",
    ),
    told(
        "a_confidence_is_in_percent",
        "verify.gates.confidence=95",
        "A confidence is in percent",
        "must be from 0.5 to less than 1, as 0.95",
    ),
    told(
        "a_percentile_is_a_share",
        "quantization.calibration={method: percentile, percentile: 0.999}",
        "A percentile is a share and not a percentage",
        "must be above 50 and at most 100",
    ),
    told(
        "a_gate_holds_always",
        "verify.gates.top1_drop=1",
        "A gate that every artifact meets",
        "which every artifact meets",
    ),
    told(
        "a_scale_is_zero", "dataset.scale=0", "A dataset's scale makes all samples equal", "0 makes all samples equal"
    ),
    told(
        "a_deviation_is_zero",
        "metadata.inputs.image={mean: [0.0], std: [0.0]}",
        "Metadata divide by zero",
        "must be without zeros: it divides",
    ),
    told(
        "a_preprocessing_divides_by_zero",
        "signature.preprocess.image.std=[0]",
        "Preprocessing divides by zero",
        "and none of them 0",
    ),
    told(
        "a_number_is_a_word", "dataset.offset=abc", "A word is given for a number", "takes a number, not abc", "compose"
    ),
    told("a_count_is_no_whole_number", "dataset.count=1.5", "A count is a fraction", "takes a whole number", "compose"),
    told(
        "a_runtime_is_no_version",
        "opset.max_runtime=latest",
        "A runtime is not named by its version",
        "must be a version such as '2.14'",
    ),
    # contradictions
    told(
        "int8_without_data",
        "dataset=none",
        "int8 without calibration data",
        "quantization=int8 has no calibration data",
    ),
    told(
        "accuracy_of_random_samples",
        "dataset@verify.dataset=synthetic",
        "Accuracy is to be measured on random numbers",
        "verify=classification has no labels",
    ),
    mistake(
        name="a_float_model_with_an_integer_input",
        what="A float16 model is to take int8",
        arguments=(RECIPE, "quantization=float16", "quantization.input_type=int8"),
        text="the chosen option of 'quantization' has no key 'input_type'",
        caught_by="compose",
    ),
    mistake(
        name="rules_for_the_converter",
        what="Rules for single operators are given to an engine that has none",
        arguments=(RECIPE, "quantization.engine=converter", "quantization.rules=[{op: SOFTMAX, scheme: float32}]"),
        text="engine 'converter' cannot honour quantization.rules",
    ),
    told(
        "blocks_for_int8",
        "quantization.granularity=blockwise_32",
        "Scales by blocks, which no int8 kernel takes",
        "cannot have blockwise_32 weights",
    ),
    told(
        "metadata_against_the_dataset",
        "metadata.inputs.image={mean: [0.0], std: [2.0]}",
        "Metadata tell apps another normalisation than the dataset feeds",
        "metadata and dataset normalise input 'image' differently",
    ),
    mistake(
        name="preprocessing_of_a_finished_model",
        what="Preprocessing is to be added to a model that is converted already",
        arguments=(RECIPE, "source=tflite", "source.path=x.tflite", "signature.preprocess.image.scale=0.1"),
        files={"x.tflite": "0000TFL3"},
        text="'signature.preprocess' cannot be applied to a .tflite file",
    ),
    mistake(
        name="the_op_set_allows_and_denies",
        what="An operator is both allowed and denied",
        arguments=(RECIPE, "opset.custom=[Foo]", "opset.deny=[Foo]"),
        text="the op set both allows and denies Foo",
    ),
    told(
        "flex_without_permission",
        "converter.experimental_select_user_tf_ops=[Foo]",
        "A Flex operator is chosen and Flex is not allowed",
        "needs TensorFlow operators to be allowed",
    ),
    told(
        "a_search_without_a_limit",
        "quantization=auto",
        "A search has no limit to stay within",
        "quantization=auto has no budget",
    ),
    # keys that nothing reads
    told(
        "a_key_that_nothing_reads",
        "quantization.calibration.percentile=99",
        "A key has no effect under the chosen method",
        "is not used by quantization.calibration.method=min_max",
    ),
    told(
        "a_benchmark_that_is_not_chosen",
        "benchmark.runs=20",
        "A setting of a benchmark that is not chosen",
        "the chosen option of 'benchmark' has no key 'runs'",
        "compose",
    ),
    told(
        "a_limit_that_the_target_lacks",
        "target={cpu: {gates: {arena_bytes: 100}}}",
        "A limit on a figure that the target does not have",
        "arena_bytes",
    ),
    told(
        "an_option_of_the_converter_is_unknown",
        "converter.nonsense=1",
        "An option of the converter that it does not have",
        "'nonsense' is not a key of 'converter'",
        "compose",
    ),
    # other
    told("a_name_refers_to_itself", "name=${name}", "A value refers to itself", "Recursive interpolation", "compose"),
    told(
        "an_expression_is_broken",
        "quantization.rules=[{match: '(', scheme: float32}]",
        "A regular expression is broken",
        "'(' is no regular expression",
    ),
    told(
        "a_shared_store_is_unknown",
        "store.remote=ftp://host/x",
        "A shared store of an unknown kind",
        "'ftp://host/x' names no shared store",
    ),
)
