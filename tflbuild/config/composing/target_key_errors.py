"""Mistakes with targets, of which a recipe may choose several, each with keys of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from tflbuild.config.composing.preset_jobs import ONLY
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import RecipeError

SEVERAL = "target"


def unchosen_target(key: str, where: str) -> RecipeError | None:
    """`target.gpu` beside `target=cpu`, or `target.threads`, which says not of which; None for any other key."""
    group, _, name = key.partition(".")
    profiles = schema.OPTIONS[SEVERAL] if group == SEVERAL else {}
    having = [option for option, node in profiles.items() if name in {spec.name for spec in fields(node)}]
    if having:
        return RecipeError(
            f"'{key}' does not say of which target",
            where=where,
            next_step=f"{group}.{having[0]}.{name}=..., if that one is meant",
        )
    if name not in profiles:
        return None
    return RecipeError(
        f"target '{name}' is not chosen, so '{key}' cannot be set",
        where=where,
        next_step=f"target={name}, or several: target=[cpu,{name}]",
    )


def refuse_only(target: Mapping[str, object], overrides: Sequence[str], where: str) -> None:
    """Raises RecipeError for a key that only parts of a recipe have, which tflbuild itself makes."""
    if "only" in target and not any(text.startswith(f"++{ONLY}=") for text in overrides):
        raise RecipeError(f"'{ONLY}' is no key of a recipe", where=where, next_step="target=[NAME, ...] chooses")
