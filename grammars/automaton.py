"""Regular expressions with intersections as finite automata, and automata as plain regular expressions again.

For the engines that have no intersection of their own. States are found by partial derivatives, only as far as they
are reached, and those that lead to no end are dropped. Knows no schema and no engine.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from grammars.regular import (
    EMPTY,
    NOTHING,
    TEXT,
    Alt,
    Both,
    Cat,
    Chars,
    Expr,
    Many,
    Text,
    UpTo,
    alt,
    cat,
    chars,
    common,
    excluding,
    many,
    ranges,
    union,
)

Step = tuple[Chars, Expr]


class TooLarge(Exception):
    """The automaton, or its expression, has more parts than allowed."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """Deterministic. State 0 is the start; `steps[state]` are disjoint sets of characters and where they lead.

    Every state but perhaps the start leads to an end.
    """

    steps: tuple[tuple[tuple[Chars, int], ...], ...]
    ends: frozenset[int]

    @property
    def is_empty(self) -> bool:
        """No text at all matches."""
        return not self.ends


def may_be_empty(expr: Expr) -> bool:
    """Whether the empty text matches."""
    match expr:
        case Text(text):
            return not text
        case Chars():
            return False
        case Cat(parts):
            return all(map(may_be_empty, parts))
        case Alt(options):
            return any(map(may_be_empty, options))
        case Many(item, minimum):
            return minimum == 0 or may_be_empty(item)
        case Both(left, right):
            return may_be_empty(left) and may_be_empty(right)
        case UpTo(word, seen):
            return _stays_first(word, seen)
    raise TypeError(f"{expr} is not regular")


@lru_cache(maxsize=4096)
def _stays_first(word: str, seen: int) -> bool:
    """Whether `word`, written now, is complete with its last character and not before."""
    for char in word[:-1]:
        seen = _next_seen(word, seen, char)
        if seen == len(word):
            return False
    return True


def _next_seen(word: str, seen: int, char: str) -> int:
    """How much of the beginning of `word` the text ends with after `char`."""
    text = word[:seen] + char
    return next(size for size in range(min(len(word), len(text)), -1, -1) if text.endswith(word[:size]))


def early_ends(word: str) -> list[str]:
    """What no text may end with before `word`, as the end of both together then begins before the second."""
    return [word[:size] for size in range(1, len(word)) if word.startswith(word[size:])]


def first_steps(expr: Expr) -> Iterator[Step]:
    """What the first character may be, and what may follow it; the sets may overlap."""
    match expr:
        case Text(text):
            yield from [(chars(text[0]), Text(text[1:]))] if text else []
        case Chars():
            yield expr, EMPTY
        case Cat((head, *tail)):
            rest = cat(*tail)
            yield from ((on, cat(to, rest)) for on, to in first_steps(head))
            yield from first_steps(rest) if may_be_empty(head) else ()
        case Alt(options):
            yield from (step for option in options for step in first_steps(option))
        case Many(item, minimum, maximum):
            rest = many(item, max(minimum - 1, 0), None if maximum is None else maximum - 1)
            yield from ((on, cat(to, rest)) for on, to in first_steps(item))
        case Both():
            yield from _common_steps(expr)
        case UpTo():
            yield from _searching_steps(expr.word, expr.seen)
        case _:
            raise TypeError(f"{expr} is not regular")


def _common_steps(expr: Both) -> Iterator[Step]:
    others = list(first_steps(expr.right))
    for on, to in first_steps(expr.left):
        for other_on, other_to in others:
            shared = common(on, other_on)
            if shared.ranges:
                yield shared, Both(to, other_to)


@lru_cache(maxsize=4096)
def _searching_steps(word: str, seen: int) -> tuple[Step, ...]:
    seen_after = {char: _next_seen(word, seen, char) for char in word}
    steps: list[Step] = [(chars(char), UpTo(word, size)) for char, size in seen_after.items() if size < len(word)]
    return (*steps, (excluding(TEXT, chars(word)), UpTo(word)))


def matches(expr: Expr, text: str) -> bool:
    """Whether the whole text matches."""
    state = {expr}
    for char in text:
        state = {to for one in state for on, to in first_steps(one) if char in on}
    return any(map(may_be_empty, state))


@lru_cache(maxsize=32)  # the same texts stand in a grammar with markers and in the one that spells them
def automaton(expr: Expr, most_states: int) -> Automaton:
    """The automaton of a regular expression; raises `TooLarge`."""
    start = frozenset({expr})
    numbers, open_states = {start: 0}, [start]
    found: dict[Expr, tuple[Step, ...]] = {}
    steps: list[list[tuple[Chars, int]]] = []
    ends = set()
    for state in open_states:  # it grows meanwhile
        for one in state:
            if one not in found:
                found[one] = tuple(first_steps(one))
        if any(map(may_be_empty, state)):
            ends.add(len(steps))
        steps.append([])
        for on, target in _apart([step for one in state for step in found[one]]):
            if target not in numbers:
                if len(numbers) == most_states:
                    raise TooLarge
                numbers[target] = len(numbers)
                open_states.append(target)
            steps[-1].append((on, numbers[target]))
    return _trimmed(steps, ends)


def _apart(steps: list[Step]) -> Iterator[tuple[Chars, frozenset[Expr]]]:
    """The same steps with sets that do not overlap, each leading to all that any of them leads to."""
    cuts = sorted({edge for on, _ in steps for low, high in on.ranges for edge in (low, high + 1)})
    targets: list[set[Expr]] = [set() for _ in cuts]
    for on, to in steps:
        for low, high in on.ranges:
            for place in range(bisect_right(cuts, low) - 1, bisect_right(cuts, high)):
                targets[place].add(to)
    grouped: dict[frozenset[Expr], list[tuple[int, int]]] = {}
    for place, target in enumerate(targets):
        if target:
            grouped.setdefault(frozenset(target), []).append((cuts[place], cuts[place + 1] - 1))
    for group, pairs in grouped.items():
        yield ranges(*pairs), group


def _trimmed(steps: list[list[tuple[Chars, int]]], ends: set[int]) -> Automaton:
    before: list[set[int]] = [set() for _ in steps]
    for state, ways in enumerate(steps):
        for _, target in ways:
            before[target].add(state)
    alive, open_states = set(ends), list(ends)
    while open_states:
        for state in before[open_states.pop()] - alive:
            alive.add(state)
            open_states.append(state)
    kept = sorted(alive | {0})
    numbers = {state: number for number, state in enumerate(kept)}
    left = (tuple((on, numbers[target]) for on, target in steps[state] if target in alive) for state in kept)
    return Automaton(tuple(left), frozenset(numbers[state] for state in ends))


def expression(machine: Automaton, most_parts: int) -> Expr:
    """A plain regular expression for the automaton; raises `TooLarge`."""
    ways = _Ways()
    for state, steps in enumerate(machine.steps):
        for on, target in steps:
            ways.add(state, target, on)
        if state in machine.ends:
            ways.add(state, _END, EMPTY)
    ways.add(_START, 0, EMPTY)
    left = set(range(len(machine.steps)))
    while left:
        state = min(left, key=ways.cost)
        left.remove(state)
        ways.take_away(state)
        if ways.n_parts > most_parts:
            raise TooLarge
    return ways.onward[_START].get(_END, (NOTHING, 0))[0]


_START, _END = -1, -2


class _Ways:
    """Which texts lead from one state to another; states can be taken away, and the texts then lead around them."""

    def __init__(self) -> None:
        self.onward: defaultdict[int, dict[int, tuple[Expr, int]]] = defaultdict(dict)  # with their lengths
        self.sources: defaultdict[int, set[int]] = defaultdict(set)
        self.n_parts = 0

    def add(self, source: int, target: int, expr: Expr) -> None:
        known, n_known = self.onward[source].get(target, (NOTHING, 0))
        whole = alt(known, expr)
        size = n_parts(whole)
        self.onward[source][target] = (whole, size)
        self.sources[target].add(source)
        self.n_parts += size - n_known

    def cost(self, state: int) -> int:
        """How much longer the texts become without this state."""
        arriving = [self.onward[source][state][1] for source in self.sources[state] if source != state]
        leaving = [size for target, (_, size) in self.onward[state].items() if target != state]
        loop = self.onward[state].get(state, (NOTHING, 0))[1]
        n_new = len(arriving) * len(leaving)
        return sum(arriving) * (len(leaving) - 1) + sum(leaving) * (len(arriving) - 1) + loop * n_new

    def take_away(self, state: int) -> None:
        onward = self.onward.pop(state)
        self.n_parts -= sum(size for _, size in onward.values())
        loop = many(onward.pop(state, (NOTHING, 0))[0])
        for target in onward:
            self.sources[target].discard(state)
        for source in self.sources.pop(state) - {state}:
            expr, size = self.onward[source].pop(state)
            self.n_parts -= size
            for target, (rest, _) in onward.items():
                self.add(source, target, cat(expr, loop, rest))


def n_parts(expr: Expr) -> int:
    """How long an expression is, about."""
    match expr:
        case Cat(parts) | Alt(parts):
            return sum(map(n_parts, parts))
        case Many(item):
            return 1 + n_parts(item)
        case Both(left, right):
            return n_parts(left) + n_parts(right)
    return 1


def alphabet(expr: Expr) -> Chars:
    """The characters that can occur in what matches."""
    return union(*_alphabets(expr))


def _alphabets(expr: Expr) -> Iterable[Chars]:
    match expr:
        case Text(text):
            return [chars(text)]
        case Chars():
            return [expr]
        case Cat(parts) | Alt(parts):
            return [one for part in parts for one in _alphabets(part)]
        case Many(item):
            return _alphabets(item)
        case Both(left, _):
            return _alphabets(left)
    return [TEXT]
