"""The least arena is searched for, and what TensorFlow Lite Micro says is read."""

from hypothesis import given
from hypothesis import strategies as st

from tflbuild.runtime.forked_process import ForkResult
from tflbuild.targets.tflm.tflm_runtime import find_minimum, last_words, read_total, short_of_memory


@given(least=st.integers(1, 5000), guess=st.integers(0, 100_000), more=st.integers(0, 5000))
def test_the_least_that_fits_is_found_wherever_the_guess_is(least, guess, more):
    asked = []

    def fits(size):
        assert size % 16 == 0
        asked.append(size)
        return size >= 16 * least

    assert find_minimum(fits, guess, 16 * (least + more)) == 16 * least
    assert len(asked) == len(set(asked)) <= 40


def test_a_right_guess_takes_two_trials():
    asked = []
    assert find_minimum(lambda size: asked.append(size) or size >= 91168, 91160, 187472) == 91168
    assert asked == [91168, 91152]


def test_the_total_is_read():
    assert read_total("[RecordingMicroAllocator] Arena allocation total 91160 bytes\n... head 1 bytes") == 91160
    assert read_total("nothing") == 0


def test_the_last_words_are_the_reason():
    said = (
        "Input index 1 out of range (length is 1)\nType INT8 (9) not supported.\nNode NEG (number 0) failed to invoke\n"
    )
    assert last_words(ForkResult(None, "RuntimeError: failed", said)) == "Type INT8 (9) not supported."
    assert last_words(ForkResult(None, "it was ended by SIGABRT", "")) == "it was ended by SIGABRT"


def test_want_of_memory_is_told_from_want_of_a_kernel():
    short = "Failed to resize buffer. Requested: 81040, available 9220, missing: 71820"
    assert short_of_memory(ForkResult(None, "failed", short))
    assert not short_of_memory(ForkResult(None, "failed", "Didn't find op for builtin opcode 'GELU'"))
    assert not short_of_memory(ForkResult(1, "", short))
