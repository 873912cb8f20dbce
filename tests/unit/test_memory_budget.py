"""What steps may take together, and what is learned of it."""

from __future__ import annotations

import pytest

from tflbuild.core.byte_sizes import read_size
from tflbuild.execute.memory_budget import MemoryBudget
from tflbuild.execute.run_limits import measure_free_memory

GB = 1 << 30


@pytest.fixture
def budget(tmp_path):
    return MemoryBudget(4 * GB, tmp_path / "memory.json")


def test_steps_share_the_budget_and_one_may_always_run(budget):
    assert budget.fits(9 * GB)
    budget.reserve(1, 3 * GB)
    assert budget.fits(GB) and not budget.fits(2 * GB)
    budget.release(1)
    assert budget.fits(2 * GB)


def test_a_first_guess_grows_with_the_inputs(budget):
    assert budget.estimate("convert", 10 * GB) > budget.estimate("convert", GB) > budget.estimate("convert", 0)


def test_what_ran_is_believed_and_larger_inputs_are_expected_to_take_more(budget):
    budget.learn("convert", 1000, 700)
    assert budget.estimate("convert", 900) == 700
    assert budget.estimate("convert", 3000) >= 1400
    assert budget.estimate("convert", 10) == 700  # never less than what was seen nearest


def test_a_higher_peak_is_kept_and_fades(budget):
    budget.learn("convert", 1000, 700)
    budget.learn("convert", 1000, 100)
    assert 100 < budget.estimate("convert", 1000) < 700


def test_what_was_learned_is_kept(budget, tmp_path):
    budget.learn("convert", 1000, 700)
    budget.save()
    assert MemoryBudget(GB, tmp_path / "memory.json").estimate("convert", 1000) == 700


@pytest.mark.parametrize("text", ["", "no", "[]", '{"convert": 3}', '{"convert": {"x": 1}}', '{"none": {"1": 1}}'])
def test_a_damaged_memory_is_no_memory(text, tmp_path):
    (tmp_path / "memory.json").write_text(text)
    known = MemoryBudget(GB, tmp_path / "memory.json")
    assert known.estimate("convert", 0) == MemoryBudget(GB, tmp_path / "none").estimate("convert", 0)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 * GB),
        ("0.5g", GB // 2),
        ("512MiB", GB // 2),
        ("1024", 1024),
        ("0", None),
        ("-1G", None),
        ("much", None),
    ],
)
def test_sizes_are_read(text, size):
    assert read_size(text) == size


def test_there_is_memory_here():
    assert measure_free_memory() > 0
