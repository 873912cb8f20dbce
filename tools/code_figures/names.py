"""Loose types, class names used twice, and vague names of locals."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Sequence

from code_figures.figure import Figure, Group, make_count, make_rate
from code_figures.source import Code, SourceFile


def measure_names(code: Code) -> Group:
    """Return the figures of names and types."""
    vague = tuple(measure_vague_name(code, name) for name in code.settings.vague_names)
    return Group("Names and types", (measure_loose_types(code), measure_class_names(code), *vague))


def measure_loose_types(code: Code) -> Figure:
    """Count uses of `Any` and `Json` per 1,000 physical lines of the package.

    A use is a name in the code with this spelling: in annotations, in expressions and in import statements. The
    definition of an alias (`Json = Any`) counts for both names. Comments and texts do not count.
    """
    wanted = frozenset(code.settings.loose_types)
    count = sum(len(wanted.intersection(_names_of(node))) for file in code.files for node in file.nodes)
    label = f"{' or '.join(code.settings.loose_types)} per 1,000 lines"
    return make_rate("loose_types", label, count, code.line_count, "<= 6")


def _names_of(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.alias):
        return (node.name,)
    return (node.attr,) if isinstance(node, ast.Attribute) else ()


def measure_class_names(code: Code) -> Figure:
    """Count the public class names that more than one class statement of the package has."""
    places = locate_classes(code.files)
    repeated = {name: paths for name, paths in places.items() if len(paths) > 1 and not name.startswith("_")}
    items = [f"{name}: {', '.join(paths)}" for name, paths in sorted(repeated.items())]
    return make_count("repeated_class_names", "public class names used twice or more", items, "0")


def locate_classes(files: Iterable[SourceFile]) -> dict[str, list[str]]:
    """Return the paths of the files in which each class name is defined, one path for each class statement."""
    places = defaultdict(list)
    for file in files:
        for node in file.nodes:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file.path)
    return dict(places)


def measure_vague_name(code: Code, name: str) -> Figure:
    """Count the places that bind a local variable of a name.

    A place is an assignment, a loop variable, a `with` target or a walrus. Two assignments to the same name in a
    function are two places. Parameters do not count.
    """
    items = [f"{file.path}:{line}" for file in code.files for line in list_bindings(file.nodes, name)]
    return make_count(f"locals_{name}", f'locals named "{name}"', items, "0")


def list_bindings(nodes: Sequence[ast.AST], name: str) -> list[int]:
    """Return the lines that bind a name."""
    names = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    return sorted(node.lineno for node in names if isinstance(node.ctx, ast.Store))
