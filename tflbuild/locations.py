"""Where tflbuild's own files lie, and where it keeps what it made.

In a checkout conf/ and recipes/ stand beside the package; in a wheel they are inside it.
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
    """tflbuild's own `conf` or `recipes` folder."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def store_root() -> Path:
    """The store: `$TFLBUILD_STORE`, else tflbuild/ in the user's cache folder."""
    return cache_folder("TFLBUILD_STORE", "tflbuild")


def cache_folder(variable: str, name: str) -> Path:
    """Return the folder that a variable names, else that of a name in the user's cache (XDG base directories)."""
    explicit = os.environ.get(variable)
    if explicit:
        return Path(explicit).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / name


def settings_folder() -> Path:
    """Return the user's own settings of tflbuild (XDG base directories)."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(folder) / "tflbuild"


@cache
def identity_key() -> bytes:
    """Return the key of this user's hashes of secrets, made when it is first needed: 32 random bytes.

    Where the settings cannot be written, a key of this process alone: what it names is then made again the next time.
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
                os.link(new, file)  # whoever comes second takes what is there
            except FileExistsError:
                pass
            finally:
                os.unlink(new)
        kept = file.read_bytes()
    except OSError:
        return key
    return kept if len(kept) == KEY_BYTES else key


def locate(path: str) -> Path:
    """A recipe's path: `tflbuild://...` among the shipped files, else relative to the current directory."""
    if path.startswith(ASSET_SCHEME):
        return ASSETS / path[len(ASSET_SCHEME) :]
    return Path(os.path.expanduser(path)).absolute()
