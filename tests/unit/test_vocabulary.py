"""The words of docs/glossary.md: terms and class names are unique, and words that are not used become fewer.

`python tests/unit/test_vocabulary.py` lowers the budget to the counts of today. It never raises it.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import tflbuild

PACKAGE = Path(tflbuild.__file__).parent
GLOSSARY = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"
BUDGET = Path(__file__).with_name("vocabulary_budget.json")
UPDATE = "python tests/unit/test_vocabulary.py"


class UnusedWord(NamedTuple):
    """A word that is not used. `scope` is `names` or `docstrings`, or empty for a word that is not counted."""

    word: str
    scope: str
    pattern: str
    replacement: str


@cache
def read_tables() -> tuple[list[str], list[UnusedWord]]:
    """Return the terms of the glossary, and the words that are not used."""
    terms: list[str] = []
    words: list[UnusedWord] = []
    heading = ""
    for line in GLOSSARY.read_text().splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[0] in ("term", "not used"):
            heading = cells[0]
        elif heading == "term" and not cells[0].startswith("---"):
            terms.append(cells[0])
        elif not cells[0].startswith("---"):
            words.append(UnusedWord(cells[0], cells[1], cells[2].strip("`"), cells[3]))
    return terms, words


@cache
def read_modules() -> dict[Path, ast.Module]:
    """Return the syntax tree of every module of the package."""
    return {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def list_names(tree: ast.Module) -> Iterator[str]:
    """Yield the name of every function, parameter and assigned variable, once for each definition."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def list_docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield every docstring on one line."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield " ".join((ast.get_docstring(node) or "").split())


@cache
def count_unused_words() -> dict[str, dict[str, int]]:
    """Return how often each word occurs that is not used: scope -> word -> count."""
    names = Counter(name for tree in read_modules().values() for name in list_names(tree))
    text = "\n".join(docstring for tree in read_modules().values() for docstring in list_docstrings(tree))
    counts: dict[str, dict[str, int]] = {"names": {}, "docstrings": {}}
    for word in read_tables()[1]:
        if word.scope == "names":
            matches = re.compile(word.pattern, re.IGNORECASE).fullmatch
            counts["names"][word.word] = sum(count for name, count in names.items() if matches(name))
        elif word.scope:
            pattern = rf"\b(?:{word.pattern})\b"
            counts["docstrings"][word.word] = len(re.findall(pattern, text, re.IGNORECASE | re.MULTILINE))
    return counts


def test_public_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for tree in read_modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    duplicated = {name for name, count in names.items() if count > 1}
    assert not duplicated, "choose names that no other class has"


def test_terms_are_unique_and_no_unused_word_is_a_term() -> None:
    terms, words = read_tables()
    assert len(terms) > 80 and len(words) > 40
    repeated = [term for term, count in Counter(term.lower() for term in terms).items() if count > 1]
    assert not repeated, "each term has one row"
    unused = {part.strip().lower() for word in words if word.scope for part in word.word.split(",")}
    assert not unused & {term.lower() for term in terms}


def test_words_that_are_not_used_become_fewer() -> None:
    counts, budget = count_unused_words(), json.loads(BUDGET.read_text())
    replacements = {(word.scope, word.word): word.replacement for word in read_tables()[1]}
    added = []
    for (scope, word), replacement in replacements.items():
        count, limit = counts.get(scope, {}).get(word, 0), budget.get(scope, {}).get(word, 0)
        if count > limit:
            added.append(f"{scope}: '{word}' occurs {count} times, at most {limit} are allowed: write {replacement}")
    assert not added, "\n".join([*added, f"after you have removed some of these words, lower the budget: `{UPDATE}`"])


if __name__ == "__main__":
    old = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    lowered = {
        scope: {word: min(count, old.get(scope, {}).get(word, count)) for word, count in sorted(words.items())}
        for scope, words in count_unused_words().items()
    }
    BUDGET.write_text(json.dumps(lowered, indent=2) + "\n")
