"""Which store is shared with others, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Access = Literal["http", "objects"]

# scheme of a URL -> how what it names is reached
SCHEMES: dict[str, Access] = {"http": "http", "https": "http", "s3": "objects", "gs": "objects", "az": "objects"}


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A store behind the one of this machine. `url` may hold a password; results go there with `push` alone."""

    url: str
    push: bool = False

    @property
    def access(self) -> Access:
        """What speaks to it: plain HTTP, or the library for object stores."""
        return SCHEMES[self.url.partition("://")[0]]
