"""A shared store behind plain HTTP: GET, HEAD and PUT below a URL, as Bazel's HTTP cache has them."""

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

DONE = (200, 201, 202, 204)
GONE = (404, 410)
REFUSED = {
    401: "it asks who you are: put user and password into ~/.netrc or into the URL",
    403: "it does not let you",
    405: "it takes no files",
}


class HttpRemote:
    """Connections are kept and used again, one set a thread. Proxies, certificates and ~/.netrc as in requests."""

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
        self._own = threading.local()

    def read(self, name: str) -> Generator[bytes, None, None]:
        with closing(self._ask("GET", name)) as response:
            try:
                yield from response.raw.stream(CHUNK_BYTES, decode_content=False)  # what is packed stays packed
            except urllib3.exceptions.TimeoutError as error:  # what a silence in the middle comes as
                raise RemoteUnavailable(f"not a byte for {self.limits[1]:g} s") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise BlobTruncated(innermost(error)) from error

    def size(self, name: str) -> int | None:
        try:
            with closing(self._ask("HEAD", name)) as response:
                return int(response.headers.get("Content-Length", -1))
        except BlobMissing:
            return None

    def write(self, name: str, path: Path) -> None:
        try:
            self._ask("PUT", name, path).close()
        except BlobMissing as error:
            raise RemoteUnavailable("it answers 404 to PUT: it takes no files") from error

    def _session(self) -> requests.Session:
        """One for each thread: requests promises no more."""
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.auth = self._user
            self._own.session.headers["Accept-Encoding"] = "identity"
        session: requests.Session = self._own.session
        return session

    def _ask(self, method: str, name: str, path: Path | None = None) -> requests.Response:
        try:
            response = self._send(method, name, path)
        except requests.RequestException as error:
            raise RemoteUnavailable(self._words(error)) from error
        except ValueError as error:  # requests reads where a redirect leads
            raise RemoteUnavailable(f"it redirects {method} to no host") from error
        if response.status_code in DONE:
            return response
        response.close()
        if response.status_code in GONE:
            raise BlobMissing(name)
        if response.is_redirect:
            raise RemoteUnavailable(
                f"it redirects {method} to {_host_of(response)}: name that store instead, if it is one"
            )
        why = REFUSED.get(response.status_code, response.reason or "")
        raise RemoteUnavailable(f"it answers {response.status_code} to {method}" + (f": {why}" if why else ""))

    def _words(self, error: requests.RequestException) -> str:
        connect, silent = self.limits
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection within {connect:g} s"
        inner = error.args[0] if error.args else None
        if isinstance(error, requests.Timeout) or isinstance(inner, urllib3.exceptions.TimeoutError):
            return f"not a byte for {silent:g} s"
        return innermost(error)

    def _send(self, method: str, name: str, path: Path | None) -> requests.Response:
        """Once more where a connection that was kept turned out to be closed."""
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
                data=body
                if path is None or path.stat().st_size
                else b"",  # of an empty file it would not tell the length
                stream=True,
                timeout=self.limits,
                allow_redirects=False,  # the user agreed to this host, and to no other that it names
            )


def _host_of(response: requests.Response) -> str:
    """Where a redirect leads, in words."""
    try:
        return urlsplit(response.headers.get("Location", "")).hostname or "another path"
    except ValueError:
        return "no host"
