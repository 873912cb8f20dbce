"""The secrets of this run, and how nothing of them is shown, written or sent by mistake.

A secret is known by its value: passwords, tokens and signatures in URLs, variables of the environment whose names say
so, and arguments whose names do. What is shown passes `redact`, what is recorded `hide`; what becomes part of a key
passes `protect`, which puts a keyed hash in the place of the value: two values have two keys, and nobody without this
user's key can try a list of passwords. Only the worker that needs the value is given it (`reveal_json`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from tflbuild.core.digest import map_leaves
from tflbuild.core.secret_urls import HIDDEN, TOKEN_VALUE, SecretUrl, hide_in_urls, identify

SHORTEST = 5  # characters; shorter values are hidden in URLs and assignments alone, since they occur everywhere
HARMLESS = frozenset({"false", "default", "enabled", "disabled", "password", "secret", "token"})
# The last word of a variable's or an argument's name that says that its value is secret.
SECRET_WORD = re.compile(
    r"(^|[_.-])(token|secret|password|passwd|passphrase|credentials?|auth|signature|sas|pass|pwd|key)s?([_-]?[0-9]+)?$"
    r"|(api|access|private|signing)[_-]?key(id)?$|(token|secret|password|passwd)([_-].*)?$",
    re.IGNORECASE,
)
# `token=...` and `api_key: ...` in any text, such as an override that an error quotes.
ASSIGNMENT = re.compile(
    r"(?P<name>[\w.-]*(?:token|secret|password|passwd|passphrase|api_?key|access_?key|private_?key|credentials?)"
    r"(?:_?[0-9]+)?[\"']?(?:=|: ?))(?!\$\{)(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&'\"{}\[\]()<>]+)",
    re.IGNORECASE,
)
INTERPOLATED = ("${", "null", "None", "true", "True", "false", "False", "???", HIDDEN)

_known: dict[str, re.Pattern[str]] = {}
_all: list[re.Pattern[str]] = []
_load_key: Callable[[], bytes] | None = None


def use_key(load: Callable[[], bytes]) -> None:
    """Say where the key of this user's hashes comes from. It is asked for with the first secret."""
    global _load_key
    _load_key = load


def current_key() -> bytes:
    """Return the key of this user's hashes, for another process of the same build."""
    return b"" if _load_key is None else _load_key()


def note_secret(value: str) -> None:
    """Hide a value from now on, in every spelling that text has for it."""
    if len(value) < SHORTEST or value.lower() in HARMLESS or value in _known:
        return
    raw = value.encode(errors="surrogateescape")
    spellings = {
        value,
        quote(value, safe="", errors="surrogateescape"),
        quote(value, errors="surrogateescape"),
        quote_plus(value, errors="surrogateescape"),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        html.escape(value),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
    texts = sorted(filter(None, spellings), key=len, reverse=True)
    _known[value] = re.compile("|".join(map(re.escape, texts)))
    _all[:] = [_known[text] for text in sorted(_known, key=len, reverse=True)]


def note_url(text: str) -> None:
    """Hide what a URL has of users, tokens and signatures."""
    for secret in SecretUrl(text).secrets:
        note_secret(secret)


def note_variables(environment: Mapping[str, str]) -> None:
    """Hide the values of the variables whose names say that they are secret, and users in the URLs of the others."""
    for name, value in environment.items():
        if "://" in value:
            note_url(value)
        elif SECRET_WORD.search(name) and not value.startswith("/") and not _is_small_number(value):
            note_secret(value)


def note_interpolated(value: str) -> None:
    """Hide a variable's value that a recipe reads, where it reads like a token."""
    if "://" in value:
        note_url(value)
    elif TOKEN_VALUE.fullmatch(value):
        note_secret(value)


def note_arguments(value: Any, name: str = "") -> None:
    """Hide the texts of a nested value whose names say that they are secret, and what its URLs have of secrets."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            note_arguments(item, str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            note_arguments(item, name)
    elif isinstance(value, str):
        if "://" in value:
            note_url(value)
        elif SECRET_WORD.search(name) and not value.startswith("/"):
            note_secret(value)


def note_override(text: str) -> None:
    """Hide what an override of the command line has of secrets, before anything of it is read: `key=value`."""
    name, _, value = text.partition("=")
    note_url(value.strip("'\""))
    if ".arguments." in name:
        for part in value.split(","):
            note_arguments(part.strip("'\""), name)


def known_secrets() -> tuple[str, ...]:
    """Return the values that are hidden, for another process of the same build."""
    return tuple(_known)


def hide_values(text: str) -> str:
    """Return a text without the values that are known to be secret. Nothing else of it changes."""
    for pattern in _all:
        text = pattern.sub(HIDDEN, text)
    return text


def hide(text: str) -> str:
    """Return a text without known secrets, and without those that stand in URLs."""
    return hide_in_urls(hide_values(text))


def redact(text: str) -> str:
    """Return a text for the screen or a log: what is assigned to a telling name is left out as well."""
    return ASSIGNMENT.sub(_hide_assigned, hide(text))


def _hide_assigned(match: re.Match[str]) -> str:
    value = match["value"].strip("\"'")
    if not value or value.startswith(INTERPOLATED) or _is_small_number(value):
        return match[0]
    return f"{match['name']}{HIDDEN}"


def _is_small_number(value: str) -> bool:
    return value.isdecimal() and len(value) <= SHORTEST


def hide_json(value: Any) -> Any:
    """Return JSON as others may see it."""
    if isinstance(value, Mapping):
        return {hide(key) if isinstance(key, str) else key: hide_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_json(item) for item in value]
    return hide(value) if isinstance(value, str) else show_json(value)


def show_json(value: Any) -> Any:
    """Return parameters in which what is secret is shown without; all else stays as it is."""
    return map_leaves(value, lambda leaf: str(leaf) if isinstance(leaf, SecretUrl) else leaf)


def replace_secrets_with_hashes(text: str) -> str:
    """Return a text in which a keyed hash stands for each secret: as distinct as the text, and safe to publish."""
    for value, pattern in sorted(_known.items(), key=lambda pair: len(pair[0]), reverse=True):
        if pattern.search(text):
            text = pattern.sub(f"~{_keyed_hash(value)}", text)
    return text


def _keyed_hash(value: str) -> str:
    assert _load_key is not None, "a secret is marked before this user's key is known"
    return hmac.new(_load_key(), value.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()[:16]


class SecretText(SecretUrl):
    """A text with secrets in it."""

    __slots__ = ()

    @property
    def identity(self) -> str:
        return replace_secrets_with_hashes(identify(self.reveal()))

    def __str__(self) -> str:
        return hide(self.reveal())

    def __reduce__(self) -> tuple[Any, ...]:
        return SecretText, (self.reveal(),)


def protect(value: Any) -> Any:
    """Return parameters of a step in which every text that holds a secret is of the type that hides it."""
    if isinstance(value, Mapping):
        return {key: protect(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(protect, value))
    if isinstance(value, str) and (holds_secret(value) or identify(value) != value):
        return SecretText(value)
    return value


def holds_secret(text: str) -> bool:
    """Whether a text holds a secret."""
    return any(pattern.search(text) for pattern in _all)


def reveal_json(value: Any) -> Any:
    """Return parameters with their secrets, for the worker that needs them and nobody else."""
    return map_leaves(value, lambda leaf: leaf.reveal() if isinstance(leaf, SecretUrl) else leaf)


def forget_secrets(values: Iterable[str] = ()) -> None:
    """Hide these values alone from now on; for tests, and for a process that serves one command after another."""
    _known.clear()
    _all.clear()
    for value in values:
        note_secret(value)
