"""The page in docs/ shows the digests that the tests compare with."""

from __future__ import annotations

import copy
import re

from other_machines import MODELS, PAGE, ROOT, find_differences, keep_digest, read_golden, write_page, write_table


def test_the_page_shows_the_golden_digests():
    models = read_golden()["models"]
    assert write_page(models) == PAGE.read_text(), "python tests/other_machines.py --write"
    assert set(models["native"]) == set(MODELS)


def test_no_machine_made_other_bytes_without_a_report_of_the_build():
    models = read_golden()["models"]
    assert not [difference for name in models for difference in find_differences(name, models[name], models["native"])]


def test_a_new_digest_forgets_what_other_machines_made_of_the_old_one():
    models = {"native": {"mel": {"float": "a" * 64}}, "EPYC": {"mel": {"float": "a" * 64, "int8 litert": "b" * 64}}}
    same = copy.deepcopy(models)
    keep_digest(same, "native", "mel", "float", "a" * 64)
    assert same == models
    keep_digest(models, "native", "mel", "float", "c" * 64)
    assert models == {"native": {"mel": {"float": "c" * 64}}, "EPYC": {"mel": {"int8 litert": "b" * 64}}}
    assert "| a mel front end of tf.signal | float | cccccccccccc | not measured |" in write_table(models)


def test_the_readme_prints_the_golden_digest():
    printed = re.search(r"sha256 ([0-9a-f]{12})\n", (ROOT / "README.md").read_text())
    assert printed is not None
    assert read_golden()["recipes"]["mobilenet_int8"]["int8 litert"].startswith(printed[1])
