import yaml

from tflbuild.report.inspection import inspection_text, proposed_recipe

SIGNATURE = {
    "key": "serving_default",
    "inputs": [
        {"name": "image", "shape": [None, 28, None, 1], "dtype": "float32"},
        {"name": "odd name:0", "shape": [4], "dtype": "int32"},
    ],
    "outputs": [{"name": "scores", "shape": [None, 10], "dtype": "float32"}],
}


def test_a_proposed_recipe_is_yaml_with_the_batch_pinned_and_other_free_sizes_open():
    recipe = yaml.safe_load(proposed_recipe("my models/net v1.keras", "keras", SIGNATURE))
    assert recipe["source"] == {"path": "my models/net v1.keras"}
    assert recipe["signature"]["inputs"]["image"] == {"shape": [1, 28, None, 1], "dtype": "float32"}
    assert recipe["signature"]["inputs"]["odd name:0"]["shape"] == [4]
    assert {"override /quantization": "int8"} in recipe["defaults"]


def test_it_takes_five_lines_and_a_comment():
    lines = proposed_recipe("net.keras", "keras", SIGNATURE).splitlines()
    assert lines[0].startswith("# recipes/net.yaml")
    assert len(lines) == 6


def test_the_text_aligns_names_and_shows_scales():
    contents = {
        "bytes": 2000,
        "operators": {"CONV_2D": 2},
        "tensor_types": {"int8": 3},
        "signatures": [
            {
                "key": "serving_default",
                "inputs": [{"name": "x", "shape": [-1, 4], "dtype": "int8", "scale": 0.5, "zero_point": -128}],
                "outputs": [{"name": "scores", "shape": [1], "dtype": "float32", "scale": None, "zero_point": None}],
            }
        ],
    }
    assert inspection_text("net.tflite", "tflite", SIGNATURE, contents).splitlines() == [
        "net.tflite  tflite  2 KB",
        "operators  CONV_2D x2",
        "tensors    int8 x3",
        "signature  serving_default",
        "  input   x       int8[free, 4]  scale 0.5, zero point -128",
        "  output  scores  float32[1]",
    ]
