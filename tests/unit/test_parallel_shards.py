import os

from hypothesis import given
from hypothesis import strategies as st

from tflbuild.runtime.parallel_shards import map_shards, split


@given(st.integers(1, 1000), st.integers(1, 64))
def test_shards_cover_every_sample_once_and_evenly(count, parts):
    ranges = split(count, parts)
    assert [index for part in ranges for index in part] == list(range(count))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1
    assert len(ranges) == min(parts, count)


def test_results_come_in_the_order_of_samples_from_processes_of_their_own():
    found = map_shards(lambda indices: (list(indices), os.getpid()), 5, parts=2)
    assert [indices for indices, _ in found] == [[0, 1], [2, 3, 4]]
    assert os.getpid() not in {process for _, process in found}
