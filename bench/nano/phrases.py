"""What people and assistants say around a request: courtesies, links between requests, errors, refusals.

Knows no tool.
"""

from __future__ import annotations

from bench.nano.tools import Asked

POLITE_BEFORE = (
    "please ",
    "Please ",
    "hey, ",
    "Hi, ",
    "Hello! ",
    "ok so ",
    "quick one: ",
    "Could you help? ",
    "um, ",
    "Next: ",
    "I have a request: ",
)
POLITE_AFTER = (
    " please",
    ", please",
    " thanks",
    ", thanks!",
    " asap",
    " if you can",
    ". Thank you!",
    " for me",
    ", will you?",
)
LINKS = (" and ", ". Also, ", ", and also ", "; ", " and then ", ". And ", ", plus ", ". Then ", ", ")
LEADS = ("", "", "", "Two things: ", "I need a few things. ", "Do all of this: ", "Before I go: ")
REFUSALS = (
    "Sorry, I have no tool for that.",
    "I can't do that, none of my tools fits.",
    "Sorry, that is not something my tools can do.",
    "I'm not able to do that with my tools.",
)
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a careful assistant that uses tools.",
    "Be brief.",
    "You help people with everyday tasks.",
    "Answer politely.",
)
TRANSIENT = (
    {"error": {"type": "unavailable", "message": "503, try again"}},
    {"error": "service unavailable, please retry"},
    {"error": {"code": 503, "message": "temporarily unavailable"}},
    {"error": {"type": "timeout", "message": "the request timed out"}},
    {"error": "timeout after 30 s"},
    {"status": "error", "reason": "too many requests, retry later"},
    {"error": {"type": "rate_limit", "message": "429 Too Many Requests"}},
    {"status": "error", "message": "connection reset, try once more"},
)
PERMANENT = (
    ("permission", {"error": {"type": "permission", "message": "this is not allowed for this account"}}),
    ("permission", {"error": "permission denied"}),
    ("permission", {"error": {"code": 403, "message": "forbidden, ask an administrator"}}),
    ("permission", {"status": "error", "reason": "the account is read-only"}),
    ("not_found", {"error": {"type": "not_found", "message": "no such entry"}}),
    ("not_found", {"error": {"code": 404, "message": "not found"}}),
    ("not_found", {"error": "nothing found with these values"}),
)
BROKEN = ('{"', '{"status": "o', '{"result": 4', "<html>502 Bad Gateway</html>", '{"value": [1, ', "")
STOPS = (
    "Sorry, I could not do that: {why}.",
    "That failed: {why}.",
    "I was not able to do it, the tool says: {why}.",
)
REFERENCES = {
    "email": ("that address", "their address", "the e-mail address you find", "them"),
    "phone": ("that number", "the number you find"),
    "address": ("that address", "there"),
    "city": ("that city", "there"),
    "code": ("that id", "the id you get", "the result"),
    "person": ("that person", "them"),
    "time": ("that time", "then"),
    "date": ("that day", "the date you get"),
    "amount": ("that amount", "the result"),
    "medium_int": ("that number", "the result"),
    "title": ("that", "the result"),
}
JOINS = (
    ". Then {b}",
    ", then {b}",
    " and then {b}",
    ". With the result, {b}",
    ". After that, {b}",
    "; use what you get and {b}",
)


def begins_with_value(text: str, asked: Asked | None) -> bool:
    return asked is not None and any(surface and text.startswith(surface) for surface in asked.surfaces.values())


def continued(text: str, asked: Asked | None) -> str:
    """A request in the middle of a sentence: no capital letter, but where a value or an "I" begins it."""
    keep = text.startswith(("I ", "I'")) or begins_with_value(text, asked)
    return text if keep else text[0].lower() + text[1:]
