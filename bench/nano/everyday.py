"""Hand-written tools (`catalog/*.toml`), settled for one conversation: which name, which wording, which extras.

Knows no conversation.
"""

from __future__ import annotations

import functools
import random
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.nano.tools import ConcreteTool, Param, World, decorate

CATALOG = Path(__file__).parent / "catalog"
# The files whose tools are for training; `heldout` is for measuring.
TRAINED = (
    "everyday",
    "work",
    "assistant",
    "business",
    "facts",
    "household",
    "journeys",
    "leisure",
    "services",
    "technology",
    "community_and_house",
    "farm_and_forest",
    "health_and_care",
    "hobbies_and_stage",
    "industry_and_crafts",
    "science_and_state",
    "shops_and_trade",
    "software_and_data",
)

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
    return Param(name, name, decorate(dict(schema), rng), _EXTRA_KINDS.get(name), False), tuple(said)


@functools.cache
def catalog(*names: str) -> tuple[Mapping[str, Any], ...]:
    """The hand-written tools of these catalogue files, as written."""
    return tuple({**tool, "source": name} for name in names for tool in _read(name)["tool"])


@functools.cache
def small_talk(which: str) -> tuple[Mapping[str, str], ...]:
    """`chat` or `impossible`: messages that no tool answers, with a reply each."""
    return tuple(_read("smalltalk")[which])


@functools.cache
def kin(domain: str) -> frozenset[str]:
    """The domain, and those in which a request for one of its tools might be meant for another."""
    return frozenset({domain}.union(*(group for group in _read("kin")["kin"] if domain in group)))


@functools.cache
def _read(name: str) -> Mapping[str, Any]:
    return tomllib.loads((CATALOG / f"{name}.toml").read_text())


def _settled(key: str, spec: Mapping[str, Any], rng: random.Random) -> Param:
    """One parameter with its name and wording chosen."""
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
    return Param(key, rng.choice(aliases), decorate(schema, rng), spec.get("kind"), bool(spec.get("required")))


def _renamed(name: str, world: World) -> str:
    """Now and then a name of another making, so that the name alone does not tell the tool."""
    rng, draw = world.rng, world.rng.random()
    if world.lexicon.held_out or draw > 0.15:
        return name
    if draw < 0.03:
        return f"{world.lexicon.pick(rng, 'verbs')}_{world.lexicon.pick(rng, 'nouns')}"
    before = rng.choice(("do", "my", "api", "get", "run", "make", "new", "tool", world.lexicon.pick(rng, "nouns")))
    return f"{before}_{name}" if rng.random() < 0.6 else f"{name}_{before}"


def concrete(tool: Mapping[str, Any], world: World, avoid_names: frozenset[str]) -> ConcreteTool | None:
    """Settle names and wording of a hand-written tool; None when all its names are excluded."""
    rng = world.rng
    names = [name for name in tool["names"] if name not in avoid_names]
    if not names:
        return None
    params = [_settled(key, spec, rng) for key, spec in tool.get("params", {}).items()]
    if not world.lexicon.held_out:
        params = [
            replace(param, name=world.lexicon.pick(rng, "nouns")) if rng.random() < 0.06 else param for param in params
        ]
    requests = tuple(r if isinstance(r, Mapping) else {"t": r} for r in tool["requests"])
    if rng.random() < 0.2:
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
        _renamed(rng.choice(names), world),
        " ".join(rng.sample(tool["descriptions"], 2)) if rng.random() < 0.15 else rng.choice(tool["descriptions"]),
        tuple(params),
        requests,
        tuple(tool.get("ask", ())),
        tool.get("result", {}),
        tuple(tool.get("answers", ("Done.",))),
        tool["source"],
    )
