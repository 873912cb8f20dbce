import json
import os

import pytest

from tflbuild import unchanged_build
from tflbuild.resolve import machine_identity

COMMAND = ["+recipe=net"]


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("TFLBUILD_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"weights")
    return path


def note(*paths, environment=None):
    before = {str(path): unchanged_build.observe(str(path)) for path in paths}
    unchanged_build.write_unchanged_note(COMMAND, before, [], environment or {}, "up to date")


def test_nothing_changed(model):
    note(model)
    assert unchanged_build.read_unchanged_answer(COMMAND) == ("up to date", "")


def test_another_command_has_another_note(model):
    note(model)
    assert unchanged_build.read_unchanged_answer([*COMMAND, "name=other"]) is None


def test_an_edit_in_place_with_size_and_mtime_restored_is_seen(model):
    before = model.stat()
    note(model)
    with model.open("r+b") as file:
        file.write(b"WEIGHTS")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert unchanged_build.read_unchanged_answer(COMMAND) is None


def test_a_file_that_was_missing_and_appears_is_seen(tmp_path):
    note(tmp_path / "recipes")
    assert unchanged_build.read_unchanged_answer(COMMAND) == ("up to date", "")
    (tmp_path / "recipes").mkdir()
    assert unchanged_build.read_unchanged_answer(COMMAND) is None


def test_a_file_that_vanishes_is_seen(model):
    note(model)
    model.unlink()
    assert unchanged_build.read_unchanged_answer(COMMAND) is None


def test_an_input_that_changed_during_the_build_leaves_no_note(model):
    before = {str(model): unchanged_build.observe(str(model))}
    model.write_bytes(b"other")
    unchanged_build.write_unchanged_note(COMMAND, before, [], {}, "up to date")
    assert unchanged_build.read_unchanged_answer(COMMAND) is None


def test_a_variable_that_the_recipe_reads_is_watched(model, monkeypatch):
    monkeypatch.setenv("MODEL", "a")
    note(model, environment={"MODEL": "a"})
    assert unchanged_build.read_unchanged_answer(COMMAND) == ("up to date", "")
    monkeypatch.setenv("MODEL", "b")
    assert unchanged_build.read_unchanged_answer(COMMAND) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"environment": 1, "stats": {}, "answer": "x"})])
def test_a_damaged_note_is_no_note(model, text):
    note(model)
    unchanged_build.note_file(COMMAND).write_text(text)
    assert unchanged_build.read_unchanged_answer(COMMAND) is None


def test_a_note_does_not_tell_what_a_variable_holds(model):
    note(model, environment={"TFLBUILD_REMOTE": "http://me:hush@h"})
    assert "hush" not in unchanged_build.note_file(COMMAND).read_text()


@pytest.mark.parametrize("part", ["cpu", "host"])
def test_an_answer_that_rests_on_this_machine_is_none_on_another(model, monkeypatch, part):
    """Store and outputs may lie on a disk that several machines share."""
    unchanged_build.write_unchanged_note(
        COMMAND, {str(model): unchanged_build.observe(str(model))}, [], {}, "up to date", "", [part]
    )
    assert unchanged_build.read_unchanged_answer(COMMAND) == ("up to date", "")
    monkeypatch.setitem(machine_identity.PARTS, "host" if part == "cpu" else "cpu", lambda: "another")
    assert unchanged_build.read_unchanged_answer(COMMAND) == ("up to date", "")
    monkeypatch.setitem(machine_identity.PARTS, part, lambda: "another")
    assert unchanged_build.read_unchanged_answer(COMMAND) is None
