"""A server on loopback that sends stored bytes as they are, right or not, and closes the connection."""

from __future__ import annotations

import os
import socketserver
import threading
from pathlib import Path
from typing import Any

_servers: dict[tuple[int, Path], RawServer] = {}


def answer(body: bytes, status: str = "200 OK", headers: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a right answer."""
    lines = {
        "Content-Length": str(len(body)),
        "ETag": '"1"',
        "Accept-Ranges": "bytes",
        "Connection": "close",
        **(headers or {}),
    }
    return f"HTTP/1.1 {status}\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n" + body


class RawServer:
    """Serves `folder/NAME` for a request of `/NAME`.

    Args:
        folder: Folder of complete answers.
    """

    def __init__(self, folder: Path) -> None:
        class Handler(socketserver.StreamRequestHandler):
            timeout = 5

            def handle(self) -> None:
                words = self.rfile.readline(1 << 16).split()
                while self.rfile.readline(1 << 16).strip():
                    pass
                file = folder / words[1].decode().lstrip("/").partition("?")[0] if len(words) > 1 else folder
                self.wfile.write(file.read_bytes() if file.is_file() else answer(b"", "404 Not Found"))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Ignore clients that hang up."""

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    @classmethod
    def of_process(cls, folder: Path) -> RawServer:
        """Return the server of this process, which has no threads of the process that it was forked from."""
        key = (os.getpid(), folder)
        if key not in _servers:
            _servers[key] = cls(folder)
        return _servers[key]
