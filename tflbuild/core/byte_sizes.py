"""Human-readable sizes in bytes."""

from __future__ import annotations

import re

UNIT = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def read_size(text: str) -> int | None:
    """Return a size such as `8G` or `512M` in bytes (binary units), None if the text is not a size above zero."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * UNIT[match[2].upper()]) if match else 0
    return size or None


def show_bytes(count: float) -> str:
    """Return bytes as text in decimal units, with three significant digits."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 999.5 * size else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"
