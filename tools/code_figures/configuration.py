"""How tightly the package hangs on Hydra and OmegaConf."""

from __future__ import annotations

import ast
import re

from code_figures.figure import Figure, Group, make_count
from code_figures.names import locate_classes
from code_figures.source import Code, SourceFile

CONFIGURATION_PACKAGES = frozenset({"hydra", "omegaconf"})
RE_FUNCTIONS = frozenset({"compile", "search", "match", "fullmatch", "findall", "finditer", "split", "sub"})
ESCAPE = re.compile(r"\\.|\(\?P<\w+>|\(\?[:=!]")
MESSAGE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")


def measure_configuration(code: Code) -> Group:
    """Return the figures of the configuration."""
    figures = (measure_models(code), measure_message_patterns(code), measure_internal_imports(code))
    return Group("Configuration", figures)


def measure_models(code: Code) -> Figure:
    """Count the class names that both the schema and the recipe define.

    The files of the schema are those that match `--schema`, the files of the recipe those that match `--recipe`.
    """
    schema = locate_classes(code.matching(code.settings.schema_patterns))
    recipe = locate_classes(code.matching(code.settings.recipe_patterns))
    names = sorted(set(schema) & set(recipe))
    return make_count("classes_in_both_models", "class names in schema and recipe", names, "0")


def measure_message_patterns(code: Code) -> Figure:
    """Count the regular expressions that read messages of Hydra and OmegaConf.

    These are the calls of functions of `re` whose pattern is written in place and has two words with a space between
    them, in the folders of which a module imports Hydra or OmegaConf. Other patterns read keys, not messages.
    """
    folders = {file.folder for file in code.files if list_packages(file) & CONFIGURATION_PACKAGES}
    items = [item for file in code.files if file.folder in folders for item in list_message_patterns(file)]
    return make_count("message_patterns", "regular expressions over messages", items, "0")


def list_packages(file: SourceFile) -> set[str]:
    """Return the names before the first dot of all that a file imports."""
    return {name.split(".")[0] for name in list_imported(file)}


def list_imported(file: SourceFile) -> set[str]:
    """Return the dotted names of all modules that a file imports, or imports names from."""
    plain = {alias.name for node in file.nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in file.nodes if isinstance(node, ast.ImportFrom) and node.module}


def list_message_patterns(file: SourceFile) -> list[str]:
    """Return the path, line and text of the patterns of a file that read a message."""
    items = []
    for node in file.nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        called = node.func
        if isinstance(called.value, ast.Name) and called.value.id == "re" and called.attr in RE_FUNCTIONS:
            pattern = _join_constants(node.args[0])
            if MESSAGE.search(ESCAPE.sub("", pattern)):
                items.append(f"{file.path}:{node.lineno} {pattern}")
    return items


def _join_constants(pattern: ast.expr) -> str:
    """Return the texts of a pattern that are written in place."""
    constants = [node.value for node in ast.walk(pattern) if isinstance(node, ast.Constant)]
    return "".join(value for value in constants if isinstance(value, str))


def measure_internal_imports(code: Code) -> Figure:
    """Count the modules that import from `hydra._internal`."""
    inside = [file.path for file in code.files if any(_is_internal(name) for name in list_imported(file))]
    return make_count("hydra_internal", "modules importing hydra._internal", inside, "0")


def _is_internal(module: str) -> bool:
    return module == "hydra._internal" or module.startswith("hydra._internal.")
