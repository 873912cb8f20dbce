"""Every profile that a recipe may choose as its target, the project's own included."""

from __future__ import annotations

from collections.abc import Iterator

from tflbuild.config.composing.compose import Composer
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.freeze_target import freeze_targets
from tflbuild.config.reference.config_views import group_options
from tflbuild.config.reference.schema_texts import class_text
from tflbuild.config.schema.recipe_schema import OPTIONS
from tflbuild.config.schema.schema_target import NoTarget
from tflbuild.core.recipe import Target

GROUP = "target"


def list_profiles() -> Iterator[tuple[str, Target]]:
    """(what it is, the profile) of each. Raises RecipeError for one that is not sound."""
    composer = Composer([])
    for name in group_options(composer.hydra, GROUP):
        kind = OPTIONS[GROUP].get(name)
        if kind is NoTarget:
            continue
        overrides = ["source.path=model", f"{GROUP}={name}"]
        profiles = {name: kind()} if kind else composer.compose(overrides, shared=False).build.target
        for target in freeze_targets(profiles, RecipeErrors(KeyLocations(overrides=tuple(overrides)))):
            yield class_text(kind) if kind else "of this project", target
