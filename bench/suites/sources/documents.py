"""Tools in JSON documents: OpenAI's `tools`, a whole request, MCP's `tools/list`, or a bare list.

    definitions_in({"jsonrpc": "2.0", "id": 1, "result": {"tools": [...]}})   # [{"name": ..., "inputSchema": ...}]

A document is recognised by its keys alone. Knows no suite; whether a definition is usable says `grammars.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grammars.schema import SPELLINGS

KNOWN = 'a JSON list of tools, {"tools": [...]} as in a request or an answer to tools/list, or one tool'


def definitions_in(document: Any) -> Sequence[Mapping[str, Any]]:
    """The tools as their author wrote them; `ValueError` says why there are none."""
    found = _list_in(document)
    if not found:
        raise ValueError(f"it holds no tools; write {KNOWN}")
    for number, tool in enumerate(found, start=1):
        if not isinstance(tool, Mapping):
            raise ValueError(f"tool {number} is no JSON object")
        kind = tool.get("type", "function")
        if kind not in ("function", "custom") and not tool.keys() & {"function", *SPELLINGS}:
            raise ValueError(f"tool {number} is of type '{kind}', which only a service can run; leave it out")
    return found


def _list_in(document: Any) -> Sequence[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, Mapping):
        return ()
    if isinstance(document.get("error"), Mapping) and "jsonrpc" in document:
        raise ValueError(f"it is a server's error: {document['error'].get('message', 'without a message')}")
    if isinstance(document.get("result"), Mapping):
        return _list_in(document["result"])
    if document.get("nextCursor"):
        raise ValueError("it is one page of a longer list (nextCursor); ask the server for the rest, and join them")
    for key in ("tools", "functions"):
        if key in document:
            return document[key] if isinstance(document[key], list) else ()
    return [document] if "name" in document or isinstance(document.get("function"), Mapping) else ()
