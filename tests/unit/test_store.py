import json
import os
import threading

import pytest

from tflbuild.core.digest import hash_bytes
from tflbuild.core.untrusted_files import parse_json
from tflbuild.storage.store import Store, replace_json

ACTION = {"kind": "convert", "params": {}, "inputs": {}, "toolchain": {}}
KEY = "ab" * 32


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def publish(store, tmp_path):
    """Publishes text files, by name, under a key."""

    def run(key=KEY, **texts):
        outputs = {}
        for name, text in texts.items():
            path = tmp_path / f"made-{key[:4]}-{name}"
            path.write_text(text)
            outputs[name] = path
        return store.publish(key, ACTION, outputs, {"bytes": 1}, 2.5)

    return run


def test_what_was_published_is_found(store, publish):
    publish(model="bytes", log="text")
    record = store.find(KEY)
    assert record.outputs["model"].digest == hash_bytes(b"bytes")
    assert store.blob(record.outputs["model"].digest).read_bytes() == b"bytes"
    assert (record.facts, record.elapsed, record.action) == ({"bytes": 1}, 2.5, ACTION)


def test_facts_of_infinite_values_are_kept(store):
    store.publish(KEY, ACTION, {}, {"low": float("-inf"), "most": [float("inf")]}, 0.1)
    assert store.find(KEY).facts == {"low": float("-inf"), "most": [float("inf")]}


def test_files_for_others_are_json_without_exception(tmp_path):
    replace_json(tmp_path / "manifest.json", {"low": float("-inf"), "mean": [float("nan"), 0.5]})
    assert parse_json((tmp_path / "manifest.json").read_text()) == {"low": "-Infinity", "mean": ["NaN", 0.5]}


def test_an_unknown_key_is_a_miss(store):
    assert store.find(KEY) is None


def test_blobs_are_read_only_and_scratch_is_consumed(store, publish, tmp_path):
    record = publish(model="bytes")
    assert store.blob(record.outputs["model"].digest).stat().st_mode & 0o222 == 0
    assert not (tmp_path / "made-abab-model").exists()


def test_the_first_writer_wins(store, publish):
    publish(model="first")
    record = publish(model="second")
    assert record.outputs["model"].digest == hash_bytes(b"first")
    assert store.find(KEY).outputs["model"].digest == hash_bytes(b"first")


def damage_in_place(path, text):
    """Same size, same mtime, still read-only: what mode bits and times would not show."""
    before = path.stat()
    os.chmod(path, 0o644)
    with path.open("r+b") as file:
        file.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(path, 0o444)


def test_a_damaged_blob_is_a_miss_and_is_set_aside(store, publish):
    record = publish(model="bytes")
    assert store.find(KEY) is not None
    damage_in_place(store.blob(record.outputs["model"].digest), b"BYTES")
    assert store.find(KEY) is None
    assert [path.read_bytes() for path in (store.root / "quarantine").iterdir()] == [b"BYTES"]


def test_a_damaged_blob_is_made_again(store, publish):
    record = publish(model="bytes")
    damage_in_place(store.blob(record.outputs["model"].digest), b"BYTES")
    assert store.find(KEY) is None
    publish(model="bytes")
    assert store.blob(store.find(KEY).outputs["model"].digest).read_bytes() == b"bytes"


def test_a_lost_blob_is_a_miss_and_is_made_again(store, publish):
    record = publish(model="bytes")
    store.blob(record.outputs["model"].digest).unlink()
    assert store.find(KEY) is None
    assert publish(model="other").outputs["model"].digest == hash_bytes(b"other")
    assert store.find(KEY).outputs["model"].digest == hash_bytes(b"other")


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_cut_action_is_a_miss(store, publish, keep):
    publish(model="bytes")
    path = store.root / "ac" / KEY[:2] / f"{KEY}.json"
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(raw[:keep])
    assert store.find(KEY) is None


def test_every_flipped_bit_of_an_action_is_noticed(store, publish):
    publish(model="bytes")
    path = store.root / "ac" / KEY[:2] / f"{KEY}.json"
    raw = path.read_bytes()
    for position in range(0, len(raw), 7):
        path.unlink(missing_ok=True)
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        record = store.read(KEY)
        assert record is None or record.outputs["model"].digest == hash_bytes(b"bytes")


def test_an_action_of_another_key_is_not_believed(store, publish):
    publish(model="bytes")
    other = "cd" * 32
    place = store.root / "ac" / other[:2] / f"{other}.json"
    place.parent.mkdir(parents=True)
    place.write_bytes((store.root / "ac" / KEY[:2] / f"{KEY}.json").read_bytes())
    assert store.find(other) is None


def test_a_folder_with_nothing_in_it_is_kept_too(store, tmp_path):
    (tmp_path / "made").mkdir()
    store.publish(KEY, ACTION, {"compiled/": tmp_path / "made"}, {}, 0.0)
    record = store.find(KEY)
    store.link_output(record.outputs["compiled/"], tmp_path / "input")
    assert list((tmp_path / "input").iterdir()) == []


def test_a_folder_is_kept_file_by_file_and_laid_out_again(store, tmp_path):
    folder = tmp_path / "snapshot"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"numbers")
    record = store.publish(KEY, ACTION, {"snapshot/": folder}, {}, 0.0)
    store.link_output(record.outputs["snapshot/"], tmp_path / "input")
    assert (tmp_path / "input" / "variables" / "data").read_bytes() == b"numbers"
    assert record.outputs["snapshot/"].size == len(b"graph" + b"numbers")


def test_a_lock_is_held_by_one(tmp_path):
    one, other = Store(tmp_path), Store(tmp_path)
    held = one.try_lock("key")
    taken = []
    thread = threading.Thread(target=lambda: taken.append(other.try_lock("key")))
    thread.start()
    thread.join()
    assert held is not None
    assert taken == [None]
    held.release()
    assert other.try_lock("key") is not None


def test_scratch_of_the_dead_is_swept_and_of_the_living_is_not(store):
    living = store.open_scratch()
    dead = store.root / "tmp" / "999999-dead"
    dead.mkdir()
    (store.root / "tmp" / "999999-dead.lock").touch()
    other = store.open_scratch()
    assert living.folder.exists()
    assert not dead.exists()
    other.close()
    living.close()
    assert list((store.root / "tmp").iterdir()) == []


def test_a_record_tells_its_format(store, publish):
    publish(model="bytes")
    envelope = json.loads((store.root / "ac" / KEY[:2] / f"{KEY}.json").read_text())
    assert json.loads(envelope["body"])["format"] == 1
