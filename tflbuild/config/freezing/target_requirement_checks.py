"""Check a recipe against the requirements of its targets, before minutes are spent on an artifact that cannot run.

`targets.common.requirement_check` checks the artifact for properties that the recipe does not decide.
"""

from __future__ import annotations

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.core.recipe import Recipe, Target
from tflbuild.targets.common.requirement_check import FLEX_FIX, GRANULARITY_FIX, INTEGER_FIX, RANK_FIX, STATIC_FIX

STORED_FIX = "a .tflite keeps the sizes that it has: start from the model that it was made of"
EACH = "quantization=by_target builds an artifact for each need"


def check_targets(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for the first target that cannot run the artifact of the recipe."""
    is_unchanged = recipe.source.kind == "tflite" and recipe.quantization.scheme == "none"
    rules = [check_flex, check_rank] + ([] if is_unchanged else [check_integer, check_scheme, check_granularity])
    for target in recipe.targets:
        for rule in (*rules, check_shapes):
            rule(recipe, target, refusals)


def find_blamed_key(refusals: RecipeErrors) -> str:
    """Return the key that causes a conflict of scheme and target: `quantization` if a preset set it, else `target`."""
    return "quantization" if refusals.locations.in_preset("quantization") else "target"


def suggest_by_target(recipe: Recipe, refusals: RecipeErrors) -> str:
    """Return the advice to use `quantization=by_target`, if there are several targets and it is not used yet."""
    return f"; {EACH}" if len(recipe.targets) > 1 and not refusals.locations.in_preset("quantization") else ""


def check_integer(recipe: Recipe, target: Target, refusals: RecipeErrors) -> None:
    """Check that a target without floating point has integer inputs and outputs."""
    quantization = recipe.quantization
    integer_io = "float32" not in (quantization.input_type, quantization.output_type)
    if target.full_integer and not (quantization.scheme == "int8" and integer_io):
        has = quantization.scheme if integer_io or quantization.scheme != "int8" else "int8 with float32 I/O"
        raise refusals.refuse(
            f"target={target.name} takes integer models alone, and the recipe makes {has}",
            find_blamed_key(refusals),
            next_step=INTEGER_FIX + suggest_by_target(recipe, refusals),
        )


def check_scheme(recipe: Recipe, target: Target, refusals: RecipeErrors) -> None:
    """Check that a target has kernels for the schemes of the recipe."""
    scheme = recipe.quantization.scheme
    schemes = {scheme, *(rule.scheme for rule in recipe.quantization.rules)} - ({"none"} if scheme != "none" else set())
    lacking = sorted(schemes - set(target.schemes)) if target.schemes else []
    if lacking:
        raise refusals.refuse(
            f"target={target.name} has no kernels for quantization={', '.join(lacking)}",
            find_blamed_key(refusals),
            why=f"it takes {', '.join(target.schemes)}",
            next_step=f"quantization={target.schemes[0]}" + suggest_by_target(recipe, refusals),
        )


def check_flex(recipe: Recipe, target: Target, refusals: RecipeErrors) -> None:
    """Check that a target can run TensorFlow (Flex) operators, if the op set allows them."""
    if not target.select_tf and recipe.opset.select_tf:
        raise refusals.refuse(
            f"target={target.name} cannot run TensorFlow (Flex) operators",
            "opset.select_tf",
            next_step=FLEX_FIX,
        )


def check_shapes(recipe: Recipe, target: Target, refusals: RecipeErrors) -> None:
    """Check that shapes are fixed for a target that compiles the model."""
    converted = recipe.source.kind == "tflite"  # its sizes are its own
    free = any(
        any(None in spec.shape for spec in entry.inputs) if entry.inputs else entry.batch is None and not converted
        for entry in (recipe.signature, *recipe.more_signatures)
    )
    if target.static_shapes and free:
        raise refusals.refuse(
            f"target={target.name} needs fixed shapes, and the signature leaves a dimension free",
            "signature",
            next_step=STORED_FIX if converted else STATIC_FIX,
        )


def check_rank(recipe: Recipe, target: Target, refusals: RecipeErrors) -> None:
    """Check the number of dimensions of the declared inputs. Other inputs are not known here."""
    for spec in recipe.signature.inputs:
        if target.max_rank is not None and len(spec.shape) > target.max_rank:
            raise refusals.refuse(
                f"target={target.name} takes inputs of at most {target.max_rank} dimensions,"
                f" and '{spec.name}' has {len(spec.shape)}",
                f"signature.inputs.{spec.name}",
                next_step=RANK_FIX,
            )


def check_granularity(recipe: Recipe, target: Target, refusals: RecipeErrors) -> None:
    """Check that weights have one scale a tensor for a target that needs it."""
    quantization = recipe.quantization
    if target.per_tensor and quantization.scheme != "none" and quantization.granularity != "per_tensor":
        raise refusals.refuse(
            f"target={target.name} takes one scale a tensor, and the recipe makes them {quantization.granularity}",
            "quantization.granularity",
            next_step=GRANULARITY_FIX,
        )
