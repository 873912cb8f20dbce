"""Open the output folders of a command: each belongs to one recipe, and its contents to one build.

The folder of a recipe names its recipe in `recipe.json`. Another recipe of the same name is refused. An artifact in the
folder of a variant that another request made (another recipe, other inputs, another toolchain) is renamed before any
step runs. So no older artifact looks current, however the build ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.config_folders import find_recipe, recipe_name
from tflbuild.config.composing.yaml_keys import find_node
from tflbuild.core.digest import Json, hash_value
from tflbuild.core.recipe import Recipe
from tflbuild.core.secrets import protect
from tflbuild.core.typed_json import from_json
from tflbuild.core.untrusted_files import read_json
from tflbuild.errors import MachineError, RecipeError, TflbuildError
from tflbuild.report.output_files import (
    cannot_write,
    is_delivered,
    prepare,
    set_aside_other,
    variant_folder,
    write_failure,
)
from tflbuild.storage.store import Store, replace_json

OWNER = "recipe.json"
# Roles that begin with this word are timed in each build, so the ids of their steps differ from build to build.
TIMED_ROLE = "benchmark"


@dataclass(frozen=True)
class FolderOwner:
    """The recipe that a folder belongs to: its name, its file, and whether the command line chose the folder's name."""

    recipe: str
    file: str
    named_on_command_line: bool


def digest_request(recipe: Recipe, goals: Mapping[str, str]) -> str:
    """Return a digest of everything that decides what a build makes: the recipe, and its planned steps by role."""
    steps = {role: step for role, step in goals.items() if not role.startswith(TIMED_ROLE)}
    return hash_value("Request", {"recipe": protect(recipe.as_json()), "steps": steps})


def open_folders(
    recipes: Sequence[Recipe], locations: Sequence[KeyLocations], goals: Sequence[Mapping[str, str]], store: Store
) -> list[str]:
    """Create the folder of each variant, and rename the artifacts of other requests in it.

    Args:
        recipes: The recipes of the variants.
        locations: Where the keys of each recipe are written.
        goals: The planned steps of each variant: role -> step id.
        store: The store.

    Returns:
        The request digest of each variant.

    Raises:
        RecipeError: for a folder of another recipe.
        MachineError: for a folder that cannot be written to.
    """
    claims = find_owners(recipes, locations)
    requests = [digest_request(recipe, roles) for recipe, roles in zip(recipes, goals, strict=True)]
    for recipe, request in zip(recipes, requests, strict=True):
        folder = variant_folder(recipe)
        prepare(folder)
        set_aside_other(folder, store, request)
    write_owners(claims)
    return requests


def record_failure(recipe: Recipe, store: Store, request: str, result: str, error: TflbuildError) -> None:
    """Record in the variant's folder that its build failed, and why. Artifacts of an earlier build are renamed."""
    named = {"recipe": recipe.name, "variant": recipe.variant, "request": request}
    failure = {**named, "result": result, "exit_code": error.exit_code, "error": _error_json(error)}
    write_failure(variant_folder(recipe), store, failure)


@contextmanager
def withdraw_on_error(composed: Sequence[Composed], store: Store) -> Iterator[None]:
    """Rename what earlier builds left in the folders of variants, if planning them raises an error."""
    try:
        yield
    except TflbuildError as error:
        for variant in composed:
            withdraw(variant, store, error)
        raise


def withdraw(composed: Composed, store: Store, error: TflbuildError) -> None:
    """Rename what an earlier build of a refused variant left in its folder, and record there why it was refused."""
    root = Path(composed.build.output_root) / composed.name
    owner, folder = _read_owner(root), root / composed.variant
    if owner is None or owner.recipe != _describe_owner(composed.locations).recipe or not is_delivered(folder):
        return
    # The user must see the refusal, not an error in recording it.
    with suppress(MachineError, OSError):
        named = {"recipe": composed.name, "variant": composed.variant, "request": None}
        failure = {**named, "result": "refused", "exit_code": error.exit_code, "error": _error_json(error)}
        write_failure(folder, store, failure)


def _error_json(error: TflbuildError) -> dict[str, Json]:
    return {"what": error.what, "where": error.where, "why": error.why, "next": error.next_step}


def claim_folders(recipes: Sequence[Recipe], locations: Sequence[KeyLocations]) -> None:
    """Record which recipe each folder belongs to.

    Raises:
        RecipeError: for a folder that belongs to another recipe.
    """
    write_owners(find_owners(recipes, locations))


def find_owners(recipes: Sequence[Recipe], locations: Sequence[KeyLocations]) -> dict[Path, FolderOwner]:
    """Return which recipe each folder belongs to.

    Raises:
        RecipeError: for a folder that belongs to another recipe.
    """
    claims: dict[Path, FolderOwner] = {}
    for recipe, recipe_locations in zip(recipes, locations, strict=True):
        folder = Path(recipe.output_root) / recipe.name
        owner = _describe_owner(recipe_locations)
        recorded = claims.get(folder) or _read_owner(folder)
        if recorded is not None and recorded.recipe != owner.recipe and _may_write_again(recorded, recipe.name):
            raise _refuse_name(folder, recipe.name, recorded, owner, recipe_locations)
        claims[folder] = owner
    return claims


def write_owners(claims: Mapping[Path, FolderOwner]) -> None:
    """Record the owner of each folder in it."""
    for folder, owner in claims.items():
        if owner != _read_owner(folder):
            try:
                replace_json(folder / OWNER, vars(owner))
            except OSError as error:
                raise cannot_write(folder, error) from None


def _describe_owner(locations: KeyLocations) -> FolderOwner:
    return FolderOwner(
        recipe="" if locations.recipe is None else recipe_name(locations.recipe),
        file=locations.recipe_text(),
        named_on_command_line=bool(locations.override("name")),
    )


def _read_owner(folder: Path) -> FolderOwner | None:
    """Return the recorded owner, or None if there is no record or it cannot be read."""
    try:
        return from_json(FolderOwner, read_json(folder / OWNER))
    except (OSError, ValueError):
        return None


def _may_write_again(owner: FolderOwner, name: str) -> bool:
    """Return whether the recorded recipe still exists and still writes to a folder of this name."""
    file = find_recipe(owner.recipe)
    if file is None:
        return False
    if owner.named_on_command_line:
        return True
    node = find_node(file, "name")
    folder_name = node.value if isinstance(node, yaml.ScalarNode) and node.value else owner.recipe.replace("/", "-")
    return "${" in folder_name or folder_name == name


def _refuse_name(
    folder: Path, name: str, recorded: FolderOwner, owner: FolderOwner, locations: KeyLocations
) -> RecipeError:
    this = f"'{owner.file}'" if owner.file else "a command that names no recipe"
    return RecipeError(
        f"{folder} belongs to another recipe",
        where=locations.find("name") if locations.find("name") != "name" else locations.recipe_text(),
        why=f"'{recorded.file}' and {this} both have the name '{name}', and would overwrite each other's artifacts",
        next_step=f"give one of them another `name`; or remove {folder} if its artifacts are no longer needed",
    )
