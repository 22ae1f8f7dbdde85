"""Made-up tools: verb, noun and parameters at random, with phrasings that name every required parameter.

Knows no conversation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from bench.nano.tools import ConcreteTool, Param, World, decorate

# Values that are copied as they stand, nearly all; converting dates and times is what the hand-written tools teach.
_KINDS = [
    "word",
    "word",
    "word",
    "word",
    "title",
    "medium_int",
    "medium_int",
    "medium_int",
    "decimal",
    "percent",
    "city",
    "person",
    "first_name",
    "code",
    "code",
    "email",
    "color",
    "product",
    "filename",
]
_NUMERIC = frozenset(("medium_int", "percent"))
_DECIMAL = frozenset(("decimal",))
_PLAIN_PARAMS = [
    "size",
    "owner",
    "label",
    "mode",
    "limit",
    "target",
    "source",
    "level",
    "color",
    "weight",
    "speed",
    "region",
    "group",
    "topic",
    "count",
    "name",
    "title",
    "date",
    "time",
    "city",
    "email",
    "price",
    "amount",
    "code",
    "status",
    "kind",
    "language",
    "format",
    "note",
    "duration",
    "user",
    "place",
    "subject",
    "priority",
    "reason",
    "value",
    "id",
]


def _made_up_param(world: World, name: str) -> Param:
    rng, shown = world.rng, name.replace("_", " ")
    description = rng.choice(
        (
            f"The {shown}.",
            f"{shown.capitalize()} to use.",
            f"{shown.capitalize()}.",
            f"Which {shown}",
            f"the {shown} to set",
        )
    )
    # Training has more that may be left out: to leave it out is hard to learn.
    draw, required = rng.random(), rng.random() < (0.75 if world.lexicon.held_out else 0.62)
    if draw < 0.10:
        options = list(
            dict.fromkeys(
                rng.choice((world.lexicon.pick(rng, "adjectives"), world.lexicon.invented(rng)))
                for _ in range(rng.randint(2, 4))
            )
        )
        return Param(
            name, name, decorate({"type": "string", "description": description, "enum": options}, rng), None, required
        )
    kind = rng.choice(_KINDS)
    if draw < 0.15:
        items = "integer" if kind in _NUMERIC else "string"
        kind = kind if kind not in _DECIMAL else "word"
        return Param(
            name,
            name,
            decorate({"type": "array", "items": {"type": items}, "description": description}, rng),
            kind,
            required,
        )
    kind_of_json = "integer" if kind in _NUMERIC else "number" if kind in _DECIMAL else "string"
    schema: dict[str, Any] = {"type": kind_of_json, "description": description}
    if kind == "date" and rng.random() < 0.5:
        schema["description"] = f"{description.rstrip('.')} as YYYY-MM-DD."
    if kind_of_json == "integer" and rng.random() < 0.1:
        schema["minimum"] = rng.choice((0, 1))
    return Param(name, name, decorate(schema, rng), kind, required)


def _styled(words: list[str], world: World) -> str:
    # Training has more names in camel case: that `Trowel` is `trowel` is hard to learn.
    snake, camel, dotted = (0.7, 0.85, 0.95) if world.lexicon.held_out else (0.45, 0.75, 0.85)
    draw = world.rng.random()
    if draw < snake:
        return "_".join(words)
    if draw < camel:
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return f"{words[-1]}.{'_'.join(words[:-1])}" if draw < dotted else "".join(word.capitalize() for word in words)


_OPENINGS = (
    "{verb} {noun}",
    "{verb} the {noun}",
    "{verb} a {noun}",
    "please {verb} the {noun}",
    "can you {verb} the {noun}",
    "I want to {verb} a {noun}",
    "could you {verb} {noun}",
    "I need you to {verb} the {noun}",
    "go {verb} my {noun}",
    "time to {verb} the {noun}",
    "let's {verb} the {noun}",
)
_NAMED = (
    "{shown} {slot}",
    "{shown} {slot}",
    "{shown} {slot}",
    "{shown}: {slot}",
    "{shown} = {slot}",
    "the {shown} is {slot}",
    "{slot} as {shown}",
    "a {shown} of {slot}",
)


def _made_up_requests(verb: str, noun: str, params: list[Param], rng: random.Random) -> tuple[Mapping[str, Any], ...]:
    """Three phrasings that mention every required parameter by its name, optional ones sometimes."""
    requests = []
    for _ in range(3):
        said = [param for param in params if param.required or rng.random() < 0.4]
        if rng.random() < 0.3:
            rng.shuffle(said)
        bare = len(said) == 1 and rng.random() < 0.4
        # People keep to one way of naming values within a sentence, mostly.
        named = rng.choice(_NAMED)
        ways = [named if rng.random() < 0.9 else rng.choice(_NAMED) for _ in said]
        parts = (
            ["{" + said[0].key + "}"]
            if bare
            else [
                way.format(shown=param.name.replace("_", " "), slot="{" + param.key + "}")
                for way, param in zip(ways, said, strict=True)
            ]
        )
        opening = rng.choice(_OPENINGS).format(verb=verb, noun=noun)
        if not parts:
            requests.append({"t": opening})
            continue
        joined = rng.choice((", ", " and ", ", ")).join(parts)
        link = rng.choice((" for ", " ", ": ")) if bare else rng.choice((" with ", ", ", " using ", ": ", " where "))
        requests.append(
            {
                "t": f"{opening}{link}{joined}"
                if rng.random() < 0.85
                else f"{joined[0].upper()}{joined[1:]}; {opening}"
                if not joined.startswith("{")
                else f"{opening}{link}{joined}"
            }
        )
    return tuple(requests)


def _param_name(world: World) -> str:
    rng, lexicon = world.rng, world.lexicon
    if not lexicon.held_out and rng.random() < 0.3:
        return rng.choice(_PLAIN_PARAMS)
    words = [lexicon.pick(rng, "nouns") for _ in range(2 if rng.random() < 0.15 else 1)]
    return "_".join(words)


def made_up(world: World, *, like: ConcreteTool | None = None) -> ConcreteTool:
    """A tool nobody has: verb and noun at random; with `like`, a near neighbour that shares its verb or its noun."""
    rng, lexicon = world.rng, world.lexicon
    verb = lexicon.pick(rng, "verbs")
    noun = lexicon.pick(rng, "nouns")
    if like is not None and like.domain.count(" ") == 1:
        its_verb, its_noun = like.domain.split(" ")
        verb, noun = (its_verb, noun) if rng.random() < 0.5 else (verb, its_noun)
    shown = f"{lexicon.pick(rng, 'adjectives')} {noun}" if rng.random() < 0.2 else noun
    counts = (0, 1, 1, 1, 2, 2, 2, 3, 3, 4)
    wanted = rng.choice(counts if lexicon.held_out else (0, *counts))
    names = [_param_name(world) for _ in range(wanted)]
    if like is not None and rng.random() < 0.5:  # neighbours often take the same things
        names = [rng.choice([*(param.name for param in like.params), name]) for name in names]
    params = [_made_up_param(world, name) for name in dict.fromkeys(names)]
    description = rng.choice(
        (
            f"{verb.capitalize()} a {shown}.",
            f"{verb.capitalize()} the {shown}",
            f"Use this to {verb} a {shown}.",
            f"{verb} {shown}",
        )
    )
    result = rng.choice(
        (
            {"status": "word"},
            {"id": "code"},
            {lexicon.pick(rng, "nouns"): rng.choice(_KINDS)},
            {"value": "medium_int", "note": "title"},
        )
    )
    key = next(iter(result))
    answers = (f"The {key} is {{{key}}}.", f"Done, {key} {{{key}}}.")
    ask = [
        {
            "t": rng.choice(_OPENINGS).format(verb=verb, noun=shown),
            "reply": f"What is the {param.name.replace('_', ' ')}?",
        }
        for param in params
        if param.required
    ]
    return ConcreteTool(
        f"{verb} {noun}",
        _styled([verb, *shown.split(" ")], world),
        description,
        tuple(params),
        _made_up_requests(verb, shown, params, rng),
        tuple(ask[:1] if sum(p.required for p in params) == 1 else ()),
        result,
        answers,
    )
