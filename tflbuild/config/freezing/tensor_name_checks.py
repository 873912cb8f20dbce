"""Compare the names of tensors and signatures that a recipe uses with those that it declares itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.core.recipe import Recipe
from tflbuild.errors import nearest


def check_names(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for names that the declared signatures lack.

    `import` checks names that a recipe leaves open.
    """
    described = {} if recipe.metadata is None else recipe.metadata.described
    others = described.get("more", {})
    for index, signature in enumerate((recipe.signature, *recipe.more_signatures)):
        place, about = ("signature", "metadata")
        metadata = described
        if index:
            place, about = f"signature.more.{signature.key}", f"metadata.more.{signature.key}"
            metadata = others.get(signature.key, {})
        inputs, outputs = [one.name for one in signature.inputs], [name for name, _ in signature.outputs]
        preprocessed = [one.input for one in signature.preprocess]
        require_names(preprocessed, inputs, f"{place}.preprocess", f"{place}.inputs", refusals)
        require_names(metadata.get("inputs", ()), inputs, f"{about}.inputs", f"{place}.inputs", refusals)
        require_names(metadata.get("outputs", ()), outputs, f"{about}.outputs", f"{place}.outputs", refusals)
    if recipe.source.kind != "tflite":
        require_names(others, [one.key for one in recipe.more_signatures], "metadata.more", "signature.more", refusals)


def require_names(
    names: Iterable[str], declared: Collection[str], place: str, declared_at: str, refusals: RecipeErrors
) -> None:
    """Raise RecipeError for a name below `place` that the recipe does not declare below `declared_at`."""
    for name in names:
        if name not in declared and (declared or place == "metadata.more"):
            shown = ", ".join(declared) or "nothing"
            raise refusals.refuse(
                f"'{place}.{name}' names nothing that the recipe declares",
                f"{place}.{name}",
                why="; ".join(filter(None, [f"'{declared_at}' has {shown}", nearest(name, declared)])),
                next_step=f"write one of these names, or leave '{place}.{name}' out",
            )
