"""Sizes as people write them."""

from __future__ import annotations

import re

UNIT = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def read_size(text: str) -> int | None:
    """`8G`, `512M` or bytes; None for what is no size above zero."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(found[1]) * UNIT[found[2].upper()]) if found else 0
    return size or None
