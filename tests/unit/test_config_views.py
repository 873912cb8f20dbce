import yaml

from tflbuild.report.questions.model_inspection import inspection_text, proposed_recipe

SIGNATURE = {
    "key": "serving_default",
    "inputs": [
        {"name": "image", "shape": [None, 28, None, 1], "dtype": "float32"},
        {"name": "odd name:0", "shape": [4], "dtype": "int32"},
    ],
    "outputs": [{"name": "scores", "shape": [None, 10], "dtype": "float32"}],
    "more": [],
}
NEEDS = {
    "least_runtime": "2.15",
    "features": [
        {"feature": "CONV_2D version 8", "count": 2, "runtime": "2.15"},
        {"feature": "RESHAPE version 1", "count": 1, "runtime": "2.5"},
    ],
    "flex_operators": [],
    "custom_operators": [],
    "state_tensors": 0,
    "fused": {"activations": {}, "batch_norms": 0, "biases": 0, "stayed": []},
}
EMPTY = {"bytes": 1, "operators": {}, "tensor_types": {}}


def test_a_proposed_recipe_is_yaml_with_the_batch_pinned_and_other_free_sizes_open():
    recipe = yaml.safe_load(proposed_recipe("my models/net v1.keras", "keras", SIGNATURE))
    assert recipe["source"] == {"path": "my models/net v1.keras"}
    assert recipe["signature"]["inputs"]["image"] == {"shape": [1, 28, None, 1], "dtype": "float32"}
    assert recipe["signature"]["inputs"]["odd name:0"]["shape"] == [4]
    assert {"override /quantization": "int8"} in recipe["defaults"]


STORED = SIGNATURE | {"inputs": [{"name": "x", "shape": [None, 8], "dtype": "float32"}]}


def test_a_tflite_keeps_its_free_sizes():
    recipe = yaml.safe_load(proposed_recipe("net.tflite", "tflite", STORED, {"tensor_types": {"float32": 3}}))
    assert recipe["signature"]["inputs"]["x"]["shape"] == [None, 8]
    assert {"override /signature": "dynamic"} in recipe["defaults"] and "dataset" in recipe
    fixed = SIGNATURE | {"inputs": [{"name": "x", "shape": [1, None], "dtype": "float32"}]}
    assert "override /signature" not in proposed_recipe("net.tflite", "tflite", fixed)


def test_a_tflite_that_is_quantized_already_is_taken_as_it_is():
    for contents in ({"quantized": True}, {"quantized": False, "custom_operators": ["My Op", "Other"]}):
        recipe = yaml.safe_load(proposed_recipe("net.tflite", "tflite", STORED, contents))
        assert recipe.get("opset", {}).get("custom", []) == contents.get("custom_operators", [])
        assert {"override /quantization": "none"} in recipe["defaults"]
        assert {"override /verify": "none"} in recipe["defaults"]
        assert "dataset" not in recipe and "verify" not in recipe


def test_it_takes_five_lines_and_a_comment():
    lines = proposed_recipe("net.keras", "keras", SIGNATURE).splitlines()
    assert lines[0].startswith("# recipes/net.yaml")
    assert len(lines) == 6


def test_it_has_a_gate_that_fits_the_outputs():
    def gates(*dtypes, **changes):
        outputs = [{"name": f"out {place}", "shape": [1, 4], "dtype": dtype} for place, dtype in enumerate(dtypes)]
        text = proposed_recipe("net.keras", "keras", SIGNATURE | {"outputs": outputs} | changes)
        assert "# set it near what a good build prints" in text or "gates" not in text
        return yaml.safe_load(text)["verify"].get("gates")

    assert gates("float32", "float32") == {"snr_db": 15}
    assert gates("float32", "int32") == {"outputs": {"out 0": {"snr_db": 15}}}
    assert gates("int64") == {"cosine": 0.9}
    assert gates("string") is None
    words = {"inputs": [{"name": "words", "shape": [1], "dtype": "string"}]}
    assert gates("float32", **words) == {"snr_db": 60}, "it stays float"


def test_the_text_aligns_names_and_shows_scales():
    contents = NEEDS | {
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
        "runtime    TFLite 2.15 or newer, for CONV_2D version 8",
        "signature  serving_default",
        "  input   x       int8[free, 4]  scale 0.5, zero point -128",
        "  output  scores  float32[1]",
    ]


def test_what_the_app_must_bring_is_said():
    needs = {"flex_operators": ["FlexErf"], "custom_operators": ["MyOp"], "state_tensors": 2, "least_runtime": ""}
    contents = NEEDS | needs | EMPTY
    lines = inspection_text("net.tflite", "tflite", SIGNATURE, contents).splitlines()
    assert lines[3:6] == [
        "needs      the Flex delegate, for FlexErf",
        "needs      kernels of the app's own, for MyOp",
        "keeps      state from call to call: reset_all_variables() before each sequence",
    ]


def runtime_text(*features):
    """The lines about runtimes, of a .tflite with these (feature, runtime)."""
    listed = [{"feature": feature, "count": 1, "runtime": runtime} for feature, runtime in features]
    least = max(runtime for _, runtime in features)
    contents = NEEDS | {"features": listed, "least_runtime": least} | EMPTY
    lines = inspection_text("net.tflite", "tflite", SIGNATURE, contents)
    return [line for line in lines.splitlines() if line.startswith(("runtime", "unknown"))]


def test_many_operators_of_the_newest_runtime_are_cut_short():
    assert runtime_text(*[(f"{name} version 1", "2.15") for name in "ABCDE"]) == [
        "runtime    TFLite 2.15 or newer, for A version 1, B version 1, C version 1 and 2 more"
    ]


def test_an_operator_whose_runtime_is_unknown_is_not_passed_over():
    assert runtime_text(("CONV_2D version 8", "2.15"), ("ADD version 99", "")) == [
        "runtime    TFLite 2.15 or newer, for CONV_2D version 8",
        "unknown    which runtime has ADD version 99",
    ]
    assert runtime_text(("ADD version 99", "")) == ["unknown    which runtime has ADD version 99"]


def test_every_signature_is_shown_and_proposed():
    other = {"key": "train", "inputs": [], "outputs": []}
    both = SIGNATURE | {"more": [other]}
    assert "signature  train" in inspection_text("net", "saved_model", both, {})
    assert yaml.safe_load(proposed_recipe("net", "saved_model", both))["signature"]["more"] == {"train": {}}
    assert "more" not in yaml.safe_load(proposed_recipe("net.tflite", "tflite", both))["signature"]


def test_a_source_with_one_signature_need_not_say_that_there_are_no_more():
    alone = {name: value for name, value in SIGNATURE.items() if name != "more"}
    assert inspection_text("net", "saved_model", alone, {}) == inspection_text("net", "saved_model", SIGNATURE, {})
    assert proposed_recipe("net", "saved_model", alone) == proposed_recipe("net", "saved_model", SIGNATURE)


def test_what_takes_anything_is_to_be_declared():
    open_inputs = SIGNATURE | {"inputs": [{"name": "x", "shape": None, "dtype": "float32"}], "outputs": []}
    assert "  input   x  to be declared" in inspection_text("net.py:make", "function", open_inputs, {})


def test_handles_and_calls_stand_under_their_own_keys():
    hub = yaml.safe_load(proposed_recipe("https://hub.example/net/1", "hub", SIGNATURE))
    assert hub["source"] == {"handle": "https://hub.example/net/1"}
    function = proposed_recipe("models/net.py:make", "function", SIGNATURE)
    assert function.startswith("# recipes/make.yaml")
    assert yaml.safe_load(function)["source"] == {"call": "models/net.py:make"}


def test_text_is_not_proposed_to_be_quantized():
    words = SIGNATURE | {"inputs": [{"name": "word", "shape": [None, 1], "dtype": "string"}]}
    for signature in (words, SIGNATURE | {"more": [words | {"key": "other"}]}):
        recipe = yaml.safe_load(proposed_recipe("net.keras", "keras", signature))
        assert recipe["defaults"] == [{"override /source": "keras"}, {"override /verify": "parity"}]
        assert "dataset" not in recipe
