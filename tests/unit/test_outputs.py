from concurrent.futures import ThreadPoolExecutor

import pytest

from tflbuild.errors import MachineError
from tflbuild.report.outputs import prepare


def test_many_may_prepare_one_folder_at_once(tmp_path):
    folder = tmp_path / "outputs" / "net" / "default"
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: prepare(folder), range(400)))
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_the_environments_fault(tmp_path):
    (tmp_path / "outputs").write_text("in the way")
    with pytest.raises(MachineError, match="cannot write to"):
        prepare(tmp_path / "outputs" / "net")
