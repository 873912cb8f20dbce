import json
import os
import socket
import time

import pytest

from tflbuild.core.untrusted_files import (
    MOST_DEPTH,
    BadContentError,
    hash_file,
    open_file,
    parse_json,
    read_file,
    read_json,
    read_text,
)


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))


def link_to(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_pipe, "a pipe"),
        (make_socket, "a socket"),
        (link_to("/dev/zero"), "a device"),
        (link_to("/dev/tty"), "a device"),
        (os.mkdir, "a folder"),
    ],
)
@pytest.mark.parametrize("read", [open_file, hash_file, read_json, lambda path: read_text(path, 100)])
def test_only_regular_files_are_opened_and_nothing_waits(tmp_path, monkeypatch, make, kind, read):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    place = tmp_path / "x"
    make(os.path.relpath(place)) if make is make_socket else make(place)
    start = time.monotonic()
    with pytest.raises(OSError, match=f"it is {kind}, not a regular file"):
        read(place)
    assert time.monotonic() - start < 1


def test_a_pipe_that_takes_the_place_of_a_file_in_between_is_refused(tmp_path, monkeypatch):
    place = tmp_path / "x"
    place.write_text("{}")
    real = os.open

    def exchange(path, flags):
        place.unlink()
        os.mkfifo(place)
        return real(path, flags)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(OSError, match="a pipe"):
        read_json(place)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\ud800"])
def test_what_no_path_can_be_is_an_error_of_the_system(path):
    with pytest.raises(OSError):
        open_file(path)


def test_size_is_bounded_even_where_the_system_says_none(tmp_path):
    place = tmp_path / "x"
    with open(place, "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(OSError, match="2,147,483,648 bytes"):
        read_file(place, 100)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_file("/proc/self/status", 10)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "too deep|no JSON"),
        ("[" * 5000 + "]" * 5000, "deep"),
        ("[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1), "deep"),
        ('{"a":' * 200 + "1" + "}" * 200, "deep"),
        ("9" * 500, "64 bits"),
        ('{"a": [-' + "9" * 5000 + "]}", "no JSON"),
        ("1e999", "float"),
        ("NaN", "no number"),
        ('{"a": -Infinity}', "no number"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        (b"\xed\xa0\x80", "no JSON"),
        (b'"\xed\xa0\x80"', "surrogate"),
        (b"\xff\xfe", "no JSON"),
        ("", "no JSON"),
        ("{'a': 1}", "no JSON"),
        ("{} {}", "no JSON"),
        ("\0", "no JSON"),
    ],
)
def test_json_that_a_reader_could_stumble_over_is_refused(text, why):
    with pytest.raises(BadContentError, match=why):
        parse_json(text)


def test_what_json_writes_is_read_again():
    value = {"a": [1, 2.5, None, True, "ä\U0001f600\0"], "b": {"c": -(2**63), "d": 2**64 - 1}, "": []}
    assert parse_json(json.dumps(value)) == value == parse_json(json.dumps(value, ensure_ascii=False).encode())
    deepest = "[" * (MOST_DEPTH - 1) + "1" + "]" * (MOST_DEPTH - 1)
    assert parse_json(deepest)


def test_text_is_utf8_with_or_without_its_mark(tmp_path):
    place = tmp_path / "x"
    place.write_bytes(b"\xef\xbb\xbfa")
    assert read_text(place, 100) == "a"
    place.write_bytes("a".encode("utf-16"))
    with pytest.raises(BadContentError, match="not UTF-8"):
        read_text(place, 100)
