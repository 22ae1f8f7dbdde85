"""A stand-in for the Hugging Face Hub on this machine: a few repositories, and as much of the API as downloads need."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPOS = {
    "someone/Tiny-GGUF": [
        *("README.md", "mmproj-F16.gguf", "Tiny-Q4_K_M.gguf", "Tiny-Q8_0.gguf", "tiny-ud-q4_k_xl.gguf"),
        *("BF16/Tiny-BF16-00002-of-00002.gguf", "BF16/Tiny-BF16-00001-of-00002.gguf"),
    ],
    "someone/One-GGUF": ["one.gguf"],
    "someone/Twins-GGUF": ["Tiny-Q4_K_M.gguf", "Tiny-chat-Q4_K_M.gguf"],
    "someone/Weights": ["model.safetensors"],
}


class StandIn(BaseHTTPRequestHandler):
    """As much of the Hub's API as downloading needs. `downloads` counts the files sent."""

    downloads: list[str]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, *, with_body: bool) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            repo = "/".join(parts[2:4])
            if repo == "someone/Broken-GGUF":
                self._refuse(500, "")
            elif repo == "someone/Gated-GGUF":
                self._refuse(403, "GatedRepo")
            elif repo not in REPOS:
                self._refuse(401, "RepoNotFound")
            else:
                names = [{"rfilename": name} for name in REPOS[repo]]
                self._send(json.dumps({"id": repo, "sha": REVISION, "siblings": names}).encode(), with_body, {})
            return
        repo, name = "/".join(parts[:2]), "/".join(parts[4:])
        if name not in REPOS.get(repo, ()) or parts[3] != REVISION:
            self._refuse(404, "EntryNotFound")
            return
        content = content_of(repo, name)
        if with_body:
            self.downloads.append(name)
        etag = hashlib.sha256(content).hexdigest()
        self._send(content, with_body, {"ETag": f'"{etag}"', "X-Repo-Commit": REVISION})

    def _send(self, content: bytes, with_body: bool, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def content_of(repo: str, name: str) -> bytes:
    return f"GGUF of {repo}/{name}".encode()


@contextmanager
def serving(downloads: list[str]) -> Iterator[str]:
    """The address of a running stand-in; `downloads` gets the names of the files that are sent."""
    handler = type("Handler", (StandIn,), {"downloads": downloads})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
