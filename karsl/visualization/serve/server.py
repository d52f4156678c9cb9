"""An HTTP server for the browse page: this machine only, reads only, three addresses, no path ever reaches a disk.

| address | answer |
| --- | --- |
| `/` | the page |
| `/index.json` | the list |
| `/clips/<link>.json` | one clip; `<link>` is looked up in a table |

Anything else is refused with one sentence. A request whose `Host` is not this machine is refused too: that is how a page of
somebody else, its name pointed at 127.0.0.1, would ask.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote

from karsl.errors import ConfigError, KarslError
from karsl.visualization.serve.shelf import Shelf

LOOPBACK = "127.0.0.1"
MOST_CLIENTS = 256  # at once; more are told to come back
_IDLE_S = 15  # a client that says nothing so long is let go
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_POLICY = re.compile(rb'http-equiv="Content-Security-Policy" content="([^"]*)"')
_CLIP = re.compile(r"/clips/([^/]+)\.json")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class ClipServer(ThreadingHTTPServer):
    """Serves a shelf on the loopback interface until it is told to stop.

    Args:
        shelf: What is served.
        port: 0 takes a free one.

    Attributes:
        url: Where the page is.

    Raises:
        ConfigError: The port is taken.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, shelf: Shelf, port: int = 0) -> None:
        self.shelf = shelf
        found = _POLICY.search(shelf.page)
        self.page_policy = (found[1].decode() if found else "default-src 'none'") + "; frame-ancestors 'none'"
        self._room = BoundedSemaphore(MOST_CLIENTS)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} of {LOOPBACK} cannot be served ({error.strerror}); --port 0 takes a free one"
            ) from error

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread, or refuse where too many are at work."""
        if self._room.acquire(blocking=False):
            return super().process_request(request, client_address)
        try:
            request.settimeout(1)
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        except OSError:
            pass  # it went away by itself
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no error; anything else is one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            sys.stderr.write(f"karsl browse: a request failed: {error!r}\n")


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    server: ClipServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "karsl", ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal:
            return self._fail(*refusal)
        shelf, target = self.server.shelf, self.path.partition("?")[0]
        if target == "/":
            return self._answer(shelf.page, "text/html; charset=utf-8", policy=self.server.page_policy)
        if target == "/index.json":
            return self._answer_gz(shelf.index_gz)
        clip = _CLIP.fullmatch(target)
        if clip is None:
            return self._fail(HTTPStatus.NOT_FOUND, "nothing is served here; the page is at /")
        self._clip(unquote(clip[1], errors="replace"))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._fail(HTTPStatus.METHOD_NOT_ALLOWED, "this server only reads: GET and HEAD", {"Allow": "GET, HEAD"})

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_POST

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or re.sub(r":\d+$", "", hosts[0].strip().lower()) not in _HOSTS:
            return HTTPStatus.FORBIDDEN, "this server answers to 127.0.0.1 and localhost only"
        if not self.path.startswith("/"):
            return HTTPStatus.BAD_REQUEST, "the address must begin with /"
        return None

    def _clip(self, link: str) -> None:
        if link not in self.server.shelf:
            return self._fail(HTTPStatus.NOT_FOUND, f"no clip {link[:80]!r} is served here")
        try:
            body = self.server.shelf.clip(link)
        except KarslError as error:
            return self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except Exception as error:  # a step of one's own: the page shows it, the server lives on
            return self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")
        self._answer(body, "application/json")

    def _answer_gz(self, packed: bytes) -> None:
        if "gzip" in (self.headers.get("Accept-Encoding") or ""):
            return self._answer(packed, "application/json", more={"Content-Encoding": "gzip"})
        self._answer(gzip.decompress(packed), "application/json")

    def _fail(self, status: HTTPStatus, sentence: str, more: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": sentence}, ensure_ascii=False).encode(errors="replace")
        self._answer(body, "application/json", status=status, more=more)

    def _answer(
        self,
        body: bytes,
        kind: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        policy: str = _NOTHING,
        more: dict[str, str] | None = None,
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        length = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        for name, value in {**length, "Content-Security-Policy": policy, **_HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself: malformed lines, too many headers."""
        self.command = getattr(self, "command", None) or "GET"
        self._fail(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""
