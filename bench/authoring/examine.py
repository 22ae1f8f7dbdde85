"""Everything that is wrong with a suite, each with file, line and place; and what its author may want to know beside.

    examined = examine(Path("my.jsonl"))
    examined.problems, examined.warnings

A problem makes a score mean something other than what its author thinks. A warning does not: something cannot be
checked, or is of no use in some mode. What is asked of one case by itself is in `bench.authoring.check`. Loads no
model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.audit.answerable import Checker, Problem, Renderer, format_of, right_answers
from bench.audit.precheck import Found as OfCase
from bench.audit.precheck import contradictions, grouped
from bench.authoring.check import problems
from bench.suites.case import Case, takes_others
from bench.suites.read import Found, Reading, Trouble, look_through
from bench.suites.unwritten import TODO, still_to_write
from bench.suites.wording import meant
from engine.constraint import BACKENDS
from engine.types import Message

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
_NATIVE = "hermes"  # the commonest format stands for the native ones
_MODES = {"native.schema": _NATIVE, "json.schema": None}


@dataclass(frozen=True, slots=True)
class Examined:
    path: Path
    name: str  # empty where the header cannot be read
    n_cases: int  # those that could be read, of this suite's own
    problems: tuple[Trouble, ...]
    warnings: tuple[Trouble, ...]

    def to_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self), default=str))  # type: ignore[no-any-return]


def examine(path: Path, tools: Sequence[Mapping[str, Any]] = ()) -> Examined:
    """Read and play every case, with `tools` for the header's; `SuiteError` where there is nothing to read."""
    reading = look_through(path, tools)
    found = list(reading.troubles)
    sound: list[Found] = []
    for each in reading.found:
        wrong = [Trouble(each.path, each.line, place, problem) for place, problem in _in_case(each)]
        found += wrong
        if not wrong:
            sound.append(each)
    found += _same_requests(reading.found)
    warnings = [*_audited(sound), *_unused_tools(reading)] if not reading.troubles else []
    return Examined(
        path, reading.header.suite if reading.header else "", len(reading.found), _sorted(found), tuple(warnings)
    )


def _sorted(troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    return tuple(sorted(troubles, key=lambda trouble: (str(trouble.path), trouble.line or 0)))


def _in_case(found: Found) -> Iterator[tuple[str, str]]:
    case = found.case
    todo = [] if case.twin_of else list(still_to_write(found.written))
    if todo:
        yield case.id, f"not written yet; replace what says {TODO} in {', '.join(todo)}"
        return
    wrong = problems(case) or list(_contradictions(case))
    for problem in wrong:
        yield case.id, problem
    if not case.twin_of:
        yield from _in_patterns(case)
        yield from _in_results(case, found.written)
        yield from _in_messages(case.messages)


def _contradictions(case: Case) -> Iterator[str]:
    """Where the ideal answer is right and valid only by what it leaves open."""
    for found in contradictions(case, right_answers(case)):
        if found.finding.problem is Problem.CONTRADICTORY:
            where = f"'{found.finding.keyword}' at {found.finding.path} of the tool '{found.finding.tool}'"
            yield f"every right answer breaks {where}: {found.finding.reason}; change what is expected, or the schema"


def _in_patterns(case: Case) -> Iterator[tuple[str, str]]:
    for kind, patterns in case.reply.items():
        for pattern in patterns:
            if _CONTROL.search(pattern.pattern):
                what = "holds a control character and can match no reply; in JSON a backslash is written twice: \\\\b"
                yield f"expected.reply.{kind}", f"{pattern.pattern!r} {what}"
            elif pattern.search(""):
                what = "is found in every text, even an empty one, and so tells nothing; make it say more"
                yield f"expected.reply.{kind}", f"{pattern.pattern!r} {what}"


def _in_results(case: Case, written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Entries that answer no call that can be made."""
    tools = {tool.name: tool for tool in case.tools}
    for number, rule in enumerate(case.results):
        if rule.name not in tools:
            what = f"the case offers no tool '{rule.name}'{meant(rule.name, tools)}, so this is never the answer"
            yield f"results.{number}.name", what
            continue
        known = tools[rule.name].parameters.get("properties", {})
        for name in [] if takes_others(tools[rule.name]) else sorted(rule.arguments.keys() - known.keys()):
            what = f"{rule.name} has no parameter '{name}'{meant(name, known)}, so this is never the answer"
            yield f"results.{number}.arguments", what
    if case.fault and case.fault.field and written.get("fault"):
        tool = next(e.name for e in case.expected if e.id == case.fault.on)
        known = tools[tool].parameters.get("properties", {})
        top = case.fault.field.partition(".")[0]
        if top not in known and not takes_others(tools[tool]):
            yield "fault.field", f"{tool} has no parameter '{top}'{meant(top, known)}"


def _in_messages(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """A chat template may refuse results that answer no call, or lose them."""
    open_calls: list[str] = []
    for number, message in enumerate(messages):
        if message.role == "tool":
            if message.name not in open_calls:
                what = (
                    f"the result of '{message.name}' answers no call; an assistant message with that call comes first"
                )
                yield f"messages.{number}", what
            else:
                open_calls.remove(message.name)
        else:
            open_calls = [call.name for call in message.calls]


def _same_requests(found: Sequence[Found]) -> Iterator[Trouble]:
    """Two cases that ask the same of the same tools are one case counted twice."""
    first: dict[str, Found] = {}
    for each in found:
        case = each.case
        if case.twin_of:
            continue
        asked = (case.messages, case.tools, case.tool_choice, case.parallel_tool_calls)
        key = repr((asked, case.fault, case.results, case.world, case.max_steps))
        before = first.setdefault(key, each)
        if before is not each:
            where = f"{before.path.name}:{before.line}"
            what = f"asks the same of the same tools as {before.case.id} ({where}); leave one out, or let them differ"
            yield Trouble(each.path, each.line, case.id, what)


def _unused_tools(reading: Reading) -> Iterator[Trouble]:
    used = {tool.name for each in reading.found for tool in each.case.tools}
    unused = [name for name in reading.shared if name not in used]
    if unused:
        path = reading.path / "suite.json" if reading.path.is_dir() else reading.path
        yield Trouble(path, None, "tools", f"offered by no case: {', '.join(unused)}")


def _audited(found: Sequence[Found]) -> Iterator[Trouble]:
    """What a constraint cannot express, as far as that shows without a model's vocabulary."""
    places = {each.case.id: each for each in found}
    checkers = [
        Checker(format_of(mode, native), mode, backend, Renderer(backend, format_of(mode, native)))
        for mode, native in _MODES.items()
        for backend in BACKENDS
    ]
    of_cases = []
    for each in found:
        if not each.case.twin_of:
            rights = right_answers(each.case)
            of_cases += [OfCase(each.case.id, one) for checker in checkers for one in checker.check(each.case, rights)]
    for finding in grouped(of_cases):
        first, n_more = places[finding.cases[0]], len(finding.cases) - 1
        place = first.case.id + (f" and {n_more} more" if n_more else "")
        where = f"'{finding.keyword}' at {finding.path} of the tool '{finding.tool}': " if finding.keyword else ""
        who = f"{', '.join(finding.modes)} with {', '.join(finding.backends)}"
        yield Trouble(first.path, first.line, place, f"cannot be answered in {who}: {where}{finding.reason}")
