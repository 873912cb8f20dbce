"""Overrides -> the frozen recipe, or the refusal."""

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.core.recipe import Recipe
from tflbuild.errors import RecipeError


def frozen(*overrides: str) -> Recipe:
    (composed,) = compose(list(overrides))
    return freeze(composed)


def refused(*overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        frozen(*overrides)
    return caught.value
