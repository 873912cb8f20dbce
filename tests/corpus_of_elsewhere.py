"""Faults that tests of their own plant, and faults that no build can catch."""

from __future__ import annotations

from functools import partial

from corpus_types import TestedElsewhere, Uncaught

LIES = "integration/test_silent_lies.py::"
FILES = "functional/test_bad_files.py::"
DATASETS = "functional/test_dataset_mistakes.py::"
CODE = "functional/test_user_code_reads.py::"
MACHINE = "functional/test_bad_machine.py::"
RECIPES = "functional/test_recipe_mistakes.py::"

script = partial(TestedElsewhere, place="quantizer", caught_by="check")
data = partial(TestedElsewhere, place="dataset", caught_by="sample", code=2)
code = partial(TestedElsewhere, place="code", code=2)
machine = partial(TestedElsewhere, place="store", caught_by="execute")
recipe = partial(TestedElsewhere, place="recipe", code=2, caught_by="compose")

TESTED_ELSEWHERE = (
    # what careless scripts get from converter and quantizer
    script(
        name="optimizations_forgotten",
        what="Integer operators and data are set, `optimizations` is forgotten: a float model",
        text="float_op: CONV_2D computes in float",
        test=LIES + "test_without_optimizations_data_and_int8_operators_are_ignored",
    ),
    script(
        name="no_samples_for_the_converter",
        what="The representative dataset yields nothing: a float model",
        text="float_op: CONV_2D computes in float",
        test=LIES + "test_an_empty_dataset_gives_a_float_model",
    ),
    script(
        name="float16_in_place_of_int8",
        what="float16 among the supported types: the model of another scheme",
        text="float_op: CONV_2D computes in float",
        test=LIES + "test_float16_ignores_the_representative_dataset",
    ),
    script(
        name="small_weights_left_in_float",
        what="No weight is large enough for the converter: the model is left as it is",
        text="no weight is int8: the model was left as it is",
        test=LIES + "test_weights_that_are_left_float_are_no_dynamic_range_quantization",
    ),
    script(
        name="an_exception_ignored",
        what="An operator that a rule leaves in float is quantized",
        text="rule: FULLY_CONNECTED computes as int8, none was asked for",
        test=LIES + "test_an_exception_that_the_converter_does_not_know_is_ignored",
    ),
    script(
        name="borders_of_the_debugger",
        what="The converter's debugger returns float inputs and outputs",
        text="io_type: input 'image' is float32, declared was int8",
        test=LIES + "test_the_debugger_leaves_a_layer_out_and_the_borders_that_were_asked_for_as_well",
    ),
    script(
        name="an_operator_without_a_kernel",
        what="The model converts and no runtime has a kernel for it",
        text="the artifact cannot run on image [1, 8, 8, 3]",
        test=LIES + "test_int16_operators_without_a_kernel_are_no_model",
    ),
    script(
        name="one_border_in_float",
        what="The output stays float, the input is int8",
        text="io_type: output 'scores' is float32, declared was int8",
        test=LIES + "test_borders_stay_float_unless_both_are_asked_for",
    ),
    script(
        name="an_operator_without_int4",
        what="Operators that have no int4 kernel stay float",
        text="float_op: DEPTHWISE_CONV_2D computes in float",
        test=LIES + "test_operators_that_have_no_int4_stay_float",
    ),
    script(
        name="an_operator_without_blocks",
        what="Operators that take no scales by blocks stay float",
        text="scheme: CONV_2D computes as none, dynamic_int4 was declared",
        test=LIES + "test_operators_that_have_no_blocks_stay_float",
    ),
    script(
        name="a_rule_that_is_skipped",
        what="A rule for one operator is skipped",
        text="rule: CONV_2D computes as int8, int16x8 was asked for",
        test=LIES + "test_a_demand_whose_expression_matches_nothing_is_skipped",
    ),
    # data
    data(
        name="a_damaged_file",
        what="A file of samples is cut short or has a flipped bit",
        text="'data.npz'",
        test=FILES + "test_a_damaged_npz_is_refused",
    ),
    data(
        name="arrays_that_do_not_fit",
        what="An array has another name, shape or type, NaN, or no samples",
        text="no array 'image'",
        test=FILES + "test_arrays_that_do_not_fit_the_model_are_refused",
    ),
    data(
        name="a_type_without_a_scale",
        what="The samples are bytes, the model takes floats, and no scale is declared",
        text="dataset.scale=1.0",
        test=FILES + "test_another_dtype_without_a_scale_is_refused",
    ),
    data(
        name="too_few_samples",
        what="More samples are asked for than there are",
        text="100000 are asked for",
        test=FILES + "test_the_shipped_data_counts_too",
    ),
    data(
        name="labels_that_are_no_classes",
        what="Labels are fractions, negative, one hot, or of another count than the samples",
        text="differ in length",
        test=FILES + "test_labels_that_are_no_class_indices_are_refused",
    ),
    data(
        name="a_label_without_a_class",
        what="A label is greater than every class",
        text="a label is 10",
        caught_by="verify",
        test=FILES + "test_a_label_that_no_class_has_is_refused",
    ),
    data(
        name="objects_in_a_file",
        what="A file holds pickled Python objects",
        text="'data.npz'",
        test=FILES + "test_python_objects_in_an_npz_are_not_unpickled",
    ),
    data(
        name="an_empty_class_folder",
        what="A class folder holds no image",
        text="holds no",
        test=DATASETS + "test_an_empty_class_folder_is_refused",
    ),
    data(
        name="a_broken_image",
        what="An image is damaged",
        text="is not a whole image",
        test=DATASETS + "test_a_broken_image_is_named",
    ),
    data(
        name="class_names_in_another_order",
        what="The label file and the class folders are in another order",
        text="are in different orders",
        caught_by="sample",
        test="functional/test_contradictions.py::test_a_label_file_in_another_order_than_the_class_folders_is_refused",
    ),
    data(
        name="calibration_in_another_range",
        what="Calibration samples have another range than evaluation samples (warning)",
        text="range from 0 to 1, the evaluation samples from 0 to 255",
        code=0,
        caught_by="report",
        test="functional/test_contradictions.py::test_calibration_samples_in_another_range_are_warned_of",
    ),
    # the source
    TestedElsewhere(
        name="a_source_cut_short",
        place="import",
        what="The source's file is cut short or no model",
        text="is not a Keras model",
        caught_by="import",
        code=2,
        test=FILES + "test_a_file_that_is_no_whole_zip_is_no_keras_file",
    ),
    TestedElsewhere(
        name="an_input_of_another_type",
        place="import",
        what="An input is declared with another name, shape or type than the model's",
        text="did you mean 'image'",
        caught_by="import",
        code=2,
        test=FILES + "test_a_declared_input_that_the_model_lacks_is_refused",
    ),
    TestedElsewhere(
        name="a_signature_that_is_missing",
        place="import",
        what="A signature is declared that the SavedModel lacks",
        text="did you mean 'serving_default'",
        caught_by="import",
        code=2,
        test=FILES + "test_a_signature_that_the_saved_model_lacks_is_refused_with_those_it_has",
    ),
    # the user's code
    code(
        name="a_file_that_is_not_declared",
        what="Code reads a file that the recipe does not declare",
        text="files",
        caught_by="the step that runs it",
        test=CODE + "test_what_is_not_declared_is_refused_with_its_name_and_the_key",
    ),
    code(
        name="a_metric_that_differs",
        what="A metric gives another value when it is called again",
        text="is not deterministic",
        caught_by="verify",
        test=CODE + "test_a_metric_that_differs_between_two_calls_is_refused",
    ),
    code(
        name="wrong_samples_from_code",
        what="A function gives samples of another name, shape or type",
        text="samples",
        caught_by="sample",
        test=DATASETS + "test_what_code_gives_is_refused_by_name",
    ),
    code(
        name="code_that_is_missing",
        what="A function's file or name does not exist",
        text="does not exist",
        caught_by="resolve",
        test=DATASETS + "test_code_that_is_not_there_is_named",
    ),
    # names of recipes
    recipe(
        name="two_recipes_of_one_name",
        what="Two recipes have one name and would overwrite each other's artifact",
        text="name",
        caught_by="report",
        test="functional/test_output_folders.py::test_another_recipe_of_the_same_name_is_refused_and_changes_nothing",
    ),
    recipe(
        name="broken_yaml",
        what="A recipe is no valid YAML",
        text="not valid YAML",
        test=RECIPES + "test_what_is_no_yaml_has_its_file_and_line",
    ),
    # store and machine
    machine(
        name="a_damaged_blob",
        what="A file of the store is damaged: it is made again",
        text="ran",
        code=0,
        test="functional/test_build.py::test_a_damaged_blob_is_rebuilt_to_the_same_bytes",
    ),
    machine(
        name="an_edited_artifact",
        what="An artifact is edited by hand: it is restored",
        text="built",
        code=0,
        test="functional/test_build.py::test_an_edited_output_is_mended_and_the_store_is_not_hurt",
    ),
    machine(
        name="a_full_disk",
        what="The disk of the store is full",
        text="no space left on device",
        code=4,
        test=MACHINE + "test_a_full_store_is_the_environments_fault",
    ),
    machine(
        name="a_process_that_is_killed",
        what="A step's process is killed each time",
        text="SIGKILL",
        test=MACHINE + "test_a_step_that_is_killed_each_time_is_one_failed_step",
    ),
    machine(
        name="an_artifact_of_an_earlier_build",
        what="A failed build would leave the artifact of an earlier one: it is set aside",
        text="previous_artifact",
        code=2,
        caught_by="report",
        test="functional/test_output_folders.py::"
        "test_a_failed_build_sets_the_earlier_artifact_aside_and_the_next_good_one_tidies_up",
    ),
)

UNCAUGHT = (
    Uncaught(
        what="All samples are wrong in a way that the model tolerates (another crop, another colour balance)",
        why="Source and artifact get the same samples, and the source is still right on most of them",
        remedy="Gate on the accuracy that you know of the source: `verify.gates.top1`",
    ),
    Uncaught(
        what="Wrong samples under `verify=parity` (labels, arrays exchanged, channels reversed)",
        why="Parity compares the artifact with its source; both are wrong alike, and there are no labels",
        remedy="Use `verify=classification`, or a metric of your own with a gate on it",
    ),
    Uncaught(
        what="Calibration samples of the right range that are not like real ones",
        why="Only their range reaches the artifact; how much that costs is measured on the evaluation samples",
        remedy="Keep a gate, and see `tflbuild advise`",
    ),
    Uncaught(
        what="Some samples are left out, where no `count` is declared",
        why="Nothing says how many there should be",
        remedy="Declare `dataset.count`; the manifest has the counts",
    ),
    Uncaught(
        what="A label file that names every class wrongly, without class folders",
        why="Indices are all that the model knows; a name is compared with nothing",
        remedy="Use class folders (`label: folder`), whose names are compared with the label file",
    ),
    Uncaught(
        what="A source that was trained wrongly, or is the wrong file",
        why="The source is what everything is compared with",
        remedy="Pin it: `source.sha256`; gate on `top1`",
    ),
    Uncaught(
        what="Damage smaller than rounding (less than half a step of a scale)",
        why="Quantizing itself changes constants that much",
        remedy="None is needed for figures that pass their gates",
    ),
    Uncaught(
        what="Another constant where weights were rotated or rounded by gptq or oscar, if half of its energy is kept",
        why="These algorithms move values on purpose (rotated constants are not compared at all)",
        remedy="Verify on evaluation samples with a gate",
    ),
    Uncaught(
        what="One operator's damage in a model that the converter's engine quantized, where it renames the operator",
        why="Operators are compared by name; that engine may fuse and rename them",
        remedy="Verify on evaluation samples with a gate, or use `quantization.engine=litert`",
    ),
    Uncaught(
        what="A fault of TensorFlow itself that changes the source as it is loaded",
        why="The source is asked in its own framework, which is the only thing that knows what it means",
        remedy="Compare with figures from where it was trained: `verify.gates.top1`",
    ),
    Uncaught(
        what="Kernels of a device that compute otherwise than those of this machine",
        why="The artifact is run here",
        remedy="Choose a target that is proven (docs/targets.md), or benchmark on the device",
    ),
)
