"""The corpus has enough faults, each of its own, and the page in docs/ lists them."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from corpus_of_elsewhere import TESTED_ELSEWHERE, UNCAUGHT
from corpus_types import PLACES
from fault_corpus import CORPUS, PAGE, write_tables

TESTS = Path(__file__).resolve().parents[1]


def test_there_are_enough_faults_of_every_kind():
    counts = Counter(fault.place for fault in CORPUS)
    assert len(CORPUS) >= 60 and counts.keys() == PLACES.keys()
    assert len({fault.name for fault in CORPUS}) == len(CORPUS)
    assert len({fault.what for fault in CORPUS if fault.place == "quantizer"}) == counts["quantizer"]


def test_the_page_lists_every_fault_and_what_is_not_caught():
    assert write_tables() in PAGE.read_text(), "python tests/fault_corpus.py --write"
    assert UNCAUGHT


@pytest.mark.parametrize("fault", TESTED_ELSEWHERE, ids=lambda fault: fault.name)
def test_a_test_that_is_named_exists(fault):
    file, _, name = fault.test.partition("::")
    source = (TESTS / file).read_text()
    functions = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert fault.text in source
