"""URLs that may hold a password, a token or a signature: one type, whose text leaves those out."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from tflbuild.core.digest import HasIdentity

HIDDEN = "..."

# Names of query parameters whose values open something.
SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|pwd|signature|credential|auth|session|jwt|(api|access|private|signing)[-_.]?key"
    r"|^(x-[a-z]+-)?(sig|sas|key|code|pass|pw|otp|ticket)$",
    re.IGNORECASE,
)
# A value without a telling name that reads like a token: long, of letters and digits, and no name of a file.
TOKEN_VALUE = re.compile(r"(?=[^&]*[A-Za-z])(?=[^&]*[0-9])[A-Za-z0-9_+/=~%-]{20,}")
USER = re.compile(r"(?P<mark>://)[^/?#\s'\"<>]*@")
PARAMETER = re.compile(r"(?P<name>(?<=[?&#])[A-Za-z0-9_.%\[\]-]+)=(?P<value>[^&#\s'\"<>()]+)")
MOST_IDENTITIES = 256


def hide_in_urls(text: str) -> str:
    """Return a text with users, tokens and signatures of the URLs in it replaced by `...`."""
    if "://" not in text and "=" not in text:
        return text
    text = USER.sub(rf"\g<mark>{HIDDEN}@", text)
    return PARAMETER.sub(lambda match: f"{match['name']}={_shown_value(match['name'], match['value'])}", text)


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name holds what must not be shown."""
    return bool(SECRET_NAME.search(unquote(name)))


def _shown_value(name: str, value: str) -> str:
    return HIDDEN if is_secret_name(name) or TOKEN_VALUE.fullmatch(value) else value


class SecretUrl(HasIdentity):
    """A URL, a handle or a path. `str` shows it without what may be secret; only `reveal` has all of it.

    It is no `str`, so that it cannot be written or joined by mistake: what forgets to choose is a TypeError.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def of(cls, url: SecretUrl | str) -> SecretUrl:
        """Return a URL that may be plain text yet as this type."""
        return url if isinstance(url, SecretUrl) else cls(url)

    def reveal(self) -> str:
        """Return the whole text, for the request itself and nothing else."""
        return self._text

    @property
    def scheme(self) -> str:
        """The scheme in lower case, "" for a path."""
        scheme, mark, _ = self._text.partition("://")
        return scheme.lower() if mark else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The parts that must not be shown, as they were written and decoded."""
        try:
            parts = urlsplit(self._text)
        except ValueError:
            return ()
        found = []
        user, mark, _ = parts.netloc.rpartition("@")
        if mark:
            name, _, password = user.partition(":")
            found += [user, password or name]
        for match in PARAMETER.finditer(self._text):
            if _shown_value(match["name"], match["value"]) == HIDDEN:
                found.append(match["value"])
        decoded = [*map(unquote, found), *map(unquote_plus, found)]
        return tuple(dict.fromkeys(text for text in (*found, *decoded) if text))

    @property
    def identity(self) -> str:
        """What keys know it by: the resource without the user's rights to it.

        Users, signatures and named tokens are left out: another password does not name another file. A value that
        only reads like a token may name one (a version of an object), so a slow hash of it stays.
        """
        return identify(self._text)

    def __str__(self) -> str:
        return hide_in_urls(self._text)

    def __repr__(self) -> str:
        return f"SecretUrl({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash((SecretUrl, self._text))

    def __reduce__(self) -> tuple[Any, ...]:
        return SecretUrl, (self._text,)


@lru_cache(MOST_IDENTITIES)
def identify(text: str) -> str:
    """Return the part of a URL that says which resource it names; see `SecretUrl.identity`."""
    if "://" not in text:
        return text

    def known_value(match: re.Match[str]) -> str:
        if is_secret_name(match["name"]):
            return f"{match['name']}={HIDDEN}"
        if TOKEN_VALUE.fullmatch(match["value"]):
            return f"{match['name']}=~{_slow_hash(match['value'])}"
        return match[0]

    return PARAMETER.sub(known_value, USER.sub(r"\g<mark>", text))


def _slow_hash(value: str) -> str:
    """Return 64 bits of scrypt, which takes about 50 ms: nobody tries a list of passwords with it in passing."""
    return hashlib.scrypt(value.encode(), salt=b"tflbuild identity of a URL", n=1 << 14, r=8, p=1, dklen=8).hex()
