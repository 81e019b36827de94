"""A small server on this machine that can also behave badly."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


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
