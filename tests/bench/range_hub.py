"""A stand-in for the Hub that sends parts of files, as range requests ask for them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

WITH_PARTS = True  # whether the server knows what a range is


@contextmanager
def serving_parts(repos: Mapping[str, Mapping[str, Path]], revision: str, sent: list[int]) -> Iterator[str]:
    """The address; `sent` gets the length of every part."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path).path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                names = [{"rfilename": name} for name in repos["/".join(parts[2:4])]]
                body = json.dumps({"id": "/".join(parts[2:4]), "sha": revision, "siblings": names}).encode()
                self._send(200, body, {})
                return
            path = repos["/".join(parts[:2])]["/".join(parts[4:])]
            size = path.stat().st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if not WITH_PARTS or wanted is None:
                self._send(200, b"all of it", {})
                return
            first, last = int(wanted[1]), min(int(wanted[2]), size - 1)
            with path.open("rb") as file:
                file.seek(first)
                body = file.read(last - first + 1)
            sent.append(len(body))
            self._send(206, body, {"Content-Range": f"bytes {first}-{last}/{size}"})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
