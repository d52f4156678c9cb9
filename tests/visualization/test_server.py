"""The server over real sockets: responses, rejections, robustness."""

from __future__ import annotations

import gzip
import http.client
import json
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Barrier, Thread
from urllib.parse import quote

import numpy as np
import pytest
import torch

from karsl.cli.main import main
from karsl.datasets import KArSLDataset
from karsl.errors import ConfigError
from karsl.testing import make_corpus
from karsl.visualization import server as server_module
from karsl.visualization.clips.open import open_dataset
from karsl.visualization.clips.select import ClipFilter
from karsl.visualization.page import clip_metadata, encode_index, index_row
from karsl.visualization.server import MAX_CLIENTS, ClipServer, ClipServerState

PIPELINE = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_corpus(
        tmp_path_factory.mktemp("serve") / "corpus", signs=3, signers=("01", "02"), train_clips=3, test_clips=1
    )


def make_state(root, **more) -> ClipServerState:
    return ClipServerState(KArSLDataset(data_root=str(root), pipeline=PIPELINE, index_cache=None), source="corpus", **more)


@contextmanager
def serving(state: ClipServerState):
    with ClipServer(state) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(root):
    with serving(make_state(root)) as server:
        yield server


def ask(server: ClipServer, target: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=120)
    connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def raw(server: ClipServer, sent: bytes, *, half_close: bool = True) -> bytes:
    """Send bytes and return the response."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=120) as connection:
        with suppress(OSError):  # the server may disconnect early, which is a rejection too
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        received = []
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                received.append(piece)
        return b"".join(received)


def links(server: ClipServer) -> list[str]:
    return json.loads(ask(server, "/index.json")[2])["columns"]["link"]


def test_page_list_and_clip_are_served(server):
    status, headers, page = ask(server, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.startswith(b"<!doctype html>")
    status, headers, index = ask(server, "/index.json")
    assert (status, headers["Content-Type"], json.loads(index)["count"]) == (200, "application/json", 24)
    status, _, clip = ask(server, f"/clips/{links(server)[5]}.json")
    assert status == 200
    assert [stage["name"] for stage in json.loads(clip)["stages"]] == ["LoadKeypoints", "1. TSNSampleFrames"]
    assert json.loads(clip)["row"]["link"] == links(server)[5]


def test_list_is_compressed_on_request(server):
    packed = ask(server, "/index.json", Accept_Encoding="gzip, br")
    assert packed[1]["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed[2]) == ask(server, "/index.json")[2]


@pytest.mark.parametrize("target", ["/", "/index.json", "/clips/nothing.json", "/nowhere"])
def test_every_response_has_strict_headers(server, target):
    headers = ask(server, target)[1]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_policy_of_the_header_equals_that_of_the_page(server):
    _, headers, page = ask(server, "/")
    meta = page.split(b'http-equiv="Content-Security-Policy" content="', 1)[1].split(b'"', 1)[0].decode()
    assert headers["Content-Security-Policy"] == f"{meta}; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "target",
    [
        *("/../../etc/passwd", "/clips/../../etc/passwd", "/clips/%2e%2e%2f%2e%2e%2fetc%2fpasswd.json", "//etc/passwd"),
        *("/clips/..%5c..%5cwindows.json", "/clips/%00.json", "/clips/a%0d%0aX-Evil:1.json", "/clips/.json", "/clips/"),
        *(
            "/index.json/",
            "/INDEX.JSON",
            "/clips/%ff%fe.json",
            f"/clips/{'a' * 5000}.json",
            f"/{quote('مرحبا')}",
            "/?file=/etc",
        ),
    ],
)
def test_paths_never_reach_the_file_system(server, target):
    status, headers, body = ask(server, target)
    if target == "/?file=/etc":
        assert status == 200  # the page: what follows the question mark is not read
        return
    assert status == 404
    assert set(json.loads(body)) == {"error"}
    assert len(body) < 300
    assert "X-Evil" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "127.0.0.1, evil.example", "[::2]"]
)
def test_foreign_host_is_rejected(server, host):
    assert ask(server, "/", Host=host)[0] == 403
    assert raw(server, b"GET / HTTP/1.1\r\n\r\n").split()[1] == b"403"
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert raw(server, two).split()[1] == b"403"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:9000"])
def test_a_tunnel_with_another_port_is_served(server, host):
    assert ask(server, "/", Host=host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_server_is_read_only(server, method):
    status, headers, _ = ask(server, "/index.json", method)
    assert status in (405, 501)
    assert headers.get("Allow", "GET, HEAD") == "GET, HEAD"


def test_head_returns_headers_only(server):
    status, headers, body = ask(server, "/index.json", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(ask(server, "/index.json")[2])


MALFORMED = {
    "nothing": b"\r\n\r\n",
    "one word": b"GET\r\n\r\n",
    "a version to come": b"GET / HTTP/9.9\r\n\r\n",
    "no version": b"GET / HTTP/x\r\n\r\n",
    "the start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "zeros": b"\x00" * 500,
    "a long address": b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    "a proxy's request": b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a star": b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half an address": b"GET //[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests_are_rejected_and_the_next_one_is_served(server, sent, capfd):
    answer = raw(server, sent)
    assert b" 200 " not in answer.split(b"\r\n", 1)[0]
    assert ask(server, "/index.json")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("value", ["bytes=0-99999999999999999999", "bytes=-1", "bytes=5-1,7-9,,", "bytes=" + "0-1," * 9000])
def test_ranges_are_ignored(server, value):
    status, headers, body = ask(server, "/index.json", Range=value)
    assert status == 200
    assert int(headers["Content-Length"]) == len(body)
    assert "Content-Range" not in headers


def test_missing_request_body_is_not_awaited(server):
    sent = b"GET /index.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    assert raw(server, sent, half_close=False).split()[1] == b"200"


def test_200_clients_at_once_are_all_served(server):
    """One request each: a client may reconnect before its thread has released the slot."""
    targets = [f"/clips/{link}.json" for link in links(server)] + ["/", "/index.json"]
    together = Barrier(200)

    def one(number: int) -> int:
        together.wait()
        return ask(server, targets[number % len(targets)])[0]

    with ThreadPoolExecutor(200) as clients:
        answers = list(clients.map(one, range(200)))
    assert answers == [200] * 200


def is_served_in_time(server: ClipServer, seconds: float = 120) -> bool:
    """Return True if a client that retries is served."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(ConnectionError, http.client.HTTPException):  # a rejected client may be disconnected before it sends
            if ask(server, "/index.json")[0] == 200:
                return True
    return False


def test_too_many_clients_get_503_and_the_server_recovers(server, monkeypatch):
    monkeypatch.setattr("karsl.visualization.server._Handler.timeout", 600)  # no idle client times out
    idle = [socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=120) for _ in range(MAX_CLIENTS + 5)]
    assert any(b" 503 " in raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(3))
    for connection in idle:
        connection.close()
    assert is_served_in_time(server)


def test_clients_that_disconnect_are_not_reported(server, capfd):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.server_address[1])) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.sendall(b"GET /index.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_it_listens_on_the_loopback_interface_only(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/"


def test_port_in_use_is_reported(server, root):
    with pytest.raises(ConfigError, match="cannot be served"):
        ClipServer(server.state, server.server_address[1])


def test_unreadable_clip_is_one_sentence_and_others_are_served(tmp_path):
    copy = make_corpus(tmp_path / "copy", signs=2, signers=["01"], train_clips=1, test_clips=0)
    with np.load(copy / "01-train" / "0002.npz") as file:
        clips = {key: file[key] for key in file.files}
    next(iter(clips.values()))[0, 0, 0] = np.nan
    np.savez(copy / "01-train" / "0002.npz", **clips)
    with serving(make_state(copy)) as server:
        good, bad = links(server)
        assert ask(server, f"/clips/{good}.json")[0] == 200
        status, _, body = ask(server, f"/clips/{bad}.json")
        assert status == 500
        assert "LoadKeypoints" in json.loads(body)["error"]
        assert ask(server, f"/clips/{good}.json")[0] == 200


def test_failing_custom_transform_is_reported_to_the_page(root):
    def breaks(results: dict) -> dict:
        raise RuntimeError("boom")

    dataset = KArSLDataset(data_root=str(root), pipeline=[{"type": "LoadKeypoints"}, breaks], index_cache=None)
    with serving(ClipServerState(dataset)) as server:
        status, _, body = ask(server, f"/clips/{links(server)[0]}.json")
    assert status == 500
    assert "boom" in json.loads(body)["error"]


def test_state_has_filtered_clips_in_order(root):
    state = make_state(root, clip_filter=ClipFilter(signs=("شكر",), splits=("train",)), sort="length")
    columns = json.loads(gzip.decompress(state.index_gz))["columns"]
    assert len(state) == 6
    assert columns["frames"] == sorted(columns["frames"])
    with pytest.raises(ConfigError, match="no clip of signer 09 among 24 clips"):
        make_state(root, clip_filter=ClipFilter(signers=("09",)))


def test_clip_is_encoded_once_and_reproducibly(root):
    state = make_state(root)
    link = json.loads(gzip.decompress(state.index_gz))["columns"]["link"][0]
    assert state.clip(link) is state.clip(link)
    assert make_state(root).clip(link) == state.clip(link)
    with pytest.raises(KeyError):
        state.clip("nothing")


def test_list_equals_one_row_per_clip(root):
    dataset = KArSLDataset(data_root=str(root), pipeline=PIPELINE, index_cache=None)
    records = [dataset.get_data_info(index) for index in range(len(dataset))]
    rows = [index_row(clip_metadata(record, dataset.metainfo), record["num_frames"]) for record in records]
    assert json.loads(gzip.decompress(make_state(root).index_gz)) == json.loads(json.dumps(encode_index(rows)))


def test_clips_of_one_name_have_distinct_links(root):
    part = KArSLDataset(data_root=str(root), pipeline=PIPELINE, index_cache=None)
    other = KArSLDataset(data_root=str(root), pipeline=PIPELINE[:1], index_cache=None)
    state = ClipServerState(torch.utils.data.ConcatDataset([part, other]))
    found = json.loads(gzip.decompress(state.index_gz))["columns"]["link"]
    assert len(set(found)) == 48
    assert len(json.loads(state.clip(found[0]))["stages"]) == 2
    assert len(json.loads(state.clip(f"{found[0]}~2"))["stages"]) == 1


def test_list_of_a_pack_has_hand_shares_without_reading_clips(root, tmp_path):
    assert main(["pack", str(root), str(tmp_path / "pack")]) == 0
    state = ClipServerState(open_dataset(tmp_path / "pack"))
    columns = json.loads(gzip.decompress(state.index_gz))["columns"]
    for link, hands in zip(columns["link"], columns["hands"], strict=True):
        assert hands == pytest.approx(json.loads(state.clip(link))["row"]["hands"], abs=6e-4)
    assert len({hands["left"] for hands in columns["hands"]}) > 3


def test_a_client_that_sends_a_byte_now_and_then_loses_its_place(root, monkeypatch):
    monkeypatch.setattr(server_module, "_TIMEOUT_S", 0.2)
    with serving(make_state(root)) as server, socket.create_connection(server.server_address) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX")
        with suppress(OSError):
            while not select.select([slow], [], [], 0.01)[0]:
                slow.sendall(b"a")
        with suppress(ConnectionError):
            assert slow.recv(1) == b"", "the server hung up"
        assert ask(server, "/index.json")[0] == 200
