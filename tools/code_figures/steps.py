"""Lists of modules that are written by hand, and what names a target."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from code_figures.figure import Figure, Group, make_count
from code_figures.source import Code, SourceFile

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.alias


@dataclass(frozen=True)
class History:
    """The commits that changed the files that declare steps.

    `touching` are, for each of these files, the commits that changed it, the newest first. `commits` are all
    commits of the revision in this order.
    """

    commits: tuple[str, ...]
    touching: dict[str, tuple[str, ...]]


def measure_steps(code: Code, history: History | None) -> Group:
    """Return the figures of steps and targets."""
    targets = tuple(measure_target(code, target) for target in code.settings.targets)
    return Group("Steps and targets", (*measure_uses(code), *measure_commits(history), *targets))


def measure_uses(code: Code) -> tuple[Figure, ...]:
    """Count the texts that are written by hand as modules which a step uses.

    These are the string constants in an argument or attribute `uses`, and those of the constants at the top of a
    module that it takes in by name, directly or through others. The first figure adds up the entries of all steps,
    so that a shared constant counts for each step; in the second it counts once, as it is written.
    """
    constants = {file.path: _list_constants(file) for file in code.files}
    entries = [
        entry
        for file in code.files
        for value in _list_uses(file)
        for entry in _list_entries(code, constants, file, value)
    ]
    return (
        make_count("uses_entries", "entries of uses, of all steps", sorted(entries), "0"),
        make_count("uses_written", "  each constant once", sorted(set(entries)), "0"),
    )


def _list_entries(
    code: Code, constants: dict[str, dict[str, ast.expr]], file: SourceFile, value: ast.expr
) -> Iterator[str]:
    """Yield the place and text of each string of an expression, and of the constants that it takes in."""
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{file.path}:{node.lineno}:{node.col_offset} {node.value}"
        elif isinstance(node, ast.Name):
            for source, constant in _find_constant(code, constants, file, node.id):
                yield from _list_entries(code, constants, source, constant)


def _list_uses(file: SourceFile) -> Iterator[ast.expr]:
    for node in file.nodes:
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "uses")
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "uses" for t in node.targets):
            yield node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "uses":
            yield from [node.value] if node.value is not None else []


def _list_constants(file: SourceFile) -> dict[str, ast.expr]:
    """Return the values that are assigned to names at the top of a file."""
    constants: dict[str, ast.expr] = {}
    for node in file.tree.body:
        if isinstance(node, ast.Assign):
            constants |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            constants[node.target.id] = node.value
    return constants


def _find_constant(
    code: Code, constants: dict[str, dict[str, ast.expr]], file: SourceFile, name: str
) -> Iterator[tuple[SourceFile, ast.expr]]:
    """Yield the file and value of a constant, of the file itself or imported by it under the same name."""
    if name in constants[file.path]:
        yield file, constants[file.path][name]
        return
    for node in file.nodes:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            sources = [other for other in code.files if other.module == node.module]
            yield from ((other, constants[other.path][name]) for other in sources if name in constants[other.path])


def measure_commits(history: History | None) -> tuple[Figure, ...]:
    """Count the commits that changed a file which declares steps, of all commits and of the last 100.

    The files are those that git has ever known under the patterns `--steps`, deleted ones included.
    """
    label = "commits that changed step declarations"
    if history is None:
        return (Figure("step_commits", label, None, "not in git"),)
    touching = {commit for commits in history.touching.values() for commit in commits}
    recent = history.commits[:100]
    counts = sorted(((len(commits), path) for path, commits in history.touching.items()), reverse=True)
    files = [f"{path}: {count} commits" for count, path in counts]
    every = Figure("step_commits", label, len(touching), f"{len(touching)} of {len(history.commits)}", "", tuple(files))
    last = make_count("step_commits_recent", "  of the last 100", [c for c in recent if c in touching], "")
    most = counts[0] if counts else (0, "")
    return every, last, Figure("step_commits_file", "  most for a single file", most[0], str(most[0]), "", (most[1],))


def measure_target(code: Code, target: str) -> Figure:
    """Count the files that name a target outside of the folder that has its name.

    A file names it if an identifier, an import, a string other than a docstring or the file's own path has the
    words of the name in a row: `ethos_u` is in `EthosUTarget`, "ethos-u55" and `ethos_u_rules`. Upper and lower
    case are equal. Comments and docstrings do not count.
    """
    words = tuple(split_words(target))
    naming = [file for file in code.files if any(has_words(text, words) for text in list_texts(file))]
    outside = [file.path for file in naming if target not in file.folder.split("/")]
    label = f"files naming {target} outside its folder"
    return make_count(f"target_{target}", label, outside, "1", len(naming))


def split_words(text: str) -> list[str]:
    """Return the words of an identifier or text in lower case: split at case, digits and punctuation."""
    return [word.lower() for word in WORD.findall(text)]


def has_words(text: str, words: Sequence[str]) -> bool:
    """Return whether a text has the words in a row."""
    parts = split_words(text)
    return any(parts[start : start + len(words)] == list(words) for start in range(len(parts)))


def list_texts(file: SourceFile) -> Iterator[str]:
    """Yield the file's path below the package, its identifiers, and its strings without docstrings."""
    yield file.path.partition("/")[2]
    docstrings = {id(text) for node in file.nodes if (text := _docstring_node(node)) is not None}
    for node in file.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, Named):
            yield node.name
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _docstring_node(node: ast.AST) -> ast.Constant | None:
    """Return the constant that is the docstring of a module, class or function, or the text under a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value
    return None
