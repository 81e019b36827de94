"""The downloader against a small server on this machine that can also behave badly."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmlib.data.download import DownloadError, download

CONTENT = bytes(range(256)) * 9000  # more than two blocks
SIZE, SHA256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = 0
        if server.ranges and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        server.asked.append(self.headers.get("Range"))
        body = server.content[start:]
        self.send_response(206 if start else server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.stop_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.status, server.ranges = CONTENT, 200, True
        server.stop_after, server.asked = None, []
        server.url = f"http://127.0.0.1:{server.server_port}/set.bin"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server, path, size=SIZE, sha256=SHA256):
    return download(server.url, path, size=size, sha256=sha256, timeout=5)


def test_fetches_once(server, tmp_path):
    path = tmp_path / "deep" / "set.bin"
    assert fetch(server, path) == path
    assert path.read_bytes() == CONTENT
    assert fetch(server, path) == path
    assert server.asked == [None]
    assert list(path.parent.iterdir()) == [path]


def test_carries_on_where_it_stopped(server, tmp_path):
    path = tmp_path / "set.bin"
    server.stop_after = 1_500_000
    with pytest.raises(DownloadError, match=f"stopped after 1,500,000 of {SIZE:,} bytes"):
        fetch(server, path)
    assert not path.exists()
    server.stop_after = None
    fetch(server, path)
    assert server.asked == [None, "bytes=1500000-"]
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_starts_over_when_the_server_cannot_send_a_part(server, tmp_path):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(b"something else")
    server.ranges = False
    fetch(server, path)
    assert server.asked == ["bytes=14-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [b"", b"and more"])
def test_a_part_that_has_all_bytes_is_checked(server, tmp_path, extra):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(CONTENT + extra)
    fetch(server, path)
    assert server.asked == ([None] if extra else [])
    assert path.read_bytes() == CONTENT


def test_a_damaged_part_fails_once(server, tmp_path):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(b"x" * 100)
    with pytest.raises(DownloadError, match=f"expected {SHA256}"):
        fetch(server, path)
    assert not path.exists()
    fetch(server, path)
    assert server.asked == ["bytes=100-", None]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("damage", [b"other", CONTENT[:-1] + b"x"], ids=["size", "sha256"])
def test_a_wrong_file_is_replaced(server, tmp_path, damage):
    path = tmp_path / "set.bin"
    path.write_bytes(damage)
    fetch(server, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT * 3], ids=["sha256", "longer"])
def test_another_file_is_refused(server, tmp_path, content):
    path = tmp_path / "set.bin"
    server.content = content
    with pytest.raises(DownloadError, match=f"sent a file with sha256 .*; expected {SHA256}"):
        fetch(server, path)
    assert not path.exists()
    assert (tmp_path / "set.bin.part").stat().st_size == 0


def test_server_that_refuses(server, tmp_path):
    server.status = 404
    with pytest.raises(DownloadError, match=r"/set\.bin answers 404 Not Found"):
        fetch(server, tmp_path / "set.bin")
    assert not (tmp_path / "set.bin").exists()


def test_no_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = tmp_path / "set.bin"
    with pytest.raises(DownloadError) as caught:  # port 9 is closed
        download("http://127.0.0.1:9/set.bin", path, size=SIZE, sha256=SHA256)
    for part in ("cannot fetch http://127.0.0.1:9/set.bin", str(path), f"{SIZE:,} bytes", SHA256):
        assert part in str(caught.value)


def test_second_caller_waits_for_the_first(server, tmp_path):
    path = tmp_path / "set.bin"
    threads = [threading.Thread(target=fetch, args=(server, path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None]
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="scheme of url is 'file'; allowed: 'http', 'https'"):
        download("file:///etc/hosts", tmp_path / "hosts", size=1, sha256="")
    with pytest.raises(ValueError, match=r"size is 0; allowed: \[1, inf\)"):
        download("http://localhost/", tmp_path / "hosts", size=0, sha256="")
