"""HTTP servers that are slow, lie about sizes, redirect, or ask for credentials."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from karsl.errors import ConfigError, FetchError
from karsl.io import http, paced_reader
from karsl.io.paced_reader import PacedReader
from karsl.io.remote import Retry, download, local_path, open_at, read_file
from karsl.io.remote_cache import FileCache
from karsl.version import __version__

QUICK = Retry(attempts=3, wait_s=0.001, timeout_s=5)


@contextmanager
def answering(answer):
    """URL of a server, and the headers of each request; `answer(handler)` writes the response."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(dict(self.headers))
            with suppress(OSError):  # the client hung up
                answer(self)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(status=200, headers=None, body=b""):
    def answer(handler):
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (200, {"Content-Length": "abc"}, "declares a length of 'abc'"),
        (200, {"Content-Length": "-5"}, "declares a length of '-5'"),
        (200, {"Content-Length": "5\x1d"}, r"declares a length of '5\\x1d'"),
        (200, {"Content-Length": str(2**70)}, "declares a length of"),
        (200, {"Content-Length": "101"}, "declares 101 bytes, more than 100"),
        (200, {}, "sends more than 100 bytes"),
        (206, {"Content-Range": "bytes 1000000000000-1000000000002/1000000000003"}, "bytes, more than 100|begins at byte"),
        (206, {"Content-Range": "bytes 7-9/10"}, "begins at byte 7, not 0"),
        (302, {"Location": "http://[::bad/"}, "an address or header is not valid"),
        (302, {"Location": "file:///etc/passwd"}, "the server answered 302 .*not allowed|is not followed"),
        (302, {"Location": "ftp://127.0.0.1/a"}, "redirects from http:// to ftp://, which is not followed"),
    ],
)
def test_an_answer_that_cannot_be_true_ends_at_once_in_one_sentence(tmp_path, status, headers, words):
    with answering(reply(status, headers, b"x" * 1000)) as (url, requests):
        with pytest.raises(FetchError, match=words):
            download(f"{url}/a", tmp_path / "part", retry=QUICK, max_bytes=100)
        assert len(requests) == 1, "another attempt would get the same"
        assert not (tmp_path / "part").exists() or (tmp_path / "part").stat().st_size <= 100


def test_lists_of_files_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv("KARSL_MAX_LIST_BYTES", "999")
    with answering(reply(body=b"x" * 1000)) as (url, _):
        with pytest.raises(FetchError, match="more than 999 bytes"):
            FileCache(tmp_path, retry=QUICK).revalidate(f"{url}/manifest.json")
        monkeypatch.setenv("KARSL_MAX_LIST_BYTES", "1000")
        path, _ = FileCache(tmp_path, retry=QUICK).revalidate(f"{url}/manifest.json")
        assert path.read_bytes() == b"x" * 1000
        monkeypatch.setenv("KARSL_MAX_LIST_BYTES", "a lot")
        with pytest.raises(ConfigError, match="KARSL_MAX_LIST_BYTES='a lot'"):
            FileCache(tmp_path, retry=QUICK).revalidate(f"{url}/manifest.json")


def test_a_version_that_cannot_be_sent_back_is_not_kept():
    for tag, kept in (('"1"', '"1"'), ("x" * 5000, ""), ("é", ""), ("", "")):
        with answering(reply(headers={"ETag": tag, "Content-Length": "0"})) as (url, _):
            assert read_file(url, "", QUICK, max_bytes=9) == (b"", kept)
    with answering(reply(304)) as (url, _), pytest.raises(FetchError, match="304"):
        read_file(url, "", QUICK, max_bytes=9)


def test_the_agent_is_karsl_and_headers_are_those_of_the_environment(monkeypatch):
    with answering(reply()) as (url, requests):
        read_file(url, "", QUICK, max_bytes=9)
        assert requests[-1]["User-Agent"] == f"karsl/{__version__}"
        monkeypatch.setenv("KARSL_HTTP_HEADERS", json.dumps({"User-Agent": "lab", "X-Token": "t"}))
        read_file(url, "", QUICK, max_bytes=9)
        assert (requests[-1]["User-Agent"], requests[-1]["X-Token"]) == ("lab", "t")


@pytest.mark.parametrize("text", ["secret", '{"X": 5}', '["secret"]', '{"X": "secret\\nY: 1"}', '{"a b": "secret"}'])
def test_headers_of_another_form_are_one_sentence_without_their_value(monkeypatch, text):
    monkeypatch.setenv("KARSL_HTTP_HEADERS", text)
    with pytest.raises(ConfigError, match="KARSL_HTTP_HEADERS.*expected JSON such as") as caught:
        read_file("http://127.0.0.1:9/a", "", QUICK, max_bytes=9)
    assert "secret" not in str(caught.value)


def test_credentials_of_a_url_or_of_netrc_are_sent_and_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netty password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)

    def answer(handler):
        reply(200 if "Authorization" in handler.headers else 401)(handler)

    def sent(requests):
        return base64.b64decode(requests[-1]["Authorization"].removeprefix("Basic ")).decode()

    with answering(answer) as (url, requests):
        read_file(url.replace("//", "//me:p%40ss@"), "", QUICK, max_bytes=9)
        assert sent(requests) == "me:p@ss"
        read_file(url, "", QUICK, max_bytes=9)
        assert sent(requests) == "netty:s3cret"
    with answering(reply(401)) as (url, _), pytest.raises(FetchError, match="the server answered 401") as caught:
        read_file(url.replace("//", "//me:p%40ss@"), "", QUICK, max_bytes=9)
    assert "me:" not in str(caught.value)
    assert url in str(caught.value)


def test_another_host_gets_no_credentials_after_a_redirect(monkeypatch):
    monkeypatch.setenv("KARSL_HTTP_HEADERS", json.dumps({"User-Agent": "lab", "X-Token": "t", "Authorization": "Bearer b"}))
    with answering(reply(body=b"ok")) as (other, seen):
        with answering(reply(302, {"Location": f"{other}/b"})) as (url, requests):
            assert read_file(f"{url}/a", "", QUICK, max_bytes=9)[0] == b"ok"
        assert requests[0]["Authorization"] == "Bearer b"
        assert seen[0]["User-Agent"] == "lab"
        assert not {"Authorization", "X-Token"} & seen[0].keys()


def test_https_does_not_become_http():
    request = http.urllib.request.Request("https://host/a")
    with pytest.raises(OSError, match="redirects from https:// to http://, which is not followed"):
        http._Redirects().redirect_request(request, None, 302, "", {}, "http://host/b")
    assert http._Redirects().redirect_request(request, None, 302, "", {}, "https://host/b").full_url == "https://host/b"


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"])
def test_a_transfer_without_progress_ends(sent):
    server = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def serve():
        for _ in range(2):
            connection, _ = server.accept()
            accepted.append(connection)
            connection.sendall(sent)

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/a"
    with pytest.raises(FetchError, match="timed out"):
        read_file(url, "", Retry(attempts=2, wait_s=0.001, timeout_s=0.05), max_bytes=9)
    for connection in (server, *accepted):
        connection.close()


def test_bytes_now_and_then_use_up_the_time_and_bytes_at_the_minimum_rate_do_not(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(paced_reader, "time", SimpleNamespace(monotonic=lambda: next(clock)))  # each read takes a second
    for size, reads in ((1, 6), (10, 500)):
        near, far = socket.socketpair()
        with near, far:
            reader = PacedReader(near, seconds=5, bytes_per_s=10)
            done = 0
            for _ in range(500):
                far.sendall(b"x" * size)
                try:
                    assert reader.read(size) == b"x" * size
                except TimeoutError:
                    break
                done += 1
            assert done == reads
            reader.close()


def test_a_file_url_is_decoded():
    assert local_path("FILE:///a%20b/%D8%A7.tar") == "/a b/ا.tar"
    assert local_path("/a%20b") == "/a%20b"


def test_an_answer_is_read_to_its_end_whatever_its_form():
    def chunked(handler):
        handler.protocol_version = "HTTP/1.1"
        reply(headers={"Transfer-Encoding": "chunked"}, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")(handler)

    with answering(chunked) as (url, _), open_at(url) as response:
        assert re.sub(b"[^a-z]", b"", response.stream.read())[:5] == b"abcde"
