"""Streams that escape and hide, one above the other."""

import io

from tflbuild.terminal.output_filters import FilteredStream, drawing_stream
from tflbuild.terminal.text_escaping import show_text

CLEAR = "\x1b[2K"


def hide(text):
    return text.replace("secret", "...")


def test_text_passes_every_filter():
    inner = io.StringIO()
    stream = FilteredStream(FilteredStream(inner, show_text), hide)
    assert stream.write(f"{CLEAR}secret") == len(CLEAR) + 6
    stream.writelines(["a\n", "secret\n"])
    assert inner.getvalue() == "\\x1b[2K...a\n...\n"
    assert stream.getvalue() == inner.getvalue()


def test_drawing_is_not_escaped_and_secrets_are_hidden_in_it_too():
    for order in ([show_text, hide], [hide, show_text]):
        inner = stream = io.StringIO()
        for change in order:
            stream = FilteredStream(stream, change)
        drawing_stream(stream).write(f"{CLEAR}secret")
        assert inner.getvalue() == f"{CLEAR}..."


def test_another_stream_stays_what_it_is():
    stream = io.StringIO()
    assert drawing_stream(stream) is stream
