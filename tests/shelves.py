"""A shared store in this process: a dictionary behind HTTP, which can be told to misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL_SECONDS = 5


class Shelf:
    """`files` by path; `answers` by path: a status, or "cut", "stall", "stall within", "drop"."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, int | str] = {}
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
        if isinstance(told, int) or body is None:
            self.send_response(told if isinstance(told, int) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", '"tag"')  # this and the next for those that speak S3
        self.send_header("Last-Modified", "Sat, 01 Nov 2025 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
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

    def do_PUT(self) -> None:
        self.shelf.asked.append(f"PUT {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = self.shelf.answers.get(self.path, self.shelf.always)
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
