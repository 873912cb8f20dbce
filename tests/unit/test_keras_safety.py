"""Parts of a Keras file that a build makes unasked, and parts that it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from strangers import functional, layer, writing_layer

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.foreign_models.keras_safety import list_refused, require_allowed

WRITE = writing_layer(Path("/tmp/canary"))
LAMBDA = layer("Lambda", "double", function=["4wEAAAA=", None, None], function_type="lambda")
DENSE = layer("Dense", "dense", units=2)
OF_MODULE = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}


def wrapped(inner, name="td"):
    return layer("TimeDistributed", name, layer=inner)


def class_of(module, kind, registered=None):
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": "part"},
        "registered_name": registered,
        "name": "part",
    }


def refused(*layers, custom=()):
    return {part.path: part.custom or part.why for part in list_refused(functional(*layers), custom)}


@pytest.mark.parametrize(
    ("part", "path"),
    [
        (WRITE, "write"),
        (LAMBDA, "double"),
        (functional(LAMBDA, name="inner"), "inner/double"),
        (functional(functional(WRITE, name="inner"), name="outer"), "outer/inner/write"),
        (wrapped(LAMBDA), "td/double"),
        (layer("Bidirectional", "bi", layer=layer("RNN", "rnn", cell=LAMBDA)), "bi/rnn/double"),
        (layer("RNN", "rnn", cell=layer("StackedRNNCells", "cells", cells=[LAMBDA])), "rnn/cells/double"),
        (layer("Dense", "d", activation={"class_name": "__lambda__", "config": {"value": "4wE="}}), "d/activation"),
        (layer("SlicingOpLambda", "slice", function="io.read_file"), "slice"),
        (layer("ClassMethod", "method", cls_symbol="io.TFRecordWriter", method_name="write"), "method"),
        (layer("InstanceMethod", "method", method_name="write"), "method"),
        (layer("InstanceProperty", "property", attr_name="x"), "property"),
        (layer("TFSMLayer", "saved", filepath="/models/evil"), "saved"),
        (layer("TensorFlowOpLayer", "op", node_def="WriteFile"), "op"),
        (layer("StringLookup", "words", vocabulary="/etc/passwd"), "words"),
        (layer("TextVectorization", "words", vocabulary="https://example.com/words"), "words"),
    ],
)
def test_what_carries_code_or_reaches_outside_is_refused_by_its_path_and_allowed_by_it(part, path):
    config = functional(DENSE, part)
    assert path in refused(DENSE, part)
    with pytest.raises(WorkerError) as error:
        require_allowed(config, (), (), "net.h5")
    assert error.value.fields["where"] == "source.allow"
    assert f"source.allow=[{path}]" in error.value.fields["next_step"]
    require_allowed(config, (path,), (), "net.h5")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (layer("Gate", "gate"), "Gate"),
        (layer("my>Gate", "gate"), "my>Gate"),
        (class_of("subprocess", "Popen"), "Popen"),
        (class_of("builtins", "Dense", "exec"), "exec"),
        (class_of("keras.layers", "Dense", "get_file"), "get_file"),
        (class_of("evil.layers", "Dense"), "Dense"),
        (layer("Dense", "d", activation=OF_MODULE), "system"),
        (layer("Dense", "d", activation={**OF_MODULE, "module": "keras.utils", "config": "get_file"}), "get_file"),
        (layer("Dense", "d", activation="leaky"), "leaky"),
        (layer("Dense", "d", kernel_initializer=class_of("evil", "Zeros2")), "Zeros2"),
        (layer("Dense", "d", kernel_regularizer=class_of("evil", "L2")), "L2"),
        (functional(DENSE, name="inner", compile_config={"optimizer": class_of("evil", "Adam2")}), "Adam2"),
        (functional(DENSE, name="inner", compile_config={"loss": OF_MODULE}), "system"),
        (
            layer("InputLayer", "i", type_spec={"class_name": "__typespec__", "config": [], "module": "os"}),
            "__typespec__",
        ),
        (layer("Map", "map"), "Map"),
    ],
)
def test_what_is_none_of_keras_must_be_said_in_the_recipe(part, name):
    assert name in refused(DENSE, part).values()
    with pytest.raises(WorkerError) as error:
        require_allowed(functional(DENSE, part), (), (), "net.h5")
    assert error.value.fields["where"] == "source.custom_objects"
    require_allowed(functional(DENSE, part), (), (name,), "net.h5")


@pytest.mark.parametrize(
    "part",
    [
        DENSE,
        layer("TFOpLambda", "relu", function="nn.relu"),
        layer("SlicingOpLambda", "slice", function="__operators__.getitem"),
        layer("Dense", "d", activation={"module": "builtins", "class_name": "function", "config": "relu"}),
        layer(
            "Dense", "d", activation="relu", kernel_initializer={"class_name": "GlorotUniform", "config": {"seed": 1}}
        ),
        layer("Dense", "d", dtype={"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}),
        layer("StringLookup", "words", vocabulary=["a", "b"]),
        {**layer("GetItem", "item"), "module": "keras.src.ops.numpy", "registered_name": "GetItem"},
    ],
)
def test_what_only_computes_is_not_asked_for(part):
    assert refused(part) == {}


def test_what_the_model_itself_was_compiled_with_is_not_made():
    assert list_refused(functional(DENSE, compile_config={"loss": OF_MODULE}), ()) == []


def test_a_nested_layer_is_not_allowed_by_a_name_that_another_has():
    """The recipe allows the outer layer: the inner one of the same name carries other code."""
    config = functional(LAMBDA, functional(LAMBDA, name="inner"))
    with pytest.raises(WorkerError) as error:
        require_allowed(config, ("double",), (), "net.h5")
    assert "'inner/double'" in str(error.value) and ": 'double'" not in str(error.value)
    assert "source.allow=[double,inner/double]" in error.value.fields["next_step"]
    require_allowed(config, ("double", "inner/double"), (), "net.h5")


def test_a_path_that_two_parts_share_allows_neither():
    config = functional(
        {**LAMBDA, "config": {**LAMBDA["config"], "name": "inner/double"}}, functional(LAMBDA, name="inner")
    )
    with pytest.raises(WorkerError, match="2 parts called 'inner/double'"):
        require_allowed(config, ("inner/double",), (), "net.h5")


def test_a_path_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(WorkerError) as error:
        require_allowed(functional(functional(LAMBDA, name="inner")), ("double",), (), "net.h5")
    assert "has no 'double' to allow" in str(error.value)
    assert "inner/double" in error.value.fields["why"]
