"""The header of a GGUF in a repository of the Hub, read over HTTP range requests: megabytes in place of gigabytes.

    file = read_remote(Hub(), "org/repo", ["model-Q4_K_M.gguf"], revision)

Goes through huggingface_hub's session, so its settings (HF_TOKEN, HF_ENDPOINT, proxies) hold. Downloads no weights and
writes no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.models.resolve import Hub, ModelNotFound, said_plainly
from engine.errors import ModelFileError
from engine.gguf_file import GgufFile, described
from engine.gguf_header import Header, header_from_start

_FIRST_BYTES: Final = 4 << 20  # a header without its vocabulary; most of the larger ones need three times as much
_MOST_BYTES: Final = 128 << 20
_TIMEOUT_S: Final = 30.0
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


def read_remote(hub: Hub, repo: str, names: Sequence[str], revision: str) -> GgufFile:
    """`names`: the file, or all parts of a split in order. Raises `ModelNotFound` or `ModelFileError`."""
    headers = [_read_header(hub, repo, name, revision) for name in names]
    return described(tuple(Path(repo, name) for name in names), headers)


def _read_header(hub: Hub, repo: str, name: str, revision: str) -> Header:
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repo, name, revision=revision, endpoint=hub.endpoint)
    start, n_bytes = b"", _FIRST_BYTES
    while n_bytes <= _MOST_BYTES:
        with said_plainly(repo):
            more, n_total = _range(url, len(start), n_bytes)
        start += more
        header = header_from_start(start, n_total, Path(repo, name))
        if header is not None:
            return header
        n_bytes *= 2
    raise ModelFileError(f"the header of {repo}/{name} is longer than {_MOST_BYTES >> 20} MiB; it is damaged")


def _range(url: str, first: int, end: int) -> tuple[bytes, int]:
    """The bytes from `first` up to `end`, or to the end of the file, and the length of the file."""
    from huggingface_hub import get_session, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not declared

    headers = {**build_hf_headers(), "Range": f"bytes={first}-{end - 1}", "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S) as response:
        hf_raise_for_status(response)
        total = _TOTAL.match(response.headers.get("Content-Range", ""))
        if response.status_code != 206 or total is None:
            raise ModelNotFound(f"{url} cannot be read in part; download the file and name it: toolgauge fit FILE")
        data = b""
        for block in response.iter_bytes():
            data += block
            if len(data) >= end - first:  # a server may send more than it was asked for, without end
                break
    return data[: end - first], int(total[1])
