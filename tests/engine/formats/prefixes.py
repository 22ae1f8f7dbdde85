"""What must hold at every beginning of any answer, however odd: nothing is taken back, and the watcher agrees."""

from __future__ import annotations

from engine.formats.protocol import ToolFormat
from engine.formats.reasoning import split_reasoning
from engine.types import Call, Tool

ADD = Tool(
    "add",
    "Add.",
    {"type": "object", "properties": {"b": {"type": "number"}, "a": {"type": "integer"}}, "required": ["b", "a"]},
)
PING = Tool("ping", "Ping.", {"type": "object", "properties": {}, "additionalProperties": False})
TOOLS = (ADD, PING)
ADDED = Call("add", {"a": 1, "b": 2.5})
PINGED = Call("ping", {})
ODD = Call("find/it v2", {"q": 'a "b" \\ \n ü 😀 <TOOLCALL>[TOOL_CALLS][ARGS]', "deep": [{"x": None}, [], {}]})


def is_thinking(fmt: ToolFormat, text: str, *, opened: bool = False) -> bool:
    """Whether reasoning is not closed: a call there may be a draft, which no watcher knows of."""
    return split_reasoning(text, opened=opened, frame=fmt.frame).inside


def check_every_prefix(fmt: ToolFormat, text: str) -> None:
    """Reads `text` as far as each character, as a stream and anew."""
    watcher = fmt.watcher(TOOLS)
    read: tuple[Call, ...] = ()
    for end in range(1, len(text) + 1):
        watcher.feed(text[end - 1])
        parsed = fmt.parse(text[:end], TOOLS)
        if is_thinking(fmt, text[:end]):
            assert not watcher.call_complete
            continue
        assert parsed.calls[: len(read)] == read, f"a call is taken back: {text[:end]!r}"
        read = parsed.calls
        assert watcher.call_complete is bool(read), text[:end]
        assert watcher.name_known or not read
        assert not parsed.open_block or parsed.fragments
        for fragment in parsed.fragments:
            assert fragment.reason
            assert fragment.text and text[:end].startswith(fragment.text, fragment.position)


def moments(fmt: ToolFormat, text: str) -> tuple[str, str]:
    """What had been written when the first name was known, and when the first call was complete."""
    watcher = fmt.watcher(TOOLS)
    named = called = ""
    for end in range(1, len(text) + 1):
        watcher.feed(text[end - 1])
        named = named or (text[:end] if watcher.name_known else "")
        called = called or (text[:end] if watcher.call_complete else "")
    return named, called
