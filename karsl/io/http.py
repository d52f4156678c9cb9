"""HTTP requests with the standard library: headers, credentials, redirects, and transfers that make no progress."""

from __future__ import annotations

import io
import netrc
import os
import re
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from karsl.errors import ConfigError
from karsl.io.paced_reader import PacedReader
from karsl.version import __version__

HEADERS_VARIABLE = "KARSL_HTTP_HEADERS"
"""Environment variable of additional headers, a JSON object. Workers of a loader have it, too."""
_MIN_BYTES_PER_S = 1024
_PUBLIC_HEADERS = frozenset(("user-agent", "accept-encoding", "range", "if-none-match"))  # sent to any host
_MAX_VERSION = 256


class InvalidAnswerError(OSError):
    """An answer that cannot be used. Another attempt would get the same."""


def open_http(url: str, headers: dict[str, str], *, timeout_s: float) -> HTTPResponse:
    """Open an `http(s)://` URL; only redirects to `http(s)` that keep `https` are followed.

    Args:
        url: A user and password in it, or else those of `~/.netrc`, are sent as basic authentication.
        headers: Headers besides `User-Agent` and those of `KARSL_HTTP_HEADERS`.
        timeout_s: Seconds to wait for a part of the answer; it is also the time that a slow server may fall behind 1 KiB/s.

    Raises:
        ConfigError: If `KARSL_HTTP_HEADERS` is not a JSON object of texts.
        OSError: If there is no response, an error status (`urllib.error.HTTPError`), or one that is not HTTP.
    """
    own = {"User-Agent": f"karsl/{__version__}", "Accept-Encoding": "identity", **_configured_headers()}
    try:
        credentials = _credentials(url)
        if credentials and not any(name.lower() == "authorization" for name in own):
            own["Authorization"] = f"Basic {b64encode(credentials.encode()).decode()}"
        request = urllib.request.Request(quote_url(public_url(url)), headers=own | headers)
        return _opener().open(request, timeout=timeout_s)
    except (ValueError, OverflowError) as error:  # of headers and addresses that the standard library cannot read
        raise InvalidAnswerError(f"an address or header is not valid: {error}") from error


def quote_url(url: str) -> str:
    """Percent-encode a URL for HTTP, except for characters that are encoded already.

    Example:
        >>> quote_url("http://host/my clips/a%20b.tar?key=1")
        'http://host/my%20clips/a%20b.tar?key=1'
    """
    parts = urlsplit(re.sub("%(?![0-9a-fA-F]{2})", "%25", url))
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    path, query = (quote(part, safe="%/?:@!$&'()*+,;=~[]") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, host, path, query, ""))


def public_url(url: str) -> str:
    """Return a URL without user and password.

    Example:
        >>> public_url("https://me:secret@host/a@b.tar"), public_url("https://host/a@b.tar")
        ('https://host/a@b.tar', 'https://host/a@b.tar')
    """
    return re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#]*@", r"\1", url)


def valid_version(version: str | None) -> str:
    """Return the tag of a version if it can be stored and sent back, otherwise an empty text."""
    is_valid = version is not None and len(version) <= _MAX_VERSION and version.isascii() and version.isprintable()
    return version if version and is_valid else ""


def _configured_headers() -> dict[str, str]:
    text = os.environ.get(HEADERS_VARIABLE)
    if not text:
        return {}
    expected = 'expected JSON such as {"User-Agent": "lab", "Authorization": "Bearer TOKEN"}'
    try:
        headers = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError:  # the value is secret
        raise ConfigError(f"{HEADERS_VARIABLE} cannot be read; {expected}") from None
    wrong = next((k for k, v in headers.items() if not re.fullmatch(r"[!-9;-~]+", k) or re.search(r"[\r\n\0]", v)), None)
    if wrong is not None:
        raise ConfigError(
            f"{HEADERS_VARIABLE}: header {wrong!r} has a line break, or a name that HTTP does not allow; {expected}"
        )
    return headers


def _credentials(url: str) -> str:
    """Return `user:password` of a URL, else of the user's `.netrc`, or an empty text."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    if at:
        return unquote(user)
    with suppress(OSError, RuntimeError, netrc.NetrcParseError):  # absent, or not readable by this user alone
        login = netrc.netrc().authenticators(parts.hostname or "")
        return f"{login[0]}:{login[2]}" if login else ""
    return ""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects within http(s), never from https to http; other hosts get no credentials and no headers of the user."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
            raise InvalidAnswerError(f"it redirects from {old.scheme}:// to {new.scheme[:20]}://, which is not followed")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.hostname, old.port) != (new.hostname, new.port):
            request.headers = {k: v for k, v in request.headers.items() if k.lower() in _PUBLIC_HEADERS}
        return request


class _PacedResponse(HTTPResponse):
    """Response whose headers and content must arrive at a minimum rate."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        paced = PacedReader(sock, seconds=sock.gettimeout() or 30.0, bytes_per_s=_MIN_BYTES_PER_S)
        self.fp.close()
        self.fp = io.BufferedReader(paced)


def _paced(connection: type[HTTPConnection]) -> Callable[..., HTTPConnection]:
    def connect(*args: Any, **kwargs: Any) -> HTTPConnection:
        made = connection(*args, **kwargs)
        made.response_class = _PacedResponse  # type: ignore[misc]
        return made

    return connect


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: Any) -> Any:
        return self.do_open(_paced(HTTPConnection), req)  # type: ignore[arg-type]


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: Any) -> Any:
        return self.do_open(_paced(HTTPSConnection), req)  # type: ignore[arg-type]


@cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Redirects, _HTTPHandler, _HTTPSHandler)
