"""Regular expressions by which quantization rules select an operator."""

from __future__ import annotations

import re
from collections.abc import Sequence


def find_pattern(name: str, names: Sequence[str]) -> str:
    """Return a regular expression that matches one operator.

    It consists of the first of the operator's fused names, unless the name of another operator starts with it too.

    Args:
        name: The name of the operator's first output.
        names: The names of all operators.
    """
    short = f"^{re.escape(name.partition(';')[0])}(;|$)"
    is_unique = sum(re.search(short, other) is not None for other in names) == 1
    return short if is_unique else f"^{re.escape(name)}$"
