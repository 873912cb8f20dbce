"""Text of foreign origin, made safe to show: on a terminal, on one line, in Markdown.

Names of tensors, layers, files and recipes, and what libraries say of them, can hold sequences that move the cursor,
rewrite what was printed, or turn the direction of writing around (Unicode Technical Report 36).
"""

from __future__ import annotations

import re

ESCAPED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # direction, and what is invisible
    "\u2028\u2029\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"  # separators, surrogates, annotations, tags
)
# In prose: what begins a tag of HTML or ends the text of a link, and code. Only these, so that prose stays readable.
MARKDOWN = re.compile(r"<(?=[A-Za-z/!?])|`|\](?=[(\[])|&(?=[#A-Za-z])")


def show_text(text: str) -> str:
    """Return text with control, direction and invisible characters as Python's escapes. Lines stay lines."""
    return ESCAPED.sub(lambda match: ascii(match[0])[1:-1], text)


def show_line(text: str) -> str:
    """Return text on one line: newlines and tabs are escaped too."""
    return show_text(text.replace("\n", "\\n").replace("\t", "\\t"))


def show_prose(text: str) -> str:
    """Return text on one line for a paragraph or a heading of Markdown: without tags, links and code of its own."""
    return MARKDOWN.sub(lambda match: "\\" + match[0], show_line(text))


def show_code(text: str) -> str:
    """Return text as a code span of Markdown, for a table too."""
    line = show_line(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence, space = "`" * (longest + 1), " " if "`" in line or not line.strip() else ""
    return f"{fence}{space}{line}{space}{fence}"
