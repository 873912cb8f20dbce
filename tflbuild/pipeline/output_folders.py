"""Open the output folders of a command: each belongs to one recipe, and what lies in it to one build.

A recipe's folder names its recipe in `recipe.json`; another recipe of the same name is refused. An artifact in a
variant's folder that another request made (another recipe text, other inputs, another toolchain) is renamed before
anything runs, so that whatever ends the build, nothing older looks current.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from tflbuild.config.composing.compose import Composed
from tflbuild.config.composing.config_errors import KeyLocations, find_node
from tflbuild.config.composing.config_folders import find_recipe, recipe_name
from tflbuild.core.digest import hash_value
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
MEASURED = "benchmark"  # roles that are timed anew, so that their ids differ from run to run


@dataclass(frozen=True)
class FolderOwner:
    """The recipe that a folder belongs to: its name, its file, and whether the folder's name is the recipe's own."""

    recipe: str
    file: str
    named_on_command_line: bool


def digest_request(recipe: Recipe, goals: Mapping[str, str]) -> str:
    """Return a digest of all that decides what a build makes: the recipe, and its planned steps by role."""
    steps = {role: step for role, step in goals.items() if not role.startswith(MEASURED)}
    return hash_value("Request", {"recipe": protect(recipe.as_json()), "steps": steps})


def open_folders(
    recipes: Sequence[Recipe], places: Sequence[KeyLocations], goals: Sequence[Mapping[str, str]], store: Store
) -> list[str]:
    """Make the folder of each variant, and set aside what another request left there. Return the request digests.

    Raises RecipeError for a folder of another recipe, MachineError for a place that cannot be written to.
    """
    claims = find_owners(recipes, places)
    requests = [digest_request(recipe, roles) for recipe, roles in zip(recipes, goals, strict=True)]
    for recipe, request in zip(recipes, requests, strict=True):
        folder = variant_folder(recipe)
        prepare(folder)
        set_aside_other(folder, store, request)
    write_owners(claims)
    return requests


def record_failure(recipe: Recipe, store: Store, request: str, result: str, error: TflbuildError) -> None:
    """Record in the variant's folder which build failed and why. Artifacts of an earlier build are renamed."""
    told = {"what": error.what, "where": error.where, "why": error.why, "next": error.next_step}
    named = {"recipe": recipe.name, "variant": recipe.variant, "request": request}
    failure = {**named, "result": result, "exit_code": error.exit_code, "error": told}
    write_failure(variant_folder(recipe), store, failure)


@contextmanager
def withdraw_on_error(composed: Sequence[Composed], store: Store) -> Iterator[None]:
    """Set aside what earlier builds left in the folders of variants that cannot even be planned."""
    try:
        yield
    except TflbuildError as error:
        for variant in composed:
            withdraw(variant, store, error)
        raise


def withdraw(composed: Composed, store: Store, error: TflbuildError) -> None:
    """Set aside what an earlier build of a refused variant left in its folder, and say there why it was refused."""
    root = Path(composed.build.output_root) / composed.name
    owner, folder = _read_owner(root), root / composed.variant
    if owner is None or owner.recipe != _describe_owner(composed.places).recipe or not is_delivered(folder):
        return
    with suppress(MachineError, OSError):  # the refusal is what the user must see
        reason = {"what": error.what, "where": error.where, "why": error.why, "next": error.next_step}
        named = {"recipe": composed.name, "variant": composed.variant, "request": None}
        write_failure(folder, store, {**named, "result": "refused", "exit_code": error.exit_code, "error": reason})


def claim_folders(recipes: Sequence[Recipe], places: Sequence[KeyLocations]) -> None:
    """Record which recipe each folder belongs to. Raises RecipeError for a folder that belongs to another one."""
    write_owners(find_owners(recipes, places))


def find_owners(recipes: Sequence[Recipe], places: Sequence[KeyLocations]) -> dict[Path, FolderOwner]:
    """Return which recipe each folder belongs to. Raises RecipeError for a folder that belongs to another one."""
    claims: dict[Path, FolderOwner] = {}
    for recipe, where in zip(recipes, places, strict=True):
        folder = Path(recipe.output_root) / recipe.name
        owner = _describe_owner(where)
        recorded = claims.get(folder) or _read_owner(folder)
        if recorded is not None and recorded.recipe != owner.recipe and _may_write_again(recorded, recipe.name):
            raise _refuse_name(folder, recipe.name, recorded, owner, where)
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


def _describe_owner(places: KeyLocations) -> FolderOwner:
    return FolderOwner(
        recipe="" if places.recipe is None else recipe_name(places.recipe),
        file=places.recipe_text(),
        named_on_command_line=bool(places.override("name")),
    )


def _read_owner(folder: Path) -> FolderOwner | None:
    """Return the recorded owner; None where there is none, or where the record cannot be read."""
    try:
        return from_json(FolderOwner, read_json(folder / OWNER))
    except (OSError, ValueError):
        return None


def _may_write_again(owner: FolderOwner, name: str) -> bool:
    """Return whether the recorded recipe is still there and still writes to a folder of this name."""
    file = find_recipe(owner.recipe)
    if file is None:
        return False
    if owner.named_on_command_line:
        return True
    node = find_node(file, "name")
    own = node.value if isinstance(node, yaml.ScalarNode) and node.value else owner.recipe.replace("/", "-")
    return "${" in own or own == name


def _refuse_name(
    folder: Path, name: str, recorded: FolderOwner, owner: FolderOwner, places: KeyLocations
) -> RecipeError:
    this = f"'{owner.file}'" if owner.file else "a command that names no recipe"
    return RecipeError(
        f"{folder} belongs to another recipe",
        where=places.find("name") if places.find("name") != "name" else places.recipe_text(),
        why=f"'{recorded.file}' and {this} both have the name '{name}', and would overwrite each other's artifacts",
        next_step=f"give one of them another `name`; or remove {folder} if its artifacts are no longer needed",
    )
