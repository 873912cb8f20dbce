"""Faults planted in quantizer, converter, import and annotate, one for each kind of declared key: none is delivered."""

from __future__ import annotations

import pytest
from fault_planting import mark_model, planted_key, planting, signature_section
from sweeps import build_all, make_project, recipe

pytestmark = pytest.mark.heavy

QUANTIZER = "source=tflite signature=dynamic dataset=npz verify=none"
METADATA = (
    "metadata: {{name: {name}, description: a net, inputs: {{image: {{mean: [0.5], std: [2.0], max: [3.0]}}}},"
    " outputs: {{zeta: {{labels: labels.txt}}}}}}"
)
# fault -> (options of the recipe, its sections, words of the refusal)
QUANTIZED = {
    "quantizer_exchanges_outputs": ("int8", "", "output 'alpha' is the tensor of 'zeta'"),
    "quantizer_exchanges_inputs_of_the_graph": (
        "int8",
        "",
        "the inputs are in the order image, extra, extra, image was declared",
    ),
    "quantizer_reverses_outputs_of_the_graph": (
        "dynamic_int8",
        "",
        "the outputs are in the order alpha, zeta, zeta, alpha was declared",
    ),
    "quantizer_keeps_one_scale": ("int8", "", "CONV_2D has per_tensor weights, per_channel was declared"),
    "quantizer_turns_the_axis_of_scales": ("int8", "", "FULLY_CONNECTED has 8 scales along axis 1"),
    "quantizer_gives_scales_by_channel": (
        "int8",
        "quantization: {granularity: per_tensor}",
        "FULLY_CONNECTED has per_channel weights, per_tensor was declared",
    ),
    "quantizer_shifts_a_zero_point": ("int8", "quantization: {symmetric: true}", "int8 with the zero point 3"),
    "quantizer_shifts_the_zero_point_of_an_input": (
        "int8",
        "quantization: {symmetric: true}",
        "the input is int8 with the zero point 3",
    ),
    "quantizer_renames_an_output": ("int8", "", "outputs are other, zeta"),
    "quantizer_drops_the_signature": ("int8", "", "is missing; the file has: none"),
    "quantizer_pins_the_batch": ("int8", "", "has shape [1, 6, 6, 3], declared was [None, 6, 6, 3]"),
    "quantizer_leaves_the_model_as_it_is": ("float16", "", "no tensor is float16"),
}
FLOAT = "source: {path: net.tflite}"
ANNOTATED = {
    "annotate_exchanges_mean_and_std": "input 'image': mean is 2, 0.5 was declared",
    "annotate_forgets_a_description": "description is missing, 'a net' was declared",
    "annotate_packs_other_labels": "labels.txt: line 1 is 'class 1', 'class 0' was declared",
    "annotate_packs_no_labels": "labels.txt is not in the file",
    "annotate_exchanges_outputs": "output 'zeta': name is 'alpha'",
    "annotate_writes_another_greatest_value": "input 'image': max is 9, 3 was declared",
    "annotate_writes_nothing": "the file has no metadata",
}
PHOTO = "source: {path: photo.keras}"
TWINS = "source: {path: twins.keras}"
PIXELS = (
    "preprocess: {photo: {scale: 0.01, mean: [0.4, 0.5, 0.6], std: [0.3, 0.2, 0.1], resize: bilinear}},"
    " inputs: {photo: {shape: [1, 9, 7, 3], dtype: uint8}}"
)
IMPORTED = {
    "import_exchanges_mean_and_std": (PHOTO, PIXELS, "output 'scores' of the imported model is not"),
    "import_forgets_the_scale": (PHOTO, PIXELS, "output 'scores' of the imported model is not"),
    "import_resizes_to_the_nearest": (PHOTO, PIXELS, "output 'scores' of the imported model is not"),
    "import_reverses_the_channels": (PHOTO, PIXELS, "output 'scores' of the imported model is not"),
    "import_traces_in_training_mode": (PHOTO, "", "output 'scores' of the imported model is not"),
    "import_exchanges_outputs": (TWINS, "outputs: {d: difference, s: sum}", "it is the source's output '"),
    "import_exchanges_inputs": (TWINS, "", "of the imported model is not what the source itself gives"),
    "import_repeats_a_sample": (TWINS, "batch: null", "of the imported model is not what the source itself gives"),
    "converter_exchanges_outputs": (TWINS, "", "of the float model is not what the source itself gives"),
    "converter_reverses_inputs_of_the_graph": (TWINS, "", "the inputs are in the order right, left"),
    "converter_changes_a_weight": (PHOTO, "", "output 'scores' of the float model is not"),
    "converter_pins_the_batch": (PHOTO, "batch: null", "has shape [1, 6, 6, 3], declared was [None, 6, 6, 3]"),
    "converter_drops_an_output": (TWINS, "", "it is missing; there are"),
    "converter_renames_the_signature": (TWINS, "", "other"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("faults"), "make_declared.py")


@pytest.fixture(scope="module")
def rows(project):
    """Fault -> what came of its recipe, of one sweep; and `sound`: the same recipe without a fault."""
    recipes = {}
    for name, (scheme, section, _) in QUANTIZED.items():
        source = f"source: {{path: {mark_model(project.folder / 'net.tflite', name)}}}"
        recipes[name] = recipe(f"{QUANTIZER} quantization={scheme}", source, *filter(None, [section]))
    for name in ANNOTATED:
        recipes[name] = recipe(QUANTIZER, FLOAT, METADATA.format(name=planted_key(name)))
    for name, (source, more, _) in IMPORTED.items():
        recipes[name] = recipe("verify=none", source, signature_section(name, more))
    recipes["sound_photo"] = recipe("verify=none", PHOTO, f"signature: {{{PIXELS}}}")
    recipes["sound_twins"] = recipe("verify=none", TWINS, "signature: {outputs: {d: difference, s: sum}}")
    recipes["noisy"] = recipe("source=saved_model verify=none", "source: {path: noisy}")
    recipes["sound"] = recipe(f"{QUANTIZER} quantization=int8", FLOAT, METADATA.format(name="sound"))
    return build_all(project, recipes, **planting(project))[0]


@pytest.mark.parametrize("name", ["sound", "sound_photo", "sound_twins"])
def test_without_a_fault_all_is_delivered(rows, name):
    assert rows[name].row["error"] is None, rows[name].error


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_fault_of_the_quantizer_is_caught(rows, name):
    assert QUANTIZED[name][2] in rows[name].error
    assert rows[name].row["files"] == []


@pytest.mark.parametrize("name", ANNOTATED)
def test_a_fault_of_the_annotator_is_caught(rows, name):
    assert ANNOTATED[name] in rows[name].error
    assert rows[name].row["files"] == []


@pytest.mark.parametrize("name", IMPORTED)
def test_a_fault_of_import_or_of_the_converter_is_caught(rows, name):
    assert IMPORTED[name][2] in rows[name].error
    assert rows[name].row["files"] == []


def test_a_source_that_was_exported_in_training_mode_is_refused(rows):
    assert "'noisy' gives another output 'y' when it is fed the same input again" in rows["noisy"].error
