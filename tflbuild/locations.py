"""Where tflbuild's own files lie, and where it keeps what it made.

In a checkout conf/ and recipes/ stand beside the package; in a wheel they are inside it.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ASSETS = PACKAGE / "assets"
ASSET_SCHEME = "tflbuild://"


def shipped(folder: str) -> Path:
    """tflbuild's own `conf` or `recipes` folder."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def store_root() -> Path:
    """The store: `$TFLBUILD_STORE`, else tflbuild/ in the user's cache folder (XDG base directories)."""
    explicit = os.environ.get("TFLBUILD_STORE")
    if explicit:
        return Path(explicit).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "tflbuild"


def locate(path: str) -> Path:
    """A recipe's path: `tflbuild://...` among the shipped files, else relative to the current directory."""
    if path.startswith(ASSET_SCHEME):
        return ASSETS / path[len(ASSET_SCHEME) :]
    return Path(os.path.expanduser(path)).absolute()
