"""Sources: code, Keras files and SavedModels of every kind end in the artifact of that very model."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from sweeps import make_project, recipe, run_model

pytestmark = pytest.mark.heavy

X = "signature: {inputs: {x: {shape: [1, 8]}}}"
BOTH = "signature: {inputs: {x: {shape: [1, 8]}, z: {shape: [1, 2]}}}"
PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/model.py": "from .parts import head\nfrom . import sizes\nimport keras\n"
    "def make():\n    x = keras.Input((8,), name='x')\n    return keras.Model(x, head(sizes.UNITS)(x))\n",
    "pkg/parts.py": "import keras\ndef head(units):\n    return keras.layers.Dense(units, name='scores')\n",
    "pkg/sizes.py": "UNITS = 3\n",
    "src/own/__init__.py": "",
    "src/own/model.py": "from own.deep import net\ndef make():\n    return net.make()\n",
    "src/own/deep/__init__.py": "",
    "src/own/deep/net.py": "from .. import sizes\nimport nets\ndef make():\n    return nets.dense(sizes.UNITS)\n",
    "src/own/sizes.py": "UNITS = 6\n",
    "units.txt": "6\n",
    "plugins/wide.py": "UNITS = 6\n",
    "statistics.py": "import nets\ndef make():\n    return nets.dense()\n",
}


def code(call: str, *sections: str, more: str = "") -> str:
    return recipe("source=function", f"source: {{call: '{call}'{more}}}", *sections)


def nets(name: str, *sections: str, more: str = "") -> str:
    return code(f"nets.py:{name}", *sections, more=more)


def keras(file: str, *sections: str, more: str = "") -> str:
    return recipe("source=keras", f"source: {{path: {file}{more}}}", *sections)


def saved_model(folder: str, *sections: str) -> str:
    return recipe("source=saved_model", f"source: {{path: {folder}}}", *sections)


MOBILENET = recipe(
    "source=function dataset@verify.dataset=synthetic",
    "source: {call: 'keras.applications:MobileNetV2', arguments:"
    " {weights: null, alpha: 0.35, input_shape: [32, 32, 3], classes: 5}}",
    "verify: {dataset: {count: 4}}",
)
GATE, GATES = "Gate: 'nets.py:Gate'", "Gates: 'nets.py:Gates'"
RECIPES = {
    # code
    "dense": nets("dense"),
    "wide": nets("dense", more=", arguments: {units: 6}"),
    "mobilenet": MOBILENET,
    "package": code("pkg.model:make"),
    "package_file": code("pkg/model.py:make"),
    "sources": code("src/own/model.py:make"),
    "namesake": code("statistics.py:make"),
    "halved": nets("halved"),
    "weighed": nets("weighed", BOTH),
    "closure": nets("closure"),
    "encode": nets("Codec", "signature: {entry: encode}"),
    "named_predict": nets("dense", "signature: {key: predict}"),
    "weights": nets("dense", more=", weights: dense.weights.h5"),
    "subclassed_weights": nets("subclassed", X, more=", weights: subclassed.weights.h5"),
    "wrong_weights": nets("dense", more=", weights: wide.weights.h5"),
    "weights_of_no_keras": nets("Codec", "signature: {key: encode}", more=", weights: dense.weights.h5"),
    "values": nets("Best", "signature: {entry: values}"),
    "indices": nets("Best", "signature: {entry: indices}"),
    "mixed": nets("Mixed", "signature: {entry: serve}"),
    "reads": nets("reads_a_file", more=", files: [units.txt]"),
    "reads_beside": nets("reads_beside_itself", more=", files: [units.txt]"),
    "computes": nets("imports_a_computed_name", more=", files: [plugins]"),
    # code that is refused
    "nothing": nets("gives_nothing"),
    "list": nets("gives_a_list"),
    "fails": nets("fails"),
    "exits": nets("exits"),
    "broken": nets("Broken", "signature: {entry: infer, inputs: {x: {shape: [1, 8]}}}"),
    "broken_fixed": nets("Broken", "signature: {entry: fixed}"),
    "unread": nets("reads_a_file"),
    "uncomputed": nets("imports_a_computed_name"),
    "open": nets("weighed"),
    "ownerless": nets("ownerless"),
    "unnamed": nets("dens"),
    "misspelt_entry": nets("Codec", "signature: {entry: encoed}"),
    "arguments_of_a_function": nets("halved", more=", arguments: {units: 5}"),
    # Keras files
    "keras": keras("dense.keras"),
    "subclassed": keras("subclassed.keras", X, more=", custom_objects: {Subclassed: 'nets.py:Subclassed'}"),
    "embed": keras(
        "subclassed.keras", "signature: {entry: embed}", more=", custom_objects: {Subclassed: 'nets.py:Subclassed'}"
    ),
    "gate_h5": keras("gate.h5", more=f", custom_objects: {{{GATE}}}"),
    "gates": keras("gates.keras", more=f", custom_objects: {{{GATE}, {GATES}}}"),
    "leaky": keras("leaky.keras", more=", custom_objects: {leaky: 'nets.py:leaky'}"),
    "unknown_gate": keras("gate.keras"),
    "unknown_gate_h5": keras("gate.h5"),
    "unknown_leaky": keras("leaky.keras"),
    "lambda": keras("doubled.keras"),
    "lambda_h5": keras("doubled.h5"),
    "allowed_lambda": keras("doubled.keras", more=", allow: [double]"),
    "allowed_lambda_h5": keras("doubled.h5", more=", allow: [double]"),
    "unknown_lambda": keras("doubled.keras", more=", allow: [double, treble]"),
    "old": keras("old.h5", "verify: {dataset: {path: samples.npz, scale: 0.003}}"),
    "open_keras": keras("open.keras", X),
    "undeclared_keras": keras("open.keras"),
    # SavedModels
    "unsigned": saved_model("codec", "signature: {entry: decode}"),
    "unsigned_misspelt": saved_model("codec", "signature: {entry: deocde}"),
    "caller": saved_model("caller"),
    "caller_by_name": saved_model("caller", "signature: {entry: __call__}"),
    "exported_call": saved_model("dense", "signature: {entry: serve}"),
    "words": saved_model("words"),
    "tf1": saved_model("tf1"),
    "tf1_words": saved_model("tf1_words"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the models and one store for all tests of this module."""
    made = make_project(tmp_path_factory.mktemp("sources"))
    for name, text in PACKAGE.items():
        made.write(name, text)
    return made


def line_of(project, text):
    """Where a text stands in the user's module."""
    return 1 + (project.folder / "nets.py").read_text().rpartition(text)[0].count("\n")


def build(project, name, text):
    """One recipe by a command of its own; its steps."""
    file = project.folder / "recipes" / f"{name}.yaml"
    if not file.exists() or file.read_text() != text:  # writing it would have the build look at everything again
        project.write(f"recipes/{name}.yaml", text)
    done = project.run(f"+recipe={name}")
    assert done.code == 0, done.err
    return done


# what every kind of source comes to


@pytest.mark.parametrize(
    "name",
    [
        *("dense", "wide", "mobilenet", "package", "package_file", "sources", "namesake"),
        *("halved", "weighed", "closure", "encode", "named_predict"),
        *("weights", "subclassed_weights", "values", "indices", "reads", "reads_beside", "computes"),
        *("keras", "subclassed", "embed", "gate_h5", "gates", "leaky", "allowed_lambda", "allowed_lambda_h5"),
        *("old", "open_keras", "unsigned", "caller", "caller_by_name", "exported_call", "words", "tf1", "tf1_words"),
    ],
)
def test_the_artifact_gives_what_its_source_gives(rows, name):
    assert rows[name].is_exact()


@pytest.mark.parametrize(
    ("name", "inputs", "output"),
    [
        ("dense", "x", "dense/scores"),
        ("keras", "x", "dense/scores"),
        ("weights", "x", "dense/scores"),
        ("closure", "x", "closure/scaled"),
        ("values", "counts", "values/best"),
        ("indices", "counts", "indices/best"),
        ("words", "word", "words/vector"),
        ("tf1", "x", "tf1/y"),
        ("tf1_words", "word", "tf1_words/y"),
        ("caller", "x", "caller/y"),
    ],
)
def test_and_what_the_model_gives_that_never_met_tflbuild(rows, arrays, name, inputs, output):
    """A snapshot that lost the model's variables would agree with its artifact, and with nothing else."""
    fed = arrays[inputs]
    text = np.array([word.encode() for word in fed], object) if fed.dtype.kind == "U" else fed
    found = run_model(rows[name].model, {inputs: text})[output.partition("/")[2]]
    assert np.allclose(found, arrays[output], atol=1e-5)


def test_models_that_differ_in_one_output_of_one_operator_are_two_models(rows):
    assert rows["values"].model.read_bytes() != rows["indices"].model.read_bytes()


def test_outputs_that_do_not_go_by_samples_are_verified_as_the_artifact_runs(rows):
    """The source is not asked for all samples at once where that is not what the artifact is asked for."""
    assert set(rows["mixed"].outputs) == {"centred", "anchors", "total"}
    assert rows["mixed"].is_exact()


# code: what it may be


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "'nets.py:gives_nothing' returned None"),
        ("list", "'nets.py:gives_a_list' returned a list"),
        ("fails", "'nets.py:fails' failed"),
        ("exits", "'nets.py:exits' failed"),
        ("open", "'nets.py:weighed' fixes no inputs, and the recipe declares none"),
        ("ownerless", "the function uses a table or variable that the model does not own"),
        ("unnamed", "'nets.py' has no 'dens'"),
        ("misspelt_entry", "'nets.py:Codec' has no signature 'encoed'"),
        ("wrong_weights", "the weights of 'wide.weights.h5' do not fit the model that 'nets.py:dense' makes"),
        ("weights_of_no_keras", "'nets.py:Codec' returned a Codec, but source.weights needs a Keras model"),
        ("arguments_of_a_function", "'nets.py:halved' is a tf.function, which is the model itself"),
    ],
)
def test_what_is_no_model_is_refused_as_what_it_is(rows, name, told):
    assert rows[name].error.startswith(f"error[recipe]: {told}")


@pytest.mark.parametrize(
    ("name", "told", "place", "text"),
    [
        ("fails", "RuntimeError: there are no weights", "fail_deeper", 'raise RuntimeError("there are no weights")'),
        ("broken", "ValueError: Dimensions must be equal, but are 8 and 3", "infer", "return {"),
        ("broken_fixed", "ValueError: Dimensions must be equal, but are 8 and 3", "fixed", "return {"),
    ],
)
def test_an_exception_comes_with_the_users_own_line(rows, project, name, told, place, text):
    line = line_of(project, f"def {place}(") + 1
    assert told in rows[name].error
    assert f"nets.py:{line} in {place}: {text}" in rows[name].error


def test_where_a_table_belongs_is_said(rows):
    assert "make it an attribute of a tf.Module" in rows["ownerless"].error


def test_a_misspelt_entry_comes_with_the_one_that_was_meant(rows):
    assert "it has: decode, encode; did you mean 'encode'?" in rows["misspelt_entry"].error
    assert "signature.entry" in rows["unsigned_misspelt"].error
    assert "did you mean 'decode'?" in rows["unsigned_misspelt"].error


# code: what it stands on


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unread", "'nets.py:reads_a_file' reads 'units.txt', which is not declared"),
        ("uncomputed", "ModuleNotFoundError: No module named 'plugins'"),
    ],
)
def test_what_the_recipe_does_not_name_is_not_there_and_how_to_name_it_is_said(rows, name, told):
    assert told in rows[name].error
    assert re.search(r"next: .*source\.files", rows[name].error)


MODEL = "import parts\nimport nets\ndef make(units=4):\n    return nets.dense(units + parts.MORE)\n"


def test_editing_a_file_that_is_imported_rebuilds_and_editing_another_does_not(project):
    project.write("model.py", MODEL)
    project.write("parts.py", "MORE = 1\n")
    text = code("model.py:make")
    build(project, "edited", text)
    first = (project.output("edited") / "model.tflite").read_bytes()
    project.write("unrelated.py", "MORE = 7\n")
    assert build(project, "edited", text).out.startswith("up to date")
    project.write("parts.py", "MORE = 2\n")
    assert build(project, "edited", text).steps["import"] == "ran"
    assert (project.output("edited") / "model.tflite").read_bytes() != first


def test_a_module_that_appears_where_it_was_looked_for_rebuilds(project):
    """An import that may fail is one that may come to succeed."""
    project.write("model.py", "try:\n    import local as parts\nexcept ImportError:\n    import parts\n" + MODEL[13:])
    project.write("parts.py", "MORE = 1\n")
    text = code("model.py:make")
    build(project, "appearing", text)
    project.write("local.py", "MORE = 5\n")
    assert build(project, "appearing", text).steps["import"] == "ran"


def test_a_package_that_is_installed_in_place_is_an_input(project):
    """What PYTHONPATH or `pip install -e` adds has no version that an edit would change."""
    library = project.folder.parent / "library"
    path = f"{library}:{project.environment()['PYTHONPATH']}"
    project.write("../library/outside.py", MODEL.replace("import parts\n", "").replace("parts.MORE", "1"))
    project.write("model.py", "import outside\ndef make():\n    return outside.make()\n")
    project.write("recipes/outside.yaml", code("model.py:make", more=", files: [nets.py]"))
    assert project.run("+recipe=outside", PYTHONPATH=path).code == 0
    (library / "outside.py").write_text((library / "outside.py").read_text().replace("+ 1", "+ 2"))
    assert project.run("+recipe=outside", PYTHONPATH=path).steps.get("import") == "ran"


def test_other_arguments_make_another_model(rows):
    shapes = [rows[name].manifest["artifact"]["contents"]["signatures"][0]["outputs"] for name in ("dense", "wide")]
    assert [shape[0]["shape"] for shape in shapes] == [[1, 4], [1, 6]]


# Keras files


@pytest.mark.parametrize(
    ("name", "own"), [("unknown_gate", "Gate"), ("unknown_leaky", "leaky"), ("unknown_gate_h5", "Gate")]
)
def test_classes_and_functions_that_the_recipe_does_not_name_are_refused_by_name(rows, name, own):
    assert f"'{own}'" in rows[name].error
    assert "source.custom_objects" in rows[name].error


def test_the_override_that_the_refusal_proposes_can_be_typed(project, rows):
    (proposed,) = re.findall(
        r"source\.custom_objects\S*=.*?'?file\.py:Gate'?}?(?=;|$)", rows["unknown_gate"].error, re.M
    )
    done = project.run("source.path=gate.keras", proposed.replace("file.py", "nets.py"), "name=proposed")
    assert done.code == 0, done.err


@pytest.mark.parametrize("name", ["lambda", "lambda_h5"])
def test_a_lambda_layer_is_refused_by_its_name(rows, name):
    assert "has a Lambda layer, which carries code: 'double'" in rows[name].error
    assert "if you trust the file: source.allow=[double]" in rows[name].error


def test_an_allowed_lambda_layer_that_is_not_there_is_refused(rows):
    assert "'doubled.keras' has no 'treble' to allow" in rows["unknown_lambda"].error
    assert "its parts that run code or reach outside the file: double" in rows["unknown_lambda"].error


def test_a_file_that_tf_keras_loads_says_so_and_why(swept):
    rows, progress = swept
    (line,) = [line for line in progress.splitlines() if "loaded with tf_keras" in line]
    assert line.startswith("import")
    note = rows["old"].manifest["source_note"]
    assert note in line
    assert re.match(r"loaded with tf_keras \S+; Keras \S+ could not: \S", note)
    assert rows["keras"].manifest["source_note"] is None


def test_a_model_without_an_input_shape_is_to_be_given_one(rows):
    assert "'open.keras' fixes no inputs, and the recipe declares none" in rows["undeclared_keras"].error


# what is pinned, and what is known again


@pytest.mark.parametrize("source", [("source.path=dense.keras",), ("source=function", "source.call=nets.py:dense")])
def test_a_pinned_model_builds_and_another_one_is_refused(project, rows, source):
    inputs = rows["keras" if len(source) == 1 else "dense"].manifest["inputs"]
    digest = inputs["source" if len(source) == 1 else "code"]["sha256"]
    assert project.run(*source, f"source.sha256={digest}", "name=pinned").code == 0
    done = project.run(*source, f"source.sha256={'0' * 64}", "name=pinned")
    assert (done.code, done.steps) == (2, {})
    assert "is not the model that the recipe pins" in done.err
    assert f"its digest is {digest}" in done.err


@pytest.mark.parametrize("source", [keras("again.keras"), saved_model("dense")], ids=["saved again", "exported"])
def test_the_same_model_in_another_file_is_imported_and_known_again(project, rows, source):
    """Its bytes are others, and so is its import; what it computes is the same, and is converted once."""
    done = build(project, "again", source)
    assert (done.steps["import"], done.steps["convert"], done.steps["predict"]) == ("ran", "hit", "hit")
    assert (project.output("again") / "model.tflite").read_bytes() == rows["keras"].model.read_bytes()


def test_the_same_model_in_another_file_gives_the_same_bytes_in_a_store_of_its_own(project, rows, tmp_path):
    alone = replace(project, store=tmp_path / "store")
    assert build(alone, "alone", saved_model("dense")).steps["convert"] == "ran"
    artifact = alone.manifest("alone")["artifact"]
    assert artifact["float_sha256"] == rows["keras"].manifest["artifact"]["float_sha256"]


def test_a_sweep_over_quantization_imports_once(project):
    project.write(
        "recipes/schemes.yaml", nets("two_heads").replace("verify: parity", "verify: none").split("verify: {")[0]
    )
    schemes = "quantization=none,float16,dynamic_int8,int8"
    data = ("dataset=npz", "dataset.path=samples.npz", "source.call=nets.py:two_heads")
    done = project.run("-m", "recipe=schemes", schemes, "source=function", *data)
    assert done.code == 0, done.err
    assert sum(line.startswith("import ") for line in done.err.splitlines()) == 1
    assert sum(line.startswith("convert ") for line in done.err.splitlines()) == 1
