"""URLs and what went wrong with them, in words that a person may see."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

LONGEST = 300


def public_part(url: str) -> str:
    """A URL without what may be secret or different the next time: user, query, fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def innermost(error: BaseException) -> str:
    """What an exception of requests or urllib3 has at its core, without the addresses of objects around it."""
    inner = [getattr(error, "reason", None), *error.args, error.__cause__]
    found = next((one for one in inner if isinstance(one, BaseException)), None)
    if found is not None:
        return innermost(found)
    text = re.sub(r"^<[^>]*>: |^\w+\(host=[^)]*\): ", "", str(error)) or type(error).__name__
    return text[:LONGEST]
