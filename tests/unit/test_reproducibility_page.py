"""The page in docs/ shows the digests that the tests compare with."""

from __future__ import annotations

from other_machines import MODELS, PAGE, read_golden, write_page


def test_the_page_shows_the_golden_digests():
    models = read_golden()["models"]
    assert write_page(models) == PAGE.read_text(), "python tests/other_machines.py --write"
    assert set(models["native"]) == set(MODELS)
