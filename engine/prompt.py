"""Messages and tools to the token ids of a prompt, in the model's own style or in the JSON style.

    builder = PromptBuilder(model, ChatTemplate(source), fmt, style="native")
    prompt = builder.build(messages, tools)
    prompt.tokens, prompt.n_shared, prompt.reasoning

The JSON style describes tools and envelope in the system message, in words that are the same for every model (the
bundled one is trained on them). Text that people or tools wrote never becomes a structural token: where it contains a
marker or a control token's text, the prompt is cut in the middle of it and tokenised piece by piece, because a
tokenizer matches such tokens wherever their text stands. Reasoning is switched by every means that templates read: the
variables `enable_thinking`, `thinking` and `reasoning_effort`, and words in the system message; whether a template
heeds any of them is for `engine.selfcheck` to find out. The model's own past turns, reasoning included, are shown as
the template shows them, and where it cannot, as `engine.habits` has it. Knows no case and no cache.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Protocol

from engine.decoding.spelling import Spelling
from engine.errors import TemplateError
from engine.formats import FORMATS
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.formats.reasoning import Frame
from engine.habits import TOOL, Habits
from engine.runtime import Reasoning
from engine.template import ChatTemplate
from engine.turns import Turn, native_messages, spoken, with_reasoning, with_thinking_words
from engine.types import Call, Message, PromptStyle, Tool
from engine.vocabulary import Vocabulary
from grammars.canonical import dumps

TOOLS_HEADING: Final = "You can call tools. Each line describes one:\n"
ENVELOPE_RULES: Final = (
    "\nAnswer with one JSON object and nothing else:\n"
    '{"calls": [{"name": "tool name", "arguments": {}}], "reply": "text for the user"}\n'
    "Leave calls empty when no tool is needed; use reply to answer, to ask for a missing value or to say that you "
    "cannot help."
)
_PROBES: Final = ("0", "x")  # two user messages that share nothing
_N_PREFIXES_KEPT: Final = 64  # some suites have other tools in every case, and thousands of cases
_BRACKETED: Final = re.compile(r"<\S+>|\[\S+\]|｜\S+｜")


class Tokenizer(Protocol):
    """What a loaded model offers here; `engine.llama.Model` and `engine.fake.FakeModel` do."""

    def vocabulary(self) -> Vocabulary: ...

    def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """`n_shared`: leading tokens that every case with the same system message and tools has, a hint for the cache."""

    text: str
    tokens: tuple[int, ...]
    n_shared: int
    reasoning: Reasoning | None  # None: the model does not reason, or the prompt has already ended its reasoning


@dataclass
class PromptBuilder:
    """Builds prompts of one style for one model; keeps the last shared prefixes that it has worked out."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    fmt: ToolFormat
    style: PromptStyle
    thinking: bool | None = None  # None: as the template has it
    reasoning_effort: str | None = None  # None: as the template has it
    _prefixes: OrderedDict[str, list[int]] = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        if self.template is None:
            raise TemplateError("this model has no chat template; give one with --chat-template")
        self._vocabulary = self.tokenizer.vocabulary()
        self._spelling = Spelling(self._vocabulary, self.tokenizer.tokenize)
        self._structural = _StructuralTexts(self._vocabulary, self.template.source, self.fmt)
        self.habits = Habits(lambda turns: self._rendered(turns, native_tools((TOOL,)), generation=True))

    def build(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Prompt:
        """Raises `TemplateError` where the template refuses the conversation."""
        pieces = self._pieces(messages, tools)
        tokens = self._tokens(pieces)
        n_shared = min(n_common(tokens, self._prefix(messages, tools)), len(tokens) - 1)
        return Prompt("".join(pieces), tuple(tokens), max(n_shared, 0), self._reasoning(pieces[-1]))

    def text(self, messages: Sequence[Message], tools: Sequence[Tool], *, generation: bool = True) -> str:
        """The rendered conversation, to be gone on with by the model, or whole; raises `TemplateError`."""
        return "".join(self._pieces(messages, tools, generation=generation))

    def _pieces(self, messages: Sequence[Message], tools: Sequence[Tool], *, generation: bool = True) -> list[str]:
        """The text, cut where it must be; every marker in the last piece is the template's own."""
        assert self.template is not None
        turns: Iterable[Turn]
        if self.style == "json":
            turns, offered = json_messages(messages, tools), None
        else:
            turns, offered = native_messages(messages, max_calls=self.fmt.max_calls), native_tools(tools) or None
        turns = with_thinking_words(list(turns), self.template.source, self.thinking)
        turns = self.habits.with_values(turns)
        variables: dict[str, Any] = {"messages": turns, "tools": offered}
        seam = _unused_character(variables)
        variables = self._structural.cut(variables, seam)
        # Behind the cut, as the markers of calls that are written here are the prompt's own.
        turns = self.habits.suited(variables["messages"], lambda calls: self._written(calls, tools))
        rendered = self._rendered(turns, variables["tools"], generation=generation)
        return re.split(f"{seam}|\\\\u{ord(seam):04x}", rendered)  # a template may escape what is not ASCII

    def _rendered(self, turns: Sequence[Turn], offered: Sequence[Any] | None, *, generation: bool) -> str:
        assert self.template is not None
        turns = with_reasoning(turns, self.template.source)
        variables: dict[str, Any] = {"messages": turns, "tools": offered}
        if self.thinking is not None:
            variables |= {"enable_thinking": self.thinking, "thinking": self.thinking}
        if self.reasoning_effort is not None:
            variables["reasoning_effort"] = self.reasoning_effort
        return self.template.render(
            **variables,
            documents=None,
            add_generation_prompt=generation,
            bos_token=self._token_text(self._vocabulary.bos),
            eos_token=self._token_text(self._vocabulary.eos),
        )

    def _written(self, calls: Sequence[Call], tools: Sequence[Tool]) -> str:
        """Calls for a template that shows none."""
        try:
            return self.fmt.write(calls, tools)
        except CannotCarry as error:
            raise TemplateError(
                f"the chat template shows no calls, and {self.fmt.id} cannot write one: {error}"
            ) from error

    def _tokens(self, pieces: Iterable[str]) -> list[int]:
        tokens: list[int] = []
        for piece in filter(None, pieces):
            tokens += self._spelling.behind_cut(piece) if tokens else self.tokenizer.tokenize(piece)
        bos = self._vocabulary.bos
        if self._vocabulary.add_bos and bos is not None and tokens[:1] != [bos]:  # most templates write it themselves
            tokens.insert(0, bos)
        return tokens

    def _prefix(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        system = [message for message in messages[:1] if message.role == "system"]
        key = _quick_text([[message.content for message in system], native_tools(tools)])
        if key in self._prefixes:
            self._prefixes.move_to_end(key)
        else:
            try:
                probes = ([*system, Message("user", probe)] for probe in _PROBES)
                first, second = (self._tokens(self._pieces(probe, tools)) for probe in probes)
            except TemplateError:  # it took the conversation itself, so only the hint is lost
                first, second = [], []
            self._prefixes[key] = first[: n_common(first, second)]
            if len(self._prefixes) > _N_PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        return self._prefixes[key]

    def _reasoning(self, tail: str) -> Reasoning | None:
        assert self.template is not None
        frame = self.fmt.frame
        marks = Reasoning(
            frame.open,
            frame.close,
            resume=frame.resume,
            others=frame.others,
            breaks=frame.breaks,
            calls=frame.calls,
        )
        if ends_in_reasoning(tail, frame):
            return replace(marks, opened=True)
        close = frame.close.strip()
        knows_marks = frame.open.strip() in self.template.source or close in self.template.source
        if not knows_marks or tail.rstrip().endswith(close):
            return None
        return marks

    def _token_text(self, token: int | None) -> str:
        return "" if token is None else self._vocabulary.text([token])


def ends_in_reasoning(prompt: str, frame: Frame) -> bool:
    """Whether the last thing that a prompt says is that the model reasons now."""
    return prompt.rstrip().endswith(frame.open.strip())


def native_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    return [{"type": "function", "function": tool_description(tool)} for tool in tools]


def tool_description(tool: Tool) -> dict[str, Any]:
    shown = tool.parameters if tool.written is None else tool.written
    return {"name": tool.name, "description": tool.description, "parameters": shown}


def json_messages(messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[Turn]:
    """The same conversation with the tools in the system message, calls as envelopes, results as user messages."""
    rest = list(messages)
    system = rest.pop(0).content + "\n\n" if rest and rest[0].role == "system" else ""
    lines = "\n".join(dumps(tool_description(tool)) for tool in tools)
    yield {"role": "system", "content": f"{system}{TOOLS_HEADING}{lines}{ENVELOPE_RULES}"}
    for is_result, group in groupby(rest, key=lambda message: message.role == "tool"):
        turns = list(group)
        if is_result:
            content = "\n".join(f"Result of {turn.name}:\n{turn.content}" for turn in turns)
            yield {"role": "user", "content": content}
            continue
        for turn in turns:
            yield spoken(turn, envelope(turn.calls, turn.content) if turn.role == "assistant" else turn.content)


def envelope(calls: Sequence[Call], reply: str) -> str:
    """An answer of the JSON style as the model is expected to write it."""
    return dumps({"calls": [{"name": call.name, "arguments": call.arguments} for call in calls], "reply": reply})


class _StructuralTexts:
    """The texts that would become structural tokens: control tokens, formats' markers, the template's own markers."""

    def __init__(self, vocabulary: Vocabulary, template: str, fmt: ToolFormat) -> None:
        known = (fmt, *FORMATS.values())
        texts = {marker for each in known for marker in each.markers}
        texts |= {mark.strip() for each in known for mark in (each.frame.open, each.frame.close)}
        texts |= {_text(vocabulary, token) for token in vocabulary.control}
        # A user-defined token may just as well be an indentation or a piece of JSON; those stay whole.
        defined = (_text(vocabulary, token) for token in vocabulary.user_defined)
        texts |= {text for text in defined if _BRACKETED.fullmatch(text) and text in template}
        self._texts = {text for text in texts if len(text) > 1}  # a single character has no middle to cut
        self._lengths: dict[str, set[int]] = {}
        for text in self._texts:
            self._lengths.setdefault(text[0], set()).add(len(text))
        self._first = re.compile("[" + re.escape("".join(sorted(self._lengths))) + "]")

    def cut(self, value: Any, seam: str) -> Any:
        """`value` with `seam` put into every occurrence, in all its strings, keys too."""
        if isinstance(value, str):
            return self._cut_text(value, seam)
        if isinstance(value, Mapping):
            return {self.cut(key, seam): self.cut(item, seam) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.cut(item, seam) for item in value]
        return value

    def _cut_text(self, text: str, seam: str) -> str:
        done, pieces = 0, []
        for match in self._first.finditer(text):
            start = match.start()
            if any(text[start : start + length] in self._texts for length in self._lengths[match[0]]):
                pieces.append(text[done : start + 1])
                done = start + 1
        return seam.join([*pieces, text[done:]])


def _text(vocabulary: Vocabulary, token: int) -> str:
    return vocabulary.pieces[token].decode("utf-8", errors="replace")


def _unused_character(value: Any) -> str:
    """One of Unicode's noncharacters (meant for internal use) that is not in the conversation, escaped or not.

    Raises `TemplateError` for a conversation that has them all.
    """
    text = _quick_text(value)
    free = (code for code in range(0xFDD0, 0xFDF0) if chr(code) not in text and f"\\u{code:04x}" not in text)
    code = next(free, None)
    if code is None:
        raise TemplateError(
            "the conversation contains every noncharacter from U+FDD0 to U+FDEF, one of which must be left to mark "
            "where its text is cut; take one of them out"
        )
    return chr(code)


def _quick_text(value: Any) -> str:
    """Some text of a JSON value, the same for the same; the canonical one, which prompts show, takes much longer."""
    return json.dumps(value, ensure_ascii=False, default=dict)


def n_common(first: Sequence[object], second: Sequence[object]) -> int:
    """How many tokens, or characters, two sequences begin with alike."""
    for place, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return place
    return min(len(first), len(second))
