"""The differences between an artifact and what the recipe declares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One difference between declaration and artifact.

    Attributes:
        rule: The name of the rule.
        text: The description of the difference.
        operators: (operator, name of its first output) of the operators that cause it. `tflbuild doctor` tries to keep
            them in float. It is empty where a rule for single operators would not help.
    """

    rule: str
    text: str
    operators: tuple[tuple[str, str], ...] = ()
