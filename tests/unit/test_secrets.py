"""Values that must not be shown: how they are known, hidden, and told apart."""

from __future__ import annotations

import base64
import json
import pickle

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.config_secrets import note_config
from tflbuild.core import secrets
from tflbuild.core.digest import hash_value
from tflbuild.core.secret_urls import SecretUrl
from tflbuild.core.step import Step
from tflbuild.errors import RecipeError
from tflbuild.execute.step_folder import make_step_folder
from tflbuild.storage.store import Store, replace_json
from tflbuild.unchanged_build import write_unchanged_note

PASSWORD = "p@ss/w0rd word"


@pytest.fixture(autouse=True)
def no_secrets():
    secrets.forget_secrets()
    secrets.use_key(lambda: b"k" * 32)
    yield
    secrets.forget_secrets()


URLS = {
    "https://me:hush@h/c": "https://...@h/c",
    "https://ghp_token@h/c": "https://...@h/c",
    "s3://key:a%2Fb@bucket/x": "s3://...@bucket/x",
    "https://h/m?file=a&token=abc": "https://h/m?file=a&token=...",
    "https://h/m?X-Amz-Credential=A%2FB&X-Amz-Signature=ff&X-Amz-Date=2": "https://h/m?X-Amz-Credential=..."
    "&X-Amz-Signature=...&X-Amz-Date=2",
    "https://h/m?sv=2024&sig=ab%3D": "https://h/m?sv=2024&sig=...",
    "https://h/m?GoogleAccessId=x&Signature=y": "https://h/m?GoogleAccessId=x&Signature=...",
    "https://h/m#access_token=abc": "https://h/m#access_token=...",
    "https://h/m?v=8f3kd9KJ2ls0Qm3nZ7pYt4": "https://h/m?v=...",
    "https://h/a@b/c?file=net_v2.tar.gz": "https://h/a@b/c?file=net_v2.tar.gz",
    "models/net.keras": "models/net.keras",
}


@pytest.mark.parametrize(("url", "shown"), URLS.items())
def test_a_url_is_shown_without_what_opens_something(url, shown):
    secret = SecretUrl(url)
    assert (str(secret), f"{secret}", repr(secret)) == (shown, shown, f"SecretUrl({shown!r})")
    assert secret.reveal() == url and pickle.loads(pickle.dumps(secret)) == secret


@pytest.mark.parametrize("write", [json.dumps, lambda url: "https://" + url, lambda url: "".join([url])])
def test_a_url_cannot_be_written_by_mistake(write):
    with pytest.raises(TypeError):
        write(SecretUrl("https://me:hush@h"))


def test_keys_know_a_resource_and_not_the_users_rights_to_it():
    identities = {
        SecretUrl(f"https://{user}h/m?file=a&token={token}").identity for user in ("", "a:b@") for token in "xy"
    }
    assert identities == {"https://h/m?file=a&token=..."}
    versions = {SecretUrl(f"https://h/m?v=8f3kd9KJ2ls0Qm3nZ7pYt{n}").identity for n in range(2)}
    assert len(versions) == 2 and not any("8f3kd9" in text for text in versions)
    assert SecretUrl("https://h/m?file=a").identity != SecretUrl("https://h/m?file=b").identity


def test_a_value_is_hidden_in_every_spelling():
    secrets.note_secret(PASSWORD)
    spellings = [
        PASSWORD,
        "p%40ss%2Fw0rd%20word",
        "p%40ss/w0rd%20word",
        "p%40ss%2Fw0rd+word",
        base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
    ]
    for text in spellings:
        assert text not in secrets.redact(f"a {text} b")


def test_basic_authentication_is_hidden():
    secrets.note_url("https://ci:hush-hush@h/c")
    header = base64.b64encode(b"ci:hush-hush").decode()
    assert header.rstrip("=") not in secrets.redact(f"Authorization: Basic {header}")


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("GITHUB_TOKEN", "abcdef", True),
        ("AWS_SECRET_ACCESS_KEY", "abc/def", True),
        ("SECRET_7", "abcdef", True),
        ("DB_PASSWORD", "abcdef", True),
        ("API_KEY", "abcdef", True),
        ("HTTPS_PROXY", "http://me:abcdef@proxy", True),
        ("SSH_AUTH_SOCK", "/tmp/agent", False),
        ("TOKENIZERS_PARALLELISM", "abcdef", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json", False),
        ("KEY", "123", False),
        ("PATH", "abcdef", False),
        ("USE_TOKEN", "false", False),
    ],
)
def test_a_variable_is_secret_by_its_name(name, value, hidden):
    secrets.note_variables({name: value})
    assert bool(secrets.known_secrets()) is hidden


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+source.arguments.api_key=abc", "+source.arguments.api_key=..."),
        ('"password": "a b"', '"password": ...'),
        ("token: abc", "token: ..."),
        ("token: ${oc.env:TOKEN}", "token: ${oc.env:TOKEN}"),
        ("serving_default_token:0", "serving_default_token:0"),
        ("tokenizer=bert", "tokenizer=bert"),
        ("signature=static", "signature=static"),
        ("at http://me:x@h/ and a@b", "at http://...@h/ and a@b"),
    ],
)
def test_what_is_assigned_to_a_telling_name_is_not_printed(text, shown):
    assert secrets.redact(text) == shown


def test_a_key_tells_two_values_apart_and_neither_can_be_tried_out():
    for value in ("first-secret", "other-secret"):
        secrets.note_secret(value)
    steps = [
        Step(kind="import", params=secrets.protect({"a": [{"b": value}]}), inputs=(), toolchain={})
        for value in ("first-secret", "other-secret")
    ]
    assert steps[0].id != steps[1].id
    assert "secret" not in json.dumps(steps[0].action({}))
    plain = Step(kind="import", params={"a": [{"b": "first-secret"}]}, inputs=(), toolchain={})
    assert steps[0].id != plain.id
    mine = steps[0].action({})
    secrets.use_key(lambda: b"j" * 32)
    assert Step(kind="import", params=steps[0].params, inputs=(), toolchain={}).action({}) != mine


def test_without_secrets_a_key_is_what_it_was():
    params = {"a": [1, 2.5, "text", {"b": None}], "c": ("x", "y"), "url": "https://h/m.tar.gz?file=a"}
    assert hash_value("x", secrets.protect(params)) == hash_value("x", params)


def test_a_worker_is_told_and_what_is_shipped_is_not(tmp_path):
    secrets.note_secret("first-secret")
    for kind, told in (("import", "first-secret"), ("package", "...")):
        step = Step(kind=kind, params=secrets.protect({"a": "first-secret", "b": "token: x"}), inputs=(), toolchain={})
        make_step_folder(step, tmp_path / kind, Store(tmp_path / "store"), {})
        file = tmp_path / kind / "input.json"
        assert json.loads(file.read_text())["params"] == {"a": told, "b": "token: x"}
        assert file.stat().st_mode & 0o077 == 0


def test_files_of_a_build_hold_none(tmp_path):
    secrets.note_secret("first-secret")
    replace_json(tmp_path / "manifest.json", {"first-secret": ["x first-secret y", "http://me:z@h"]})
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"...": ["x ... y", "http://...@h"]}


def test_a_note_has_no_plain_hash_of_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("TFLBUILD_STORE", str(tmp_path / "store"))
    write_unchanged_note(["x"], {}, [], {"TOKEN": "1234"}, "answer")
    (note,) = (tmp_path / "store" / "plans").iterdir()
    assert hash_value("x", "1234") not in note.read_text()
    assert "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4" not in note.read_text()  # SHA-256


# in a recipe


@pytest.fixture
def recipe(empty_folder, tmp_path):
    def write(text):
        (tmp_path / "recipes").mkdir(exist_ok=True)
        (tmp_path / "recipes" / "theirs.yaml").write_text(f"defaults:\n  - override /source: function\n{text}")

    return write


def test_a_variant_is_named_without_the_secrets_that_tell_it_from_others(recipe):
    recipe("source: {call: 'm.py:f'}\n")
    composed = compose(["+recipe=theirs", "+source.arguments.api_key=aaaaaa1,bbbbbb2"], multirun=True)
    names = [one.variant for one in composed]
    assert len(set(names)) == 2
    for one in composed:
        assert "aaaaaa1" not in one.variant and "bbbbbb2" not in str(one.overrides)


def test_urls_that_differ_in_their_tokens_are_two_variants(empty_folder):
    urls = [f"https://h/m.tar.gz?token={token}" for token in ("aaaaaa1", "bbbbbb2")]
    overrides = [f"source.handle='{urls[0]}','{urls[1]}'", "source=hub", "quantization=none"]
    composed = compose(overrides, multirun=True)
    assert len({one.variant for one in composed}) == 2
    assert not any("aaaaaa1" in one.variant + str(one.overrides) for one in composed)


@pytest.mark.parametrize("key", ["name", "output_root"])
def test_a_secret_names_no_folder(recipe, monkeypatch, key):
    monkeypatch.setenv("MY_TOKEN", "abcdef-123")
    secrets.note_variables({"MY_TOKEN": "abcdef-123"})
    recipe(f"source: {{call: 'm.py:f'}}\n{key}: x-${{oc.env:MY_TOKEN}}\n")
    with pytest.raises(RecipeError) as caught:
        compose(["+recipe=theirs"])
    assert f"'{key}' contains a secret" in str(caught.value) and "abcdef-123" not in str(caught.value)


def test_a_variable_that_reads_like_a_token_is_hidden_whatever_its_name(monkeypatch):
    monkeypatch.setenv("THING", "ghp4711abcDEF0815xyzXYZ42")
    monkeypatch.setenv("FOLDER", "data-sets/2024")
    note_config({"a": ["${oc.env:THING}", "${oc.env:FOLDER}"]}, {})
    assert secrets.known_secrets() == ("ghp4711abcDEF0815xyzXYZ42",)


@pytest.mark.parametrize(
    "text",
    [
        "source: {handle: 'https://h/${oc.env:SOME_THING}/m.tar.gz'}",
        "source: {handle: 'https://h/m.tar.gz?v=${metadata.name}'}\nmetadata: {name: '${oc.env:SOME_THING}'}",
        "source: {handle: '${metadata.name}'}\nmetadata: {name: 'https://h/${oc.env:SOME_THING}'}",
        "source: {handle: '${oc.env:NONE,https://h/${oc.env:SOME_THING}}'}",
    ],
)
def test_a_recipe_sends_no_variable_to_a_host_that_it_names(recipe, monkeypatch, text):
    monkeypatch.setenv("SOME_THING", "plain")
    recipe(f"{text}\n")
    with pytest.raises(RecipeError, match=r"'source\.handle' contains one of your environment variables"):
        compose(["+recipe=theirs", "source=hub"])


def test_an_address_that_is_one_variable_or_typed_is_the_users(recipe, monkeypatch):
    monkeypatch.setenv("ADDRESS", "https://h/m.tar.gz")
    recipe("source: {handle: '${oc.env:ADDRESS}'}\n")
    typed = "https://h/${oc.env:ADDRESS}"
    assert compose(["+recipe=theirs", "source=hub"])[0].build.source.handle == "https://h/m.tar.gz"
    composed = compose(["+recipe=theirs", "source=hub", f"source.handle='{typed}'"])[0]
    assert composed.build.source.handle == "https://h/https://h/m.tar.gz"
