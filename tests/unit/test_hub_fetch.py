"""Handles, hostile archives and what is said of them; nothing here reaches out or imports TensorFlow."""

from __future__ import annotations

import ast
import gzip
import io
import os
import sys
import tarfile
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tflbuild.runtime import untrusted_archives
from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.runtime.untrusted_archives import DownloadedArchive, unpack
from tflbuild.steps.sources import hub_fetch
from tflbuild.terminal import addresses

MODEL = {"saved_model.pb": b"model", "variables/variables.index": b"index" * 300}
HUB = "https://hub.example/google/thing/1"
CHINA = "https://hub.tensorflow.google.cn/google/x/1"


def entry(name, data=b"", kind=tarfile.REGTYPE, **fields):
    """A member and its bytes."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = fields.pop("size", len(data))
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def make_tar(path, *members, mode="w:gz", files=MODEL):
    """An archive of the files, then of further members."""
    with tarfile.open(path, mode) as tar:
        for info, data in [*(entry(name, data) for name, data in files.items()), *members]:
            tar.addfile(info, io.BytesIO(data))
    return path


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(call, *arguments):
    """The fields of the error that a call must end with; every one has a next step."""
    with pytest.raises(WorkerError) as caught:
        call(*arguments)
    fields = caught.value.fields
    assert fields["next_step"]
    return SimpleNamespace(**fields)


def unpack_refused(path):
    """The error of unpacking, of which nothing lies outside the folder."""
    found = refusal(unpack, DownloadedArchive(path, "handle"), path.parent / "below" / "unpacked")
    assert found.kind == "recipe"
    assert found.where == "source.handle"
    return found


@pytest.fixture
def place(tmp_path):
    """A folder whose parent must stay as it is."""
    (tmp_path / "below").mkdir()
    yield tmp_path
    assert {path.name for path in tmp_path.iterdir()} <= {"below", "a.tar.gz", "a.tar"}


@pytest.fixture
def request_for(tmp_path):
    def make(handle="", archive=None):
        folder = tmp_path / "001-fetch"
        (folder / "outputs").mkdir(parents=True)
        params = {"handle": handle} if handle else {}
        inputs = {"archive": archive} if archive else {}
        return StepRequest(folder=folder, params=params, inputs=inputs, labels={"archive": "a.tar.gz"})

    return make


# handles


@pytest.mark.parametrize(
    ("handle", "url"),
    [
        (HUB, HUB + "?tf-hub-format=compressed"),
        (HUB + "?a=1&b=%20&c", HUB + "?a=1&b=%20&c&tf-hub-format=compressed"),
        (HUB + "?tf-hub-format=compressed", HUB + "?tf-hub-format=compressed"),
        (HUB + "#part", HUB + "?tf-hub-format=compressed"),
        (HUB + ".tar.gz?X-Signature=0f", HUB + ".tar.gz?X-Signature=0f"),
        (HUB + ".tgz", HUB + ".tgz"),
        ("http://user:word@h:8080/m", "http://user:word@h:8080/m?tf-hub-format=compressed"),
        (CHINA, "https://gcs.tensorflow.google.cn/tfhub-modules/google/x/1.tar.gz"),
    ],
)
def test_a_hub_is_asked_for_the_compressed_form(handle, url):
    assert hub_fetch.hub_url(handle) == url


@pytest.mark.parametrize(
    "handle",
    ["http:///x", "http://h:99999/x", "http://h:0/x", "http://[::1/x", "http://h:a/x", "http://a b/", "http://a..b/"],
)
def test_what_is_no_url_is_said_to_be_none(handle, request_for):
    found = refusal(hub_fetch.run, request_for(handle))
    assert (found.kind, found.where, found.what) == ("recipe", "source.handle", f"'{handle}' is not a valid URL")


def test_what_a_manifest_says_of_a_url_holds_no_secret():
    assert addresses.public_part("https://me:word@h:1/a/b?X-Signature=0f#x") == "https://h:1/a/b"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.kaggle.com/models/google/yamnet/tensorFlow2/yamnet/1", "google/yamnet/tensorFlow2/yamnet/1"),
        ("https://kaggle.com/models/google/yamnet/TensorFlow2/yamnet/", "google/yamnet/TensorFlow2/yamnet"),
        (
            "https://www.kaggle.com/models/g/m/frameworks/TensorFlow2/variations/v/versions/12?tfhub-redirect=true",
            "g/m/TensorFlow2/v/12",
        ),
        ("https://www.kaggle.com/models/google/yamnet", ""),
        ("https://www.kaggle.com/datasets/a/b/c/d/1", ""),
        ("https://kaggle.com.example/models/a/b/c/d/1", ""),
        (HUB, ""),
    ],
)
def test_models_of_kaggle_are_known_by_their_url(url, name):
    assert hub_fetch.kaggle_name(url) == name


def test_a_file_url_is_not_fetched(request_for):
    found = refusal(hub_fetch.run, request_for("file:///models/m"))
    assert "without file://" in found.next_step


def test_the_module_imports_no_tensorflow():
    """The server has it; a test, or a check of a handle, shall not wait for it."""
    for module in (hub_fetch, untrusted_archives):
        nodes = ast.parse(Path(module.__file__).read_text()).body
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
        assert not any(name.startswith(("tensorflow", "keras", "kagglehub")) for name in names)


# answers


def test_the_core_of_an_error_is_told():
    refused = ConnectionRefusedError(111, "Connection refused")
    new = requests.packages.urllib3.exceptions.NewConnectionError(None, "Failed: refused")
    new.__cause__ = refused
    retries = requests.packages.urllib3.exceptions.MaxRetryError(None, "/x", new)
    assert addresses.innermost(requests.ConnectionError(retries)) == "[Errno 111] Connection refused"
    assert addresses.innermost(RuntimeError("<object at 0x7f>: gone")) == "gone"
    assert addresses.innermost(RuntimeError()) == "RuntimeError"


def test_certificates_are_named_by_the_environment(monkeypatch, tmp_path):
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    assert hub_fetch.certificates() is True
    own, other = tmp_path / "own.pem", tmp_path / "other.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    found = refusal(hub_fetch.certificates)
    assert found.kind == "environment"
    assert str(own) in found.why
    own.touch()
    assert hub_fetch.certificates() == str(own)
    other.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert hub_fetch.certificates() == str(other)


def answer(chunks, **headers):
    raw = SimpleNamespace(stream=lambda size, decode_content: iter(chunks))
    return SimpleNamespace(raw=raw, headers=headers)


def test_fewer_bytes_than_announced_are_no_download(tmp_path):
    with pytest.raises(hub_fetch.RetryableError, match=r"3 of 1,000 bytes"):
        hub_fetch.save(answer([b"abc"], **{"Content-Length": "1000"}), HUB, tmp_path / "download")


def test_a_body_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_fetch, "MAX_BYTES", 10)
    found = refusal(hub_fetch.save, answer(repeat(b"abcd")), HUB, tmp_path / "download")
    assert "longer than 10 bytes" in found.why
    assert (tmp_path / "download").stat().st_size < 20


def forbid(monkeypatch, *urls):
    def download(handle, path):
        raise hub_fetch.ModelForbiddenError("k answered 403 Forbidden", list(urls))

    monkeypatch.setattr(hub_fetch, "download", download)


def test_what_a_hub_does_not_give_is_the_environments(monkeypatch, request_for):
    forbid(monkeypatch, HUB)
    found = refusal(hub_fetch.run, request_for(HUB))
    assert found.kind == "environment"
    assert "403" in found.why
    assert "kaggle.com/models" in found.next_step
    assert "source.handle" in found.next_step


KAGGLE = "https://www.kaggle.com/models/google/yamnet/tensorFlow2/yamnet/1"


def test_a_model_of_kaggle_asks_for_its_package(monkeypatch, request_for):
    forbid(monkeypatch, KAGGLE)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    found = refusal(hub_fetch.run, request_for("https://tfhub.dev/google/yamnet/1"))
    assert found.kind == "environment"
    assert "pip install kagglehub" in found.next_step
    assert "KAGGLE_USERNAME and KAGGLE_KEY" in found.next_step


def test_kagglehub_is_used_where_kaggle_wants_to_know_who_asks(monkeypatch, request_for, tmp_path):
    forbid(monkeypatch, KAGGLE)
    asked = []

    def model_download(name):
        asked.append(name)
        folder = Path(os.environ["KAGGLEHUB_CACHE"]) / "model"
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"model")
        return str(folder)

    monkeypatch.setenv("KAGGLEHUB_CACHE", "elsewhere")
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(model_download=model_download))
    request = request_for(KAGGLE)
    facts = hub_fetch.run(request)
    assert asked == ["google/yamnet/tensorFlow2/yamnet/1"]
    assert facts == {"url": KAGGLE, "bytes": 5, "files": 1}
    assert tree(request.outputs / "model") == {"saved_model.pb": b"model"}


def test_links_are_refused_from_kagglehub_too(monkeypatch, request_for):
    def model_download(name):
        folder = Path(os.environ["KAGGLEHUB_CACHE"])
        folder.mkdir()
        (folder / "saved_model.pb").symlink_to("/etc/passwd")
        return str(folder)

    forbid(monkeypatch)
    monkeypatch.setenv("KAGGLEHUB_CACHE", "elsewhere")
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(model_download=model_download))
    assert "symbolic link" in refusal(hub_fetch.run, request_for(KAGGLE)).why


def test_what_kagglehub_says_is_told(monkeypatch, request_for):
    def model_download(name):
        raise RuntimeError("consent is required")

    forbid(monkeypatch)
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(model_download=model_download))
    monkeypatch.setenv("KAGGLEHUB_CACHE", "elsewhere")
    found = refusal(hub_fetch.run, request_for(KAGGLE))
    assert found.kind == "environment"
    assert "403" in found.why
    assert "consent is required" in found.why
    assert "pip install" not in found.next_step


@pytest.mark.parametrize(
    ("name", "text", "kind", "word"),
    [
        ("UnimplementedError", "File system scheme 's3' not implemented", "recipe", "cannot read s3:// addresses"),
        ("NotFoundError", "Object gone", "recipe", "there is no model"),
        ("OSError", "s3://b/m does not exist.", "recipe", "there is no model"),
        ("PermissionDeniedError", "no\nmore", "environment", "cannot fetch"),
        ("FailedPreconditionError", "Could not resolve host", "environment", "cannot fetch"),
    ],
)
def test_what_tensorflow_says_of_a_handle_is_sorted(name, text, kind, word):
    found = hub_fetch.convert_read_error("s3://b/m", type(name, (Exception,), {})(text))
    assert isinstance(found, WorkerError)
    assert found.fields["kind"] == kind
    assert word in found.fields["what"]
    assert found.fields["next_step"]


def test_a_full_disk_stays_a_full_disk():
    full = OSError(28, "No space left on device")
    assert hub_fetch.convert_read_error("gs://b/m", full) is full


class Bucket:
    """As much of tf.io.gfile as copying takes, over objects by name."""

    def __init__(self, objects):
        self.objects = objects

    def walk(self, top):
        folders = {}
        for name in self.objects:
            folder, _, last = name.rpartition("/")
            folders.setdefault(f"{top}/{folder}".rstrip("/"), []).append(last)
        for folder, names in folders.items():
            yield folder, [], names

    def join(self, folder, name):
        return f"{folder}/{name}"

    def copy(self, source, target):
        Path(target).write_bytes(self.objects[source.removeprefix("gs://b/m/")])


def test_a_bucket_is_copied(tmp_path):
    assert hub_fetch.copy_tree(Bucket(MODEL), "gs://b/m", tmp_path / "copy") == sum(map(len, MODEL.values()))
    assert tree(tmp_path / "copy") == MODEL


def test_names_in_a_bucket_do_not_lead_out(tmp_path):
    found = refusal(hub_fetch.copy_tree, Bucket({"a/../../x": b"evil"}), "gs://b/m", tmp_path / "copy")
    assert "leads out of its folder" in found.why
    assert not (tmp_path / "x").exists()


# archives


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_come_out_as_they_went_in(place, mode, form):
    long = "assets/" + "n" * 90 + "/" + "m" * 90
    files = {**MODEL, long: os.urandom(3 << 20), "assets/\u00e4.txt": b"", "./dotted": b"1", "exact": b"x" * 512}
    path = place / "a.tar.gz"
    with tarfile.open(path, mode, format=form) as tar:
        for info, data in [entry(".", kind=tarfile.DIRTYPE), *(entry(*item) for item in files.items())]:
            tar.addfile(info, io.BytesIO(data))
    unpack(DownloadedArchive(path, "handle"), place / "below" / "unpacked")
    assert tree(place / "below" / "unpacked") == {name.removeprefix("./"): data for name, data in files.items()}


HOSTILE = {
    "traversal": (entry("../../evil", b"x"), "'../../evil' leads out of its folder"),
    "inner traversal": (entry("a/../../../evil", b"x"), "leads out of its folder"),
    "folder outside": (entry("../evil", kind=tarfile.DIRTYPE), "leads out of its folder"),
    "absolute": (entry("/tmp/evil", b"x"), "'/tmp/evil' is an absolute path"),
    "pax path": (entry("harmless", b"x", pax_headers={"path": "../evil"}), "leads out of its folder"),
    "symlink": (entry("link", kind=tarfile.SYMTYPE, linkname="/etc/passwd"), "'link' is a symbolic link"),
    "inner symlink": (entry("link", kind=tarfile.SYMTYPE, linkname="saved_model.pb"), "is a symbolic link"),
    "hard link": (entry("link", kind=tarfile.LNKTYPE, linkname="saved_model.pb"), "'link' is a hard link"),
    "device": (entry("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3), "'null' is a device"),
    "block device": (entry("disk", kind=tarfile.BLKTYPE), "'disk' is a device"),
    "pipe": (entry("pipe", kind=tarfile.FIFOTYPE), "'pipe' is a pipe"),
    "sparse": (
        entry("holes", b"x" * 512, pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}),
        "not a regular",
    ),
    "unknown type": (entry("odd", kind=b"Z"), "'odd' is not a regular file"),
    "twice": (entry("saved_model.pb", b"other"), "'saved_model.pb' cannot be written"),
    "file as folder": (entry("saved_model.pb/x", b"x"), "cannot be written"),
    "folder as file": (entry("variables", b"x"), "cannot be written"),
    "long name": (entry("n" * 300, b"x"), "cannot be written"),
    "no UTF-8": (entry("caf\udce9", b"x"), r"'caf\udce9' is not a valid UTF-8 name"),
    "huge claim": (entry("huge", size=1 << 40), "unpacks to more than"),
}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_whole(place, case, mode):
    member, word = HOSTILE[case]
    info, data = member
    path = place / "a.tar.gz"
    with tarfile.open(path, mode, errors="surrogateescape") as tar:
        for one in [*(entry(*item) for item in MODEL.items())]:
            tar.addfile(one[0], io.BytesIO(one[1]))
        tar.addfile(info, io.BytesIO(data) if data else None)
        tar.fileobj.write(b"x" * (512 if info.size > 1 << 30 else 0))
    found = unpack_refused(path)
    assert found.what == "the archive 'handle' is refused"
    assert word in found.why


def test_nothing_of_a_refused_archive_is_an_output(tmp_path, request_for):
    path = make_tar(tmp_path / "a.tar.gz", HOSTILE["symlink"][0])
    request = request_for(archive=path)
    refusal(hub_fetch.run, request)
    assert not list(request.outputs.iterdir())


def test_a_bomb_is_refused_before_it_is_written(place, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "ANY_RATIO_BYTES", 1 << 20)
    path = make_tar(place / "a.tar.gz", entry("zeros", b"\0" * (24 << 20)))
    size = path.stat().st_size
    assert "unpacks to more than" in unpack_refused(path).why
    assert sum(map(len, tree(place / "below").values())) < size


def test_many_small_bombs_are_counted_together(place, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "ANY_RATIO_BYTES", 1 << 20)
    monkeypatch.setattr(untrusted_archives, "MAX_RATIO", 10)
    path = make_tar(place / "a.tar.gz", *(entry(f"zeros{n}", b"\0" * (1 << 18)) for n in range(8)))
    assert "1,048,576 bytes" in unpack_refused(path).why
    assert sum(map(len, tree(place / "below").values())) < 2 << 20


def test_what_compresses_well_is_no_bomb(place):
    path = make_tar(place / "a.tar.gz", entry("zeros", b"\0" * (24 << 20)))
    unpack(DownloadedArchive(path, "handle"), place / "below" / "unpacked")


def test_too_many_members_are_refused(place, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "MAX_MEMBERS", 5)
    assert "5 members" in unpack_refused(make_tar(place / "a.tar.gz", *(entry(f"f{n}") for n in range(4)))).why


def test_a_bomb_in_a_header_is_not_read_into_memory(place):
    """A name of 300 MB, which tarfile would build up before anyone could look at it."""
    path = place / "a.tar.gz"
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 300 << 20
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(300):
            file.write(b"n" * (1 << 20))
    reads = []
    original = untrusted_archives.LimitedTarReader.read

    def read(self, size=untrusted_archives.CHUNK):
        reads.append(size)
        return original(self, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrusted_archives.LimitedTarReader, "read", read)
        assert "too long" in unpack_refused(path).why
    assert sum(reads) <= 4 << 20


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_that_is_cut_short_anywhere_is_noticed(place, mode):
    whole = make_tar(place / "a.tar.gz", entry("last", b"end" * 100), mode=mode).read_bytes()
    end = len(whole) if mode == "w:gz" else len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for length in {*range(0, end, 512), *range(0, end, 101), end - 1, end - 8}:
        path = place / "a.tar"
        path.write_bytes(whole[:length])
        found = refusal(unpack, DownloadedArchive(path, "handle"), place / "below" / str(length))
        assert "broken or cut short" in found.what or "no .tar" in found.what, length


def test_a_damaged_byte_in_compressed_data_is_noticed(place):
    path = make_tar(place / "a.tar.gz", entry("noise", os.urandom(1 << 16)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "broken or cut short" in unpack_refused(path).what


def test_a_damaged_header_is_no_end(place):
    """tarfile takes what is no header, after the first, for the end."""
    path = make_tar(place / "a.tar", entry("last", b"x"), mode="w")
    data = bytearray(path.read_bytes())
    data[data.index(b"last") + 148] ^= 0xFF  # its checksum
    path.write_bytes(data)
    assert "no end mark" in unpack_refused(path).why


def test_an_archive_is_read_to_its_very_end(place):
    """Far behind the last member there may be more, or a checksum that tells of damage."""
    tar = gzip.decompress(make_tar(place / "a.tar.gz").read_bytes()) + b"\0" * (3 << 20)
    good, damaged = gzip.compress(tar, 1), bytearray(gzip.compress(tar, 1))
    damaged[-8] ^= 1
    path = place / "a.tar.gz"
    for content, word in ((gzip.compress(tar + b"x", 1), "no end mark"), (damaged, "CRC"), (good[:-8], "EOFError")):
        path.write_bytes(content)
        assert word in refusal(unpack, DownloadedArchive(path, "handle"), place / "below" / word).why
    path.write_bytes(good)
    unpack(DownloadedArchive(path, "handle"), place / "below" / "unpacked")
    assert tree(place / "below" / "unpacked") == MODEL


@pytest.mark.parametrize(
    ("body", "media", "words"),
    [
        (b"<!doctype html><title>Sign in</title>" * 30, "text/html", ["text/html", "<!doctype html>", "1,110 bytes"]),
        (b"PK\x03\x04" + b"zip" * 300, "application/zip", ["PK", "application/zip"]),
        (b"", "", ["0 bytes"]),
        (b"\x1f\x8bnot gzip at all", "application/gzip", ["BadGzipFile"]),
    ],
)
def test_what_came_instead_of_an_archive_is_told(place, body, media, words):
    path = place / "a.tar.gz"
    path.write_bytes(body)
    found = refusal(unpack, DownloadedArchive(path, "handle", HUB, media), place / "below" / "unpacked")
    assert "no .tar or .tar.gz" in found.what or "broken" in found.what
    assert all(word in found.why for word in words)
    assert "browser" in found.next_step


HEADERS = st.tuples(st.integers(0, 8), st.integers(0, 511), st.integers(0, 255))


@settings(max_examples=300)
@given(st.lists(HEADERS, min_size=1, max_size=6))
def test_a_mutated_archive_is_unpacked_or_refused(tmp_path_factory, changes):
    """Whatever its headers say, under checksums that are right, files below the folder come out or a WorkerError."""
    base = tmp_path_factory.mktemp("fuzz")
    (base / "below").mkdir()
    path = make_tar(base / "a.tar", entry("n" * 150, b"x", pax_headers={"comment": "c" * 600}), mode="w")
    content = bytearray(path.read_bytes())
    for block, offset, value in changes:
        content[block * 512 + offset] = value
    for start in range(0, 9 * 512, 512):
        if content[start + 257 : start + 262] == b"ustar":
            content[start + 148 : start + 156] = b" " * 8
            content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])
    path.write_bytes(content)
    with suppress(WorkerError):
        unpack(DownloadedArchive(path, "handle"), base / "below" / "unpacked")
    assert {found.name for found in base.iterdir()} == {"below", "a.tar"}
    assert [found.name for found in (base / "below").iterdir()] == ["unpacked"]


# what came


@pytest.mark.parametrize("prefix", ["", "./", "model/", "./model/"])
def test_a_saved_model_may_lie_one_folder_deeper(tmp_path, request_for, prefix):
    files = {prefix + name: data for name, data in MODEL.items()}
    path = make_tar(tmp_path / "a.tar.gz", files=files | ({"README": b"read"} if prefix == "model/" else {}))
    request = request_for(archive=path)
    facts = hub_fetch.run(request)
    assert facts == {"url": "", "bytes": path.stat().st_size, "files": 2}
    assert tree(request.outputs / "model") == MODEL


@pytest.mark.parametrize(
    ("files", "what", "why", "next_step"),
    [
        ({"a/b/saved_model.pb": b""}, "contains no SavedModel", "there is: a/b/saved_model.pb", "SavedModel format"),
        ({"a/saved_model.pb": b"", "b/saved_model.pb": b""}, "contains 2 SavedModels", "a/saved_model.pb", "by hand"),
        ({"m.tflite": b""}, "contains no SavedModel", "m.tflite", "source=tflite"),
        ({"x/m.keras": b""}, "contains no SavedModel", "x/m.keras", "source=keras"),
        ({f"f{n:02}": b"" for n in range(14)}, "contains no SavedModel", "f09 and 4 more", "SavedModel format"),
        ({}, "contains no SavedModel", "there is: nothing", "SavedModel format"),
    ],
)
def test_what_holds_no_saved_model_is_listed(tmp_path, request_for, files, what, why, next_step):
    found = refusal(hub_fetch.run, request_for(archive=make_tar(tmp_path / "a.tar.gz", files=files)))
    assert found.kind == "recipe"
    assert what in found.what
    assert why in found.why
    assert next_step in found.next_step


def test_a_module_of_tf1_hub_is_kept_whole(tmp_path, request_for):
    path = make_tar(tmp_path / "a.tar.gz", entry("tfhub_module.pb", b"\x08\x03"))
    request = request_for(archive=path)
    hub_fetch.run(request)
    assert tree(request.outputs / "model") == {**MODEL, "tfhub_module.pb": b"\x08\x03"}
