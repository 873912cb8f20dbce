"""Loading of the keys that sign and check records, with errors for the user."""

from __future__ import annotations

from tflbuild.errors import MachineError
from tflbuild.storage.record_signatures import BadKeyError, RecordSigner, read_signatures

MAKE_KEYS = (
    "make a pair: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub"
)


def open_signatures() -> RecordSigner:
    """Return the keys that the environment variables of the user name.

    Raises:
        MachineError: A key cannot be read, or the package `cryptography` is missing.
    """
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
