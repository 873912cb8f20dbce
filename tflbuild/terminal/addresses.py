"""URLs and network errors as text without secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

LONGEST = 300


def public_part(url: str) -> str:
    """Return a URL without user, query and fragment, which may be secret or differ from one request to the next."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def innermost(error: BaseException) -> str:
    """Return the text of the innermost cause of an error of requests or urllib3, without addresses of objects."""
    candidates = [getattr(error, "reason", None), *error.args, error.__cause__]
    cause = next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
    if cause is not None:
        return innermost(cause)
    text = re.sub(r"^<[^>]*>: |^\w+\(host=[^)]*\): ", "", str(error)) or type(error).__name__
    return text[:LONGEST]
