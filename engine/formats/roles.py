"""What each character of a written answer is there for: a marker, a tool's name, a key, a value, or punctuation.

    text = fmt.write(calls, tools)
    roles(text, fmt, tools)             # one role for each character
    token_roles(pieces, roles, text)    # one for each token that writes it

It holds for every format without knowing any: the answer is read, written again with stand-ins for its names, keys and
values, and what both texts share is the format's own. An answer that does not fit its stand-ins is an error, never a
guess. Knows no tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Any, Final

from engine.errors import ToolgaugeError
from engine.formats import gemma_dict
from engine.formats.calls import call_id
from engine.formats.protocol import ToolFormat
from engine.formats.qwen_xml import NOTATION as QWEN_NOTATION
from engine.types import Call, Tool
from grammars.canonical import dumps


class TokenRole(StrEnum):
    """`MARKER`: the fixed words with which a format wraps calls, special tokens or not; `OTHER`: ids of calls."""

    MARKER = "marker"
    NAME = "name"
    KEY = "key"
    VALUE = "value"
    PUNCTUATION = "punctuation"
    OTHER = "other"


class RolesUnknown(ToolgaugeError):
    """The format wrote something else around these calls than around other calls of the same shape."""


Roles = tuple[TokenRole, ...]
_Marking = Callable[[str], Roles]

_FIRST_TEXT: Final = 0xF0000  # of the stand-ins for texts: characters for private use, which mean nothing anywhere
_FIRST_NUMBER: Final = 9_000_000_000  # longer than any number or id that a format writes of its own accord
_TAG: Final = re.compile(r"<[^<>\n]*>")
_PUNCTUATION: Final = frozenset(" \t\r\n{}[](),:;\"'")
_JSON_PART: Final = re.compile(r'"(?P<string>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?|(?P<scalar>[^\s{}\[\]:,"]+)')
_GEMMA_PART: Final = re.compile(
    rf"{re.escape(gemma_dict.QUOTE)}(?P<string>.*?){re.escape(gemma_dict.QUOTE)}(?P<colon>(?!))?"
    rf"|(?P<key>{gemma_dict.KEY.pattern})(?=:)|(?P<scalar>[^\s{{}}\[\]:,<>]+)",
    re.DOTALL,
)


def roles(text: str, fmt: ToolFormat, tools: Sequence[Tool]) -> Roles:
    """The role of each character of an answer that `fmt.write` wrote. Raises `RolesUnknown`."""
    calls = fmt.parse(text, tools).calls  # with the arguments in the order in which they stand there
    slots = list(_slots(calls))
    template = fmt.write(*_stand_ins(slots, calls))
    fixed = _fixed_roles(template, fmt.markers, len(calls))
    found: list[TokenRole] = []
    done = 0
    ends = [template.index(slot.stand_in) for slot in slots]
    for slot, end, following in zip(slots, ends, [*ends[1:], len(template)], strict=True):
        found += _common(text, len(found), template[done:end], fixed[done:end])
        done = end + len(slot.stand_in)
        found += slot.roles_at(text, len(found), template[done:following])
    found += _common(text, len(found), template[done:], fixed[done:])
    if len(found) < len(text):
        raise RolesUnknown(f"what follows the calls is not known: {text[len(found) :][:40]!r}")
    return tuple(found)


def token_roles(pieces: Sequence[bytes], found: Roles, text: str) -> Roles:
    """The role of each token: that of its first character which is no white space, or else of its first one.

    The tokens write exactly `text`. One that begins within a character has the role of that character, one that writes
    nothing has none.
    """
    if b"".join(pieces) != text.encode():
        raise ValueError("the tokens do not write the text")
    of_byte = [role for role, character in zip(found, text, strict=True) for _ in character.encode()]
    starts = accumulate(map(len, pieces), initial=0)
    return tuple(
        of_byte[start + _n_blanks(piece)] if piece else TokenRole.OTHER
        for start, piece in zip(starts, pieces, strict=False)
    )


def _n_blanks(piece: bytes) -> int:
    """How much white space a piece begins with; none where it is nothing else."""
    words = piece.lstrip()
    return len(piece) - len(words) if words else 0


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place where an answer differs from another of the same shape; `writings`: how it may be written there."""

    stand_in: str
    writings: Mapping[str, _Marking]

    def roles_at(self, text: str, start: int, following: str) -> Roles:
        """The roles of what stands at `start`, after which comes `following`."""
        for written, marking in self.writings.items():
            if text.startswith(written + following, start):
                return marking(written)
        raise RolesUnknown(f"what is written there is not known: {text[start:][:40]!r}")


def _slots(calls: Sequence[Call]) -> Iterator[_Slot]:
    """In the order in which they stand in an answer: the name, then keys and values."""
    number = 0

    def slot(value: Any, role: TokenRole) -> _Slot:
        nonlocal number
        number += 1
        if isinstance(value, str):
            same = _all(role)
            return _Slot(chr(_FIRST_TEXT + number), {value: same, dumps(value)[1:-1]: same})
        return _Slot(str(_FIRST_NUMBER + number), dict(_writings(value)))

    for call in calls:
        yield slot(call.name, TokenRole.NAME)
        for key, value in call.arguments.items():
            yield slot(key, TokenRole.KEY)
            yield slot(value, TokenRole.VALUE)


def _writings(value: Any) -> Iterator[tuple[str, _Marking]]:
    """The ways in which formats write what is no string."""
    yield dumps(value), lambda written: _parts(written, _JSON_PART)
    if value is None or isinstance(value, bool):
        yield QWEN_NOTATION.word(value), _all(TokenRole.VALUE)
    try:
        yield gemma_dict.write(value), lambda written: _parts(written, _GEMMA_PART)
    except gemma_dict.Unwritable:
        return  # in that notation nobody can have written it


def _all(role: TokenRole) -> _Marking:
    return lambda written: (role,) * len(written)


def _parts(written: str, pattern: re.Pattern[str]) -> Roles:
    """The keys and scalars within a value; everything between them is punctuation."""
    found = [TokenRole.PUNCTUATION] * len(written)
    for match in pattern.finditer(written):
        is_key = match["colon"] is not None or match.groupdict().get("key") is not None
        for group in ("string", "scalar", "key"):
            if match.groupdict().get(group) is not None:
                start, end = match.span(group)
                found[start:end] = [TokenRole.KEY if is_key else TokenRole.VALUE] * (end - start)
    return tuple(found)


def _stand_ins(slots: Sequence[_Slot], calls: Sequence[Call]) -> tuple[list[Call], list[Tool]]:
    """Calls of the same shape, and tools that take them."""
    remaining = iter(slots)

    def taken(value: Any) -> Any:
        stand_in = next(remaining).stand_in
        return stand_in if isinstance(value, str) else int(stand_in)

    others, tools = [], []
    for call in calls:
        name = taken(call.name)
        arguments = {taken(key): taken(value) for key, value in call.arguments.items()}
        others.append(Call(name, arguments))
        parameters = {"type": "object", "properties": {key: {} for key in arguments}, "additionalProperties": False}
        tools.append(Tool(name, "", parameters))
    return others, tools


def _fixed_roles(template: str, markers: Sequence[str], n_calls: int) -> Roles:
    """The roles of what is the format's own; those of the stand-ins among it are nobody's."""
    found = [TokenRole.PUNCTUATION if character in _PUNCTUATION else TokenRole.MARKER for character in template]
    texts = sorted(set(markers) - {gemma_dict.QUOTE}, key=len, reverse=True)
    whole = re.compile("|".join((re.escape(gemma_dict.QUOTE), *map(re.escape, texts), _TAG.pattern)))
    for match in whole.finditer(template):
        role = TokenRole.PUNCTUATION if match[0] == gemma_dict.QUOTE else TokenRole.MARKER
        found[match.start() : match.end()] = [role] * len(match[0])
    for identity in map(call_id, range(n_calls)):  # made up by the writer, so that no model can be blamed for another
        start = template.find(identity)
        if start >= 0:
            found[start : start + len(identity)] = [TokenRole.OTHER] * len(identity)
    return tuple(found)


def _common(text: str, start: int, expected: str, found: Roles) -> Roles:
    if not text.startswith(expected, start):
        raise RolesUnknown(f"{expected!r} is expected where {text[start:][: len(expected)]!r} stands")
    return found
