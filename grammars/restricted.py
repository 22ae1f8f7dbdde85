"""Texts that are an intersection, such as a pattern without an end mark, for engines with and without intersections.

Also what all grammars over characters are: rules by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from grammars.automaton import TooLarge, automaton, expression
from grammars.errors import UnsupportedSchema
from grammars.regular import EMPTY, NOTHING, Alt, Both, Expr, Rule, UpTo, alt, cat
from grammars.shape import Const, String

Spell = Callable[[Expr], Expr]  # how the characters of a text are written in the grammar


@dataclass(slots=True)
class Grammar:
    """Rules by name; the first is the start."""

    rules: dict[str, Expr] = field(default_factory=dict)

    def define(self, name: str, expr: Expr) -> Rule:
        """A rule of this name, or of a numbered one where it is taken by something else."""
        free = name
        number = 1
        while self.rules.get(free, expr) != expr:
            number += 1
            free = f"{name}-{number}"
        self.rules[free] = expr
        return Rule(free)


class Settle(Protocol):
    """What an engine makes of an intersection; raises `TooLarge`."""

    def __call__(self, text: Both | UpTo, spell: Spell) -> Expr: ...


def settled(settle: Settle, text: Expr, spell: Spell, shape: String | Const, backend: str) -> Expr:
    """A text as an engine can have it; `shape` is where it comes from."""
    match text:
        case Alt(options):
            return alt(*(settled(settle, option, spell, shape, backend) for option in options))
        case Both() | UpTo():
            try:
                return settle(text, spell)
            except TooLarge:
                keyword = "maxLength" if isinstance(shape, String) and shape.maximum is not None else "pattern"
                path = shape.path if isinstance(shape, String) else "#"
                reason = "together with what else the text must or must not hold, it is too large"
                raise UnsupportedSchema(backend, keyword, path, reason) from None
    return spell(text)


def kept(text: Both | UpTo, spell: Spell) -> Expr:
    """For an engine with intersections of its own."""
    return spell(text)


def solved(text: Both | UpTo, spell: Spell) -> Expr:
    """For regular expressions, which repeat what they share, and so are soon too large."""
    return spell(expression(automaton(text, most_states=400), most_parts=50_000))


class AsRules:
    """For GBNF: a rule for each state of the automaton, which all lead on to the next one."""

    MOST_STATES = 7500

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.found: dict[tuple[Expr, Spell], Expr] = {}

    def __call__(self, text: Both | UpTo, spell: Spell) -> Expr:
        if (text, spell) not in self.found:
            self.found[text, spell] = self.rules(text, spell, f"text-{len(self.found) + 1}")
        return self.found[text, spell]

    def rules(self, text: Expr, spell: Spell, name: str) -> Expr:
        machine = automaton(text, self.MOST_STATES)
        if machine.is_empty:
            return NOTHING
        names = [name if state == 0 else f"{name}-{state}" for state in range(len(machine.steps))]
        for state, steps in enumerate(machine.steps):
            ways = [cat(spell(on), Rule(names[to]) if machine.steps[to] else EMPTY) for on, to in steps]
            if machine.steps[state] or state == 0:
                self.grammar.rules[names[state]] = alt(*ways, *([EMPTY] if state in machine.ends else []))
        return Rule(names[0])
