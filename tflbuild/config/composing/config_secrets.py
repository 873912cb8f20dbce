"""Find the secrets in a composed configuration, and refuse those that would be shown or sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.core.secrets import holds_secret, note_arguments, note_interpolated, note_url
from tflbuild.errors import RecipeError

VARIABLE = re.compile(r"oc\.env:\s*([A-Za-z_]\w*)")
ONE_VARIABLE = re.compile(r"\$\{oc\.env:\s*[A-Za-z_]\w*\s*(,[^{}$]*)?\}")
# The values of a mapping with this name are noted together with the names that the user chose for them.
ARGUMENTS = "arguments"


def note_config(written: Any, composed: Any) -> None:
    """Note the secrets of a configuration, so that no output shows them.

    Args:
        written: The configuration before interpolation.
        composed: The configuration after interpolation.
    """
    _note_variables(written)
    _note_values(composed)


def _note_variables(value: Any) -> None:
    if isinstance(value, Mapping):
        for item in value.values():
            _note_variables(item)
    elif isinstance(value, list):
        for item in value:
            _note_variables(item)
    elif isinstance(value, str) and "oc.env" in value:
        for name in VARIABLE.findall(value):
            note_interpolated(os.environ.get(name, ""))


def _note_values(value: Any) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == ARGUMENTS:
                note_arguments(item)
            _note_values(item)
    elif isinstance(value, list):
        for item in value:
            _note_values(item)
    elif isinstance(value, str) and "://" in value:
        note_url(value)


def refuse_secret_names(name: str, output_root: str, locations: KeyLocations) -> None:
    """Raise RecipeError for an output folder whose name would contain a secret."""
    for key, value in (("name", name), ("output_root", output_root)):
        if holds_secret(value):
            raise RecipeError(
                f"'{key}' contains a secret",
                where=locations.find(key),
                why="it names an output folder, and everybody who can see the artifact can read that name",
                next_step="use a variable that is not a password, token or key",
            )


def refuse_sent_variables(written: Any, handle: str, typed: Mapping[str, str], locations: KeyLocations) -> None:
    """Raise RecipeError for a recipe that puts environment variables into the address of a model.

    Their values would be sent to a host that the recipe names. The whole address may be one variable: then the user
    chose the host, too.
    """
    if "://" not in handle:
        return
    source = written.get("source")
    text = str(source.get("handle")) if isinstance(source, Mapping) else "${"
    if "${" not in text or ONE_VARIABLE.fullmatch(text) or typed.get("source.handle") == text:
        return
    if VARIABLE.search(str({key: value for key, value in written.items() if key != "store"})):
        raise RecipeError(
            "'source.handle' contains one of your environment variables",
            where=locations.find("source.handle"),
            why="its value would be sent to the host that the recipe names",
            next_step="put user and password into ~/.netrc; or set source.handle on the command line, or use one"
            " variable for the whole address: ${oc.env:NAME}",
        )
