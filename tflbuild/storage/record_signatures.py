"""Signed records: whose key says that a record is right.

A signature is Ed25519 over the text of a record's body, beside it in the envelope that is sent. Which key signs and
which keys are believed comes from the user's own settings alone, never from a recipe:

    TFLBUILD_SIGNING_KEY     a private key (PEM); what this machine sends is signed
    TFLBUILD_TRUSTED_KEYS    public keys (PEM, one after another); what no key of them signed is not taken

Blobs need no signature: a signed record names their digests.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tflbuild.core.remote_cache_settings import SIGNED, SIGNING_KEY, TRUSTED_KEYS
from tflbuild.core.untrusted_files import parse_json, read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

T = TypeVar("T")
MOST_KEY_BYTES = 1 << 20
PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\s*", re.DOTALL)


class BadKeyError(Exception):
    """A file that should hold a key holds none. The text says which, and `why`."""

    def __init__(self, variable: str, why: str) -> None:
        super().__init__(f"{variable}: {why}")
        self.variable = variable
        self.why = why


@dataclass(frozen=True)
class RecordSigner:
    """The keys of one run. Without keys records are neither signed nor held against a signature."""

    private: Ed25519PrivateKey | None = None
    public: tuple[Ed25519PublicKey, ...] = ()

    def mark(self, origin: str) -> str:
        """Return how a record that is accepted is marked with the store that it came from."""
        return f"{SIGNED}{origin}" if self.public else origin

    def sign(self, raw: bytes) -> bytes:
        """Return a record's file with a signature in it, where this machine signs."""
        if self.private is None:
            return raw
        envelope = json.loads(raw)
        signature = self.private.sign(envelope["body"].encode())
        return json.dumps({**envelope, "signature": base64.b64encode(signature).decode()}).encode()

    def accept(self, raw: bytes) -> bool:
        """Whether a record's file may be believed: a trusted key signed it, or none is asked for."""
        if not self.public:
            return True
        from cryptography.exceptions import InvalidSignature

        try:
            envelope = parse_json(raw)
            body, signature = envelope["body"].encode(), base64.b64decode(envelope["signature"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError):  # of JSON and of base64
            return False
        for key in self.public:
            try:
                key.verify(signature, body)
            except InvalidSignature:
                continue
            return True
        return False


def read_signatures() -> RecordSigner:
    """Return the keys that the environment names. Raises BadKeyError, and ImportError without `cryptography`."""
    private, public = os.environ.get(SIGNING_KEY), os.environ.get(TRUSTED_KEYS)
    return RecordSigner(
        private=_read_private(private) if private else None,
        public=_read_public(public) if public else (),
    )


def believed_origins(origin: str) -> frozenset[str]:
    """Return the marks of records that a build which uses this store believes: signed ones alone, where keys say so."""
    signed = f"{SIGNED}{origin}"
    return frozenset({signed} if os.environ.get(TRUSTED_KEYS) else {signed, origin})


def _read_private(path: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load(SIGNING_KEY, path, lambda raw: load_pem_private_key(raw, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyError(SIGNING_KEY, f"{path} is no Ed25519 key")
    return key


def _read_public(path: str) -> tuple[Ed25519PublicKey, ...]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys = _load(TRUSTED_KEYS, path, lambda raw: [load_pem_public_key(part) for part in PUBLIC_KEY.findall(raw)])
    usable = tuple(key for key in keys if isinstance(key, Ed25519PublicKey))
    if not keys or len(usable) < len(keys):
        raise BadKeyError(TRUSTED_KEYS, f"{path} has no public keys, or others than Ed25519")
    return usable


def _load(variable: str, path: str, parse: Callable[[bytes], T]) -> T:
    """Read and parse a file of keys. Raises BadKeyError."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return parse(read_file(Path(path).expanduser(), MOST_KEY_BYTES))
    except OSError as error:
        raise BadKeyError(variable, f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeyError(variable, f"{path} holds no key that can be read") from None
