"""The secrets that a composed configuration holds."""

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
ARGUMENTS = "arguments"  # mappings of the user's own names


def note_config(written: Any, composed: Any) -> None:
    """Hide what a configuration holds of secrets: `written` before interpolation, `composed` after it."""
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
    """Raises RecipeError for a folder of the output that a secret would name."""
    for key, value in (("name", name), ("output_root", output_root)):
        if holds_secret(value):
            raise RecipeError(
                f"'{key}' holds a secret",
                where=locations.find(key),
                why="it names a folder, which everybody sees who sees the artifact",
                next_step="take the value of a variable that is no password, token or key",
            )


def refuse_sent_variables(written: Any, handle: str, typed: Mapping[str, str], locations: KeyLocations) -> None:
    """Raise RecipeError where a file has a variable of the user's in the address of a model, on a host that it names.

    The address may be one variable as a whole: then the user named the host, too.
    """
    if "://" not in handle:
        return
    source = written.get("source")
    text = str(source.get("handle")) if isinstance(source, Mapping) else "${"
    if "${" not in text or ONE_VARIABLE.fullmatch(text) or typed.get("source.handle") == text:
        return
    if VARIABLE.search(str({key: value for key, value in written.items() if key != "store"})):
        raise RecipeError(
            "'source.handle' holds a variable of yours",
            where=locations.find("source.handle"),
            why="its value would be sent to the host that the recipe names",
            next_step="put user and password into ~/.netrc; or type source.handle, or name the whole address with one"
            " variable: ${oc.env:NAME}",
        )
