"""Removal of secrets from standard output and standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from netrc import NetrcParseError, netrc

from tflbuild.core.secrets import note_override, note_secret, note_variables, redact, use_key
from tflbuild.locations import identity_key
from tflbuild.terminal.output_filters import FilteredStream


@contextmanager
def redacted_output(arguments: Sequence[str]) -> Iterator[None]:
    """Hide secrets in everything that is printed while the block runs.

    If the block raises an exception other than SystemExit, secrets stay hidden, so that the traceback has none.
    """
    use_key(identity_key)
    note_variables(os.environ)
    note_netrc()
    for text in arguments:
        note_override(text)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (FilteredStream(stream, redact) for stream in streams)
    try:
        yield
    except SystemExit:
        sys.stdout, sys.stderr = streams
        raise
    sys.stdout, sys.stderr = streams


def note_netrc() -> None:
    """Hide the passwords of ~/.netrc, which requests sends to the hosts that it names."""
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    with suppress(OSError, NetrcParseError, UnicodeDecodeError):
        for _, _, password in netrc(path).hosts.values():
            note_secret(password or "")
