r"""A regular expression of a case's author, searched in a model's reply in time that grows with the reply alone.

    reply_pattern(r"\b(can't|cannot)\b").search("No, I cannot.")

Python's `re` reads the pattern and says what a character, a `\b` and a case is; only the search is our own. `re` goes
back and tries again, so that a pattern like `(\w+ ?)+\?` takes years for a sentence without a question mark. Here all
ways to match are followed at once, character by character. What has no such search, as a back-reference, is refused.
Knows no case and no score.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]  # typeshed leaves it out
from typing import Any, Final

MOST_STATES: Final = 1000
"""Of one pattern, after `x{3}` is written as xxx; a reply of 30,000 characters then takes seconds at the very worst."""
_MOST_KEPT = 20_000  # numbers within a table of what was found out, a few MB; beyond it begins anew

_BOUNDED = "cannot be searched for in bounded time"
_SAID = {
    "GROUPREF": "a back-reference",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
}
_PLACES = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": r"\A",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
    "AT_END": "$",
    "AT_END_STRING": r"\Z",
}
_CLASSES = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}
_Parts = Sequence[tuple[Any, Any]]  # as Python's parser names them
_MEANING = re.IGNORECASE | re.DOTALL | re.MULTILINE | re.ASCII  # the flags that change what a part matches
_ALPHABETS = re.ASCII | re.UNICODE  # of which one rules


@dataclass(frozen=True, slots=True)
class ReplyPattern:
    """A pattern that can be searched, upper and lower case ignored; made by `reply_pattern`."""

    pattern: str

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in the text."""
        return any(True for _ in _machine(self.pattern).ends(text))


def reply_pattern(pattern: str) -> ReplyPattern:
    """The pattern, known to be searchable; `ValueError` says what is wrong with it."""
    _machine(pattern)
    return ReplyPattern(pattern)


@lru_cache(maxsize=512)
def _machine(pattern: str) -> _Machine:
    try:
        re.compile(pattern, re.IGNORECASE)  # finds more than its parser does
        parsed = _parser.parse(pattern, re.IGNORECASE)
        return _Builder().machine(parsed, parsed.state.flags)
    except (re.error, OverflowError) as error:
        raise ValueError(f"not a regular expression ({error})") from error
    except RecursionError as error:
        raise ValueError("a regular expression with too many groups within each other") from error


@dataclass(frozen=True, slots=True)
class _Place:
    r"""What stands between characters, such as `\b` and `^`."""

    known: re.Pattern[str]

    def places(self, text: str) -> Iterable[int]:
        return (found.start() for found in self.known.finditer(text))


@dataclass(frozen=True, slots=True)
class _Look:
    """Whether something else follows or precedes a place, or does not."""

    machine: _Machine
    is_wanted: bool

    def places(self, text: str) -> Iterable[int]:
        found = set(self.machine.ends(text))
        return found if self.is_wanted else set(range(len(text) + 1)) - found


class _Machine:
    """A nondeterministic automaton from state 0 to `end`, and what texts have shown of it so far.

    A backward one reads texts from their end: it tells where a match begins.
    """

    def __init__(self, builder: _Builder, end: int, *, backward: bool) -> None:
        self._backward, self._conditions = backward, tuple(builder.conditions)
        self._start, self._end = (end, 0) if backward else (0, end)
        n_states = builder.n_states
        self._on: list[list[tuple[re.Pattern[str], int]]] = [[] for _ in range(n_states)]
        self._free: list[list[tuple[int, int]]] = [[] for _ in range(n_states)]  # with the conditions, as bits
        for source, target, known in builder.on:
            self._on[target if backward else source].append((known, source if backward else target))
        for source, target, needed in builder.free:
            self._free[target if backward else source].append((needed, source if backward else target))
        self._known: dict[tuple[frozenset[int], int, str], tuple[bool, frozenset[int]]] = {}
        self._n_kept = 0

    def ends(self, text: str) -> Iterator[int]:
        """The places where a match ends, wherever it began."""
        facts = self._facts(text)
        states: frozenset[int] = frozenset()
        places = range(len(text), -1, -1) if self._backward else range(len(text) + 1)
        for place in places:
            char = text[place - 1 : place] if self._backward else text[place : place + 1]
            key = states, facts[place], char
            found = self._known.get(key)
            if found is None:
                found = self._keep(key, self._step(*key))
            is_end, states = found
            if is_end:
                yield place

    def _facts(self, text: str) -> list[int]:
        """For each place between characters the conditions that hold there, as bits."""
        facts = [0] * (len(text) + 1)
        for number, condition in enumerate(self._conditions):
            for place in condition.places(text):
                facts[place] |= 1 << number
        return facts

    def _step(self, states: frozenset[int], facts: int, char: str) -> tuple[bool, frozenset[int]]:
        """Whether a match ends here, and the states after the character ("": there is none)."""
        reached = {self._start, *states}
        waiting = list(reached)
        while waiting:
            for needed, target in self._free[waiting.pop()]:
                if needed & facts == needed and target not in reached:
                    reached.add(target)
                    waiting.append(target)
        after = {target for state in reached for known, target in self._on[state] if known.match(char)}
        return self._end in reached, frozenset(after)

    def _keep(
        self, key: tuple[frozenset[int], int, str], found: tuple[bool, frozenset[int]]
    ) -> tuple[bool, frozenset[int]]:
        self._n_kept += 1 + len(found[1])
        if self._n_kept > _MOST_KEPT:
            self._known.clear()
            self._n_kept = 0
        self._known[key] = found
        return found


class _Builder:
    """Makes a machine of what Python's parser read. Each method goes on from the state `at` and returns the next."""

    def __init__(self, n_left: int = MOST_STATES) -> None:
        self.n_left, self.n_states = n_left, 1
        self.on: list[tuple[int, int, re.Pattern[str]]] = []
        self.free: list[tuple[int, int, int]] = []
        self.conditions: list[_Place | _Look] = []

    def machine(self, parts: _Parts, flags: int, *, backward: bool = False) -> _Machine:
        return _Machine(self, self._sequence(parts, flags, 0), backward=backward)

    def _state(self) -> int:
        self._spend()
        self.n_states += 1
        return self.n_states - 1

    def _spend(self) -> None:
        self.n_left -= 1
        if self.n_left < 0:
            raise ValueError(f"too long a regular expression: more than {MOST_STATES} parts, each repetition counted")

    def _sequence(self, parts: _Parts, flags: int, at: int) -> int:
        if not parts:
            self._spend()  # or repetitions of nothing would go on for free
        for kind, value in parts:
            at = self._part(kind.name, value, flags, at)
        return at

    def _part(self, kind: str, value: Any, flags: int, at: int) -> int:
        match kind:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._character(_source(kind, value), flags, at)
            case "AT":
                return self._condition(_Place(_known(_PLACES[value.name], flags & _MEANING)), at)
            case "ASSERT" | "ASSERT_NOT":
                return self._look(value, flags, at, is_wanted=kind == "ASSERT")
            case "BRANCH":
                return self._branch(value[1], flags, at)
            case "SUBPATTERN":
                _, more, fewer, parts = value
                flags = flags & ~_ALPHABETS if more & _ALPHABETS else flags
                return self._sequence(parts, (flags | more) & ~fewer, at)
            case "MAX_REPEAT" | "MIN_REPEAT":  # which of them changes what is captured, not what matches
                return self._repeat(value, flags, at)
            case "FAILURE":
                return self._state()  # no way leads there
        raise ValueError(f"{_SAID.get(kind, kind)} {_BOUNDED}; write the pattern without it")

    def _character(self, source: str, flags: int, at: int) -> int:
        to = self._state()
        self.on.append((at, to, _known(source, flags & _MEANING)))
        return to

    def _condition(self, condition: _Place | _Look, at: int) -> int:
        if condition not in self.conditions:
            self.conditions.append(condition)
        to = self._state()
        self.free.append((at, to, 1 << self.conditions.index(condition)))
        return to

    def _look(self, value: Any, flags: int, at: int, *, is_wanted: bool) -> int:
        direction, parts = value
        inner = _Builder(self.n_left)
        machine = inner.machine(parts, flags, backward=direction > 0)  # where what follows begins
        self.n_left = inner.n_left
        return self._condition(_Look(machine, is_wanted), at)

    def _branch(self, options: Sequence[_Parts], flags: int, at: int) -> int:
        to = self._state()
        for option in options:
            self.free.append((self._sequence(option, flags, at), to, 0))
        return to

    def _repeat(self, value: Any, flags: int, at: int) -> int:
        least, most, parts = value
        for _ in range(least):
            at = self._sequence(parts, flags, at)
        to = self._state()
        if most == _parser.MAXREPEAT:
            self.free += [(at, to, 0), (self._sequence(parts, flags, to), to, 0)]
            return to
        for _ in range(most - least):
            self.free.append((at, to, 0))
            at = self._sequence(parts, flags, at)
        self.free.append((at, to, 0))
        return to


@lru_cache(maxsize=4096)
def _known(source: str, flags: int) -> re.Pattern[str]:
    """A part that no repetition is in, for `re` to match."""
    return re.compile(source, flags)


def _source(kind: str, value: Any) -> str:
    """One character, or a set of them, as a pattern again."""
    match kind:
        case "LITERAL":
            return _escaped(value)
        case "NOT_LITERAL":
            return f"[^{_escaped(value)}]"
        case "ANY":
            return "."
    return f"[{''.join(_member(each.name, what) for each, what in value)}]"


def _member(kind: str, value: Any) -> str:
    match kind:
        case "NEGATE":
            return "^"
        case "RANGE":
            return f"{_escaped(value[0])}-{_escaped(value[1])}"
        case "CATEGORY":
            name = value.name.removeprefix("CATEGORY_")
            return f"\\{_CLASSES[name.removeprefix('NOT_')].upper()}" if "NOT_" in name else f"\\{_CLASSES[name]}"
    return _escaped(value)


def _escaped(code_point: int) -> str:
    return f"\\U{code_point:08x}"
