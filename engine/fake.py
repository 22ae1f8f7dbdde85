"""A scripted runtime: the models named `fake:...`, for tests and for trying toolgauge where no model is at hand.

A fake model has a real vocabulary (bytes and a few special tokens), a real chat template in the `hermes` format, and
instead of weights a function from request and prompt text to an answer. Its clock only counts steps, so its timings are
the same everywhere. Constraints are accepted and not applied: what a script says is what comes out. Knows no suite; the
ideal answers of `fake:perfect` are a function that the caller brings.

    model = fake_model("fake:silent", perfect=None)
    runtime = FakeRuntime(model)
    runtime.submit(Request(key=1, prompt=tuple(model.tokenize("hello"))))
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.decoding.moments import Moments
from engine.errors import ToolgaugeError
from engine.formats.reasoning import THINK_CLOSE, THINK_OPEN, Frame, split_reasoning
from engine.prompt import ENVELOPE_RULES
from engine.runtime import Finished, Reasoning, Request
from engine.template import ChatTemplate
from engine.types import ConstraintStats, Generation, StopReason, Timings
from engine.vocabulary import Vocabulary

Answer = Callable[[Request, str], str]  # (request, prompt text) -> what the model writes

PREFIX: Final = "fake:"
STEP_S: Final = 0.001
PREFILL_S_PER_TOKEN: Final = 0.000_01
CRASH_AT: Final = 3

_CONTROL: Final = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_USER_DEFINED: Final = ("<tool_call>", "</tool_call>", "<think>", "</think>")
_SPECIAL: Final = {text: 256 + index for index, text in enumerate((*_CONTROL, *_USER_DEFINED))}
_ANY_SPECIAL: Final = re.compile("(" + "|".join(map(re.escape, _SPECIAL)) + ")")

VOCABULARY: Final = Vocabulary(
    pieces=(*(bytes((byte,)) for byte in range(256)), *(text.encode() for text in _SPECIAL)),
    control=frozenset(_SPECIAL[text] for text in _CONTROL),
    user_defined=frozenset(_SPECIAL[text] for text in _USER_DEFINED),
    eog=frozenset((_SPECIAL["<|im_end|>"], _SPECIAL["<|endoftext|>"])),
    bos=None,
    eos=_SPECIAL["<|im_end|>"],
    add_bos=False,
)

TEMPLATE: Final = ChatTemplate(
    """\
{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}
{%- if tools or system -%}
<|im_start|>system
{{ system }}
{%- if tools -%}
{{ '\n\n' if system else '' }}Call tools like this:
<tool_call>
{"name": "tool name", "arguments": {}}
</tool_call>
{%- for tool in tools %}{{ '\n' ~ (tool.function | tojson) }}{% endfor -%}
{%- endif -%}
<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
<|im_start|>assistant
{{ message.content }}
{%- for call in message.tool_calls or [] -%}
{{ '\n' if message.content or not loop.first else '' }}<tool_call>
{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
<|im_end|>
{% elif message.role != 'system' -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""
)


@dataclass(frozen=True, slots=True)
class FakeModel:
    """What a loaded model offers to `engine.prompt`, and a script."""

    name: str
    answer: Answer
    step_s: float = STEP_S
    sleeps: bool = False  # take the time for real, e.g. to be interrupted
    crash_at: int | None = None  # kill the process when this many requests have been submitted

    @property
    def template(self) -> ChatTemplate:
        return TEMPLATE

    def vocabulary(self) -> Vocabulary:
        return VOCABULARY

    def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> list[int]:
        """Bytes, and the special tokens wherever their text stands; `add_special` adds nothing, as there is no BOS."""
        tokens: list[int] = []
        for piece in _ANY_SPECIAL.split(text) if parse_special else (text,):
            if parse_special and piece in _SPECIAL:
                tokens.append(_SPECIAL[piece])
            else:
                tokens += piece.encode("utf-8", errors="replace")
        return tokens


def fake_model(name: str, *, perfect: Answer | None) -> FakeModel:
    """The model called `fake:NAME`; `perfect` answers each prompt as its case would have it."""
    kind, _, argument = name.removeprefix(PREFIX).partition(":")
    if kind == "silent":
        return FakeModel(name, _silent)
    if kind == "broken-json":
        return FakeModel(name, _broken_json)
    if kind == "rude":
        return FakeModel(name, _rude)
    if kind in ("perfect", "crash", "slow"):
        if perfect is None:
            raise ToolgaugeError(f"{name} needs a suite whose ideal answers it can give; try fake:silent")
        if kind == "crash":
            return FakeModel(name, perfect, crash_at=_crash_at(name, argument))
        return FakeModel(name, perfect, step_s=STEP_S * 5, sleeps=True) if kind == "slow" else FakeModel(name, perfect)
    names = ", ".join(f"{PREFIX}{known}" for known in ("perfect", "silent", "broken-json", "rude", "slow", "crash:N"))
    raise ToolgaugeError(f"there is no model '{name}'; choose one of: {names}")


def _crash_at(name: str, argument: str) -> int:
    if not argument:
        return CRASH_AT
    if not argument.isdecimal() or int(argument) < 1:
        raise ToolgaugeError(f"in '{name}' the part after the second colon counts requests, from 1 on")
    return int(argument)


def _silent(_request: Request, _prompt: str) -> str:
    return ""


def _broken_json(_request: Request, prompt: str) -> str:
    call = '{"name": "broken", "arguments": {"text": "it never en'
    return '{"calls": [' + call if ENVELOPE_RULES in prompt else "<tool_call>\n" + call


def _rude(_request: Request, prompt: str) -> str:
    """What a page that trusts model output would run."""
    attack = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e</textarea>{{ 7 * 7 }}'
    call = json.dumps({"name": attack, "arguments": {attack: attack}})
    if ENVELOPE_RULES in prompt:
        return '{"calls": [' + call + '], "reply": ' + json.dumps(attack) + "}"
    return f"{attack}\n<tool_call>\n{call}\n</tool_call>"


@dataclass(slots=True)
class _Slot:
    """One answer being written, a token a step."""

    request: Request
    submitted_s: float
    tokens: list[int]
    stop: StopReason
    n_reasoning: int
    n_cached: int
    moments: Moments
    n_written: int = 0

    def since(self, moment_s: float | None) -> float | None:
        return None if moment_s is None else moment_s - self.submitted_s


class FakeRuntime:
    """Implements `engine.runtime.Runtime` over a script and a clock of its own."""

    def __init__(self, model: FakeModel, *, n_ctx: int = 8192, n_slots: int = 4) -> None:
        self.model, self.n_ctx, self.n_slots = model, n_ctx, n_slots
        self._now_s = 0.0
        self._waiting: deque[tuple[Request, float]] = deque()
        self._slots: list[_Slot] = []
        self._prefixes: set[tuple[int, ...]] = set()
        self._n_submitted = 0

    def submit(self, request: Request) -> None:
        self._n_submitted += 1
        if self._n_submitted == self.model.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)  # as when the kernel runs out of memory: nothing is said
        self._waiting.append((request, self._now_s))

    def read_ahead(self, tokens: tuple[int, ...]) -> None:
        self._prefixes.add(tokens)

    @property
    def n_pending(self) -> int:
        return len(self._waiting) + len(self._slots)

    def step(self) -> Sequence[Finished]:
        if not self.n_pending:
            return []
        finished: list[Finished] = []
        while self._waiting and len(self._slots) < self.n_slots:
            request, submitted_s = self._waiting.popleft()
            if len(request.prompt) >= self.n_ctx:
                sizes = f"{len(request.prompt)} tokens and the context holds {self.n_ctx}"
                finished.append(Finished(request.key, None, f"the prompt has {sizes}", context_exceeded=True))
            else:
                self._slots.append(self._begin(request, submitted_s))
        if self.model.sleeps:
            time.sleep(self.model.step_s)
        self._now_s += self.model.step_s
        for slot in self._slots:
            self._write_token(slot)
        done = [slot for slot in self._slots if slot.n_written == len(slot.tokens)]
        self._slots = [slot for slot in self._slots if slot.n_written < len(slot.tokens)]
        return [*finished, *(Finished(slot.request.key, self._generation(slot)) for slot in done)]

    def _begin(self, request: Request, submitted_s: float) -> _Slot:
        shared = request.prompt[: request.n_shared]
        n_cached = len(shared) if shared in self._prefixes else 0
        self._prefixes.add(shared)
        self._now_s += (len(request.prompt) - n_cached) * PREFILL_S_PER_TOKEN
        text = self.model.answer(request, VOCABULARY.text(request.prompt))
        reasoning = request.reasoning or Reasoning(THINK_OPEN, THINK_CLOSE)
        frame = Frame(reasoning.open, reasoning.close, others=reasoning.others, breaks=reasoning.breaks)
        start = split_reasoning(text, opened=reasoning.opened, frame=frame).start
        n_reasoning = len(self.model.tokenize(text[:start]))
        tokens = self.model.tokenize(text)
        limits = ((n_reasoning + request.limits.answer, StopReason.LENGTH),)
        if n_reasoning > request.limits.reasoning:
            limits = ((request.limits.reasoning, StopReason.REASONING_LENGTH),)
            n_reasoning = request.limits.reasoning
        length, stop = min([*limits, (self.n_ctx - len(request.prompt), StopReason.CONTEXT)], key=lambda each: each[0])
        if len(tokens) < length:
            length, stop = len(tokens), StopReason.EOG
        moments = Moments(request.watcher, lambda: self._now_s)
        return _Slot(request, submitted_s, tokens[:length], stop, n_reasoning, n_cached, moments)

    def _write_token(self, slot: _Slot) -> None:
        if slot.n_written == len(slot.tokens):
            return
        piece = VOCABULARY.pieces[slot.tokens[slot.n_written]]
        slot.n_written += 1
        slot.moments.token(piece)

    def _generation(self, slot: _Slot) -> Generation:
        request = slot.request
        n_prompt, moments = len(request.prompt), slot.moments
        prefill_s = (n_prompt - slot.n_cached) * PREFILL_S_PER_TOKEN
        decodes = [(n_before, self.model.step_s) for n_before in range(len(slot.tokens))]
        timings = Timings(
            prefill_s=prefill_s,
            ttft_s=slot.since(moments.first_s),
            ttfn_s=slot.since(moments.name_s),
            ttfc_s=slot.since(moments.call_s),
            decode_s=len(slot.tokens) * self.model.step_s,
            compile_s=request.compile_s,
            total_s=self._now_s - slot.submitted_s,
        )
        return Generation(
            tokens=tuple(slot.tokens),
            text=VOCABULARY.text(slot.tokens),
            stop=slot.stop,
            n_prompt=n_prompt,
            n_cached=slot.n_cached,
            n_reasoning=slot.n_reasoning,
            n_first=min(1, len(slot.tokens)),
            timings=timings,
            first_call=moments.first_call(slot.submitted_s, prefill_s, decodes, 0.0, n_reasoning=slot.n_reasoning),
            constraint=None if request.compiled is None else ConstraintStats(),
        )
