"""How a rule of a quantization names an operator."""

from __future__ import annotations

import re
from collections.abc import Sequence


def find_pattern(name: str, names: Sequence[str]) -> str:
    """Return a regular expression that finds one operator: by the first of its fused names, where no other begins so.

    Args:
        name: The name of the operator's first output.
        names: Those of all operators.
    """
    short = f"^{re.escape(name.partition(';')[0])}(;|$)"
    alone = sum(re.search(short, other) is not None for other in names) == 1
    return short if alone else f"^{re.escape(name)}$"
