"""Random walks through a constraint's tokens, and the vocabularies they are walked on.

A walk takes what the constraint allows out of a sample of candidates, so that engines which check one token at a time
stay affordable: some random tokens, every byte, and how the grammar's own texts go on. The longer it gets, the more it
prefers what closes something.
"""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.constraint.tokens import TokenKinds, set_tokens
from engine.formats.protocol import ToolFormat
from engine.types import Tool
from grammars.errors import UnsupportedSchema
from grammars.nodes import AnyOrder, Choice, Json, Literal, Marker, Node, QuotedDict, RawString, RawText, Repeat, Seq
from grammars.schema import normalise_parameters
from grammars.validation import validator

BUNDLED = Path(__file__).parents[3] / "bench" / "nano" / "nano-f16.gguf"
LIMIT = 900  # tokens
VOCABULARIES = ("qwen2", "llama-bpe", "gemma-4")  # files `ggml-vocab-NAME.gguf`
_PATIENCE = 60  # tokens after which a walk only wants to end


_NODE = {
    "type": "object",
    "properties": {"v": {"type": "string"}, "next": {"$ref": "#/$defs/node"}},
    "required": ["v"],
    "additionalProperties": False,
}


def _tool(name: str, properties: dict[str, Any], required: Sequence[str] = ()) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required), "$defs": {"node": _NODE}}
    return Tool(name, f"About {name}.", normalise_parameters(schema))


TOOLS = (
    _tool(
        "get_weather",
        {
            "city": {"type": "string", "minLength": 1, "maxLength": 12},
            "unit": {"enum": ["celsius", "°F", 'a "q"']},
            "days": {"type": "integer", "minimum": 1, "maximum": 16},
        },
        ["city", "unit"],
    ),
    _tool("note", {"text": {"type": "string"}, "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}}),
    _tool("ping", {}),
    _tool(
        "book",
        {
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
            "at": {"type": "number", "minimum": -0.25, "maximum": 2},
            "guests": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
                    "required": ["name"],
                },
                "minItems": 1,
                "maxItems": 3,
            },
            "2nd choice": {"anyOf": [{"type": "string", "enum": ["none", "later\n"]}, {"type": "integer"}]},
        },
        ["code", "guests"],
    ),
    _tool("store", {"key": {"type": "string"}, "value": {}, "more": {"type": "object", "additionalProperties": True}}),
    _tool("tree", {"node": {"$ref": "#/$defs/node"}}),
)


# Walking


class DeadEnd(Exception):
    """The constraint is not complete and allows nothing."""


class Walker:
    """Walks one grammar; the walks differ by their `chance`."""

    def __init__(self, engine: Any, root: Node) -> None:
        self.kinds: TokenKinds = engine.kinds
        self.compiled = engine.compile(root)
        self._has_cheap_masks = engine.name != "gbnf"
        self._texts = tuple(dict.fromkeys(text.encode() for text in _texts(root) if text))
        self._closers = (*self._ends(root), b'"', b"}", b"]", b'"', b"}", b"]")
        markers = self.kinds.marker_ids(root)
        self._markers = list(markers.values())
        self._marker_pieces = {text.encode(): token for text, token in markers.items()}
        self._bytes = [token for token, piece in enumerate(self.kinds.vocabulary.pieces) if len(piece) == 1]
        self._bytes = sorted(set(self._bytes) & set(self.kinds.text.tolist()))

    def walk(self, chance: random.Random) -> str | None:
        """A whole answer; None where it did not end in time."""
        constraint, written, pieces = self.compiled.start(), b"", self.kinds.vocabulary.pieces
        for n_tokens in range(LIMIT):
            late = n_tokens / _PATIENCE
            if constraint.complete and (constraint.finished or chance.random() < 0.3 + late):
                return written.decode()
            token = self._forced(constraint, chance)
            if token is None and chance.random() < 0.1 + 0.9 * late:
                token = self._closing(constraint, written, chance)
            if token is None:
                token = self._any(constraint, written, chance)
            if token is None:
                raise DeadEnd(f"nothing is allowed after {written!r}")
            constraint.accept(token)
            written += pieces[token]
        return None

    def _forced(self, constraint: Any, chance: random.Random) -> int | None:
        forced = constraint.forced()
        if not forced:
            return None
        assert constraint.allows(forced[0])
        return int(forced[0])

    def _closing(self, constraint: Any, written: bytes, chance: random.Random) -> int | None:
        """A token on the way to something that closes: the end of one that has begun, or a new one."""
        closers = list(dict.fromkeys(chance.sample(self._closers, len(self._closers))))
        begun = [closer[_overlap(written, closer) :] for closer in closers if _overlap(written, closer)]
        for rest in (begun if chance.random() < 0.9 else []) + closers:
            for token in self._spellings(rest):
                if constraint.allows(token):
                    return token
        return None

    def _any(self, constraint: Any, written: bytes, chance: random.Random) -> int | None:
        if self._has_cheap_masks and chance.random() < 0.5:
            allowed = set_tokens(constraint.mask())
            allowed = allowed[~np.isin(allowed, self.kinds.end)]
            return int(allowed[chance.randrange(len(allowed))]) if len(allowed) else None
        sample = chance.choices(self.kinds.text.tolist(), k=64)
        owed = [text[_overlap(written, text) :] for text in self._texts]
        sample += [token for rest in owed for token in self._spellings(rest)]
        for tokens in (sample, [*self._bytes, *self._markers]):
            allowed_ones = self._allowed(constraint, tokens)
            if allowed_ones:
                return chance.choice(allowed_ones)
        return None

    def _allowed(self, constraint: Any, tokens: list[int]) -> list[int]:
        if hasattr(constraint, "check"):  # many at a time
            candidates = np.array(tokens, dtype=np.int32)
            return [int(token) for token in candidates[constraint.check(candidates)]]
        return [token for token in tokens if constraint.allows(token)]

    def _spellings(self, text: bytes) -> Iterator[int]:
        """Tokens that `text` may begin with, the longest first; a marker as itself."""
        for piece, token in self._marker_pieces.items():
            if text.startswith(piece):
                yield token
        for size in range(min(self.kinds.longest_piece, len(text)), 0, -1):
            token = self.kinds.by_piece.get(text[:size])
            if token is not None:
                yield token

    def _ends(self, root: Node) -> tuple[bytes, ...]:
        found = {node.until for node in _nodes(root) if isinstance(node, RawString | RawText)}
        for node in _nodes(root):
            if isinstance(node, QuotedDict):
                found |= {node.quote, ":"}  # the colon ends a bare key
        return tuple(sorted(text.encode() for text in found))


def _overlap(written: bytes, text: bytes) -> int:
    """How much of `text` has been written at the very end of `written`, without all of it."""
    sizes = range(min(len(text) - 1, len(written)), 0, -1)
    return next((size for size in sizes if written.endswith(text[:size])), 0)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    parts: tuple[Node, ...] = ()
    match node:
        case Seq(parts) | Choice(parts) | AnyOrder(parts):
            pass
        case Repeat(item, separator):
            parts = (item, separator)
    for part in parts:
        yield from _nodes(part)


def _texts(root: Node) -> Iterator[str]:
    """What the grammar itself says: literals, markers, names and members of enums."""
    for node in _nodes(root):
        match node:
            case Literal(text) | Marker(text):
                yield text
            case Json(schema) | RawString(schema) | QuotedDict(schema):
                yield from _schema_texts(schema)


def _schema_texts(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _schema_texts(each)
    elif isinstance(schema, dict):
        for name in schema.get("properties", {}):
            yield from (f'"{name}": ', f', "{name}": ', f"{name}:", f",{name}:")
        for member in schema.get("enum", ()):
            yield from (json.dumps(member, ensure_ascii=False), str(member))
        for inner in schema.values():
            yield from _schema_texts(inner)


# What an answer is worth

# What no grammar holds: that the keys of an object that takes any key differ, and that a number without bounds is one
# that a computer can hold. A walk that meets this is taken anew.
BEYOND_GRAMMARS = re.compile("is there twice|a number out of range")


@dataclass
class Tally:
    """The walks of one format through one engine."""

    n_walks: int = 0
    n_good: int = 0
    n_anew: int = 0  # walks that met what no grammar holds, and were taken anew
    complaints: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # tools that the engine cannot constrain, and why


def walk_all(fmt: ToolFormat, engine: Any, n_walks: int, seed: str = "", offered: Sequence[Tool] = TOOLS) -> Tally:
    """Walk a format's grammar for all tools that the engine can have, with several calls and with one in turn."""
    tally, tools = Tally(), list(offered)
    counts = (True, False) if fmt.max_calls != 1 else (False,)
    walkers: dict[bool, Walker] = {}
    while tools and not walkers:
        try:
            roots = {several: fmt.constraint(tools, required=True, several=several).root for several in counts}
            walkers = {several: Walker(engine, root) for several, root in roots.items()}
        except UnsupportedSchema as error:
            refused = next(tool for tool in tools if tool.name == error.tool.partition(".")[0])
            tally.refused[refused.name] = str(error)
            tools.remove(refused)
    if not tools:
        return tally
    for number in range(n_walks):
        several = counts[number % len(counts)]
        found = ""
        for attempt in range(20):
            chance = random.Random(f"{seed}{fmt.id} {number} {attempt}")
            found = _walked(walkers[several], chance, fmt, tools, several=several)
            if not BEYOND_GRAMMARS.search(found):
                break
            tally.n_anew += 1
        tally.n_walks += 1
        tally.n_good += not found
        if found:
            tally.complaints.append(found)
    return tally


def _walked(walker: Walker, chance: random.Random, fmt: ToolFormat, tools: Sequence[Tool], *, several: bool) -> str:
    try:
        text = walker.walk(chance)
    except DeadEnd as error:
        return str(error)
    if text is None:
        return "no end in time"
    found = complaint(fmt, text, tools, several=several)
    return f"{found}\n    {text!r}" if found else ""


def complaint(fmt: ToolFormat, text: str, tools: Sequence[Tool], *, several: bool) -> str:
    """Why a walked text is no good; empty where the parser reads it whole and every call is valid."""
    parsed = fmt.parse(text, tools)
    if parsed.fragments or parsed.open_block:
        return f"not read whole: {parsed}"
    if not parsed.calls:
        return "no call is read"
    if (not several and len(parsed.calls) > 1) or len(parsed.calls) > (fmt.max_calls or len(parsed.calls)):
        return f"{len(parsed.calls)} calls are too many"
    if parsed.content and fmt.id != "json":  # the envelope has a reply beside the calls
        return f"text outside the calls: {parsed.content!r}"
    schemas = {tool.name: tool.parameters for tool in tools}
    for call in parsed.calls:
        if call.name not in schemas:
            return f"no such tool: {call.name!r}"
        if error := next(validator(schemas[call.name]).iter_errors(dict(call.arguments)), None):
            return f"{call}: {error.message}"
    return ""


# Vocabularies


def write_with_markers(source: Path, target: Path, markers: Sequence[str]) -> Path:
    """Copy a vocabulary's GGUF with `markers` added as tokens, where it lacks them; the other bytes stay as they are.

    Typed as converters do: what is written like a control token (`<|...|>`, `[...]`) is one, the rest is user-defined.
    """
    data = source.read_bytes()
    arrays = {name: _array(data, f"tokenizer.ggml.{name}") for name in ("tokens", "token_type", "scores")}
    known = arrays["tokens"][2]
    new = [marker for marker in markers if struct.pack("<Q", len(marker.encode())) + marker.encode() not in known]
    added = {
        "tokens": b"".join(struct.pack("<Q", len(text.encode())) + text.encode() for text in new),
        "token_type": b"".join(struct.pack("<i", 3 if _looks_like_control(text) else 4) for text in new),
        "scores": b"".join(struct.pack("<f", -1000.0) for _ in new),
    }
    pieces, done = [], 0
    for name, (count_at, end, _) in sorted(arrays.items(), key=lambda item: item[1][0]):
        if end:
            count = struct.unpack_from("<Q", data, count_at)[0]
            pieces += [data[done:count_at], struct.pack("<Q", count + len(new)), data[count_at + 8 : end], added[name]]
            done = end
    target.write_bytes(b"".join([*pieces, data[done:]]))
    return target


def _looks_like_control(text: str) -> bool:
    return text.startswith(("<|", "<｜", "[")) and text.endswith(("|>", "｜>", "]"))


def _array(data: bytes, key: str) -> tuple[int, int, bytes]:
    """Where the count of an array of the header lies, where the array ends, and its bytes; zeros if there is none."""
    begin = data.find(struct.pack("<Q", len(key)) + key.encode())
    if begin < 0:
        return (0, 0, b"")
    kind, of = struct.unpack_from("<II", data, begin + 8 + len(key))
    assert kind == 9, f"{key} is no array"
    count_at = begin + 8 + len(key) + 8
    count = struct.unpack_from("<Q", data, count_at)[0]
    end = count_at + 8
    if of == 8:
        for _ in range(count):
            end += 8 + struct.unpack_from("<Q", data, end)[0]
    else:
        end += 4 * count
    return count_at, end, data[count_at + 8 : end]
