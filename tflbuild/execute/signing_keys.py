"""The keys that sign and check records, or why they cannot be used."""

from __future__ import annotations

from tflbuild.errors import MachineError
from tflbuild.storage.record_signatures import BadKeyError, RecordSigner, read_signatures

MAKE_KEYS = (
    "make a pair: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub"
)


def open_signatures() -> RecordSigner:
    """Return the keys that the user's variables name. Raises MachineError where one cannot be read."""
    try:
        return read_signatures()
    except BadKeyError as error:
        raise MachineError(
            "a key for signed records cannot be used",
            where=f"the variable {error.variable}",
            why=error.why,
            next_step=MAKE_KEYS,
        ) from None
    except ImportError as error:
        raise MachineError(
            "signed records need the package 'cryptography'",
            why=str(error),
            next_step="pip install 'tflbuild[signed]'",
        ) from None
