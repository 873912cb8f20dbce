"""The pages about the code name files that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/architecture.md", "CODE_TOUR.md", "CONTRIBUTING.md", "docs/adding-a-target.md")
CODE = re.compile(r"`([^`\n]+)`|\]\(([^)\s]+)\)")
FILE = re.compile(r"[\w/.*<>-]+\.(?:py|md|toml|txt|yaml)|(?:[\w<>-]+/)+")


def list_files(page: str) -> Iterator[str]:
    """Yield every path of a file or folder that a page has in code or as a link."""
    for code, link in CODE.findall((ROOT / page).read_text()):
        text = (code or link).partition("#")[0]
        if FILE.fullmatch(text) and "<" not in text and "://" not in text:
            yield text


def exists(text: str, page: str) -> bool:
    """Return whether a path is below the page, the project or `tflbuild/`, a bare name also deeper or in tests."""
    bases = [(ROOT / page).parent, ROOT, ROOT / "tflbuild"]
    if "/" not in text and any(any(base.rglob(text)) for base in (ROOT / "tflbuild", ROOT / "tests")):
        return True
    return any(list(base.glob(text.rstrip("/"))) if "*" in text else (base / text).exists() for base in bases)


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_files_that_exist(page: str) -> None:
    written_by_users = {
        "compiled/",
        "conf/target/board.yaml",
        "output.json",
        "input.json",
        "log.txt",
        "outputs/",
        "cas/",
        "ac/",
    }
    files = set(list_files(page)) - written_by_users
    assert [text for text in sorted(files) if not exists(text, page)] == []
