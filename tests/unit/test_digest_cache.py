import os

import pytest

from tflbuild.core.digest import hash_bytes
from tflbuild.storage import digest_cache
from tflbuild.storage.digest_cache import FrozenStatCache, StatCache, walk_files


@pytest.fixture
def cache(tmp_path):
    return StatCache(tmp_path / "stats")


@pytest.fixture
def reads(monkeypatch):
    """Paths whose bytes were read."""
    seen = []
    real = digest_cache.hash_file
    monkeypatch.setattr(digest_cache, "hash_file", lambda path: seen.append(path) or real(path))
    return seen


def test_an_unchanged_file_is_read_once(cache, tmp_path, reads):
    path = tmp_path / "model"
    path.write_bytes(b"weights")
    assert [cache.digest(path) for _ in range(3)] == [hash_bytes(b"weights")] * 3
    assert reads == [path]


def test_an_edit_that_restores_size_and_mtime_is_seen(cache, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old bytes")
    before = path.stat()
    assert cache.digest(path) == hash_bytes(b"old bytes")
    with path.open("r+b") as file:
        file.write(b"new bytes")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert cache.digest(path) == hash_bytes(b"new bytes")


def test_a_file_that_changes_while_it_is_read_is_refused(cache, tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"0")
    real = digest_cache.hash_file

    def hash_and_write(file):
        digest = real(file)
        path.write_bytes(path.read_bytes() + b"1")
        return digest

    monkeypatch.setattr(digest_cache, "hash_file", hash_and_write)
    with pytest.raises(digest_cache.FileChanged):
        cache.digest(path)


def test_a_damaged_entry_costs_a_read_and_nothing_else(cache, tmp_path, reads):
    path = tmp_path / "model"
    path.write_bytes(b"weights")
    cache.digest(path)
    for entry in (tmp_path / "stats").rglob("*.json"):
        entry.write_bytes(b"{")
    assert cache.digest(path) == hash_bytes(b"weights")
    assert len(reads) == 2


def test_a_cache_that_cannot_be_written_still_answers(tmp_path):
    (tmp_path / "stats").write_bytes(b"in the way")
    path = tmp_path / "model"
    path.write_bytes(b"weights")
    assert StatCache(tmp_path / "stats").digest(path) == hash_bytes(b"weights")


def test_a_tree_lists_every_file_with_its_path(cache, tmp_path):
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"numbers")
    assert cache.tree(folder) == {"saved_model.pb": hash_bytes(b"graph"), "variables/data": hash_bytes(b"numbers")}


def test_a_snapshot_looks_at_a_path_once_and_a_cache_each_time(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("before")
    cache, snapshot = StatCache(tmp_path / "stats"), FrozenStatCache(tmp_path / "stats")
    first = snapshot.digest_of(folder)
    assert cache.digest_of(folder) == first
    (folder / "a").write_text("after")
    assert snapshot.digest_of(folder) == first != cache.digest_of(folder)


def test_links_between_folders_end(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to("..")
    with pytest.raises(OSError, match="leads to a folder that contains the link"):
        list(walk_files(tmp_path))
    (tmp_path / "a" / "b").unlink()
    for level in range(40):  # 2 ** 40 paths, and no cycle
        (tmp_path / f"f{level}").mkdir()
        for name in "xy":
            (tmp_path / f"f{level}" / name).symlink_to(tmp_path / f"f{level + 1}")
    (tmp_path / "f40").mkdir()
    with pytest.raises(OSError, match="more than 1,000 links"):
        list(walk_files(tmp_path / "f0"))


def test_a_pipe_in_a_folder_has_no_digest(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match="a pipe"):
        StatCache(tmp_path / "stats").tree(tmp_path)
