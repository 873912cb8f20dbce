"""Derive the code that a step runs, and one digest of it, from the imports of its module.

A step's key has the digest of its implementation: of every module of tflbuild that the step can import, wherever in a
file the import stands. A module's digest is that of its syntax tree without docstrings. So neither comments, formatting
nor docstrings rebuild anything, and nobody lists modules by hand.

Parsing all modules takes about a second, so a table of digests is written when tflbuild is built or installed
(`build_backend`). A row holds while its file has the recorded SHA-256; of any other file the digest is computed anew.
Standard library only, because `build_backend` imports this module.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = "tflbuild"
# The name of the table, which is a file in the package.
TABLE = "code_digests.json"
MODULE_NAME = re.compile(rf"{ROOT}(\.[a-z_][a-z0-9_]*)+")
# The module that runs the module of every step, so its code belongs to every implementation.
WORKER_SERVER = f"{ROOT}.runtime.worker_server"


@dataclass(frozen=True)
class ModuleCode:
    """The part of a module that decides keys.

    Attributes:
        file_sha256: Of the file's bytes, in hex.
        digest: SHA-256 of the syntax tree without docstrings, in hex.
        names: Dotted names that it imports, or has as a text. Not all of them are modules.
    """

    file_sha256: str
    digest: str
    names: tuple[str, ...]


def find_implementation(module: str, package: Path) -> dict[str, str]:
    """Return the digest of every module that a step's module can reach, by dotted name.

    Args:
        module: Dotted name of the step's module.
        package: The folder of tflbuild's code.
    """
    digests: dict[str, str] = {}
    todo = [module, WORKER_SERVER]
    while todo:
        name = todo.pop()
        if name in digests:
            continue
        digests[name] = read_module(name_modules(package)[name], package).digest
        todo += find_dependencies(name, package)
    return dict(sorted(digests.items()))


@cache
def name_modules(package: Path) -> Mapping[str, Path]:
    """Return the file of every module and package, by dotted name."""
    files = {path.relative_to(package).with_suffix("").parts: path for path in list_modules(package)}
    parts = {names[:-1] if names[-1] == "__init__" else names: path for names, path in files.items()}
    return {".".join((ROOT, *names)): path for names, path in parts.items()}


@cache
def find_dependencies(name: str, package: Path) -> frozenset[str]:
    """Return the modules that a module imports, with the packages that these are in."""
    modules = name_modules(package)
    imported = (name.split(".") for name in read_module(modules[name], package).names)
    runs = (".".join(parts[:end]) for parts in imported for end in range(2, len(parts) + 1))
    return frozenset(run for run in runs if run in modules)


@cache
def read_module(path: Path, package: Path) -> ModuleCode:
    """Return the code of a module, from its row of the table if that is up to date, else from its file."""
    text = path.read_bytes()
    row = read_table(package).get(path.relative_to(package).as_posix())
    if row is not None and row.file_sha256 == hashlib.sha256(text).hexdigest():
        return row
    return parse_module(text)


def parse_module(text: bytes) -> ModuleCode:
    """Compute the code of a module from the bytes of its file."""
    tree = ast.parse(text)
    names = {name for node in ast.walk(tree) for name in named_modules(node)}
    digest = hashlib.sha256("".join(write_tree(tree)).encode("utf-8", "surrogatepass")).hexdigest()
    return ModuleCode(hashlib.sha256(text).hexdigest(), digest, tuple(sorted(names)))


def named_modules(node: ast.AST) -> Iterator[str]:
    """Yield the names below tflbuild that a node imports, or that a text names as a process to start."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE_NAME.fullmatch(node.value):
        names = [node.value]
    else:
        names = []
    return (name for name in names if name.startswith(f"{ROOT}."))


def write_tree(node: object) -> Iterator[str]:
    """Yield a syntax tree as text: the same under every Python, without positions, docstrings and empty fields."""
    if isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for field in sorted(node._fields):
            value = getattr(node, field, None)
            if field == "body" and is_documented(node):
                value = value[1:] if isinstance(value, list) else value
            if isinstance(node, ast.JoinedStr) and isinstance(value, list):
                value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
            # Later versions of Python add fields, which are empty for code of earlier versions.
            if value is not None and value != []:
                yield f"{field}="
                yield from write_tree(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from write_tree(item)
        yield "]"
    else:
        yield f"{node!r},"


def is_documented(node: ast.AST) -> bool:
    """Return whether a node starts with a docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None


@cache
def read_table(package: Path) -> Mapping[str, ModuleCode]:
    """Return the rows of the table by path below the package; none where it is missing or damaged."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        rows = json.loads((package / TABLE).read_text())
        return {path: ModuleCode(sha256, digest, tuple(names)) for path, (sha256, digest, names) in rows.items()}
    return {}


def write_table(package: Path) -> None:
    """Write the table of a package's modules into the package."""
    codes = {path.relative_to(package).as_posix(): parse_module(path.read_bytes()) for path in list_modules(package)}
    rows = {path: [code.file_sha256, code.digest, list(code.names)] for path, code in codes.items()}
    (package / TABLE).write_text(json.dumps(rows, indent=0, sort_keys=True) + "\n")


def list_modules(package: Path) -> list[Path]:
    """Return the modules of a package in the order of their paths, without those of assets, which are users' code."""
    paths = []
    for parent, folders, names in os.walk(package):
        folders[:] = [folder for folder in folders if folder not in ("assets", "__pycache__")]
        paths += [Path(parent, name) for name in names if name.endswith(".py")]
    return sorted(paths)
