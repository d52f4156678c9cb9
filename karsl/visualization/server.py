"""Local HTTP server of the browse page: loopback interface only, read-only, three addresses, no access to files.

| address | response |
| --- | --- |
| `/` | the page |
| `/index.json` | the list of clips |
| `/clips/<link>.json` | one clip; `<link>` is looked up in a table |

All other requests are rejected with one sentence. So are requests whose `Host` is not this machine, which protects against
DNS rebinding: a foreign page whose name resolves to 127.0.0.1.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Lock
from typing import Any, Protocol
from urllib.parse import unquote

import numpy as np

from karsl.errors import ConfigError, KarslError
from karsl.io.paced_reader import PacedReader
from karsl.io.pack_reader import Pack
from karsl.visualization.clips.select import ClipFilter, ClipTable, shown_stages
from karsl.visualization.draw.palette import group_styles
from karsl.visualization.page import clip_link, clip_metadata, encode_clip, encode_index, index_row, page_html
from karsl.visualization.page.clip import page_clip, source_metadata, unique_link
from karsl.visualization.page.encode import text_codes
from karsl.visualization.video import add_video

LOOPBACK = "127.0.0.1"
MAX_CLIENTS = 256  # concurrent; further ones get 503
_TIMEOUT_S = 15  # of a client, for its request and for the response
_MAX_CACHED_CLIPS = 32  # about 50 KB each
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
_NO_CONTENT = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class ServedState(Protocol):
    """Responses of a server.

    Attributes:
        page: The page.
        index_gz: List of clips, gzipped JSON.
    """

    @property
    def page(self) -> bytes: ...

    @property
    def index_gz(self) -> bytes: ...

    def __contains__(self, link: str) -> bool: ...

    def clip(self, link: str) -> bytes: ...


class ClipServerState:
    """Page, list and clips of a dataset as encoded responses. Thread-safe; one clip is encoded at a time.

    Args:
        dataset: Dataset as for `find_clips`.
        source: Name of the dataset, for the page.
        clip_filter: Conditions on the clips.
        indices: Only these clips of the dataset. Empty uses all.
        sort: Order of the list.
        mode, augmentations, seed: As in `shown_stages`.
        video: Folder of the videos to draw loaded clips over, as in `add_video`. None draws no video.

    Raises:
        ConfigError: If no clip remains, or the dataset cannot be browsed.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        source: str = "clips",
        clip_filter: ClipFilter | None = None,
        indices: tuple[int, ...] = (),
        sort: str = "index",
        mode: str = "pipeline",
        augmentations: int = 1,
        seed: int | None = None,
        video: str | None = None,
    ) -> None:
        self._table, clip_filter = ClipTable(dataset, indices), clip_filter or ClipFilter()
        self._rows = self._table.sort(self._table.rows(clip_filter), sort)
        if not len(self._rows):
            raise ConfigError(f"no clip of {clip_filter} among {self._table.summary()}")
        self._stages = partial(shown_stages, mode=mode, augmentations=augmentations, seed=seed)
        self._title, self._metadata = source, dict(source_metadata(source, dataset, shown=len(self._rows)))
        self._video = video
        used: dict[str, int] = {}
        self._links = {unique_link(clip_link(self._table.clip_ids[row]), used): row for row in self._rows.tolist()}
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._lock, self._index_lock = Lock(), Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, link: str) -> bool:
        return link in self._links

    @property
    def links(self) -> tuple[str, ...]:
        """Links of all clips, in the order of the list."""
        return tuple(self._links)

    @cached_property
    def page(self) -> bytes:
        """The page, without clips."""
        return page_html(title=self._title, metadata=self._metadata, server_url="").encode()

    @property
    def index_gz(self) -> bytes:
        """List of all clips, gzipped JSON; encoded once."""
        with self._index_lock:
            return self._encoded_index

    @cached_property
    def _encoded_index(self) -> bytes:
        text = json.dumps(self._index(), ensure_ascii=False, separators=(",", ":"))
        return gzip.compress(text.encode(), compresslevel=3, mtime=0)

    def clip(self, link: str) -> bytes:
        """Return one clip as JSON.

        Raises:
            KeyError: If the link is unknown.
            KarslError: If the clip cannot be read.
        """
        row = self._links[link]
        with self._lock:  # custom transforms may use the random generators of the process
            if link not in self._cache:
                clip = self._table.clip_ref(row)
                stages, views = self._stages(clip)
                stages = stages if self._video is None else add_video(clip, stages, self._video)
                payload = encode_clip(replace(page_clip(clip, stages, views), link=link))
                self._cache[link] = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
            self._cache.move_to_end(link)
            while len(self._cache) > _MAX_CACHED_CLIPS:
                self._cache.popitem(last=False)
            return self._cache[link]

    def _index(self) -> dict[str, Any]:
        """Return `encode_index` of one row per clip; values shared by a group of clips are computed once."""
        table, rows = self._table, self._rows
        first, group = table.groups(rows)
        shared = [index_row(clip_metadata(*table.metadata(int(row))), 0) for row in rows[first]]
        own: dict[str, list] = {
            "id": [table.clip_ids[row] for row in rows.tolist()],
            "link": list(self._links),
            "frames": np.maximum(table.num_frames[rows], 0).tolist(),
        }
        hands = hand_shares(table, rows)
        if any(hands):
            own["hands"] = hands
        columns: dict[str, Any] = {}
        for name in encode_index(shared)["columns"] | own:
            columns[name] = own[name] if name in own else _expand_groups([row[name] for row in shared], group)
        return {"count": len(rows), "columns": columns}


def hand_shares(table: ClipTable, rows: np.ndarray) -> list[dict[str, float] | None]:
    """Return the shares of frames with a hand, from the presence flags of packs; no clip is read.

    Args:
        table: Table of the clips.
        rows: int64 (n,), rows of the table.

    Returns:
        For each row `right`, `left`, `any` to a share in [0, 1]; None for a clip outside packs.
    """
    result: list[dict[str, float] | None] = [None] * len(rows)
    numbers, file, start = table.dataset_numbers[rows], table.file[rows], table.frame_start[rows]
    frames = table.num_frames[rows].astype(np.int64)
    is_packed = (start >= 0) & (frames > 0)
    for number, pack in np.unique(np.stack([numbers, file], axis=1)[is_packed], axis=0).tolist():
        positions = np.flatnonzero((numbers == number) & (file == pack) & is_packed)
        shares = _pack_shares(table.files[pack], table.datasets[number], start[positions], frames[positions])
        for k, position in enumerate(positions.tolist() if shares else ()):
            result[position] = {side: float(share[k]) for side, share in shares.items()}
    return result


class ClipServer(ThreadingHTTPServer):
    """Server on the loopback interface.

    Args:
        state: Contents to serve.
        port: Port; 0 selects a free one.

    Attributes:
        url: Address of the page.

    Raises:
        ConfigError: If the port is in use.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, state: ServedState, port: int = 0) -> None:
        self.state = state
        policy = _POLICY.search(state.page)
        self.page_policy = (policy[1].decode() if policy else "default-src 'none'") + "; frame-ancestors 'none'"
        self._slots = BoundedSemaphore(MAX_CLIENTS)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} of {LOOPBACK} cannot be served ({error.strerror}); --port 0 selects a free one"
            ) from error

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread, or respond with 503 if there are too many."""
        if self._slots.acquire(blocking=False):
            return super().process_request(request, client_address)
        try:
            request.settimeout(1)
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        except OSError:
            pass  # the client disconnected
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; report anything else in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            sys.stderr.write(f"karsl browse: a request failed: {error!r}\n")


class _Handler(BaseHTTPRequestHandler):
    """Handler of one request per connection."""

    server: ClipServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "karsl", ""
    timeout = _TIMEOUT_S

    def setup(self) -> None:
        """Bound the time of the entire request: a byte now and then does not keep a place."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(PacedReader(self.connection, seconds=_TIMEOUT_S))

    def do_GET(self) -> None:
        rejection = self._check_request()
        if rejection:
            return self._fail(*rejection)
        state, target = self.server.state, self.path.partition("?")[0]
        if target == "/":
            return self._respond(state.page, "text/html; charset=utf-8", policy=self.server.page_policy)
        if target == "/index.json":
            return self._respond_gz(state.index_gz)
        clip = _CLIP.fullmatch(target)
        if clip is None:
            return self._fail(HTTPStatus.NOT_FOUND, "nothing is served here; the page is at /")
        self._respond_clip(unquote(clip[1], errors="replace"))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._fail(HTTPStatus.METHOD_NOT_ALLOWED, "this server is read-only: use GET or HEAD", {"Allow": "GET, HEAD"})

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_POST

    def _check_request(self) -> tuple[HTTPStatus, str] | None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or re.sub(r":\d+$", "", hosts[0].strip().lower()) not in _HOSTS:
            return HTTPStatus.FORBIDDEN, "this server accepts requests for 127.0.0.1 and localhost only"
        if not self.path.startswith("/"):
            return HTTPStatus.BAD_REQUEST, "the address must begin with /"
        return None

    def _respond_clip(self, link: str) -> None:
        if link not in self.server.state:
            return self._fail(HTTPStatus.NOT_FOUND, f"no clip {link[:80]!r} is served here")
        try:
            body = self.server.state.clip(link)
        except KarslError as error:
            return self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except Exception as error:  # a custom transform failed: the page shows the error, the server continues
            return self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")
        self._respond(body, "application/json")

    def _respond_gz(self, compressed: bytes) -> None:
        if "gzip" in (self.headers.get("Accept-Encoding") or ""):
            return self._respond(compressed, "application/json", headers={"Content-Encoding": "gzip"})
        self._respond(gzip.decompress(compressed), "application/json")

    def _fail(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": message}, ensure_ascii=False).encode(errors="replace")
        self._respond(body, "application/json", status=status, headers=headers)

    def _respond(
        self,
        body: bytes,
        mime_type: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        policy: str = _NO_CONTENT,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.close_connection = True
        self.connection.settimeout(_TIMEOUT_S)  # to send all of it; the request may have left less
        self.send_response(status)
        content = {"Content-Type": mime_type, "Content-Length": str(len(body)), "Connection": "close"}
        for name, value in {**content, "Content-Security-Policy": policy, **_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond to requests that the standard library rejects: malformed lines, too many headers."""
        self.command = getattr(self, "command", None) or "GET"
        self._fail(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


def _pack_shares(path: str, dataset: Any, start: np.ndarray, frames: np.ndarray) -> dict[str, np.ndarray]:
    skeleton = getattr(dataset, "skeleton", None)
    try:
        presence = Pack(path).presence
    except (OSError, KarslError):  # remote or damaged: the page shows the error when a clip is opened
        return {}
    styles = group_styles(skeleton) if skeleton is not None else ()
    if len(styles) != presence.shape[1] or (start + frames).max() > len(presence):
        return {}
    sides = {style.side: presence[:, column] > 0 for column, style in enumerate(styles) if style.side}
    if not sides:
        return {}
    sides["any"] = np.any(list(sides.values()), axis=0)
    return {side: np.round(_run_means(seen, start, frames), 3) for side, seen in sides.items()}


def _run_means(seen: np.ndarray, start: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the share of True in each run of frames.

    Example:
        >>> _run_means(np.array([True, False, True, True]), np.array([0, 2]), np.array([2, 2])).tolist()
        [0.5, 1.0]
    """
    total = np.concatenate([[0], np.cumsum(seen, dtype=np.int64)])
    return (total[start + frames] - total[start]) / frames


def _expand_groups(values: list[Any], group: np.ndarray) -> Any:
    """Return a column from one value per group: texts are stored once, other values are repeated."""
    if not all(isinstance(value, str) for value in values):
        return [values[k] for k in group.tolist()]
    texts, codes = text_codes(values)
    return {"values": texts, "codes": np.array(codes)[group].tolist()}
