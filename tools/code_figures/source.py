"""Read the Python files of a package and of its tests."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Settings:
    """The names and patterns that the report measures by. The command line can replace each of them.

    Patterns are globs of paths below the package or, for `step_patterns`, of paths that git knows.
    """

    package: str = "tflbuild"
    tests: str = "tests"
    excluded: tuple[str, ...] = ("assets",)  # folders with Python files that are data
    targets: tuple[str, ...] = ("edgetpu", "ethos_u", "tflm", "npu", "gpu")
    vague_names: tuple[str, ...] = ("one", "found", "told")
    loose_types: tuple[str, ...] = ("Any", "Json")
    array_types: tuple[str, ...] = ("ndarray", "NDArray", "Array", "Arrays")
    step_patterns: tuple[str, ...] = ("steps/kinds.py", "steps/target_kinds.py", "**/spec.py")
    schema_patterns: tuple[str, ...] = ("schema*.py", "schema/*.py")
    recipe_patterns: tuple[str, ...] = ("recipe.py", "recipe/*.py")
    entry: str = "build"
    followed: str = "overrides"


@dataclass(frozen=True)
class SourceFile:
    """A Python file: its path below the root of the repository, with slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree. Raises SyntaxError, which names the path."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the syntax tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def line_count(self) -> int:
        """The number of physical lines, empty ones included."""
        return len(self.text.splitlines())

    @property
    def stem(self) -> str:
        """The file's name without `.py`."""
        return PurePosixPath(self.path).stem

    @property
    def folder(self) -> str:
        """The path of the folder, with slashes."""
        return str(PurePosixPath(self.path).parent)

    @property
    def module(self) -> str:
        """The dotted name of the module; that of the folder for `__init__.py`."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Code:
    """The files of a package and of its tests, with the settings that they are measured by."""

    settings: Settings
    files: tuple[SourceFile, ...]
    tests: tuple[SourceFile, ...]

    @cached_property
    def modules(self) -> tuple[SourceFile, ...]:
        """The package's files without each `__init__.py` and `__main__.py`."""
        return tuple(file for file in self.files if not file.stem.startswith("__"))

    @cached_property
    def line_count(self) -> int:
        """The number of physical lines of the package."""
        return sum(file.line_count for file in self.files)

    def matching(self, patterns: Sequence[str]) -> tuple[SourceFile, ...]:
        """Return the package's files whose path ends as one of the globs says."""
        return tuple(file for file in self.files if any(PurePosixPath(file.path).match(glob) for glob in patterns))


@dataclass(frozen=True)
class Function:
    """A function of a file. `owners` are the classes and functions around it, outermost first."""

    file: SourceFile
    node: FunctionNode
    owners: tuple[str, ...]
    nested: bool

    @property
    def public(self) -> bool:
        """Whether it can be called from elsewhere: not inside a function, and no part of its name is private."""
        return not self.nested and not any(name.startswith("_") for name in (*self.owners, self.node.name))

    @property
    def label(self) -> str:
        """The path, line and name, for lists."""
        return f"{self.file.path}:{self.node.lineno} {'.'.join((*self.owners, self.node.name))}"

    @property
    def line_count(self) -> int:
        """The number of lines from `def` to the end of the body; decorators are not counted."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


def read_code(root: Path, settings: Settings) -> Code:
    """Read the package and its tests below a folder.

    Raises:
        FileNotFoundError: the folder has no such package.
        SyntaxError: a file of either is not Python.
    """
    if not (root / settings.package).is_dir():
        raise FileNotFoundError(f"{root} has no folder {settings.package}")
    return Code(settings, _read_files(root, settings.package, settings), _read_files(root, settings.tests, settings))


def _read_files(root: Path, folder: str, settings: Settings) -> tuple[SourceFile, ...]:
    paths = sorted((root / folder).rglob("*.py"))
    relative = [(path, path.relative_to(root)) for path in paths]
    kept = [(path, name) for path, name in relative if not set(name.parts) & set(settings.excluded)]
    return tuple(SourceFile(name.as_posix(), path.read_text("utf-8")) for path, name in kept)


def list_functions(files: Iterable[SourceFile]) -> list[Function]:
    """Return every function and method, in the order of the source."""
    return [function for file in files for function in _visit_functions(file, file.tree, (), False)]


def _visit_functions(file: SourceFile, node: ast.AST, owners: tuple[str, ...], nested: bool) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield Function(file, child, owners, nested)
            yield from _visit_functions(file, child, (*owners, child.name), True)
        elif isinstance(child, ast.ClassDef):
            yield from _visit_functions(file, child, (*owners, child.name), nested)
        else:
            yield from _visit_functions(file, child, owners, nested)


def own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body without those of functions, lambdas and classes inside it."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, FunctionNode | ast.Lambda | ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))


def list_parameters(function: FunctionNode) -> list[ast.arg]:
    """Return all parameters in the order of the signature, `*args` and `**kwargs` included."""
    arguments = function.args
    optional = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *optional]
