"""The shared stores of recipes that the user has agreed to, as ssh keeps the hosts that it knows.

A recipe that names a store asks for two things: that its records are believed, and with `store.push` that what is built
is sent there. Each is a line of a file in the user's own settings: `read URL` or `push URL`, without users and
passwords. The user's variables and the command line need no such line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hydra.core.override_parser.types import Override

from tflbuild.core.remote_cache_settings import Use
from tflbuild.errors import MachineError
from tflbuild.locations import settings_folder

NAME = "trusted_stores"
STORE = "store"
OWN_SECTIONS = (STORE, "executor", "source")  # where it counts who said something


def read_typed(overrides: Iterable[Override]) -> dict[str, str]:
    """Return what the user typed of these sections, by key. `overrides` are those that choose no option."""
    typed: dict[str, str] = {}
    for one in overrides:
        name = str(one.key_or_group).partition(".")[0]
        if one.is_sweep_override() or name not in OWN_SECTIONS:
            continue
        value = one.value()
        section = value if one.key_or_group == name else {one.key_or_group.removeprefix(f"{name}."): value}
        typed |= {f"{name}.{key}": text for key, text in texts_of(section).items()}
    return typed


def texts_of(section: object) -> dict[str, str]:
    """Return the values of a section as texts; none where the whole section is interpolated."""
    return {str(key): str(value) for key, value in section.items()} if isinstance(section, dict) else {}


def trusted_stores_file() -> Path:
    """Return where the agreements are kept."""
    return settings_folder() / NAME


def list_missing(uses: Iterable[Use], origin: str) -> tuple[Use, ...]:
    """Return the uses of a store that the user has not agreed to."""
    try:
        lines = set(trusted_stores_file().read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        lines = set()
    return tuple(use for use in uses if f"{use} {origin}" not in lines)


def confirm(uses: Iterable[Use], origin: str) -> None:
    """Write down that the user agrees. Raises MachineError where nothing can be written."""
    file = trusted_stores_file()
    missing = list_missing(uses, origin)
    if not missing:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as lines:
            lines.write("".join(f"{use} {origin}\n" for use in missing))
    except OSError as error:
        raise MachineError(
            "the shared store could not be confirmed",
            where=str(file),
            why=error.strerror or str(error),
            next_step="make the folder writable, or name the store yourself: TFLBUILD_REMOTE=URL",
        ) from None
