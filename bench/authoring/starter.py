"""The suite to begin with: an example with comments, or one unwritten case for each of a person's own tools.

    example("my_suite").text                          # passes `toolgauge suite check` as it is
    skeleton("my_suite", tools, "my_suite.tools.json").text    # says TODO wherever something is to be written

Writes no file.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench.suites.unwritten import TODO
from engine.types import Tool

_TOOLS: list[dict[str, Any]] = [
    {
        "name": "get_weather",
        "description": "Get the weather forecast for a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7, "default": 1},
            },
            "required": ["city"],
        },
    },
    {
        "name": "find_contact",
        "description": "Find a person's e-mail address by name.",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
    {
        "name": "send_email",
        "description": "Send an e-mail.",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "subject": {"type": "string"}, "body": {"type": "string"}},
            "required": ["to", "subject", "body"],
        },
    },
]

_ABOUT = """\
A suite for toolgauge. Each line is one JSON object; lines that begin with // are for people.
  toolgauge suite check {file}         what is wrong with it, line by line
  toolgauge suite show {file}          what is in it
  toolgauge run MODEL --suite {file}   measure a model on it
All fields: docs/suites.md."""

_HEADER = """\
The header. Raise the version when a case changes. "tools" are those that cases offer by name: written here,
or the name of a JSON file beside this one, as OpenAI or MCP write it."""

_ONE_CALL = """\
One right call. "arguments" says for each argument what is right: a list of values, here 3; {"text": [...]} for
texts whose case and spaces do not matter. Others: {"contains": ["lunch"]}, {"any": true}, {"absent": true}.
"near_misses" are answers that are almost right, and what each has to be judged as."""

_NO_CALL = """\
No call is right: an address is missing, so the model should ask. "reply" holds regular expressions for the
text of the answer; they are reported beside the verdict and are no part of it."""

_EPISODE = """\
Several steps: "results" makes the tools answer, and the model goes on. The second call is right only "after"
the first one's result, from which its argument "to" is carried over ("threads")."""


def example(name: str) -> str:
    """Three cases with comments: one call, no call, and two calls of which one needs the other's result."""
    header = {"suite": name, "version": "1", "description": "An example to change", "tools": _TOOLS}
    blocks = [
        (_ABOUT.format(file=shlex.quote(f"{name}.jsonl")), None),
        (_HEADER, header),
        (_ONE_CALL, _one_call(name)),
        (_NO_CALL, _no_call(name)),
        (_EPISODE, _episode(name)),
    ]
    return _text(blocks)


def skeleton(name: str, tools: Sequence[Tool], file: str) -> str:
    """One case for each tool; `file` holds their definitions."""
    header = {"suite": name, "version": "1", "description": "Cases for tools of our own", "tools": file}
    how = (
        f"One case for each tool. Write a request in place of {TODO}, and for each argument what is right: a list of"
        '\nvalues, {"text": [...]}, {"contains": [...]} or {"any": true}. Arguments that are not listed must not be'
        "\ngiven: add what a right call gives. Take away tools that a case should not offer."
    )
    names = [tool.name for tool in tools]
    cases: list[tuple[str, Mapping[str, Any] | None]] = [
        (how if not number else "", _unwritten(name, tool, names)) for number, tool in enumerate(tools)
    ]
    last = {
        "id": f"{name}/none-1",
        "category": "no call",
        "tools": names,
        "messages": [_user(f"{TODO}: a request for which no tool is right")],
        "expected": {"calls": []},
        "why": f"{TODO}: why no tool is right",
    }
    return _text(
        [(_ABOUT.format(file=shlex.quote(f"{name}.jsonl")), None), ("", header), *cases, ("No call is right.", last)]
    )


def _unwritten(name: str, tool: Tool, names: Sequence[str]) -> dict[str, Any]:
    parameters: Mapping[str, Any] = tool.parameters
    required = parameters.get("required") or list(parameters.get("properties", {}))
    return {
        "id": f"{name}/{tool.name}-1",
        "category": tool.name,
        "tools": names,
        "messages": [_user(f"{TODO}: a request for {tool.name}")],
        "expected": {"calls": [{"name": tool.name, "arguments": {argument: [TODO] for argument in required}}]},
        "why": f"{TODO}: why this is right",
    }


def _one_call(name: str) -> dict[str, Any]:
    right = {"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}
    wrong = {"name": "get_weather", "arguments": {"city": "Oslo"}}
    return {
        "id": f"{name}/weather-1",
        "category": "one call",
        "tools": ["get_weather", "find_contact", "send_email"],
        "messages": [_user("What will the weather be in Oslo over the next 3 days?")],
        "expected": {
            "calls": [{"name": "get_weather", "arguments": {"city": {"text": ["Oslo", "Oslo, Norway"]}, "days": [3]}}]
        },
        "why": "The city and the number of days are said.",
        "near_misses": [
            {"outcome": "wrong_arguments", "calls": [wrong]},
            {"outcome": "wrong_count", "calls": [right, right]},
            {"outcome": "no_call", "reply": "It will be sunny in Oslo."},
        ],
    }


def _no_call(name: str) -> dict[str, Any]:
    mail = {"to": "someone@example.com", "subject": "Hello", "body": "Hello!"}
    return {
        "id": f"{name}/ask-1",
        "category": "no call",
        "tools": ["get_weather", "send_email"],
        "messages": [_user("Send an e-mail for me, please.")],
        "expected": {"calls": [], "reply": {"asks": ["\\?", "\\bplease (tell|give|let)\\b"]}},
        "why": "Nobody said to whom, nor what; made-up values would be sent.",
        "near_misses": [{"outcome": "unexpected_call", "calls": [{"name": "send_email", "arguments": mail}]}],
    }


def _episode(name: str) -> dict[str, Any]:
    find = {"name": "find_contact", "arguments": {"name": "Mia Berg"}}
    guess = {"to": "mia@example.com", "subject": "Lunch", "body": "Lunch on Friday?"}
    mail = {
        "id": "mail",
        "name": "send_email",
        "arguments": {
            "to": ["m.berg@example.org"],
            "subject": {"contains": ["lunch"]},
            "body": {"contains": ["lunch", "friday"]},
        },
        "after": ["find"],
        "threads": {"to": "find"},
    }
    return {
        "id": f"{name}/mail-1",
        "category": "several steps",
        "tools": ["get_weather", "find_contact", "send_email"],
        "messages": [_user("Write to Mia Berg with the subject lunch and ask her about lunch on Friday.")],
        "expected": {
            "calls": [
                {"id": "find", "name": "find_contact", "arguments": {"name": {"text": ["Mia Berg"]}}},
                mail,
            ],
            "reply": {"claims_success": ["\\bsent\\b|\\bwritten\\b"]},
        },
        "results": [
            {"name": "find_contact", "arguments": {}, "result": {"email": "m.berg@example.org"}},
            {"name": "send_email", "arguments": {}, "result": {"status": "sent"}},
        ],
        "why": "Her address is known only once it was looked up.",
        "near_misses": [
            {"outcome": "wrong_arguments", "steps": [[find], [{"name": "send_email", "arguments": guess}]]},
            {"outcome": "wrong_count", "steps": [[find]]},
        ],
    }


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _text(blocks: Sequence[tuple[str, Mapping[str, Any] | None]]) -> str:
    lines: list[str] = []
    for comment, value in blocks:
        if comment:
            lines += ["", *(f"// {line}".rstrip() for line in comment.splitlines())]
        if value is not None:
            lines.append(json.dumps(value, ensure_ascii=False))
    return "\n".join(lines).lstrip("\n") + "\n"
