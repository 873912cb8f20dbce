"""Every key of the schema has a row that says what proves it; the page in docs/ has the same rows."""

import re
from pathlib import Path

import planted_faults
import pytest
from declared_keys import PROOFS, proof_of, proof_table
from fault_planting import FAULTS

DOCS = Path(__file__).resolve().parents[2] / "docs"
KEYS = sorted(set(re.findall(r"^\| `([^`]+)` \|", (DOCS / "reference.md").read_text(), re.M)))


def test_every_key_has_a_row():
    assert len(KEYS) > 150
    assert [key for key in KEYS if proof_of(key) is None] == []


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.keys[0])
def test_every_row_is_of_a_key(proof):
    assert any(proof_of(key) is proof for key in KEYS)


def test_every_fault_of_quantizer_converter_import_and_annotator_belongs_to_a_key():
    assert planted_faults
    proven = [fault for proof in PROOFS for fault in proof.faults]
    assert len(proven) == len(set(proven)) and set(proven) <= set(FAULTS)


def test_the_page_has_the_rows():
    assert proof_table() in (DOCS / "proofs.md").read_text()
