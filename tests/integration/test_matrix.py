"""docs/matrix.md is true: every cell is built again, and comes to what the page says."""

from __future__ import annotations

import re

import matrix
import pytest

pytestmark = pytest.mark.heavy

CELLS = [f"{name}-{s}-{o}" for name in matrix.MODELS for s in matrix.SIGNATURES for o in matrix.OPSETS]
MOST_FLOAT_ERROR = 1e-4  # of outputs whose values are about 1; other CPUs round in other places
MOST_INT8_ERROR = 0.5


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    base = tmp_path_factory.mktemp("matrix")
    folder = base / "project"
    folder.mkdir()
    return {row["name"]: row for row in matrix.build(folder, base / "store")}


@pytest.fixture(scope="module")
def told():
    """Cell -> what the page says of it."""
    text = matrix.PAGE.read_text()
    reasons = dict(re.findall(r"^- \*\*(\w)\*\* (.*)$", text, re.M))
    heads = [(signature, opset) for opset in matrix.OPSETS for signature in matrix.SIGNATURES]
    titles = {title: name for name, (title, _, _) in matrix.MODELS.items()}
    found = {}
    for line in text.splitlines():
        title, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if title in titles:
            for (signature, opset), cell in zip(heads, cells[1:], strict=True):
                found[f"{titles[title]}-{signature}-{opset}"] = reasons.get(cell, cell)
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_comes_to_what_the_page_says(rows, told, cell):
    now, then = matrix.verdict(rows[cell]), told[cell]
    if matrix.NUMBER.fullmatch(then):
        assert matrix.NUMBER.fullmatch(now), now
        assert float(now) < (MOST_INT8_ERROR if cell.endswith("int8_only") else MOST_FLOAT_ERROR)
    else:
        assert now == then


def test_the_page_has_every_cell(told):
    assert set(told) == set(CELLS)
