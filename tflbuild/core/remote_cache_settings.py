"""Which store is shared with others, what it is for, and whether the user agreed to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tflbuild.core.secret_urls import SecretUrl

Access = Literal["http", "objects"]
Use = Literal["read", "push"]

# scheme of a URL -> how what it names is reached
SCHEMES: dict[str, Access] = {"http": "http", "https": "http", "s3": "objects", "gs": "objects", "az": "objects"}
DEFAULT_SECONDS = 60.0
SIGNING_KEY, TRUSTED_KEYS = "TFLBUILD_SIGNING_KEY", "TFLBUILD_TRUSTED_KEYS"  # variables that name files of keys
SIGNED = "signed "  # begins the origin of a record that was taken because of its signature


@dataclass(frozen=True, kw_only=True)
class RemoteCacheSettings:
    """A store behind the one of this machine. Results go there with `push` alone.

    `seconds` is how long a build waits for it in all. `unconfirmed` is what a recipe wants it for and the user has not
    agreed to, and `where` the place that names it.
    """

    url: SecretUrl
    push: bool = False
    seconds: float = DEFAULT_SECONDS
    unconfirmed: tuple[Use, ...] = ()
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", SecretUrl.of(self.url))

    @property
    def access(self) -> Access:
        """What speaks to it: plain HTTP, or the library for object stores."""
        return SCHEMES[self.url.scheme]

    @property
    def origin(self) -> str:
        """What records that came from it are marked with, and what a user confirms: scheme, host and path."""
        return store_origin(self.url)

    @property
    def usable(self) -> bool:
        """Whether this build may ask it."""
        return "read" not in self.unconfirmed


def store_origin(url: SecretUrl) -> str:
    """Return the scheme, host, port and path of a store's URL, in one spelling."""
    parts = urlsplit(url.reveal())
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host  # an IPv6 address; what follows it is a port
    port = {"http": 80, "https": 443}.get(parts.scheme)
    place = host if parts.port in (None, port) else f"{host}:{parts.port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
