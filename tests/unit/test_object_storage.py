"""What obstore says, as the rest of tflbuild hears it: absent, broken or out of use."""

import pytest
from shelves import open_shelf

from tflbuild.storage.object_storage import ObjectRemote
from tflbuild.storage.remote_storage import BlobMissing, BlobTruncated, RemoteUnavailable

SILENT_SECONDS = 0.3
NAME, PLACE = "cas/1", "/models/mine/cas/1"
BYTES = b"weights" * 20_000


@pytest.fixture
def shelf(monkeypatch):
    with open_shelf() as shelf:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIAHUSH",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{shelf.port}",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield shelf


@pytest.fixture
def remote(shelf):
    return ObjectRemote("s3://models/mine", connect=SILENT_SECONDS, silent=SILENT_SECONDS)


def read(remote):
    return b"".join(remote.read(NAME))


def test_bytes_go_there_and_come_back(remote, shelf, tmp_path):
    (tmp_path / "file").write_bytes(BYTES)
    assert remote.size(NAME) is None
    with pytest.raises(BlobMissing):
        read(remote)
    remote.write(NAME, tmp_path / "file")
    assert shelf.asked[-1] == f"PUT {PLACE}" and shelf.files[PLACE] == BYTES
    assert remote.size(NAME) == len(BYTES)
    assert read(remote) == BYTES
    assert remote.host == "s3://models/mine"


OUTAGES = {
    401: "it does not accept the credentials",
    403: "do not permit read access",
    500: "500 Internal Server Error",
    "drop": "error sending request",
    "stall": "no data for 0.3 s",
    "stall within": "no data for 0.3 s",
}


@pytest.mark.parametrize("answer", OUTAGES)
def test_what_does_not_serve_is_an_outage_that_tells_no_secret(remote, shelf, answer):
    shelf.files[PLACE] = BYTES
    shelf.answers[PLACE] = answer
    with pytest.raises(RemoteUnavailable) as caught:
        read(remote)
    assert OUTAGES[answer] in str(caught.value) and "hush" not in str(caught.value).lower()


def test_what_ends_early_is_broken(remote, shelf):
    shelf.files[PLACE] = BYTES
    shelf.answers[PLACE] = "cut"
    with pytest.raises(BlobTruncated):
        read(remote)


def test_a_refused_write_says_what_was_refused(remote, shelf, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    shelf.always = 403
    with pytest.raises(RemoteUnavailable, match="do not permit write access"):
        remote.write(NAME, tmp_path / "file")


def test_nobody_listens(shelf, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RemoteUnavailable, match="error sending request"):
        ObjectRemote("s3://models/mine").size(NAME)


def test_plain_http_is_not_spoken_unless_that_is_allowed(remote, shelf, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(RemoteUnavailable):
        remote.size(NAME)
    assert shelf.asked == []


def test_a_store_that_is_half_described_is_an_outage(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(RemoteUnavailable, match="Account must be specified"):
        ObjectRemote("az://box/mine").size(NAME)
