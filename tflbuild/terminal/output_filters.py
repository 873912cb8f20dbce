"""Filters for standard output and standard error, which escape control characters and hide secrets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from tflbuild.terminal.text_escaping import show_text


class FilteredStream:
    """A text stream that applies `change` to all text that is written. Other attributes are those of `inner`."""

    def __init__(self, inner: TextIO, change: Callable[[str], str]) -> None:
        self.inner = inner
        self.change = change

    def write(self, text: str) -> int:
        """Write the changed text, and return the length of the original text."""
        self.inner.write(self.change(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def install_output_filters() -> None:
    """Escape control characters in everything that this process prints from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, FilteredStream):
            setattr(sys, name, FilteredStream(stream, show_text))


def drawing_stream(stream: Any) -> Any:
    """Return the stream without the filter that escapes control characters, for tflbuild's own escape sequences."""
    if not isinstance(stream, FilteredStream):
        return stream
    inner = drawing_stream(stream.inner)
    return inner if stream.change is show_text else FilteredStream(inner, stream.change)
