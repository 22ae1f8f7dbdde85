"""An answer whose call lacks its end, read once more with the end that its format has for it.

    mended = closed(step, record.format_id, tools)

For calls between tags or marks of their own, of which the ledger in `bench.score.hygiene` can read nothing. It has two
repairs under the ledger's names: `envelope` where the call is whole and only what stands around it was not closed,
`unclosed` where the call was not either, or where nothing but that end would say that it is whole. Of formats it knows
no more than they say of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from bench.records import StepRecord
from bench.score.hygiene import ENVELOPE, Repair, repair
from bench.score.ledger import UNCLOSED
from engine import formats
from engine.formats.protocol import Closing
from engine.prompt import ends_in_reasoning
from engine.types import Call, Fragment, Parsed, Tool


def closed(step: StepRecord, format_id: str, tools: Sequence[Tool]) -> Repair | None:
    """All calls of an answer with what its end lacks; None if there is nothing to add, or it stays unreadable."""
    fmt = formats.NATIVE.get(format_id)
    if fmt is None:
        return None
    opened = ends_in_reasoning(step.prompt, fmt.frame)
    for name, text in _with_ends(step.generation.text, fmt.closing):
        parsed = fmt.parse(text, tools, reasoning_opened=opened)
        if parsed.calls and not parsed.fragments and not parsed.open_block:
            return Repair((name,), parsed.calls)
    return None


@cache
def is_mendable(format_id: str) -> bool:
    """Whether there are repairs for calls as a format has them; where not, that none was repaired says nothing."""
    fmt = formats.FORMATS.get(format_id)
    if fmt is None:
        return False
    written = fmt.write((Call("name", {}),), ())
    return bool(fmt.closing.ends) or repair(Parsed(fragments=(Fragment(written, "", 0),))) is not None


def _with_ends(text: str, closing: Closing) -> Iterator[tuple[str, str]]:
    """The text with each of the ends that it may lack, in place of the one that it has, and the name of that repair."""
    text = text.rstrip()
    for end in closing.ends:
        text = text.removesuffix(end.strip()).rstrip()
    text = _without_begun(text, (*closing.ends, *closing.inner))
    for inner in ("", *closing.inner):
        name = UNCLOSED if inner or closing.is_ambiguous else ENVELOPE
        whole = _without_tail(text, inner, closing) + inner
        yield from ((name, whole + end) for end in closing.ends)


def _without_tail(text: str, inner: str, closing: Closing) -> str:
    """The text without the last part of `inner`, if that is written: behind it, it would be a part of the value."""
    tails = (other.strip() for other in closing.inner if other != inner and inner.endswith(other))
    return _without_longest(text, tails).rstrip()


def _without_begun(text: str, ends: Sequence[str]) -> str:
    """The text without the beginning of an end, which would be a part of the last value if a whole one followed it."""
    begun = (tag[:n] for end in ends for tag in (end, end.strip()) for n in range(1, len(tag)))
    return _without_longest(text, begun)


def _without_longest(text: str, ends: Iterable[str]) -> str:
    """The text without the longest of these that it ends with."""
    return text.removesuffix(max(filter(text.endswith, ends), key=len, default=""))
