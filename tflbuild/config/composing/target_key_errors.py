"""Explain mistakes with targets: a recipe may choose several, and each has keys of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from tflbuild.config.composing.preset_jobs import ONLY
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import RecipeError

SEVERAL = "target"


def unchosen_target(key: str, where: str) -> RecipeError | None:
    """Return the error for a key of a target that is not chosen, or that names no target. None for any other key.

    Examples are `target.gpu` with `target=cpu`, and `target.threads`.
    """
    group, _, name = key.partition(".")
    profiles = schema.OPTIONS[SEVERAL] if group == SEVERAL else {}
    having = [option for option, node in profiles.items() if name in {spec.name for spec in fields(node)}]
    if having:
        return RecipeError(
            f"'{key}' does not name a target",
            where=where,
            next_step=f"name one, such as: {group}.{having[0]}.{name}=...",
        )
    if name not in profiles:
        return None
    return RecipeError(
        f"target '{name}' is not chosen, so '{key}' cannot be set",
        where=where,
        next_step=f"target={name}, or several: target=[cpu,{name}]",
    )


def refuse_only(target: Mapping[str, object], overrides: Sequence[str], where: str) -> None:
    """Raise RecipeError for `target.only`, which only the parts of a recipe have that tflbuild makes."""
    if "only" in target and not any(text.startswith(f"++{ONLY}=") for text in overrides):
        raise RecipeError(
            f"'{ONLY}' is not a key of a recipe", where=where, next_step="choose targets with target=[NAME, ...]"
        )
