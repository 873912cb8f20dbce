"""Remote cache on an HTTP server, with GET, HEAD and PUT below a URL, as in Bazel's HTTP caching protocol."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, nullcontext
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from tflbuild.core.remote_cache_settings import store_origin
from tflbuild.core.secret_urls import SecretUrl
from tflbuild.storage.remote_storage import (
    CHUNK_BYTES,
    CONNECT_SECONDS,
    SILENT_SECONDS,
    BlobMissing,
    BlobTruncated,
    RemoteUnavailable,
)
from tflbuild.terminal.addresses import innermost, public_part

# HTTP status codes of success, of a missing file, and of a refusal with its explanation.
SUCCESS = (200, 201, 202, 204)
MISSING = (404, 410)
REFUSALS = {
    401: "it requires a login: put the user and the password into ~/.netrc or into the URL",
    403: "access is denied",
    405: "it does not accept uploads",
}


class HttpRemote:
    """The remote cache below a URL.

    Each thread keeps its connections open. Proxies, certificates and ~/.netrc work as in the package requests.

    Args:
        url: The URL. Its user and password are used for basic authentication.
        connect: The longest time for a connection, in seconds.
        silent: The longest time without a byte, in seconds.
    """

    def __init__(
        self, url: SecretUrl | str, *, connect: float = CONNECT_SECONDS, silent: float = SILENT_SECONDS
    ) -> None:
        url = SecretUrl.of(url)
        parts = urlsplit(url.reveal())
        self.base = public_part(url.reveal()).rstrip("/")
        self.origin = store_origin(url)
        self.host = parts.netloc.rpartition("@")[2]
        self.limits = (connect, silent)
        self._user = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
        self._thread_local = threading.local()

    def read(self, name: str) -> Generator[bytes, None, None]:
        with closing(self._request("GET", name)) as response:
            try:
                # The content is not decoded: a compressed file must arrive with the bytes that its digest is over.
                yield from response.raw.stream(CHUNK_BYTES, decode_content=False)
            except urllib3.exceptions.TimeoutError as error:
                raise RemoteUnavailable(f"no data for {self.limits[1]:g} s") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise BlobTruncated(innermost(error)) from error

    def size(self, name: str) -> int | None:
        try:
            with closing(self._request("HEAD", name)) as response:
                return int(response.headers.get("Content-Length", -1))
        except BlobMissing:
            return None

    def write(self, name: str, path: Path) -> None:
        try:
            self._request("PUT", name, path).close()
        except BlobMissing as error:
            raise RemoteUnavailable("it answers 404 to PUT: it does not accept uploads") from error

    def _session(self) -> requests.Session:
        """Return the session of this thread. Sessions of requests are not safe for use by several threads."""
        if not hasattr(self._thread_local, "session"):
            self._thread_local.session = requests.Session()
            self._thread_local.session.auth = self._user
            self._thread_local.session.headers["Accept-Encoding"] = "identity"
        session: requests.Session = self._thread_local.session
        return session

    def _request(self, method: str, name: str, path: Path | None = None) -> requests.Response:
        """Send a request and return its successful response.

        Raises:
            BlobMissing: The server has no file of this name.
            RemoteUnavailable: The server cannot be reached, or refuses the request.
        """
        try:
            response = self._send(method, name, path)
        except requests.RequestException as error:
            raise RemoteUnavailable(self._describe_error(error)) from error
        except ValueError as error:
            # requests parses the target of a redirect even if it does not follow it.
            raise RemoteUnavailable(f"it redirects {method} to an address without a valid host") from error
        if response.status_code in SUCCESS:
            return response
        response.close()
        if response.status_code in MISSING:
            raise BlobMissing(name)
        if response.is_redirect:
            raise RemoteUnavailable(
                f"it redirects {method} to {_redirect_host(response)}: use that URL instead, if it is a remote cache"
            )
        reason = REFUSALS.get(response.status_code, response.reason or "")
        raise RemoteUnavailable(f"it answers {response.status_code} to {method}" + (f": {reason}" if reason else ""))

    def _describe_error(self, error: requests.RequestException) -> str:
        """Return a description of a failed request without its URL, which may contain a password."""
        connect, silent = self.limits
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection within {connect:g} s"
        inner = error.args[0] if error.args else None
        if isinstance(error, requests.Timeout) or isinstance(inner, urllib3.exceptions.TimeoutError):
            return f"no data for {silent:g} s"
        return innermost(error)

    def _send(self, method: str, name: str, path: Path | None) -> requests.Response:
        """Send a request. It is sent again if the server had closed the connection that was kept open."""
        try:
            return self._send_once(method, name, path)
        except requests.ConnectionError as error:
            if not (error.args and isinstance(error.args[0], urllib3.exceptions.ProtocolError)):
                raise
        return self._send_once(method, name, path)

    def _send_once(self, method: str, name: str, path: Path | None) -> requests.Response:
        with nullcontext() if path is None else open(path, "rb") as body:
            return self._session().request(
                method,
                f"{self.base}/{name}",
                # For an empty file object, requests would send no Content-Length.
                data=body if path is None or path.stat().st_size else b"",
                stream=True,
                timeout=self.limits,
                # The user agreed to this host only.
                allow_redirects=False,
            )


def _redirect_host(response: requests.Response) -> str:
    """Return the host to which a response redirects, or a description if there is none."""
    try:
        return urlsplit(response.headers.get("Location", "")).hostname or "another path"
    except ValueError:
        return "no host"
