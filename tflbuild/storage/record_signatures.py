"""Signatures of records: uploaded records are signed, and downloaded records are accepted only from trusted keys.

A signature is Ed25519 over the text of a record's body. It is sent in the same envelope as the body. Only the
environment of the user decides which key signs and which keys are trusted, never a recipe:

    TFLBUILD_SIGNING_KEY     the file of a private key (PEM), which signs the records that this machine uploads
    TFLBUILD_TRUSTED_KEYS    a file of public keys (PEM, one after another); records signed by no such key are rejected

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
    """A key file that cannot be used. `variable` is the environment variable that names it, `why` the reason."""

    def __init__(self, variable: str, why: str) -> None:
        super().__init__(f"{variable}: {why}")
        self.variable = variable
        self.why = why


@dataclass(frozen=True)
class RecordSigner:
    """The keys of a run. Without a private key, records are not signed; without public keys, all are accepted."""

    private: Ed25519PrivateKey | None = None
    public: tuple[Ed25519PublicKey, ...] = ()

    def mark(self, origin: str) -> str:
        """Return the origin that is noted in an accepted record: the remote cache, and whether it had to be signed."""
        return f"{SIGNED}{origin}" if self.public else origin

    def sign(self, raw: bytes) -> bytes:
        """Return the bytes of a record file with a signature, or unchanged if this machine has no signing key."""
        if self.private is None:
            return raw
        envelope = json.loads(raw)
        signature = self.private.sign(envelope["body"].encode())
        return json.dumps({**envelope, "signature": base64.b64encode(signature).decode()}).encode()

    def accept(self, raw: bytes) -> bool:
        """Return whether a trusted key has signed the bytes of a record file, or no trusted keys are configured."""
        if not self.public:
            return True
        from cryptography.exceptions import InvalidSignature

        try:
            envelope = parse_json(raw)
            body, signature = envelope["body"].encode(), base64.b64decode(envelope["signature"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError):
            # The bytes are not JSON of the expected shape, or the signature is not base64.
            return False
        for key in self.public:
            try:
                key.verify(signature, body)
            except InvalidSignature:
                continue
            return True
        return False


def read_signatures() -> RecordSigner:
    """Return the keys that the environment variables name.

    Raises:
        BadKeyError: A key file cannot be read, or contains no usable key.
        ImportError: The package `cryptography` is missing.
    """
    private_path, public_path = os.environ.get(SIGNING_KEY), os.environ.get(TRUSTED_KEYS)
    return RecordSigner(
        private=_read_private_key(private_path) if private_path else None,
        public=_read_public_keys(public_path) if public_path else (),
    )


def trusted_origins(origin: str) -> frozenset[str]:
    """Return the origins of records that are valid for a build with this remote cache.

    If the user has configured trusted keys, only the origin of signed records is among them.
    """
    signed = f"{SIGNED}{origin}"
    return frozenset({signed} if os.environ.get(TRUSTED_KEYS) else {signed, origin})


def _read_private_key(path: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load_keys(SIGNING_KEY, path, lambda raw: load_pem_private_key(raw, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyError(SIGNING_KEY, f"{path} is not an Ed25519 key")
    return key


def _read_public_keys(path: str) -> tuple[Ed25519PublicKey, ...]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys = _load_keys(TRUSTED_KEYS, path, lambda raw: [load_pem_public_key(part) for part in PUBLIC_KEY.findall(raw)])
    usable = tuple(key for key in keys if isinstance(key, Ed25519PublicKey))
    if not keys or len(usable) < len(keys):
        raise BadKeyError(TRUSTED_KEYS, f"{path} contains no public keys, or keys that are not Ed25519")
    return usable


def _load_keys(variable: str, path: str, parse: Callable[[bytes], T]) -> T:
    """Read and parse a key file.

    Raises:
        BadKeyError: The file cannot be read or parsed.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return parse(read_file(Path(path).expanduser(), MOST_KEY_BYTES))
    except OSError as error:
        raise BadKeyError(variable, f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeyError(variable, f"{path} contains no readable key") from None
