"""Read and write the file of remote caches that the user trusts, as ssh does for known hosts.

A recipe that names a remote cache asks for two things: that its records are trusted, and with `store.push` that results
are sent there. Each is a line of a file in the user's settings folder: `read URL` or `push URL`, without user and
password. A cache that the user's environment variables or the command line name needs no such line.
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
# The sections in which it matters whether the user or a file set a value.
OWN_SECTIONS = (STORE, "executor", "source")


def read_typed(overrides: Iterable[Override]) -> dict[str, str]:
    """Return the values that the user typed in `OWN_SECTIONS`, by key. `overrides` must not choose options."""
    typed: dict[str, str] = {}
    for override in overrides:
        name = str(override.key_or_group).partition(".")[0]
        if override.is_sweep_override() or name not in OWN_SECTIONS:
            continue
        value = override.value()
        section = value if override.key_or_group == name else {override.key_or_group.removeprefix(f"{name}."): value}
        typed |= {f"{name}.{key}": text for key, text in texts_of(section).items()}
    return typed


def texts_of(section: object) -> dict[str, str]:
    """Return the values of a section as texts. Empty if the whole section is one interpolation."""
    return {str(key): str(value) for key, value in section.items()} if isinstance(section, dict) else {}


def trusted_stores_file() -> Path:
    """Return the path of the file with the trusted remote caches."""
    return settings_folder() / NAME


def list_missing(uses: Iterable[Use], origin: str) -> tuple[Use, ...]:
    """Return the uses of a remote cache that the user has not confirmed."""
    try:
        lines = set(trusted_stores_file().read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        lines = set()
    return tuple(use for use in uses if f"{use} {origin}" not in lines)


def confirm(uses: Iterable[Use], origin: str) -> None:
    """Record that the user trusts uses of a remote cache.

    Raises:
        MachineError: for a file that cannot be written.
    """
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
            "the remote cache could not be confirmed",
            where=str(file),
            why=error.strerror or str(error),
            next_step="make the folder writable, or name the remote cache yourself: TFLBUILD_REMOTE=URL",
        ) from None
