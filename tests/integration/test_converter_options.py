"""Every option of the converter that a recipe can name is one that it has: none is swallowed."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from commandline import Project

from tflbuild.config.schema.schema_model import Converter
from tflbuild.core.recipe import CONVERTER_QUANTIZER_OPTIONS

pytestmark = pytest.mark.heavy

OPTIONS = [spec.name for spec in fields(Converter)]
VALUES = {
    "experimental_select_user_tf_ops": "[Erf]",
    "experimental_supported_backends": "[GPU]",
    "_experimental_full_integer_quantization_bias_type": "int64",
    "_experimental_supported_accumulation_type": "float16",
}
SCHEMES = {
    "_experimental_full_integer_quantization_bias_type": "int16x8",
    "_experimental_supported_accumulation_type": "float16",
}
NET = """import keras
def make():
    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(pixels))
    return keras.Model(pixels, keras.layers.Dense(3, name="scores")(features))
"""


def recipe(option: str) -> str:
    """The smallest recipe in which an option can act."""
    lines = ["source: function", "verify: parity"]
    sections = ["source: {call: 'net.py:make'}", "verify: {dataset: {path: samples.npz}}"]
    if option in CONVERTER_QUANTIZER_OPTIONS:
        scheme = SCHEMES.get(option, "int8")
        lines.append(f"quantization: {scheme}")
        sections.append("quantization: {engine: converter}")
        if scheme != "float16":
            lines.append("dataset: npz")
            sections.append("dataset: {path: samples.npz}")
    if option == "experimental_select_user_tf_ops":
        lines.append("opset: select_tf")
    if option:
        sections.append(f"converter: {{{option}: {VALUES.get(option, 'true')}}}")
    return "\n".join(["defaults:", *(f"  - override /{line}" for line in lines), *sections]) + "\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Option -> its row of one sweep over all; "" for the same model without any."""
    base = tmp_path_factory.mktemp("options")
    project = Project(base / "project", base / "store")
    project.write("net.py", NET)
    images = np.random.default_rng(1).normal(size=(20, 8, 8, 3)).astype(np.float32)
    np.savez(project.folder / "samples.npz", image=images)
    names = {f"o{index}": option for index, option in enumerate(["", *OPTIONS])}
    for name, option in names.items():
        project.write(f"recipes/{name}.yaml", recipe(option))
    done = project.run("-m", f"recipe={','.join(names)}", "--json")
    return dict(zip(names.values(), json.loads(done.out), strict=True))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_reaches_the_converter_and_the_artifact_still_is_the_model(built, option):
    row = built[option]
    assert row["error"] is None, row["error"]
    (scores,) = row["metrics"]["verify"]["outputs"].values()
    assert scores["snr_db"] > 25


@pytest.mark.parametrize("option", ["exclude_conversion_metadata", "serialize_debug_metadata"])
def test_what_is_written_into_the_file_changes_it(built, option):
    assert built[option]["artifact"]["sha256"] != built[""]["artifact"]["sha256"]


def test_one_scale_a_tensor_makes_a_smaller_file(built):
    whole = built["_experimental_disable_per_channel"]["artifact"]["bytes"]
    assert whole < built["experimental_new_quantizer"]["artifact"]["bytes"]


def test_an_option_that_the_converter_lacks_is_refused(project):
    done = project.run("source.path=x", "converter.experimental_new_quantiser=true")
    assert done.code == 2
    assert "experimental_new_quantizer" in done.err


def test_an_option_that_nothing_would_read_is_refused(project):
    done = project.run("source.path=x", "converter._experimental_disable_per_channel=true")
    assert done.code == 2
    assert "'converter._experimental_disable_per_channel' has no effect" in done.err
