"""Records of a shared store are checked before any output is fetched."""

import pytest

from tflbuild.core.digest import hash_tree
from tflbuild.core.remote_cache_settings import store_origin
from tflbuild.core.secret_urls import SecretUrl
from tflbuild.core.step import hash_action
from tflbuild.storage.record_validation import read_incoming
from tflbuild.storage.store import ActionOutput, ActionRecord, _format_record

ACTION = {"kind": "convert", "params": {}, "inputs": {}, "toolchain": {}}
DIGEST = "a" * 64


def test_two_hosts_are_two_origins():
    """A user who trusts one has not agreed to the other."""
    urls = ("http://[::1]:8080/c", "http://[::1:8080]/c", "http://h/c", "http://h.:80/c", "https://h/c", "http://h/C")
    assert len({store_origin(SecretUrl(url)) for url in urls}) == len(urls)
    assert store_origin(SecretUrl("HTTP://u:p@H:80/c/")) == "http://h/c"


def read(*names):
    files = dict.fromkeys(names, DIGEST)
    output = ActionOutput(digest=hash_tree(files), size=1, files=files)
    key = hash_action(ACTION)
    record = ActionRecord(key=key, action=ACTION, outputs={"made/": output}, facts={}, elapsed=1.0, created=1.0)
    return read_incoming(key, _format_record(record), ["made/"])


@pytest.mark.parametrize("names", [("a", "b/c", "b/d"), ("x" * 255,), ("a b", "~", "\u00e4")])
def test_a_folder_that_can_be_is_taken(names):
    assert read(*names) is not None


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a/b"),  # a file and a folder
        ("a", "./a"),
        ("a//b",),
        ("a/",),
        ("x" * 256,),
        ("\u00e4" * 128,),
        ("a/" * 1100 + "a",),
        ("../a",),
        ("/a",),
        ("a\0b",),
    ],
)
def test_a_folder_that_cannot_be_is_none(names):
    assert read(*names) is None
