"""A web server of the tests' own on 127.0.0.1, with the faults that downloads meet."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, and how badly.

    breaks: bytes after which the connection is closed, one number a request, then never. stops: the same, but the
    server falls silent instead. pause: seconds between two pieces.
    """

    content: bytes = b""
    etag: str = '"one"'
    ranges: bool = True
    status: int = 200
    kind: str = "application/octet-stream"
    breaks: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    pause: float = 0.0
    piece: int = 4096
    seen: list[str | None] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get("Range")
        site.seen.append(wanted)
        if site.status != 200:
            self.send_error(site.status)
            return
        start = 0
        same = self.headers.get("If-Range") in (None, site.etag)
        if wanted and site.ranges and same:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        if start > len(site.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(site.content) - start))
        self.send_header("Content-Type", site.kind)
        if site.etag:
            self.send_header("ETag", site.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        self.end_headers()
        self._send(site.content[start:])

    def _send(self, body: bytes) -> None:
        site = self.site
        broken = site.breaks.pop(0) if site.breaks else None
        silent = site.stops.pop(0) if site.stops else None
        end = min([len(body), *(n for n in (broken, silent) if n is not None)])
        for k in range(0, end, site.piece):
            self.wfile.write(body[k : min(k + site.piece, end)])
            self.wfile.flush()
            time.sleep(site.pause)
        if silent is not None:
            site.over.wait(20)
        self.close_connection = True


def served(site: Site) -> tuple[ThreadingHTTPServer, threading.Thread]:
    """Start serving; `site.url` is the address of its only file."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfSite", (Handler,), {"site": site}))
    server.handle_error = lambda *_: None  # a client that was killed is part of a test
    site.url = f"http://127.0.0.1:{server.server_port}/files/weights.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    return server, thread
