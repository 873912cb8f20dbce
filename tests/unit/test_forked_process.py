"""Work in a fork: its value, its words, and its ends."""

import os
import signal

import pytest

from tflbuild.runtime.forked_process import in_fork
from tflbuild.runtime.step_contract import WorkerError


def test_a_value_comes_back_and_words_are_kept(tmp_path):
    def work():
        print("by Python")
        os.write(2, b"by C\n")
        return {"answer": 42}

    ended = in_fork(work, tmp_path / "log.txt")
    assert ended.good and ended.value == {"answer": 42}
    assert set(ended.output.split("\n")) >= {"by Python", "by C"}


def test_an_error_is_a_failure(tmp_path):
    def work():
        raise RuntimeError("no kernel")

    ended = in_fork(work, tmp_path / "log.txt")
    assert not ended.good and ended.value is None
    assert ended.failure == "RuntimeError: no kernel"


def test_a_process_that_dies_is_a_failure(tmp_path):
    ended = in_fork(lambda: os.kill(os.getpid(), signal.SIGABRT), tmp_path / "log.txt")
    assert ended.failure == "it was ended by SIGABRT"


def test_a_process_that_the_system_killed_is_no_answer(tmp_path):
    with pytest.raises(WorkerError) as caught:
        in_fork(lambda: os.kill(os.getpid(), signal.SIGKILL), tmp_path / "log.txt")
    assert caught.value.fields["transient"] and caught.value.fields["kind"] == "environment"


def test_a_process_that_leaves_is_a_failure(tmp_path):
    ended = in_fork(lambda: os._exit(3), tmp_path / "log.txt")
    assert ended.failure == "it was ended by exit code 3"


def test_none_is_a_value(tmp_path):
    assert in_fork(lambda: None, tmp_path / "log.txt").good


def test_the_log_of_one_is_not_the_next_ones(tmp_path):
    in_fork(lambda: print("long words of before"), tmp_path / "log.txt")
    assert in_fork(lambda: None, tmp_path / "log.txt").output == ""
