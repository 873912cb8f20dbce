"""The code of a step and its digest, derived from imports."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tflbuild.locations import PACKAGE
from tflbuild.registry.step_kinds import KINDS
from tflbuild.resolve import implementation
from tflbuild.resolve.implementation import (
    TABLE,
    WORKER_SERVER,
    find_implementation,
    parse_module,
    write_table,
    write_tree,
)
from tflbuild.resolve.toolchain import module_of

STEP = "tflbuild.steps.double"
FILES = {
    "steps/__init__.py": "",
    "steps/double.py": "from tflbuild.steps import factor\n\ndef run(request):\n    return request * factor.FACTOR\n",
    "steps/factor.py": "FACTOR = 2\n",
    "steps/unrelated.py": "OTHER = 3\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one step of two modules, and one module that it does not use."""
    forget()
    monkeypatch.setattr(implementation, "WORKER_SERVER", STEP)
    for name, text in FILES.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def forget() -> None:
    """Empty what the module remembers of files."""
    for function in vars(implementation).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def digests(package: Path) -> dict[str, str]:
    forget()
    return find_implementation(STEP, package)


def test_an_implementation_is_what_the_step_imports(package: Path) -> None:
    assert set(digests(package)) == {"tflbuild.steps", STEP, "tflbuild.steps.factor"}


@pytest.mark.parametrize(
    "text",
    [
        "# why\nFACTOR = 2\n",
        '"""The factor of the step."""\n\nFACTOR = 2\n',
        "FACTOR = (\n    2\n)\n",
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(package: Path, text: str) -> None:
    before = digests(package)
    write(package / "steps/factor.py", text)
    assert digests(package) == before


@pytest.mark.parametrize(
    "text",
    [
        "FACTOR = 3\n",
        "FACTOR = 2.0\n",
        "FACTOR = '2'\n",
        "FACTORS = 2\n",
        "FACTOR = 2\n'''A text that is no docstring of the module.'''\n",
        "FACTOR: int = 2\n",
        "FACTOR = 2\nassert FACTOR\n",
    ],
)
def test_code_changes_the_digest(package: Path, text: str) -> None:
    before = digests(package)
    write(package / "steps/factor.py", text)
    assert digests(package) != before


def test_a_text_that_python_3_12_splits_has_one_digest() -> None:
    """Python 3.12 adds empty constants to formatted texts; the digest leaves them out."""
    tree = ast.parse("f'{x:>{n}}'", mode="eval")
    text = "".join(write_tree(tree))
    assert isinstance(tree.body, ast.JoinedStr)
    tree.body.values.append(ast.Constant(""))
    assert "".join(write_tree(tree)) == text


def test_a_module_that_no_import_reaches_changes_nothing(package: Path) -> None:
    before = digests(package)
    write(package / "steps/unrelated.py", "OTHER = 4\n")
    assert digests(package) == before


@pytest.mark.parametrize(
    "line",
    [
        "import tflbuild.steps.unrelated",
        "from tflbuild.steps.unrelated import OTHER",
        "def late():\n    from tflbuild.steps import unrelated",
        "COMMAND = ['python', '-m', 'tflbuild.steps.unrelated']",
    ],
)
def test_every_way_to_reach_a_module_counts(package: Path, line: str) -> None:
    write(package / "steps/factor.py", f"FACTOR = 2\n{line}\n")
    assert "tflbuild.steps.unrelated" in digests(package)


def test_the_table_is_believed_for_the_very_file_only(package: Path) -> None:
    write_table(package)
    rows = json.loads((package / TABLE).read_text())
    assert {path: row[1] for path, row in rows.items()} == {
        path: parse_module((package / path).read_bytes()).digest for path in FILES
    }
    rows["steps/factor.py"][1] = "planted"
    write(package / TABLE, json.dumps(rows))
    assert digests(package)["tflbuild.steps.factor"] == "planted"
    write(package / "steps/factor.py", "FACTOR = 5\n")
    assert digests(package)["tflbuild.steps.factor"] == parse_module(b"FACTOR = 5\n").digest


@pytest.mark.parametrize("text", ["", "[]", "{", '{"steps/factor.py": 3}'])
def test_a_damaged_table_is_no_table(package: Path, text: str) -> None:
    before = digests(package)
    write(package / TABLE, text)
    assert digests(package) == before


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.network], ids=lambda kind: kind.name)
def test_the_module_of_every_kind_is_there(kind):
    names = find_implementation(module_of(kind), PACKAGE)
    assert {module_of(kind), WORKER_SERVER, "tflbuild.core.worker_protocol"} <= set(names)
