import pytest

from tflbuild.core.worker_protocol import PARTS
from tflbuild.execute.step_folder import read_progress
from tflbuild.runtime import step_progress
from tflbuild.runtime.parallel_shards import map_shards


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(step_progress, "_files", {})
    step_progress.begin(tmp_path)
    return tmp_path


def test_what_is_done_is_a_share_of_what_is_expected(folder):
    assert read_progress(folder) is None
    step_progress.expect(4)
    assert read_progress(folder) == 0.0
    step_progress.advance()
    assert read_progress(folder) == 0.25
    step_progress.expect(4)
    step_progress.advance(3)
    assert read_progress(folder) == 0.5


def test_an_item_is_done_when_the_next_is_asked_for(folder):
    items = step_progress.track("ab", 2)
    next(items)
    assert read_progress(folder) == 0.0
    next(items)
    assert read_progress(folder) == 0.5
    assert list(items) == [] and read_progress(folder) == 1.0


def test_processes_count_together(folder):
    def work(indices):
        for _ in indices:
            step_progress.advance()

    map_shards(work, 1001, parts=2)
    assert read_progress(folder) is None
    step_progress.expect(2002)
    assert read_progress(folder) == 0.5


def test_more_than_was_expected_is_all_of_it(folder):
    step_progress.expect(1)
    step_progress.advance(3)
    assert read_progress(folder) == 1.0


def test_a_step_that_is_not_counted_has_no_share(tmp_path):
    step_progress.expect(4)
    step_progress.advance()
    assert read_progress(tmp_path) is None


def test_what_cannot_be_written_fails_no_step(folder):
    step_progress.begin(folder)
    step_progress._files[PARTS] = 10**6  # no such descriptor
    step_progress.expect(3)
