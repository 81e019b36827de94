"""A small server on this machine that can also behave badly, and photos that are cut short."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def cut_short():
    """The first ``share`` of a JPEG's bytes: of noise, so nearly all of them are its pixels'.

    Of a photo of one colour nearly all are its header's, and a reader that forgives missing pixels
    would go unnoticed.
    """

    def cut(share):
        pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        whole = file.getvalue()
        return whole[: int(share * len(whole))]

    return cut


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = 0
        if server.ranges and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        server.asked.append(self.headers.get("Range"))
        body = server.files[self.path.removeprefix("/")][start:]
        self.send_response(206 if start else server.status)
        if server.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", server.kind)
        self.end_headers()
        self.wfile.write(body[: server.stop_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """Serves ``files``, name -> bytes, at ``url``; ``asked`` are the ranges that were asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.status, server.ranges = {}, 200, True
        server.stop_after, server.asked = None, []
        server.kind, server.tells_length = "application/octet-stream", True
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
