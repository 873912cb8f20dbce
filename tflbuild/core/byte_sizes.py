"""Sizes as people write them."""

from __future__ import annotations

import re

UNIT = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def read_size(text: str) -> int | None:
    """`8G`, `512M` or bytes; None for what is no size above zero."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(found[1]) * UNIT[found[2].upper()]) if found else 0
    return size or None


def show_bytes(count: float) -> str:
    """Return bytes in decimal units, to three figures."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 999.5 * size else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"
