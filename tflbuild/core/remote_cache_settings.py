"""Settings of a remote cache, and whether the user has agreed to its use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tflbuild.core.secret_urls import SecretUrl

Access = Literal["http", "objects"]
Use = Literal["read", "push"]

# How a server is accessed, by the scheme of its URL.
SCHEMES: dict[str, Access] = {"http": "http", "https": "http", "s3": "objects", "gs": "objects", "az": "objects"}
DEFAULT_SECONDS = 60.0
# The environment variables that name key files.
SIGNING_KEY, TRUSTED_KEYS = "TFLBUILD_SIGNING_KEY", "TFLBUILD_TRUSTED_KEYS"
# The prefix of the origin of a record that a trusted key has signed.
SIGNED = "signed "


@dataclass(frozen=True, kw_only=True)
class RemoteCacheSettings:
    """The settings of a remote cache.

    Attributes:
        url: The URL of the server.
        push: Upload results.
        seconds: The total time that a build may wait for the server.
        unconfirmed: The uses that the recipe requests and the user has not agreed to.
        where: The location of the setting, for messages.
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
        """Return how the server is accessed: by HTTP, or by the library for object stores."""
        return SCHEMES[self.url.scheme]

    @property
    def origin(self) -> str:
        """Return the name of the remote cache in records and in the user's confirmation: scheme, host and path."""
        return store_origin(self.url)

    @property
    def usable(self) -> bool:
        """Return whether this build may download from it."""
        return "read" not in self.unconfirmed


def store_origin(url: SecretUrl) -> str:
    """Return the scheme, host, port and path of a store's URL, in one spelling."""
    parts = urlsplit(url.reveal())
    host = (parts.hostname or "").lower()
    # An IPv6 address is put into brackets, so that its colons are not mistaken for that of a port.
    host = f"[{host}]" if ":" in host else host
    default_port = {"http": 80, "https": 443}.get(parts.scheme)
    location = host if parts.port in (None, default_port) else f"{host}:{parts.port}"
    return f"{parts.scheme}://{location}{parts.path.rstrip('/')}"
