"""A real HTTP server on loopback with ranges, that fails on request."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Server(ThreadingHTTPServer):
    """Ignore clients that hang up: their tests may be over."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Faults:
    """What goes wrong, and what was asked for.

    Attributes:
        statuses: Answers to give before a right one, by file name.
        cut_after: Bytes after which a connection is closed, by file name, as often as the list is long.
        slow: Seconds before an answer, by file name.
        held: Events that answers wait for, by file name.
        no_ranges: Answer every request with the whole file.
        asked: `(name, Range header)` of every request.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, list[int]] = {}
        self.cut_after: dict[str, list[int]] = {}
        self.slow: dict[str, float] = {}
        self.held: dict[str, threading.Event] = {}
        self.no_ranges = False
        self.asked: list[tuple[str, str]] = []

    def count(self) -> Counter:
        return Counter(name for name, _ in self.asked)


@contextmanager
def serving(folder: Path):
    """`(url, faults)` of a folder."""
    faults = Faults()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = unquote(self.path.lstrip("/").partition("?")[0])
            file, span = folder / name, self.headers.get("Range", "")
            file = file / "index.html" if file.is_dir() else file
            faults.asked.append((file.name, span))
            time.sleep(faults.slow.get(file.name, 0))
            if file.name in faults.held:
                faults.held[file.name].wait()
            waiting = faults.statuses.get(file.name)
            if waiting and waiting[0] == 302:  # to itself
                self.send_response(waiting.pop(0))
                self.send_header("Location", self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if waiting:
                self.send_error(waiting.pop(0))
                return
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", span)
            first, stop = 0, len(content)
            version = f'"{file.stat().st_mtime_ns} {len(content)}"'
            if self.headers.get("If-None-Match") == version:
                self.send_response(304)
                self.end_headers()
                return
            if found and not faults.no_ranges:
                first, stop = int(found[1]), min(stop, int(found[2] or stop) + 1 if found[2] else stop)
                if first >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(stop - first))
            self.send_header("ETag", version)
            self.end_headers()
            cuts = faults.cut_after.get(file.name)
            if cuts:
                self.wfile.write(content[first : first + cuts.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(content[first:stop])

        def log_message(self, *args: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
