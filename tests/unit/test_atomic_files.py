import os

import pytest

from tflbuild.storage import atomic_files


def test_replace_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        atomic_files.replace_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_does_not_share_bytes_with_its_origin(tmp_path):
    (tmp_path / "blob").write_bytes(b"bytes")
    atomic_files.replace_copy(tmp_path / "blob", tmp_path / "out" / "model")
    (tmp_path / "out" / "model").write_bytes(b"edited")
    assert (tmp_path / "blob").read_bytes() == b"bytes"


def test_a_taken_name_is_not_replaced(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    assert atomic_files.publish_link(tmp_path / "one", tmp_path / "cas" / "x")
    assert not atomic_files.publish_link(tmp_path / "two", tmp_path / "cas" / "x")
    assert (tmp_path / "cas" / "x").read_bytes() == b"1"
