"""A shared store in this process: a dictionary behind HTTP, which can be told to misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL_SECONDS = 5
TRICKLE_SECONDS = 0.1  # between two bytes


class Shelf:
    """`files` by path; `answers` by path: a status, "cut", "stall", "stall within", "drop", or "trickle".

    What trickles sends a byte of its headers and its body now and then, and never stops for long. `headers_of` are
    further headers of an answer by path.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, int | str] = {}
        self.headers_of: dict[str, dict[str, str]] = {}
        self.always: int | str | None = None
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/cache"

    def fill(self, store) -> None:
        """Put everything there that a local store holds."""
        for path in (store.root / "ac").glob("*/*.json"):
            self.files[f"/cache/ac/{path.stem}"] = path.read_bytes()
        for path in (store.root / "cas").glob("*/*"):
            self.files[f"/cache/cas/{path.name}"] = path.read_bytes()


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shelf: Shelf

    def log_message(self, *_) -> None:
        return

    def do_GET(self) -> None:
        self.shelf.asked.append(f"{self.command} {self.path}")
        self.shelf.headers.append(dict(self.headers))
        told = self.shelf.answers.get(self.path, self.shelf.always)
        body = self.shelf.files.get(self.path)
        if told == "drop":
            self.close_connection = True
            return
        if told == "stall":
            time.sleep(STALL_SECONDS)
        if told == "trickle":
            self._trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"x" * 999_999)
            return
        if isinstance(told, int) or body is None:
            self.send_response(told if isinstance(told, int) else 404)
            self.send_header("Content-Length", "0")
            for name, value in self.shelf.headers_of.get(self.path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", '"tag"')  # this and the next for those that speak S3
        self.send_header("Last-Modified", "Sat, 01 Nov 2025 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.shelf.headers_of.get(self.path, {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if told in ("cut", "stall within"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if told == "stall within":
                time.sleep(STALL_SECONDS)
            self.close_connection = True
            return
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def _trickle(self, data: bytes) -> None:
        for index in range(len(data)):
            self.wfile.write(data[index : index + 1])
            self.wfile.flush()
            time.sleep(TRICKLE_SECONDS)

    def do_PUT(self) -> None:
        self.shelf.asked.append(f"PUT {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = self.shelf.answers.get(self.path, self.shelf.always)
        if told == "trickle":
            self._trickle(b"HTTP/1.1 201 " + b"x" * 9999)
            return
        if not isinstance(told, int):
            self.shelf.files[self.path] = body
        self.send_response(told if isinstance(told, int) else 201)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def open_shelf() -> Iterator[Shelf]:
    shelf = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (_Answering,), {"shelf": shelf}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # who asked may be gone
    shelf.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()  # server_close would wait for those that stall
