"""Docstrings and comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from code_figures.figure import Figure, Group, make_count, make_rate
from code_figures.source import Code, Function, SourceFile, list_functions, list_parameters, own_nodes

SECTION = re.compile(r"^\s*(Args|Arguments|Returns|Yields|Raises):\s*$", re.MULTILINE)
RAISES = re.compile(r"^\s*Raises:\s*$", re.MULTILINE)
SHAPE = re.compile(r"\bshape[sd]?\b", re.IGNORECASE)
DIRECTIVE = re.compile(r"#\s*(!|type:|noqa|ruff:|mypy:|pragma:|fmt:|-\*-)")


def measure_documentation(code: Code) -> Group:
    """Return the figures of docstrings and comments."""
    public = [function for function in list_functions(code.files) if function.public]
    figures = (
        measure_sections(public),
        *measure_unstated_errors(public),
        measure_unstated_shapes(public, code.settings.array_types),
        measure_comments(code),
    )
    return Group("Documentation", figures)


def measure_sections(public: list[Function]) -> Figure:
    """Count the public functions whose docstring has a section `Args:`, `Returns:`, `Yields:` or `Raises:`.

    A public function is at the top of a module or in a class, and neither its name nor its class's starts with "_".
    """
    items = [function.label for function in public if SECTION.search(_docstring(function))]
    label = "public functions with Args, Returns ..."
    return make_count("docstring_sections", label, items, "", len(public))


def _docstring(function: Function) -> str:
    return ast.get_docstring(function.node) or ""


def measure_unstated_errors(public: list[Function]) -> tuple[Figure, ...]:
    """Count the public functions that raise and whose docstring has no section `Raises:`.

    A function raises if its own body has a `raise` with an exception; bare re-raises, NotImplementedError and
    functions inside it do not count. Errors of the functions that it calls do not count either.
    """
    raising = [function for function in public if any(map(_raises, own_nodes(function.node)))]
    silent = [function.label for function in raising if not RAISES.search(_docstring(function))]
    unsaid = [function.label for function in raising if "raise" not in _docstring(function).lower()]
    return (
        make_count("unstated_errors", "public, raise without Raises:", silent, "0", len(raising)),
        make_count("unmentioned_errors", '  and without the word "raise"', unsaid, "0", len(raising)),
    )


def _raises(node: ast.AST) -> bool:
    if not isinstance(node, ast.Raise) or node.exc is None:
        return False
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return not (isinstance(raised, ast.Name) and raised.id == "NotImplementedError")


def measure_unstated_shapes(public: list[Function], array_types: tuple[str, ...]) -> Figure:
    """Count the public functions that take or return arrays and whose docstring does not mention a shape.

    A function does so if the annotation of a parameter or of its return has np.ndarray, NDArray or a name that the
    package gives them (`Array`, `Arrays`). The docstring mentions a shape if it has the word "shape", "shapes" or
    "shaped".
    """
    having = [function for function in public if _has_arrays(function, array_types)]
    silent = [function.label for function in having if not SHAPE.search(_docstring(function))]
    return make_count("unstated_shapes", "public, with arrays, name no shape", silent, "0", len(having))


def _has_arrays(function: Function, array_types: tuple[str, ...]) -> bool:
    annotations = [parameter.annotation for parameter in list_parameters(function.node) if parameter.annotation]
    annotations += [function.node.returns] if function.node.returns is not None else []
    nodes = [node for annotation in annotations for node in ast.walk(annotation)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return bool(names & set(array_types))


def measure_comments(code: Code) -> Figure:
    """Count the comments on a line of their own per 1,000 physical lines.

    Each line of a longer comment counts. Directives to tools (`# type:`, `# noqa`, `# fmt:`, `#!`) do not count.
    """
    count = sum(count_comments(file) for file in code.files)
    return make_rate("own_line_comments", "own-line comments per 1,000 lines", count, code.line_count, "30-60")


def count_comments(file: SourceFile) -> int:
    """Return the number of lines of a file that are a comment and nothing else."""
    tokens = tokenize.generate_tokens(io.StringIO(file.text).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return sum(token.line.lstrip().startswith("#") and not DIRECTIVE.match(token.string) for token in comments)
