"""What is wrong with an artifact, one difference each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A difference between declaration and file: the rule's name and what it saw.

    `operators` are (operator, name of its first output) of those to blame: `tflbuild doctor` tries to leave them in
    float. It is empty where a rule for single operators would not help.
    """

    rule: str
    text: str
    operators: tuple[tuple[str, str], ...] = ()
