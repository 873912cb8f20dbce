"""The JSON schema of recipes: shipped recipes obey it, and mistakes are found by it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml

from tflbuild.config.reference.json_schema import recipe_schema
from tflbuild.config.schema.recipe_schema import OPTIONS
from tflbuild.locations import find_shipped_folder

RECIPES = sorted(find_shipped_folder("recipes").glob("*.yaml"))
SCHEMA = recipe_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
RECIPE: dict[str, Any] = {
    "defaults": [{"override /source": "keras"}, {"override /quantization": "int8"}, {"override /dataset": "npz"}],
    "source": {"path": "${oc.env:MODEL}"},
    "quantization": {"engine": "litert"},
    "dataset": {"path": "calibration.npz", "count": 10},
    "verify": {"gates": {"top1_drop": 0.01}, "dataset": {"path": "evaluation.npz"}},
    "target": {"cpu": {"threads": 2}},
}


def change(path: str, value: Any) -> dict[str, Any]:
    """Return the recipe with another value at a dotted path."""
    recipe = deepcopy(RECIPE)
    node = recipe
    *folders, key = path.split(".")
    for name in folders:
        node = node[name]
    node[key] = value
    return recipe


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_obey_it(path: Any) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_a_recipe_obeys_it() -> None:
    VALIDATOR.validate(RECIPE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("quantisation", {}),
        ("quantization.engin", "litert"),
        ("quantization.engine", "lite"),
        ("quantization.engine", 8),
        ("dataset.count", "ten"),
        ("source.call", "model.py:make"),
        ("verify.gates.top1_dorp", 0.01),
        ("verify.gates.top1_drop", "little"),
        ("sweep", {"objective": ["bytes:min"]}),
        ("target.cpu.thread", 2),
    ],
)
def test_it_finds_mistakes(path: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(change(path, value))


def test_the_options_of_a_group_have_their_own_keys() -> None:
    recipe = change("defaults", [{"override /source": "function"}])
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(recipe | {"source": {"path": "model.keras"}})
    VALIDATOR.validate(recipe | {"source": {"call": "model.py:make"}})


def test_every_option_has_a_definition_with_a_description() -> None:
    names = {f"{group}.{option}" for group, options in OPTIONS.items() for option in options}
    assert names <= SCHEMA["$defs"].keys()
    assert all(SCHEMA["$defs"][name]["description"] for name in names)
