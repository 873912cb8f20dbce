"""Records that a key signed: what is sent, what is taken, and which keys cannot be used."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from shelves import open_shelf
from test_remote_cache import CHECK, KEY, MODEL, OTHER, fetch, publish, rewritten

from tflbuild.core.digest import hash_bytes
from tflbuild.core.remote_cache_settings import RemoteCacheSettings
from tflbuild.errors import MachineError
from tflbuild.execute.events import Notice
from tflbuild.execute.remote_cache import RemoteCache
from tflbuild.execute.signing_keys import open_signatures
from tflbuild.storage.http_storage import HttpRemote
from tflbuild.storage.store import Store


def write_pair(folder, name, key=None):
    """The files of a private key and of its public one."""
    key = key or Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    monkeypatch.delenv("TFLBUILD_SIGNING_KEY", raising=False)
    monkeypatch.delenv("TFLBUILD_TRUSTED_KEYS", raising=False)


@pytest.fixture
def shelf():
    with open_shelf() as shelf:
        yield shelf


@pytest.fixture
def machine(tmp_path, shelf, monkeypatch):
    """Makes machines: an exchange with keys of its own, a store, and what it said."""
    opened = []

    def make(name, *, signing=None, trusted=None):
        for variable, path in (("TFLBUILD_SIGNING_KEY", signing), ("TFLBUILD_TRUSTED_KEYS", trusted)):
            monkeypatch.setenv(variable, str(path)) if path else monkeypatch.delenv(variable, raising=False)
        store, said = Store(tmp_path / name), []
        exchange = RemoteCache(
            store,
            tmp_path / f"incoming-{len(opened)}",
            HttpRemote(shelf.url),
            lambda event: said.append(event.text) if isinstance(event, Notice) else None,
            push=True,
            signatures=open_signatures(),
        )
        opened.append(exchange)
        return exchange, store, said

    yield make
    for exchange in opened:
        exchange.close()


def push(machine, tmp_path, signing, name="ci"):
    exchange, store, _ = machine(name, signing=signing)
    exchange.send("check", publish(store, tmp_path, CHECK, check_json=MODEL))
    exchange.finish()


def test_what_a_trusted_key_signed_is_taken(machine, tmp_path, shelf):
    private, public = write_pair(tmp_path, "ci")
    push(machine, tmp_path, private)
    assert json.loads(shelf.files[f"/cache/ac/{KEY}"])["signature"]
    exchange, store, said = machine("reader", trusted=public)
    assert fetch(exchange) and store.find(KEY)
    assert store.read(KEY).origins == (f"signed {exchange.remote.origin}",)
    exchange.finish()
    assert said == []


def test_several_keys_may_be_trusted(machine, tmp_path):
    private, public = write_pair(tmp_path, "ci")
    _, other = write_pair(tmp_path, "other")
    (tmp_path / "all.pub").write_bytes(other.read_bytes() + b"# ours\n" + public.read_bytes())
    push(machine, tmp_path, private)
    exchange, *_ = machine("reader", trusted=tmp_path / "all.pub")
    assert fetch(exchange)


def unsigned(raw):
    envelope = json.loads(raw)
    del envelope["signature"]
    return json.dumps(envelope).encode()


def changed(raw):
    """Another result under the signature of the first, with a SHA-256 that fits."""
    signature = json.loads(raw)["signature"]
    new = json.loads(rewritten(raw, lambda body: body["outputs"]["check.json"].update(digest=hash_bytes(b"evil"))))
    return json.dumps({**new, "signature": signature}).encode()


FORGED = {
    "not signed": unsigned,
    "another body": changed,
    "no base64": lambda raw: json.dumps({**json.loads(raw), "signature": "%%"}).encode(),
    "a number": lambda raw: json.dumps({**json.loads(raw), "signature": 7}).encode(),
    "short": lambda raw: json.dumps({**json.loads(raw), "signature": "AAAA"}).encode(),
    "no JSON": lambda raw: b"[" * 100_000,
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_nobody_trusted_signed_is_a_miss_and_is_counted(machine, tmp_path, shelf, forge):
    private, public = write_pair(tmp_path, "ci")
    push(machine, tmp_path, private)
    path = f"/cache/ac/{KEY}"
    shelf.files[path] = forge(shelf.files[path])
    exchange, store, said = machine("reader", trusted=public)
    assert fetch(exchange) == "" and store.read(KEY) is None
    exchange.finish()
    assert said == [
        f"warning: 1 result from the remote cache at {exchange.remote.host} not used:"
        " not signed by any key in TFLBUILD_TRUSTED_KEYS"
    ]


def test_the_key_of_somebody_else_is_none(machine, tmp_path):
    private, _ = write_pair(tmp_path, "stranger")
    _, public = write_pair(tmp_path, "ci")
    push(machine, tmp_path, private)
    exchange, *_ = machine("reader", trusted=public)
    assert fetch(exchange) == ""


def test_a_missing_record_is_not_counted(machine, tmp_path):
    _, public = write_pair(tmp_path, "ci")
    exchange, _, said = machine("reader", trusted=public)
    assert fetch(exchange, OTHER) == ""
    exchange.finish()
    assert said == []


def test_without_keys_all_is_as_it_was(machine, tmp_path, shelf):
    push(machine, tmp_path, None)
    assert "signature" not in json.loads(shelf.files[f"/cache/ac/{KEY}"])
    exchange, store, _ = machine("reader")
    assert fetch(exchange) and store.find(KEY)


def test_what_was_taken_unsigned_counts_no_more_once_keys_are_asked_for(machine, tmp_path, shelf, monkeypatch):
    private, public = write_pair(tmp_path, "ci")
    push(machine, tmp_path, private)
    exchange, store, _ = machine("reader")
    assert fetch(exchange) and store.find(KEY)
    monkeypatch.setenv("TFLBUILD_TRUSTED_KEYS", str(public))
    later = Store(store.root)
    later.trust(RemoteCacheSettings(url=shelf.url))
    assert later.find(KEY) is None
    exchange, *_ = machine("reader", trusted=public)
    assert fetch(exchange) and later.find(KEY), "it is fetched again, and held against its signature"


@pytest.mark.parametrize("variable", ["TFLBUILD_SIGNING_KEY", "TFLBUILD_TRUSTED_KEYS"])
@pytest.mark.parametrize("content", ["missing", "text", "another kind", "the other half", "a pipe"])
def test_a_file_that_holds_no_such_key_is_an_error(tmp_path, monkeypatch, variable, content):
    private, public = write_pair(tmp_path, "elliptic", generate_private_key(SECP256R1()))
    halves = write_pair(tmp_path, "ed25519")
    path = tmp_path / "key"
    if content == "text":
        path.write_text("hello")
    elif content == "another kind":
        path = private if "SIGNING" in variable else public
    elif content == "the other half":
        path = halves["SIGNING" in variable]
    elif content == "a pipe":
        path = "/dev/null"
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(MachineError) as caught:
        open_signatures()
    assert variable in caught.value.where and str(path) in caught.value.why and "openssl" in caught.value.next_step
