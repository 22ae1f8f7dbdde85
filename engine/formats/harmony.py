r"""The `harmony` format: messages on channels, a call being a message to `functions.NAME` (gpt-oss).

    <|channel|>analysis<|message|>...<|end|><|start|>assistant
    <|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}

is one answer, without the line break, after a prompt that ends with `<|start|>assistant`. Templates write the calls of
the past with the recipient first, ` to=functions.NAME<|channel|>commentary json<|message|>{...}`; models write both.
`<|call|>` ends the generation, so it is not part of the text: a call is whole when its JSON object is, and what stands
behind it can only be reported. Knows no tokens; the markers are texts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.constraint.protocol import ConstraintSpec
from engine.errors import ConstraintError
from engine.formats.blocks import check_tools
from engine.formats.calls import write_arguments
from engine.formats.protocol import CannotCarry, Closing, Signature
from engine.formats.reasoning import Frame, PlainAnswer, split_reasoning
from engine.formats.strict import WHITE_SPACE, Broken, Value, read, skip
from engine.types import Call, Fragment, Parsed, Tool
from engine.watch import BufferWatcher
from grammars.nodes import Choice, Json, Literal, Marker, Node, Seq

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
_FUNCTIONS = "functions."
TO = f" to={_FUNCTIONS}"

_CHANNELS = ("commentary", "analysis")  # on which models call; templates write the first one

_NAME = r"[^\s<\ud800-\udfff]+"
_STARTED = re.compile(r"\s*<\|start\|>(?P<role>[^\s<]*)")
_STRAY = re.compile(r"^\s*<\|channel\|>commentary(?: to=assistant\s*$| ?(?:to=assistant ?)?(?=<\|channel\|>))")
_HEADER = re.compile(
    rf"(?:to=(?P<before>{_NAME}) ?)?"
    rf"(?:<\|channel\|>(?P<channel>analysis|commentary|final)(?: to=(?P<after>{_NAME}))?)?"
    r"(?: ?<\|constrain\|>[\w-]+| [\w-]+)?"
)
_ADDRESSED = re.compile(rf"(?:^|\s)to=(?:functions\.(?P<name>{_NAME})(?=[\s<]))?")
_STRUCTURE = re.compile("|".join(map(re.escape, (MESSAGE, START, END, CALL, RETURN))))
_INSIDE = re.compile("|".join(map(re.escape, (CHANNEL, MESSAGE, CONSTRAIN))))  # has no place in a body
_BEHIND = re.compile("|".join(map(re.escape, (START, END, CALL, RETURN))))  # where the body of a message ends


@dataclass(slots=True)
class _Message:
    """One message as far as it is written; `end`: where the next one begins."""

    end: int
    begin: int  # where its body does, or all of it if it is none in plain text
    reasoning: str = ""
    is_thought: bool = False
    content: str = ""
    call: Call | None = None
    fragments: list[Fragment] = field(default_factory=list)
    is_open: bool = False  # it is addressed to a tool, and the text ends before the call is whole
    name: str = ""  # of the tool that it is addressed to


class _Messages(Frame):
    """Models also write other headers than the template's, and other messages before the one that answers."""

    __slots__ = ()

    def plain_answer(self, text: str, start: int) -> PlainAnswer:
        """The last message but reasoning, of which more than a header is written."""
        begin = end = len(text)
        thoughts: list[str] = []
        while start < len(text):
            message = _message(text, start)
            start = message.end
            thoughts.append(message.reasoning)
            if message.content.strip():
                begin = skip(text, message.begin)
                end, start = _plain_end(text, begin)
            elif message.call or message.fragments:
                begin, end = message.begin, message.end
        return PlainAnswer(begin, end, _joined(thoughts))


class HarmonyFormat:
    """Implements `engine.formats.protocol.ToolFormat`."""

    id = "harmony"
    version = "2"
    title = "gpt-oss"
    markers: tuple[str, ...] = (CHANNEL, MESSAGE, CONSTRAIN, START, END)
    stop_texts: tuple[str, ...] = (CALL, RETURN)
    frame: Frame = _Messages(
        open=f"{CHANNEL}analysis{MESSAGE}",
        close=END,
        resume=f"{START}assistant",
        header=f"{CHANNEL}final{MESSAGE}",
        others=tuple(f"{CHANNEL}commentary{to}{CHANNEL}analysis{MESSAGE}" for to in (" to=assistant", "")),
        breaks=(START,),
        calls=tuple(f"{CHANNEL}{channel}{TO}" for channel in _CHANNELS),
    )
    signature = Signature(all_of=(f"{CHANNEL}commentary", MESSAGE))
    closing = Closing()
    max_calls: int | None = 1
    limits: tuple[str, ...] = (
        "There is one call in an answer, not several.",
        "A tool's name cannot be empty, or contain white space or <.",
    )

    def write(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        """The recipient first, as the template does."""
        if len(calls) > 1:
            raise CannotCarry(f"harmony ends an answer with its first call; there are {len(calls)}")
        for call in calls:
            if not _is_name(call.name):
                raise CannotCarry(f"the tool's name {call.name!r} cannot be told from what stands around it")
            return f"{TO}{call.name}{CHANNEL}commentary json{MESSAGE}{write_arguments(call, tools)}"
        return ""

    def parse(self, text: str, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> Parsed:
        split = split_reasoning(text, opened=reasoning_opened, frame=self.frame)
        reasoning, start = split.reasoning, split.start
        if split.inside:
            found = _call_at_end(text, split.begin)
            if found is None:
                return Parsed(reasoning=reasoning, open_reasoning=True)
            reasoning, start = text[split.begin : found], found
        messages = [*_messages(text, start)]
        calls = tuple(message.call for message in messages if message.call)
        is_thought = bool(messages) and messages[-1].is_thought and not text.rstrip().endswith(END)
        return Parsed(
            calls=calls,
            fragments=tuple(fragment for message in messages for fragment in message.fragments),
            reasoning=_joined([reasoning, *(message.reasoning for message in messages)]),
            content=_joined(message.content for message in messages),
            open_block=any(message.is_open for message in messages),
            open_reasoning=is_thought and not calls,
        )

    def constraint(self, tools: Sequence[Tool], *, required: bool, several: bool = True) -> ConstraintSpec:
        """Free until a message is addressed to a function, or from the first token if a call is required."""
        check_tools(tools)
        for tool in tools:
            if not _is_name(tool.name):
                raise ConstraintError(f"harmony cannot write the tool name {tool.name!r}; rename the tool")
        kinds = (
            Marker(MESSAGE),
            Seq((Literal(" json"), Marker(MESSAGE))),
            Seq((Literal(" "), Marker(CONSTRAIN), Literal("json"), Marker(MESSAGE))),
        )
        in_role = (Marker(CHANNEL), Literal("commentary"), Choice(kinds))
        channel = (Marker(CHANNEL), Choice(tuple(map(Literal, _CHANNELS))))
        root = Choice((_calls(tools, (), in_role), _calls(tools, channel, (Choice(kinds),))))
        return ConstraintSpec(root, triggers=() if required else (TO, *self.frame.calls))

    def watcher(self, tools: Sequence[Tool], *, reasoning_opened: bool = False) -> BufferWatcher:
        return BufferWatcher(
            name_written=_name_written,
            find_call=_find_call,
            closing="}",
            naming="<",
            reasoning_opened=reasoning_opened,
            frame=self.frame,
        )


def _is_name(name: str) -> bool:
    return re.fullmatch(_NAME, name) is not None


def _calls(tools: Sequence[Tool], before: tuple[Node, ...], behind: tuple[Node, ...]) -> Node:
    """A call of each tool, with the rest of the header before and behind the recipient."""
    calls = (Seq((Literal(tool.name), *behind, Json(tool.parameters, tool.name))) for tool in tools)
    return Seq((*before, Literal(TO), Choice(tuple(calls))))


def _joined(texts: Iterable[str]) -> str:
    return "\n".join(filter(None, map(str.strip, texts)))


def _messages(text: str, start: int) -> Iterator[_Message]:
    """Every message from `start` on, in order. What was read as a call stays one, however the text goes on."""
    while start < len(text):
        message = _message(text, start)
        yield message
        start = message.end


def _message(text: str, start: int) -> _Message:
    started = _STARTED.match(text, start)
    header = started.end() if started else start
    mark = _STRUCTURE.search(text, header)
    if mark is None or mark[0] != MESSAGE:
        return _without_body(text, header, mark)
    written = _without_stray(text[header : mark.start()].strip())
    head = _HEADER.fullmatch(written)
    recipient = (head["before"] or head["after"]) if head else None
    problem = ""
    if started and started["role"] != "assistant":
        problem = f"a message by {started['role'] or 'nobody'}, not by the assistant"
    elif recipient and head:
        problem = _problem(recipient, head)
        if not problem:
            return _call(text, header, mark.end(), recipient.removeprefix(_FUNCTIONS))
    elif _ADDRESSED.search(written):
        problem = "the header of the message is malformed"
    body, end = _body(text, mark.end())
    if problem:
        return _Message(end, header, fragments=[Fragment(text[header : mark.end()] + body, problem, header)])
    message = _Message(end, mark.end())
    inside = _INSIDE.search(body)
    if inside:
        rest = Fragment(body[inside.start() :], "a header within a message", mark.end() + inside.start())
        body, message.fragments = body[: inside.start()], [rest]
    if head and head["channel"] == "analysis":
        message.reasoning, message.is_thought = body, True
    else:
        message.content = body
    return message


def _without_body(text: str, header: int, mark: re.Match[str] | None) -> _Message:
    """Text that is no message, or that will become one."""
    stop = mark.start() if mark else len(text)
    end = mark.end() if mark and mark[0] != START else stop
    written = text[header:stop]
    addressed = _ADDRESSED.search(_without_stray(written)) if _is_header(written) else None
    if addressed:
        problem = f"{MESSAGE} is missing after the header"
        fragment = Fragment(written, problem, header)
        return _Message(end, header, fragments=[fragment], is_open=mark is None, name=addressed["name"] or "")
    return _Message(end, header, content="" if mark is None and _is_header(written) else written)


def _without_stray(header: str) -> str:
    """gpt-oss-20b begins some headers with a channel that another one follows, and that says nothing."""
    return _STRAY.sub("", header, count=1)


def _is_header(text: str) -> bool:
    """Whether this begins a header, as far as it is written; `to` alone does so only behind a space."""
    bare = text.lstrip()
    if bare.startswith((CHANNEL, "to=")):
        return True
    return any(mark.startswith(bare) for mark in (CHANNEL, START)) or (text[:1] == " " and "to=".startswith(bare))


def _problem(recipient: str, head: re.Match[str]) -> str:
    """Why a message to this recipient is no call; empty where it is one if its body is."""
    if head["before"] and head["after"]:
        return "two recipients"
    if not recipient.startswith(_FUNCTIONS):
        return f'the recipient "{recipient}" is none of the functions'
    if recipient == _FUNCTIONS:
        return "the name of the function is missing"
    if head["channel"] not in _CHANNELS:
        return f"a call on the channel {head['channel']}" if head["channel"] else "the channel is missing"
    return ""


def _call(text: str, header: int, start: int, name: str) -> _Message:
    """A message to a function, whose body begins at `start`."""
    match read(text, start):
        case Broken(reason, unfinished=True):
            fragment = Fragment(text[header:], reason, header)
            return _Message(len(text), header, fragments=[fragment], is_open=True, name=name)
        case Broken(reason):
            problem = reason
        case Value(dict(arguments), stop):
            rest, end = _body(text, stop)
            junk = rest.strip(WHITE_SPACE)
            is_cut = end == len(text) and any(mark.startswith(junk) for mark in (START, END, CALL, RETURN))
            stray = [] if is_cut or not junk else [Fragment(junk, "text behind the arguments", skip(text, stop))]
            return _Message(end, header, call=Call(name, arguments), fragments=stray)
        case _:
            problem = "the arguments are not a JSON object"
    body, end = _body(text, start)
    return _Message(end, header, fragments=[Fragment(text[header:start] + body, problem, header)])


def _body(text: str, start: int) -> tuple[str, int]:
    """The text of a message from `start` on, and where the next one begins."""
    mark = _BEHIND.search(text, start)
    if mark is None:
        return text[start:], len(text)
    return text[start : mark.start()], mark.start() if mark[0] == START else mark.end()


def _plain_end(text: str, start: int) -> tuple[int, int]:
    """Where a message in plain text ends, and where the next one begins. In JSON, marks within strings are text."""
    found = read(text, start) if text.startswith("{", start) else None
    if isinstance(found, Broken) and found.unfinished:
        return len(text), len(text)
    stop = found.end if isinstance(found, Value) else start
    rest, following = _body(text, stop)
    return stop + len(rest), following


def _find_call(text: str, start: int) -> int | None:
    for message in _messages(text, start):
        if message.call:
            return start
        start = message.end
    return None


def _call_at_end(text: str, begin: int) -> int | None:
    """Where the call begins with which reasoning ends that begins at `begin` and is never closed; None: with none."""
    start = max(text.rfind(mark, begin) for mark in HarmonyFormat.frame.calls)
    message = _message(text, start) if start >= 0 else None
    is_last = message is not None and message.call and not message.fragments and message.end == len(text)
    return start if is_last else None


def _name_written(text: str, start: int) -> bool:
    """Whether the first message that is a call, or can still become one, names its function."""
    for message in _messages(text, start):
        if message.call:
            return True
        if message.is_open:
            return bool(message.name)
    return False
