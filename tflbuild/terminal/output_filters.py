"""Standard output and error whose text passes filters: what a terminal acts upon is escaped, secrets are hidden."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from tflbuild.terminal.text_escaping import show_text


class FilteredStream:
    """A text stream whose `write` changes the text first. All else is that of `inner`."""

    def __init__(self, inner: TextIO, change: Callable[[str], str]) -> None:
        self.inner = inner
        self.change = change

    def write(self, text: str) -> int:
        """Write the changed text; return the length of what was given."""
        self.inner.write(self.change(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def install_output_filters() -> None:
    """Have all that this process prints from now on escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, FilteredStream):
            setattr(sys, name, FilteredStream(stream, show_text))


def drawing_stream(stream: Any) -> Any:
    """Return the stream that takes escape sequences of our own. Its other filters stay."""
    if not isinstance(stream, FilteredStream):
        return stream
    inner = drawing_stream(stream.inner)
    return inner if stream.change is show_text else FilteredStream(inner, stream.change)
