import pytest
from freezing import refused

from tflbuild.config.composing.type_errors import convert_type_error

RECIPE = "recipe=mobilenet_int8"


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("dataset.count=many", "'dataset.count' takes a whole number, not many"),
        ("dataset.count=[1]", "'dataset.count' takes a whole number, not [1]"),
        ("dataset.path=null", "'dataset.path' takes text, not null"),
        ("verify.gates.snr_db=abc", "'verify.gates.snr_db' takes a number, not abc"),
        ("opset.select_tf=1.5", "'opset.select_tf' takes true or false, not 1.5"),
        ("quantization.rules={a: 3}", "'quantization.rules' takes a list, not {a: 3}"),
        ("quantization.rules=[1]", "'quantization.rules[0]' takes keys, not 1"),
        ("quantization.input_type=[1]", "'quantization.input_type' takes one of int8, uint8, int16, float32, not [1]"),
        ("verify.gates=[1]", "'verify.gates' takes keys, not [1]"),
        ("dataset.arrays=3", "'dataset.arrays' takes names with values, not 3"),
        ("metadata.inputs.image.mean=3", "'metadata.inputs.image.mean' takes a list, not 3"),
        ("metadata.inputs={image: 3}", "'metadata.inputs.image' takes keys, not 3"),
    ],
)
def test_a_key_says_what_it_takes(override, what):
    error = refused(RECIPE, override)
    assert error.what == what
    assert error.where == ("quantization.rules[0]" if "[0]" in what else f"command line: {override}")


def test_keys_and_a_form_are_offered():
    error = refused(RECIPE, "verify.gates=3")
    assert "snr_db" in error.why and error.next_step == "verify.gates.top1_drop=..."
    assert refused(RECIPE, "metadata.inputs=3").next_step == "metadata.inputs={NAME: {...}}"
    assert refused(RECIPE, "opset.custom=3").next_step == "opset.custom=[...]"


@pytest.mark.parametrize(("text", "key"), [("something else", "dataset.count"), ("is not Optional", "no.such.key")])
def test_what_is_no_matter_of_types_is_left_to_others(text, key):
    assert convert_type_error(text, key, "", "") is None


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("sweep.objectives=[{a: min}]", "'sweep.objectives[0]' takes text, not {'a': 'min'}"),
        ("opset.deny=[ADD,[MUL]]", "'opset.deny[1]' takes text, not ['MUL']"),
        ("metadata.inputs.x.max=[1,{a: 2}]", "'metadata.inputs.x.max[1]' takes a number, not {'a': 2}"),
        ("target=[cpu,5]", "'target' takes the name of an option, not ['cpu', 5]"),
    ],
)
def test_what_stands_in_a_list_is_plain(override, what):
    error = refused(RECIPE, override)
    assert (error.what, error.where) == (what, f"command line: {override}")


def test_a_value_in_a_recipe_where_keys_belong_is_told_with_its_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    start = "defaults: [{override /quantization: int8}]\nsource: {path: net.keras}\n"
    for line, key in (("verify: {gates: 3}", "verify.gates"), ("metadata: 3", "metadata")):
        (tmp_path / "recipes" / "net.yaml").write_text(f"{start}{line}\n")
        error = refused("recipe=net")
        assert error.what == f"'{key}' takes keys, not the value 3"
        assert error.where == f"recipes/net.yaml:3: {key}" and "its keys: " in error.why


@pytest.mark.parametrize("key", ["sample_rate=-5", "channels=-1", "sample_rate=99999999999"])
def test_what_a_field_of_the_metadata_cannot_hold_is_refused(key):
    assert "must be from 1 to 4,294,967,295" in refused(RECIPE, f"metadata.inputs.image.{key}").what
