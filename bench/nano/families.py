"""Families of conversations: the same offered tools, the same system message, several independent conversations.

Most of a prompt is its tools. Training on a family computes them once and learns from every conversation about them,
and the model sees one list of tools from several sides: which tool each request wants, and that none of them fits.
Knows no tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.nano.conversation import Conversation, Generator, Turn, linked
from bench.nano.everyday import catalog, concrete, kin
from bench.nano.exclusions import Exclusions
from bench.nano.made_up import made_up
from bench.nano.tools import Asked, ConcreteTool, Param, World, decorate
from bench.nano.words import Lexicon

# Shares of the categories; what depends on counting and on order comes more often than in `conversation.MIX`.
MIX = {
    "choose": 0.32,
    "parallel": 0.25,
    "abstain": 0.12,
    "ask": 0.08,
    "recover": 0.09,
    "chain": 0.11,
    "follow_up": 0.03,
}
# How many tools are offered, with the share of each number.
SIZES = {1: 0.1, 2: 0.2, 3: 0.24, 4: 0.2, 5: 0.1, 6: 0.05, 7: 0.03, 8: 0.05, 9: 0.01, 11: 0.01, 13: 0.01}
LARGE_SIZES = {6: 0.15, 7: 0.2, 8: 0.5, 9: 0.15}


@dataclass(frozen=True, slots=True)
class Blend:
    """What a share of the families' tools are like: made up or not, how many, how often they take what nobody says."""

    share: float
    made_up: float
    sizes: Mapping[int, float]
    unsaid: float


# The last is what an assistant's prompt looks like.
BLENDS = (
    Blend(share=0.42, made_up=1.0, sizes=SIZES, unsaid=0.2),
    Blend(share=0.14, made_up=0.5, sizes=SIZES, unsaid=0.2),
    Blend(share=0.29, made_up=0.0, sizes=SIZES, unsaid=0.2),
    Blend(share=0.15, made_up=0.05, sizes=LARGE_SIZES, unsaid=0.65),
)
NEIGHBOURS = 0.5
NARROW = 0.7  # share of the families whose words are few, so that names and values are told apart by where they stand
ATTEMPTS = 12
SAID_SHARE = 0.4  # of what is said about a result is learned: calls are what matters, and words are one of many

# Optional parameters that no request mentions: what is not asked for is left out.
_UNSAID: tuple[tuple[str, dict[str, Any]], ...] = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 50, "description": "Upper bound of results"}),
    ("page", {"type": "integer", "default": 1, "description": "Page of the results"}),
    ("verbose", {"type": "boolean", "description": "Whether to explain each step"}),
    ("dry_run", {"type": "boolean", "default": False, "description": "Only show what would happen"}),
    ("sort", {"type": "string", "enum": ["newest", "oldest", "best"], "description": "Order of the results"}),
    ("style", {"type": "string", "enum": ["short", "long"], "description": "How much to say"}),
    ("comment", {"type": "string", "description": "Remark for the record"}),
    ("reference", {"type": "string", "description": "Optional reference number"}),
    ("labels", {"type": "array", "items": {"type": "string"}, "description": "Labels to attach"}),
    ("deadline", {"type": "string", "description": "Last day as YYYY-MM-DD, if there is one"}),
    ("source", {"type": "string", "description": "Restrict it to one source"}),
    ("weight", {"type": "number", "description": "Relative weight, 1 by default"}),
    (
        "window",
        {
            "type": "object",
            "description": "Restrict it to a period",
            "properties": {"start": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["start"],
        },
    ),
    (
        "schedule",
        {
            "type": "object",
            "description": "Rule for doing it again",
            "properties": {"unit": {"type": "string", "enum": ["hour", "day", "week"]}, "times": {"type": "integer"}},
            "required": ["unit"],
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the conversations of one family share."""

    tools: tuple[ConcreteTool, ...]
    definitions: tuple[dict[str, Any], ...]
    world: World
    opening: tuple[Turn, ...]


class Families(Generator):
    """An endless, seeded stream of families of at most `n_branches` conversations."""

    def __init__(
        self, seed: int, lexicon: Lexicon, exclusions: Exclusions, *, n_branches: int, easy: bool = False
    ) -> None:
        super().__init__(seed, lexicon, exclusions, mix=MIX, alone=easy)
        self.n_branches, self._blend = n_branches, BLENDS[0]
        self._shelf: Shelf | None = None

    def families(self) -> Iterator[tuple[Conversation, ...]]:
        """Conversations with equal tools and an equal system message, never none."""
        while True:
            self._blend = self.rng.choices(BLENDS, [blend.share for blend in BLENDS])[0]
            self.made_up_share = self._blend.made_up
            size = 1 if self.alone else self._weighted(self._blend.sizes)
            # A short list of tools is soon exhausted, and cheap to compute.
            wanted = [self._weighted(self.mix) for _ in range(min(self.n_branches, 2 * size + 1))]
            self._shelf = None
            self._shelf = self._stocked(size, wanted)
            made = [self._attempted(category) for category in wanted]
            if family := tuple(conversation for conversation in made if conversation is not None):
                yield family

    def _weighted(self, shares: Mapping[Any, float]) -> Any:
        return self.rng.choices(list(shares), list(shares.values()))[0]

    def _attempted(self, category: str) -> Conversation | None:
        for _ in range(ATTEMPTS):
            conversation = self.make(category)
            if conversation is not None and not self._excluded(conversation):
                return conversation
        return None

    # -- the shelf ---------------------------------------------------------------------------------------------

    def _stocked(self, size: int, categories: list[str]) -> Shelf:
        """Tools among which the wanted categories are possible."""
        world = super()._world()
        if self.rng.random() < NARROW:
            world = replace(world, lexicon=narrowed(world.lexicon, self.rng))
        tools: dict[str, ConcreteTool] = {}
        if size > 1 and "chain" in categories:
            tools |= {tool.name: tool for tool in self._linked_pair(world)}
        elif "ask" in categories:
            asking = next(tool for tool in iter(lambda: self._tool(world), None) if tool.asks)
            tools[asking.name] = asking
        while len(tools) < size:
            near = bool(tools) and self.rng.random() < NEIGHBOURS
            other = self._neighbour(world, self.rng.choice(list(tools.values()))) if near else self._tool(world)
            if not any(other.name == tool.name or _interchangeable(other, tool) for tool in tools.values()):
                tools[other.name] = self._with_unsaid(other)
        shelf = list(tools.values())
        self.rng.shuffle(shelf)
        return Shelf(tuple(shelf), tuple(tool.definition for tool in shelf), world, tuple(super()._opening(world)))

    def _linked_pair(self, world: World) -> tuple[ConcreteTool, ConcreteTool]:
        while True:
            first, second = self._tool(world), self._tool(world)
            if first.name != second.name and not _interchangeable(first, second) and linked(first, second):
                return first, second

    def _neighbour(self, world: World, like: ConcreteTool) -> ConcreteTool:
        """A made-up tool that shares a word with a made-up one, a hand-written one of the same domain."""
        relatives = [tool for tool in catalog(*self.catalogs) if tool["domain"] == like.domain]
        for _ in range(ATTEMPTS):
            tool = (
                concrete(self.rng.choice(relatives), world, self.exclusions.names)
                if relatives
                else made_up(world, like=like)
            )
            if tool is not None and tool.name not in self.exclusions.names:
                return tool
        return self._tool(world)

    def _with_unsaid(self, tool: ConcreteTool) -> ConcreteTool:
        if self.alone or self.rng.random() > self._blend.unsaid:
            return tool
        taken = {param.name for param in tool.params} | {param.key for param in tool.params}
        more = [
            Param(name, name, decorate(dict(schema), self.rng), None, False)
            for name, schema in self.rng.sample(_UNSAID, self.rng.choice((1, 1, 2, 3)))
            if name not in taken
        ]
        params = [*tool.params, *more]
        if self.rng.random() < 0.3:
            self.rng.shuffle(params)
        return replace(tool, params=tuple(params))

    # -- what a single conversation draws, from the shelf instead ------------------------------------------------

    def _world(self) -> World:
        return self._shelf.world if self._shelf else super()._world()

    def _opening(self, world: World) -> list[Turn]:
        return list(self._shelf.opening) if self._shelf else super()._opening(world)

    def _finish(self, world: World, tool: ConcreteTool, asked: Asked) -> list[Turn]:
        result, said = super()._finish(world, tool, asked)
        return [result, replace(said, learned=self.rng.random() < SAID_SHARE)]

    def _tool(self, world: World, *, like: ConcreteTool | None = None, unlike: str | None = None) -> ConcreteTool:
        if self._shelf is None:
            return super()._tool(world, like=like, unlike=unlike)
        return self.rng.choice(self._shelf.tools)

    def _several(self, world: World, count: int) -> list[ConcreteTool]:
        assert self._shelf is not None
        if self.alone or len(self._shelf.tools) == 1:
            return super()._several(world, count)  # one tool, and again the same: these are no several tools
        return self.rng.sample(self._shelf.tools, min(count, len(self._shelf.tools)))

    def _offer(self, world: World, wanted: list[ConcreteTool], others: int) -> tuple[dict[str, Any], ...]:
        assert self._shelf is not None
        return self._shelf.definitions

    def _offer_without(
        self, world: World, offered: list[ConcreteTool], wanted: ConcreteTool
    ) -> tuple[dict[str, Any], ...]:
        return self._offer(world, offered, 0)

    def _missing(self, world: World, offered: ConcreteTool) -> ConcreteTool:
        """A tool that none on the shelf can stand in for."""
        assert self._shelf is not None
        close = frozenset().union(*(kin(tool.domain) for tool in self._shelf.tools))
        while True:
            like = offered if self.rng.random() < 0.5 else None
            wanted = super()._tool(world, like=like)
            if wanted.domain not in close:
                return wanted


def _interchangeable(one: ConcreteTool, other: ConcreteTool) -> bool:
    """Whether a request for one might be meant for the other.

    Two made-up tools of one verb and noun are the same, and so is a tool under two names. Within a catalogue tools were
    written to be told apart; those of two catalogues were not.
    """
    if one.source != other.source:
        return bool(one.source and other.source) and other.domain in kin(one.domain)
    return one.domain == other.domain and (one.answers == other.answers or not one.source)


def narrowed(lexicon: Lexicon, rng: random.Random) -> Lexicon:
    """A few words of each role, some of them invented: the same word is a tool's, a parameter's and a value."""

    def few(role: str, low: int, high: int, invented: float) -> tuple[str, ...]:
        known = rng.sample(getattr(lexicon, role), rng.randint(low, high))
        return (*known, *(lexicon.invented(rng) for _ in range(round(len(known) * invented))))

    return replace(
        lexicon,
        verbs=few("verbs", 6, 16, 0.6),
        nouns=few("nouns", 8, 28, 0.6),
        adjectives=few("adjectives", 4, 10, 0.5),
        first_names=few("first_names", 4, 12, 0),
        last_names=few("last_names", 4, 12, 0),
        cities=few("cities", 4, 12, 0),
        invented_share=0.1,
    )
