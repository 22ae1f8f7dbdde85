"""Cases out of a chat log: each turn of the assistant, and what it did there taken to be right.

    found = cases_from(Path("log.jsonl"), suite="mine", tools=(), turns=Turns.ALL, tools_file="mine.tools.json")
    found.text, found.left_out

A log is not the truth. So every case can be loaded and its own answer is judged correct, what was guessed is said
(`look`), and whatever cannot be a case is left out with the reason. Writes no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.authoring.chat_log import Conversation, conversation_in
from bench.authoring.check import problems
from bench.authoring.turns import Turn, turns_of, written
from bench.suites.build import Misfits, Offer, cases_of, offer_of
from bench.suites.json_text import parse, read_text
from bench.suites.schema import CaseLine
from bench.suites.wording import told
from grammars.errors import InvalidSchema, ToolgaugeError

_WHY = "What the assistant did in the log; whether that was right, nobody has checked."
_HEAD = (
    "From a chat log. What the assistant did is taken to be right, value for value.",
    "A log is not the truth: look at each case, above all where a line says so.",
)


class Turns(StrEnum):
    FIRST = "first"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ImportedCase:
    """`look`: what a person should decide about it."""

    id: str
    line: int
    category: str
    look: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`turn` None: the whole line."""

    line: int
    turn: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    cases: tuple[ImportedCase, ...]
    left_out: tuple[LeftOut, ...]
    n_lines: int
    n_repeated: int  # turns that a later line told again, with what came after
    text: str  # the suite's file
    tools: tuple[Mapping[str, Any], ...]  # what belongs into the file that its header names

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return {key: values[key] for key in ("cases", "left_out", "n_lines", "n_repeated")}


@dataclass(frozen=True, slots=True)
class _Candidate:
    line: int
    number: int  # of the turn within the line
    n_turns: int
    turn: Turn
    conversation: Conversation

    def key(self) -> str:
        """What the model was asked, with which tools, and what the application allowed it."""
        asked = [asdict(message) for message in self.turn.before]
        conversation = self.conversation
        allowed = [conversation.must_call, conversation.one_call]
        return json.dumps([asked, conversation.tools, allowed], sort_keys=True, default=str)


def cases_from(log: Path, *, suite: str, tools: Sequence[Mapping[str, Any]], turns: Turns, tools_file: str) -> Imported:
    """`tools` are for conversations that name none; `tools_file` is what the header calls the file with all of them."""
    entries = _entries(log)
    left_out: list[LeftOut] = []
    candidates: list[_Candidate] = []
    for line, text in entries:
        try:
            conversation = conversation_in(_parsed(text))
        except ValueError as error:
            left_out.append(LeftOut(line, None, str(error)))
            continue
        if not conversation.tools:
            conversation = replace(conversation, tools=tuple(tools))
        found = turns_of(conversation.messages)
        if not conversation.tools or not found:
            reason = "it has no answer of the assistant" if conversation.tools else "it names no tools; give --tools"
            left_out.append(LeftOut(line, None, reason))
            continue
        candidates += [
            _Candidate(line, number, len(found), found[number - 1], conversation)
            for number in _chosen(len(found), turns)
        ]
    kept, n_repeated = _without_repeats(candidates, left_out)
    cases, lines, shared = _built(kept, left_out, suite, tools_file)
    in_order = tuple(sorted(left_out, key=lambda each: (each.line, each.turn or 0)))
    return Imported(tuple(cases), in_order, len(entries), n_repeated, "\n".join(lines) + "\n", shared)


def _entries(log: Path) -> list[tuple[int, str]]:
    try:
        text = read_text(log)
    except OSError as error:
        raise ToolgaugeError(f"cannot read {log}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise ToolgaugeError(f"{log} is no log: {error}") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise ToolgaugeError(f"{log} is empty; a log has a JSON object on each line")
    return lines


def _parsed(text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error}); a log has one JSON object on each line") from error


def _chosen(n_turns: int, turns: Turns) -> range:
    match turns:
        case Turns.FIRST:
            return range(1, 2)
        case Turns.LAST:
            return range(n_turns, n_turns + 1)
        case Turns.ALL:
            return range(1, n_turns + 1)


def _without_repeats(candidates: Sequence[_Candidate], left_out: list[LeftOut]) -> tuple[list[_Candidate], int]:
    """A log of requests tells each conversation again and again; the longest telling of a turn counts."""
    kept: dict[str, _Candidate] = {}
    n_repeated = 0
    for each in candidates:
        before = kept.setdefault(each.key(), each)
        if before is each:
            continue
        shorter, longer = sorted((before.turn.messages, each.turn.messages), key=len)
        if longer[: len(shorter)] != shorter:
            reason = f"line {before.line} asks the same and was answered otherwise; the log does not say which is right"
            left_out.append(LeftOut(each.line, each.number, reason))
            continue
        n_repeated += 1
        if longer is each.turn.messages and len(longer) > len(shorter):
            kept[each.key()] = each
    return list(kept.values()), n_repeated


def _built(
    candidates: Sequence[_Candidate], left_out: list[LeftOut], suite: str, tools_file: str
) -> tuple[list[ImportedCase], list[str], tuple[Mapping[str, Any], ...]]:
    """The cases that are sound, their lines, and the tools that they offer by name."""
    shared, offers = _shared_tools(candidates)
    cases: list[ImportedCase] = []
    lines = [f"// {text}" for text in _HEAD]
    lines.append(_json({"suite": suite, "version": "1", "description": "From a chat log", "tools": tools_file}))
    for each in candidates:
        several = f"-{each.number}" if each.n_turns > 1 else ""
        offered = [name if shared.get(name := _name(raw)) == raw else raw for raw in each.conversation.tools]
        raw, look, wrong = _case(each, f"{suite}/{each.line}{several}", offered, offers)
        if wrong:
            left_out.append(LeftOut(each.line, each.number if several else None, wrong))
            continue
        cases.append(ImportedCase(raw["id"], each.line, raw["category"], tuple(look)))
        lines += [*(f"// look: {' '.join(text.split())}" for text in look), _json(raw)]
    return cases, lines, tuple(shared.values())


def _case(
    candidate: _Candidate, case_id: str, offered: Sequence[Any], offers: Mapping[str, Offer]
) -> tuple[dict[str, Any], Sequence[str], str]:
    """The case as it is written, what to look at, and the first thing that is wrong with it."""
    try:
        body, look = written(candidate.turn, candidate.conversation)
    except ValueError as error:
        return {}, (), str(error)
    raw = {"id": case_id, **body, "tools": list(offered), "why": _WHY}
    try:
        (case,) = cases_of(CaseLine.model_validate(parse(_json(raw))), offers)  # as it will be read
    except ValidationError as error:
        return raw, look, ": ".join(next(told(error, CaseLine)))
    except ValueError as error:
        return raw, look, f"the case could not be read again: {error}"
    except Misfits as error:
        return raw, look, f"{error.found[0].place}: {error.found[0].problem}"
    return raw, look, next(iter(problems(case)), "")


def _shared_tools(candidates: Sequence[_Candidate]) -> tuple[dict[str, Mapping[str, Any]], dict[str, Offer]]:
    """By name, the definition that came first; one that differs, or cannot be used, stays within its cases."""
    shared: dict[str, Mapping[str, Any]] = {}
    offers: dict[str, Offer] = {}
    for each in candidates:
        for raw in each.conversation.tools:
            name = _name(raw)
            if name in shared:
                continue
            try:
                offers[name] = offer_of(raw)
            except InvalidSchema:
                continue
            shared[name] = raw
    return shared, offers


def _name(tool: Mapping[str, Any]) -> str:
    inner = tool.get("function", tool)
    return str(inner.get("name", "")) if isinstance(inner, Mapping) else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
