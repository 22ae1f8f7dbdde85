"""Tools for the bundled model's data: hand-written everyday ones and made-up ones, each with ways of asking for it.

A `ToolKind` is a tool with its names and phrasings still open; `concrete` settles them for one conversation. Knows no
conversation; `catalog/*.toml` holds the hand-written part.
"""

from __future__ import annotations

import functools
import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from bench.nano.values import Value, make, near, number
from bench.nano.words import Lexicon

CATALOG = Path(__file__).parent / "catalog"
_MINUTES = re.compile(r"\{(\w+)\}[ -](?:minutes|minute|mins|min)\b")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class World:
    """What one conversation's values are drawn from; `today` is set where the system message names the date."""

    rng: random.Random
    lexicon: Lexicon
    today: date | None = None

    def value(self, kind: str) -> Value:
        if kind == "date" and self.today and self.rng.random() < 0.7:
            return near(self.today, self.rng)
        return make(kind, self.rng, self.lexicon)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter as it is written in one conversation; `key` is its name in the phrasings."""

    key: str
    name: str
    schema: Mapping[str, Any]
    kind: str | None
    required: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and what the call must say; `surfaces` are the values as written, by parameter key."""

    text: str
    arguments: dict[str, Any]
    surfaces: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConcreteTool:
    """A tool with all its names settled."""

    domain: str
    name: str
    description: str
    params: tuple[Param, ...]
    requests: tuple[Mapping[str, Any], ...]
    asks: tuple[Mapping[str, str], ...]
    result: Mapping[str, str]
    answers: tuple[str, ...]

    @property
    def definition(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "type": "object",
            "properties": {param.name: dict(param.schema) for param in self.params},
        }
        if required := [param.name for param in self.params if param.required]:
            parameters["required"] = required
        return {"name": self.name, "description": self.description, "parameters": parameters}

    def ask(self, world: World, *, without: frozenset[str] = frozenset()) -> Asked:
        """One way of asking; phrasings that mention a parameter in `without` are avoided where possible."""
        choices = [r for r in self.requests if not without & set(_PLACEHOLDER.findall(r["t"]))] or list(self.requests)
        request = world.rng.choice(choices)
        text, given, surfaces = _MINUTES.sub(self._bare_minutes, str(request["t"])), dict(request.get("set", {})), {}
        for key in dict.fromkeys(_PLACEHOLDER.findall(text)):
            surfaces[key], given[key] = self.fill(world, self.param(key))
            text = text.replace("{" + key + "}", surfaces[key])
        arguments = {param.name: given[param.key] for param in self.params if param.key in given}
        return Asked(text, arguments, surfaces)

    def _bare_minutes(self, match: re.Match[str]) -> str:
        """`{x} minutes` becomes `{x}` where the value brings its own unit, as in `half an hour`."""
        return "{" + match[1] + "}" if self.param(match[1]).kind == "duration_minutes" else match[0]

    def param(self, key: str) -> Param:
        return next(param for param in self.params if param.key == key)

    def fill_in(self, text: str, world: World) -> str:
        """A phrasing whose values nobody will need, with values."""
        return _PLACEHOLDER.sub(lambda match: self.fill(world, self.param(match[1]))[0], text)

    def answer(self, arguments: Mapping[str, Any], result: Mapping[str, Any], rng: random.Random) -> str:
        """What is said after a success; phrasings whose fields are at hand only."""
        fields = {**{param.key: arguments[param.name] for param in self.params if param.name in arguments}, **result}
        fields = {
            key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in fields.items()
        }
        fitting = [answer for answer in self.answers if set(_PLACEHOLDER.findall(answer)) <= fields.keys()]
        if not fitting:
            return "Done."
        return _PLACEHOLDER.sub(lambda match: str(fields[match[1]]), rng.choice(fitting))

    def fill(self, world: World, param: Param) -> tuple[str, Any]:
        if "enum" in param.schema:
            choice = world.rng.choice(list(param.schema["enum"]))
            return str(choice), choice
        kind = param.kind or "word"
        if param.schema["type"] == "array":
            values = [world.value(kind) for _ in range(world.rng.choice((1, 2, 2, 3, 3, 4)))]
            return listed([value.surface for value in values], world.rng), [value.argument for value in values]
        value = world.value(kind)
        return value.surface, value.argument


def listed(words: list[str], rng: random.Random) -> str:
    """`a, b and c`, as people write lists."""
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + rng.choice((" and ", " and ", ", and ", " & ")) + words[-1]


@functools.cache
def catalog(*names: str) -> tuple[Mapping[str, Any], ...]:
    """The hand-written tools of these catalogue files, as written."""
    return tuple(tool for name in names for tool in tomllib.loads((CATALOG / f"{name}.toml").read_text())["tool"])


@functools.cache
def small_talk(which: str) -> tuple[Mapping[str, str], ...]:
    """`chat` or `impossible`: messages that no tool answers, with a reply each."""
    return tuple(tomllib.loads((CATALOG / "smalltalk.toml").read_text())[which])


_HINTS = {
    "date": " as YYYY-MM-DD",
    "time": " as HH:MM, 24-hour clock",
    "currency": " as an ISO 4217 code, e.g. EUR",
    "timezone": " as an IANA name, e.g. Europe/Paris",
    "duration_minutes": " in minutes",
    "person": ", full name",
}
_EXAMPLES = {
    "city": ("Oslo", "Rome", "New York"),
    "country": ("Spain", "Japan"),
    "person": ("Ann Lee", "John Smith"),
    "email": ("ann@example.com", "info@example.org"),
    "phone": ("+15550100", "0301234567"),
    "code": ("A-100", "TX42"),
    "filename": ("notes.txt", "report.pdf"),
    "path": ("/home/ann/notes.txt", "docs/plan.md"),
    "language": ("French", "Japanese"),
    "date": ("2026-05-01", "2025-12-24"),
    "time": ("08:30", "19:00"),
    "amount": ("12.5", "100"),
    "topic": ("steam engines", "cheap bikes"),
    "url": ("https://example.org", "https://example.com/page"),
}
_OFTEN_LISTS = frozenset(("email", "tag", "ingredient", "username"))


def _decorate(schema: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Schemas are written in many hands: vary the order of keys, and leave the description out now and then."""
    items = list(schema.items())
    if rng.random() < 0.12:
        items = [item for item in items if item[0] != "description"]
    if rng.random() < 0.15:
        rng.shuffle(items)
    return dict(items)


# Optional parameters that many interfaces have, with ways of saying their values; an empty value means "left out".
_EXTRAS: tuple[tuple[str, dict[str, Any], tuple[tuple[str, Any], ...]], ...] = (
    (
        "date",
        {"type": "string", "description": "Day as YYYY-MM-DD; leave it out for today"},
        ((", today", None), (" right now", None), (" {date}", ""), (", {date}", ""), (" ({date})", "")),
    ),
    (
        "priority",
        {"type": "string", "enum": ["low", "normal", "high"], "default": "normal", "description": "Priority"},
        (
            (", high priority", "high"),
            (", it's urgent", "high"),
            (", low priority", "low"),
            (" (high priority)", "high"),
        ),
    ),
    (
        "repeat",
        {
            "type": "string",
            "enum": ["never", "daily", "weekly", "monthly"],
            "default": "never",
            "description": "How often it comes back",
        },
        (
            (" every day", "daily"),
            (", every week", "weekly"),
            (" every month", "monthly"),
            (", weekly", "weekly"),
            (", repeat it daily", "daily"),
        ),
    ),
    (
        "max_items",
        {"type": "integer", "default": 5, "description": "How many results to return"},
        ((", give me {max_items} results", ""), (", {max_items} at most", ""), (" (top {max_items})", "")),
    ),
    (
        "unit",
        {"type": "string", "enum": ["metric", "imperial"], "description": "Unit system"},
        ((", in metric units", "metric"), (" in imperial units please", "imperial")),
    ),
    (
        "notify",
        {"type": "boolean", "description": "Whether to notify the user"},
        ((" and notify me", True), (", without a notification", False)),
    ),
    (
        "location",
        {"type": "string", "description": "Room or place"},
        ((" in {location}", ""), (", place: {location}", "")),
    ),
    (
        "cc",
        {"type": "array", "items": {"type": "string"}, "description": "Who gets a copy"},
        ((", copy to {cc}", ""), (", cc {cc}", "")),
    ),
    ("note", {"type": "string", "description": "Free text"}, ((" with the note '{note}'", ""), (", note: {note}", ""))),
)
_EXTRA_KINDS = {"date": "date", "max_items": "small_int", "location": "room", "cc": "email", "note": "message"}


def _with_extra(
    extra: tuple[str, dict[str, Any], tuple[tuple[str, Any], ...]],
    requests: tuple[Mapping[str, Any], ...],
    rng: random.Random,
) -> tuple[Param, tuple[Mapping[str, Any], ...]]:
    """An optional parameter more, said in two thirds of the phrasings."""
    name, schema, sayings = extra
    said = []
    for request in requests:
        if rng.random() < 0.33:
            said.append(request)
            continue
        tail, value = rng.choice(sayings)
        text = request["t"].rstrip(".?!") + tail + rng.choice(("", ".", "?" if "?" in request["t"] else ""))
        given = dict(request.get("set", {}))
        if value not in ("", None):
            given[name] = value
        said.append({"t": text, "set": given})
    return Param(name, name, _decorate(dict(schema), rng), _EXTRA_KINDS.get(name), False), tuple(said)


def concrete(tool: Mapping[str, Any], rng: random.Random, avoid_names: frozenset[str]) -> ConcreteTool | None:
    """Settle names and wording of a hand-written tool; None when all its names are excluded."""
    names = [name for name in tool["names"] if name not in avoid_names]
    if not names:
        return None
    params = []
    for key, spec in tool.get("params", {}).items():
        aliases = [key, key, key, *spec.get("aliases", ())]
        schema: dict[str, Any] = {"type": spec["type"], "description": rng.choice(spec["descriptions"])}
        if spec.get("kind") in _OFTEN_LISTS and rng.random() < 0.35:
            spec = {**spec, "type": "array"}
            schema["type"] = "array"
        if spec.get("kind") in _EXAMPLES and rng.random() < 0.25:
            schema["description"] = f"{schema['description'].rstrip('.')}, e.g. {rng.choice(_EXAMPLES[spec['kind']])}"
        elif spec.get("kind") in _HINTS and rng.random() < 0.6:
            schema["description"] = f"{schema['description'].rstrip('.')}{_HINTS[spec['kind']]}"
        if "enum" in spec:
            schema["enum"] = list(spec["enum"])
            if rng.random() < 0.25 and not spec.get("required"):
                schema["default"] = schema["enum"][0]
        if spec["type"] == "array":
            schema["items"] = {"type": spec.get("items", "string")}
        params.append(
            Param(key, rng.choice(aliases), _decorate(schema, rng), spec.get("kind"), bool(spec.get("required")))
        )
    requests = tuple(r if isinstance(r, Mapping) else {"t": r} for r in tool["requests"])
    if rng.random() < 0.35:
        extra, requests = _with_extra(rng.choice(_EXTRAS), requests, rng)
        if extra.name not in {param.name for param in params} | {param.key for param in params}:
            params.append(extra)
        else:
            requests = tuple(r if isinstance(r, Mapping) else {"t": r} for r in tool["requests"])
    if rng.random() < 0.3:
        rng.shuffle(params)
    if len({param.name for param in params}) < len(params):
        params = [Param(param.key, param.key, param.schema, param.kind, param.required) for param in params]
    return ConcreteTool(
        tool["domain"],
        rng.choice(names),
        " ".join(rng.sample(tool["descriptions"], 2)) if rng.random() < 0.15 else rng.choice(tool["descriptions"]),
        tuple(params),
        requests,
        tuple(tool.get("ask", ())),
        tool.get("result", {}),
        tuple(tool.get("answers", ("Done.",))),
    )


_KINDS = (
    "word word word title title message medium_int medium_int small_int decimal amount date time city person code email color "
    "first_name product filename percent topic duration_minutes"
).split()
_NUMERIC = frozenset("medium_int small_int percent duration_minutes large_int".split())
_DECIMAL = frozenset(("decimal", "amount"))
_PLAIN_PARAMS = (
    "size owner label mode limit target source level color weight speed region group topic count name title date time city "
    "email price amount code status kind language format note duration user place subject priority reason value id"
).split()


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
    draw, required = rng.random(), rng.random() < 0.75
    if draw < 0.10:
        options = list(
            dict.fromkeys(
                rng.choice((rng.choice(world.lexicon.adjectives), world.lexicon.invented(rng)))
                for _ in range(rng.randint(2, 4))
            )
        )
        return Param(
            name, name, _decorate({"type": "string", "description": description, "enum": options}, rng), None, required
        )
    kind = rng.choice(_KINDS)
    if draw < 0.18:
        items = "integer" if kind in _NUMERIC else "string"
        kind = kind if kind not in _DECIMAL else "word"
        return Param(
            name,
            name,
            _decorate({"type": "array", "items": {"type": items}, "description": description}, rng),
            kind,
            required,
        )
    kind_of_json = "integer" if kind in _NUMERIC else "number" if kind in _DECIMAL else "string"
    schema: dict[str, Any] = {"type": kind_of_json, "description": description}
    if kind == "date" and rng.random() < 0.5:
        schema["description"] = f"{description.rstrip('.')} as YYYY-MM-DD."
    if kind_of_json == "integer" and rng.random() < 0.1:
        schema["minimum"] = rng.choice((0, 1))
    return Param(name, name, _decorate(schema, rng), kind, required)


def _styled(words: list[str], rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.7:
        return "_".join(words)
    if draw < 0.85:
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return f"{words[-1]}.{'_'.join(words[:-1])}" if draw < 0.95 else "".join(word.capitalize() for word in words)


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
        parts = (
            ["{" + said[0].key + "}"]
            if bare
            else [
                rng.choice(_NAMED).format(shown=param.name.replace("_", " "), slot="{" + param.key + "}")
                for param in said
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


def made_up(world: World, *, like: ConcreteTool | None = None) -> ConcreteTool:
    """A tool nobody has: verb and noun at random; with `like`, a near neighbour that shares its verb or its noun."""
    rng, lexicon = world.rng, world.lexicon
    verb = rng.choice(lexicon.verbs) if rng.random() < 0.85 else lexicon.invented(rng)
    noun = rng.choice(lexicon.nouns) if rng.random() < 0.75 else lexicon.invented(rng)
    if like is not None and like.domain.count(" ") == 1:
        its_verb, its_noun = like.domain.split(" ")
        verb, noun = (its_verb, noun) if rng.random() < 0.5 else (verb, its_noun)
    shown = f"{rng.choice(lexicon.adjectives)} {noun}" if rng.random() < 0.2 else noun
    wanted = rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4))
    pool = [*_PLAIN_PARAMS] if not lexicon.held_out else []
    names = rng.sample([*pool, *lexicon.nouns[:: 1 if lexicon.held_out else 5]], wanted)
    names = [f"{name}_{rng.choice(lexicon.nouns)}" if rng.random() < 0.15 else name for name in names]
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
            {rng.choice(lexicon.nouns): rng.choice(_KINDS)},
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
        _styled([verb, *shown.split(" ")], rng),
        description,
        tuple(params),
        _made_up_requests(verb, shown, params, rng),
        tuple(ask[:1] if sum(p.required for p in params) == 1 else ()),
        result,
        answers,
    )


def result_of(tool: ConcreteTool, world: World) -> dict[str, Any]:
    """A plausible successful result."""
    fields: dict[str, Any] = {name: make(kind, world.rng, world.lexicon).argument for name, kind in tool.result.items()}
    draw = world.rng.random()
    if not fields:
        return {"status": "ok"}
    if draw < 0.2:
        return {"status": "ok", **fields}
    return fields if draw < 0.9 else {**fields, "count": number(world.rng, world.lexicon, 1, 30)}
