"""Standard output and error that escape what a terminal would act upon."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tflbuild.core.printable import show_text


class SafeStream:
    """A text stream whose `write` escapes control characters. `inner` is the stream itself, for what draws on it."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    def write(self, text: str) -> int:
        """Write text with its control characters escaped; return its length before that."""
        self.inner.write(show_text(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def guard_streams() -> None:
    """Have all that this process prints from now on escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream))


def drawing_stream(stream: Any) -> Any:
    """Return the stream that takes escape sequences of our own."""
    return stream.inner if isinstance(stream, SafeStream) else stream
