"""Does the model's own chat template write calls as its format reads them? Asked at every load, before anything counts.

    for finding in check(ChatTemplate(source), fmt, model):
        print(finding.name, finding.message)

A format that was chosen wrongly, a template that leaves out the tools, a marker that is no token: each would look like
a weak model. The template renders a call, two calls and a result; what it writes is held against what the format
writes, and read back. A system message must be shown, and must not cost the model what it is told of its tools, or
that it is to reason. What cannot be shown of its past turns is said, too. Knows no run and no report; never raises,
whatever the template does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from engine import formats
from engine.errors import TemplateError
from engine.formats.detect import end_texts, marker_tokens
from engine.formats.protocol import ToolFormat
from engine.prompt import PromptBuilder, Tokenizer, ends_in_reasoning, n_common
from engine.template import ChatTemplate
from engine.types import Call, Finding, Message, Tool
from engine.vocabulary import Vocabulary


def _tool(name: str, **kinds: str) -> Tool:
    properties = {parameter: {"type": kind} for parameter, kind in kinds.items()}
    return Tool(name, f"The tool {name}.", {"type": "object", "properties": properties, "required": [*kinds]})


# Names in alphabetical order, because Gemma's template sorts them.
TOOLS: Final = (_tool("get_weather", city="string", days="integer"), _tool("add", a="number", b="number"))
CALLS: Final = (Call("get_weather", {"city": "Paris", "days": 2}), Call("add", {"a": 1, "b": 2.5}))
_USER: Final = Message("user", "What is the weather in Paris?")
_SYSTEM: Final = Message("system", "Answer as a lighthouse keeper would.")
_REPLY: Final = "Rain, most likely."
_RESULT_WORD: Final = "cloudless"
_ANSWERED: Final = (
    _USER,
    Message("assistant", calls=CALLS[:1]),
    Message("tool", f'{{"sky": "{_RESULT_WORD}"}}', name=CALLS[0].name),
)
_REFUSES: Final = "template-refuses"
_MOST_CHARS: Final = 4000
_MOST_QUOTED_CHARS: Final = 200
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_SENTENCE_END: Final = re.compile(r"\n|(?<=[.:!?]) ")
_OF_TOOLS: Final = re.compile(r"tool|function|call", re.IGNORECASE)
_CUT_MARKER: Final = re.compile(r"[<\[][^<>\[\]]*\Z")  # a text that ends within what may be a marker


def check(
    template: ChatTemplate | None,
    fmt: ToolFormat | None,
    tokenizer: Tokenizer,
    *,
    thinking: bool | None = None,
    reasoning_effort: str | None = None,
) -> tuple[Finding, ...]:
    """Everything in which template, format and vocabulary disagree, and every setting that the template ignores."""
    if template is None:
        return (Finding("no-template", "the model has no chat template; give one with --chat-template"),)
    found = list(_choice(template, fmt))
    if fmt is not None:
        found += _tokens(fmt, tokenizer.vocabulary())
        found += _Talk(PromptBuilder(tokenizer, template, fmt, "native", thinking, reasoning_effort), fmt).findings()
    found += _switches(template, fmt or formats.ENVELOPE, tokenizer, thinking, reasoning_effort)
    return tuple(
        replace(each, rendered=_shortened(each.rendered), expected=_shortened(each.expected))
        for each in _told_once(dict.fromkeys(found))
    )


def _refusal(what: str, reason: TemplateError) -> Finding:
    return Finding(_REFUSES, f"{what}: {reason}")


def _told_once(found: Iterable[Finding]) -> Iterator[Finding]:
    """Whatever the template refuses for one and the same reason is one finding; they come last."""
    refused: dict[str, list[str]] = {}
    for each in found:
        if each.name == _REFUSES:
            what, _, reason = each.message.partition(": ")
            refused.setdefault(reason, []).append(what)
        else:
            yield each
    for reason, parts in refused.items():
        yield Finding(_REFUSES, f"{', '.join(parts)}: {reason}")


def _choice(template: ChatTemplate, fmt: ToolFormat | None) -> Iterator[Finding]:
    detection = formats.detect(template.source)
    if fmt is None:
        yield Finding("format-unknown", "the chat template looks like no format that toolgauge reads natively")
    elif detection.format is None:
        yield Finding("format-not-recognised", f"{fmt.id} is used, and the chat template looks like no known format")
    elif detection.format.id != fmt.id:
        signs = ", ".join(map(repr, detection.texts))
        message = f"{fmt.id} is used, and the chat template looks like {detection.format.id}: it has {signs}"
        yield Finding("format-disagrees", message)


def _tokens(fmt: ToolFormat, vocabulary: Vocabulary) -> Iterator[Finding]:
    if missing := [marker.text for marker in marker_tokens(fmt, vocabulary.kind_of) if marker.kind is None]:
        message = f"the vocabulary has no token of its own for {_listed(missing)}; it is written as text"
        yield Finding("marker-not-a-token", message)
    if ending := [text for text in fmt.markers if vocabulary.token_of(text) in vocabulary.eog]:
        yield Finding("marker-ends-answer", f"generation ends at {_listed(ending)}, so that nothing can follow it")


class _Talk:
    """A short conversation, rendered turn by turn."""

    def __init__(self, builder: PromptBuilder, fmt: ToolFormat) -> None:
        self._builder, self._fmt = builder, fmt
        ends = end_texts(fmt, builder.tokenizer.vocabulary())
        self._stops = frozenset(ends)
        self._ends = {*filter(None, ends.values()), *fmt.stop_texts} - {*fmt.markers}

    def findings(self) -> Iterator[Finding]:
        yield from self._refused(self._question, "a question with tools")
        yield from self._refused(self._system, "a system message")
        yield from self._refused(self._turn_end, "an answer")
        one_call = list(self._refused(lambda: self._calls(CALLS[:1]), "a call"))
        yield from one_call
        if not one_call and (self._fmt.max_calls is None or self._fmt.max_calls > 1):
            yield from self._refused(lambda: self._calls(CALLS), "two calls")
        yield from self._refused(self._result, "a tool's result")
        yield from self._history()

    def _refused(self, part: Callable[[], Iterator[Finding]], what: str) -> Iterator[Finding]:
        try:
            yield from part()
        except TemplateError as error:
            yield _refusal(what, error)

    def _question(self) -> Iterator[Finding]:
        prompt = self._text(_USER, generation=True)
        if TOOLS[0].name not in prompt:
            yield Finding("tools-not-shown", "the chat template does not show the model its tools", rendered=prompt)
        end, own = prompt.rstrip(), self._fmt.frame
        if not end.endswith((own.open.strip(), own.close.strip())):
            frames = {fmt.frame for fmt in formats.NATIVE.values()} - {own}
            marks = {mark.strip() for frame in frames for mark in (frame.open, frame.close)}
            if strange := [mark for mark in sorted(marks) if end.endswith(mark)]:
                yield Finding(
                    "reasoning-differs",
                    f"the prompt ends with {strange[0]}, and {self._fmt.id} reasons between {own.open} and {own.close}",
                    rendered=prompt[-200:],
                    expected=own.open,
                )

    def _system(self) -> Iterator[Finding]:
        prompt = self._text(_SYSTEM, _USER, generation=True)
        if _SYSTEM.content not in prompt:
            message = "the chat template does not show the model the system message"
            yield Finding("system-not-shown", message, rendered=prompt)
        else:
            with suppress(TemplateError):  # what refuses a call or a result is said where these are asked for
                later = self._text(_SYSTEM, *_ANSWERED, generation=True)
                if _SYSTEM.content not in later:
                    message = "the chat template leaves the system message out once a tool has answered"
                    yield Finding("system-not-shown", message, rendered=later)
        usual = self._text(_USER, generation=True)
        if lost := self._lost_to(prompt, usual):
            message = f"with a system message the chat template leaves out what it says of tools without one: {lost}"
            yield Finding("system-replaces-instructions", message, rendered=prompt)
        mark = self._fmt.frame.open.strip()
        if mark in usual and mark not in prompt:
            message = (
                f"the chat template asks the model to reason behind {mark} only where there is no system message: not "
                "in cases that have one, and in none of the json.* modes"
            )
            yield Finding("system-replaces-reasoning", message, rendered=prompt, expected=usual)

    def _lost_to(self, prompt: str, usual: str) -> str:
        """What `usual`, without a system message, says of tools and this prompt does not, as far as it is short.

        Who the model is said to be where nobody says it (Qwen3-Coder's, with tools only) is meant to be replaced.
        """
        without_tools = self._builder.text((_USER,), ())
        lost = _words(usual) - _words(prompt) - _words(without_tools)
        sentences = (part for part in _SENTENCE_END.split(usual) if lost & _words(part) and _OF_TOOLS.search(part))
        text = " ".join(sentences)
        return text if len(text) <= _MOST_QUOTED_CHARS else f"{text[:_MOST_QUOTED_CHARS]} [...]"

    def _turn_end(self) -> Iterator[Finding]:
        _, reply, after = self._text(_USER, Message("assistant", _REPLY)).rpartition(_REPLY)
        if reply and after.strip() and self._stops.isdisjoint(self._builder.tokenizer.tokenize(after)):
            message = f"the chat template ends a turn with {after.strip()}, at which generation does not stop"
            yield Finding("turn-end-not-a-stop", message, rendered=after)

    def _calls(self, calls: Sequence[Call]) -> Iterator[Finding]:
        before, rendered = self._answer(calls)
        expected = self._fmt.write(calls, TOOLS)
        what = "a call" if len(calls) == 1 else f"{len(calls)} calls"
        if rendered.strip() != expected.strip():
            message = f"the chat template writes {what} otherwise than {self._fmt.id} does"
            yield Finding("call-text-differs", message, rendered, expected)
        opened = ends_in_reasoning(before, self._fmt.frame)
        parsed = self._fmt.parse(rendered, TOOLS, reasoning_opened=opened)
        if parsed.calls != tuple(calls) or parsed.fragments:
            reasons = [fragment.reason for fragment in parsed.fragments]
            why = f": {reasons[0]}" if reasons else f": {len(parsed.calls)} were read"
            message = f"{self._fmt.id} does not read {what} back from the chat template's text{why}"
            yield Finding("does-not-parse-back", message, rendered, expected)

    def _answer(self, calls: Sequence[Call]) -> tuple[str, str]:
        """The rendered conversation before the calls, and the calls without the turn's end.

        Found by comparing with the same turn in plain text, which tells where a turn's own words begin and end.
        """
        plain = self._text(_USER, Message("assistant", _REPLY))
        whole = self._text(_USER, Message("assistant", calls=tuple(calls)))
        before, reply, after = plain.rpartition(_REPLY)
        if not reply or not whole.startswith(before):
            before = _CUT_MARKER.sub("", plain[: n_common(plain, whole)])
        answer = whole[len(before) :].removesuffix(after if reply else "")
        while end := next((end for end in self._ends if answer.rstrip().endswith(end)), None):
            answer = answer.rstrip().removesuffix(end)
        return before, answer

    def _result(self) -> Iterator[Finding]:
        prompt = self._text(*_ANSWERED, generation=True)
        if _RESULT_WORD not in prompt:
            message = "the chat template does not show the model what a tool answered"
            yield Finding("result-not-shown", message, rendered=prompt)

    def _history(self) -> Iterator[Finding]:
        if self._builder.habits.forgets_system:
            message = (
                "the chat template leaves the system message out once a tool has answered; it stands in front of the "
                "user's last words then"
            )
            yield Finding("system-not-kept", message)
        if not self._builder.habits.shows_calls:
            message = f"the chat template shows no past calls, so that {self._fmt.id} text stands in the model's turns"
            yield Finding("calls-not-shown", message)
        elif not self._builder.habits.keeps_words:
            message = "the chat template cannot show what the model said before a call; later prompts leave it out"
            yield Finding("words-not-shown", message)

    def _text(self, *messages: Message, generation: bool = False) -> str:
        return self._builder.text(messages, TOOLS, generation=generation)


def _switches(
    template: ChatTemplate, fmt: ToolFormat, tokenizer: Tokenizer, thinking: bool | None, effort: str | None
) -> Iterator[Finding]:
    """What a person set and the template does not heed: the prompt is the same either way."""

    def prompt(thinking: bool | None, effort: str | None) -> str:
        return PromptBuilder(tokenizer, template, fmt, "native", thinking, effort).text((_USER,), TOOLS)

    try:
        if thinking is not None and prompt(True, effort) == prompt(False, effort):
            asked = "on" if thinking else "off"
            yield Finding("thinking-ignored", f"--thinking {asked} has no effect: the chat template cannot switch it")
        if effort is not None and prompt(thinking, "low") == prompt(thinking, "high"):
            message = f"--reasoning-effort {effort} has no effect: the chat template does not read it"
            yield Finding("reasoning-effort-ignored", message)
    except TemplateError as error:
        yield _refusal("a question with tools", error)


def _shortened(text: str) -> str:
    """Begin and end of a text that is too long to be read, as only a broken template makes it."""
    half = _MOST_CHARS // 2
    return text if len(text) <= _MOST_CHARS else f"{text[:half]} [...] {text[-half:]}"


def _words(text: str) -> set[str]:
    """Of letters alone, as the same sentence may stand behind a marker in one prompt and behind a space in another."""
    return {*_WORD.findall(text)}


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts)
