"""Where reasoning ends and the answer begins, for models that think before they answer.

Only reasoning at the very start counts: what looks like a marker later is text. Whether the prompt has already opened
it is known to whoever built the prompt (`engine.prompt`), and is never guessed from the output. Some models call from
within their reasoning and never close it, which is for a format's parser to see: here it is reasoning without an end.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.formats.strict import skip

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


@dataclass(frozen=True, slots=True)
class PlainAnswer:
    """Where an answer in plain text stands, and what else was thought around it."""

    start: int
    end: int
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a family of models writes around an answer, whatever is in it: reasoning, then perhaps a header.

    Between `close` and an answer that goes on in a new message stands `resume`; before an answer in plain text stands
    `header`. Models also write `others` for `open`, and leave out `close` before `breaks`. `calls` are texts with which
    a call begins that a model makes without closing its reasoning first: long enough, where the format has such a text,
    to tell the call from a mention of its marks.
    """

    open: str = THINK_OPEN
    close: str = THINK_CLOSE
    resume: str = ""
    header: str = ""
    others: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()

    @property
    def openings(self) -> tuple[str, ...]:
        return (self.open, *self.others)

    def reasoning_end(self, text: str, begin: int) -> tuple[int, int] | None:
        """Where reasoning that begins at `begin` ends, and where what follows begins; None: nowhere yet."""
        found = [(place, mark) for mark in (self.close, *self.breaks) if (place := text.find(mark, begin)) >= 0]
        if not found:
            return None
        end, mark = min(found)
        return end, end + len(mark) if mark == self.close else end

    def plain_answer(self, text: str, start: int) -> PlainAnswer:
        """Where such an answer stands in a text whose reasoning ends at `start`: here, all of the rest."""
        return PlainAnswer(skip(text, start), len(text))


THINK = Frame()


@dataclass(frozen=True, slots=True)
class Split:
    reasoning: str
    start: int  # where the answer begins
    decided: bool  # no further text can move `start`
    inside: bool = False  # the text ends while the model is still reasoning
    begin: int = 0  # where reasoning itself does


def split_reasoning(text: str, *, opened: bool, frame: Frame = THINK) -> Split:
    """Find the start of the answer; text that ends within reasoning is all reasoning."""
    lead = len(text) - len(text.lstrip())
    written = next((opening for opening in frame.openings if text.startswith(opening, lead)), None)
    if written is not None:
        begin = lead + len(written)
    elif opened:
        begin = 0
    else:
        return Split("", 0, decided=not any(opening.startswith(text[lead:]) for opening in frame.openings))
    found = frame.reasoning_end(text, begin)
    if found is None:
        return Split(text[begin:].strip(), len(text), decided=False, inside=True, begin=begin)
    return Split(text[begin : found[0]].strip(), found[1], decided=True, begin=begin)
