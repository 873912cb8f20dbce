"""Locations of tflbuild's own files, of its store and of the user's settings.

In a checkout, conf/ and recipes/ are next to the package; in a wheel they are inside it.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ASSETS = PACKAGE / "assets"
ASSET_SCHEME = "tflbuild://"
KEY_BYTES = 32


def find_shipped_folder(folder: str) -> Path:
    """Return the folder `conf` or `recipes` that is part of tflbuild."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def store_root() -> Path:
    """Return the folder of the store: `$TFLBUILD_STORE`, else `tflbuild` in the user's cache folder."""
    return cache_folder("TFLBUILD_STORE", "tflbuild")


def cache_folder(variable: str, name: str) -> Path:
    """Return the folder that an environment variable names, else the folder `name` in the user's cache folder.

    The cache folder follows the XDG Base Directory Specification.
    """
    explicit = os.environ.get(variable)
    if explicit:
        return Path(explicit).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / name


def settings_folder() -> Path:
    """Return the folder of the user's settings of tflbuild (XDG Base Directory Specification)."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(folder) / "tflbuild"


@cache
def identity_key() -> bytes:
    """Return the user's key for keyed hashes of secrets: 32 random bytes, which are made when they are first needed.

    If the settings cannot be written, the key is valid for this process only. Results whose cache keys contain a
    secret are then made again by the next process.
    """
    file = settings_folder() / "identity_key"
    key = os.urandom(KEY_BYTES)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = file.with_name(f".{file.name}-{os.getpid()}-{key[:4].hex()}")
        if not file.exists():
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(key)
            try:
                os.link(new, file)
            except FileExistsError:
                # Another process was faster. Its key is used.
                pass
            finally:
                os.unlink(new)
        stored_key = file.read_bytes()
    except OSError:
        return key
    return stored_key if len(stored_key) == KEY_BYTES else key


def locate(path: str) -> Path:
    """Return a path of a recipe as an absolute path: `tflbuild://...` is a shipped file."""
    if path.startswith(ASSET_SCHEME):
        return ASSETS / path[len(ASSET_SCHEME) :]
    return Path(os.path.expanduser(path)).absolute()
