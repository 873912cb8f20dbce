"""The documentation of the schema: the text below each field, and the docstring of each class."""

from __future__ import annotations

import ast
import inspect
from dataclasses import is_dataclass
from functools import cache
from itertools import pairwise
from textwrap import dedent


@cache
def _field_texts(kind: type) -> dict[str, str]:
    """Field -> the string that stands below it, of the fields that the class itself declares."""
    (body,) = (node.body for node in ast.parse(dedent(inspect.getsource(kind))).body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: str(below.value.value)
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def field_text(kind: type, name: str) -> str:
    """The documentation of a field, the nearest in the class's line of descent; "" for tags."""
    return next((_field_texts(c)[name] for c in kind.__mro__ if is_dataclass(c) and name in _field_texts(c)), "")


def class_text(kind: type) -> str:
    """The one line that says what an option is."""
    return inspect.getdoc(kind) or ""
