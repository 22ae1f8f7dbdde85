"""The pages of `toolgauge suite`: what is in a suite, one case in words, and what became of a log."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench import numbers
from bench.report.document import Block, Code, Column, Document, Heading, Table, Text, cell
from bench.suites.case import Case, ExpectedCall, NearMiss, Suite, SuiteError
from bench.suites.match import Matcher, describe, describe_call, describe_value
from engine.types import Message, Tool

if TYPE_CHECKING:
    from pathlib import Path

    from bench.authoring.import_log import Imported

_MOST_SHOWN = 40  # rows of what is to be looked at
_LINE, _LEAST_REQUEST = 72, 20  # characters of a case in a line, and of its request
_FOREVER = "every time"


def find(suite: Suite, wanted: str, named: str) -> Case:
    """The case of this id, or the only one whose id has this in it; `SuiteError` names what comes near.

    `named`: the suite as a person wrote it.
    """
    exact = [case for case in suite.cases if case.id == wanted]
    near = exact or [case for case in suite.cases if wanted in case.id]
    if len(near) == 1:
        return near[0]
    if not near:
        lists = f"toolgauge suite show {shlex.quote(named)} --cases"
        raise SuiteError(f"suite {suite.name} has no case '{wanted}'; `{lists}` lists them all")
    names = ", ".join(case.id for case in near[:5]) + (" ..." if len(near) > 5 else "")
    raise SuiteError(f"{len(near)} cases of {suite.name} have '{wanted}' in their id: {names}")


# A suite


def overview_values(suite: Suite) -> dict[str, Any]:
    rows = []
    for category in suite.categories:
        cases = [case for case in suite.cases if case.category == category]
        rows.append({"category": category, **_counts(cases), "cases": [case.id for case in cases]})
    return {
        "suite": suite.name,
        "version": suite.version,
        "description": suite.description,
        "path": str(suite.path),
        "sha256": suite.content_hash,
        "n_cases": len(suite.cases),
        "categories": rows,
    }


def _counts(cases: Sequence[Case]) -> dict[str, int]:
    return {
        "n_cases": len(cases),
        "n_no_call": sum(not case.expected and not case.any_call for case in cases),
        "n_episodes": sum(case.is_episode for case in cases),
        "n_dependent": sum(any(call.after for call in case.expected) for case in cases),
        "n_with_fault": sum(case.fault is not None for case in cases),
    }


_HEADERS = {
    "n_cases": "cases",
    "n_no_call": "no call\nis right",
    "n_episodes": "several\nsteps",
    "n_dependent": "dependent\ncalls",
    "n_with_fault": "with\na fault",
}


def overview(suite: Suite, named: str) -> Document:
    values = overview_values(suite)
    columns = (Column("category"), *(Column(header, right=True) for header in _HEADERS.values()), Column("first case"))
    rows = [(row["category"], row["cases"][0], [row[name] for name in _HEADERS]) for row in values["categories"]]
    rows.append(("all", "", list(_counts(suite.cases).values())))
    return [
        Heading(f"{suite.name}, version {suite.version}"),
        *([Text(suite.description)] if suite.description else []),
        Table(
            columns,
            tuple(
                (cell(name, "strong"), *(cell(numbers.count(n)) for n in ns), cell(first)) for name, first, ns in rows
            ),
        ),
        Text(f"Every case in a line: toolgauge suite show {shlex.quote(named)} --cases", "dim"),
        Text(f"One case in words: toolgauge suite show {shlex.join([named, suite.cases[0].id])}", "dim"),
    ]


def listing_values(suite: Suite) -> list[dict[str, str]]:
    return [{"id": case.id, "category": case.category, "request": _request(case)} for case in suite.cases]


def listing(suite: Suite) -> Document:
    """Every case in a line, its request as far as there is room."""
    values = listing_values(suite)
    taken = sum(max(len(each[name]) for each in values) for name in ("id", "category"))
    room = max(_LEAST_REQUEST, _LINE - taken)
    rows = tuple(
        (cell(each["id"], "strong"), cell(each["category"]), cell(_cut(each["request"], room))) for each in values
    )
    return [
        Heading(f"{suite.name}, version {suite.version}"),
        Table((Column("case"), Column("category"), Column("request")), rows),
    ]


def _request(case: Case) -> str:
    """What the last message of a person says."""
    said = [message.content for message in case.messages if message.role == "user"]
    return said[-1] if said else ""


def _cut(text: str, room: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= room else f"{line[: room - 3].rstrip()}..."


# A case


def case_values(case: Case) -> dict[str, Any]:
    """As it is understood; matchers in words."""
    return {
        "id": case.id,
        "category": case.category,
        "why": case.why,
        "messages": [_message_values(message) for message in case.messages],
        "tools": [tool.name for tool in case.tools],
        "tool_choice": case.tool_choice,
        "parallel_tool_calls": case.parallel_tool_calls,
        "max_steps": case.max_steps,
        "any_call": case.any_call,
        "expected": [
            {
                "id": call.id,
                "name": call.name,
                "arguments": {name: describe(matcher) for name, matcher in call.arguments.items()},
                "after": list(call.after),
                "threads": {name: list(ids) for name, ids in call.threads.items()},
            }
            for call in case.expected
        ],
        "reply": {kind: [pattern.pattern for pattern in patterns] for kind, patterns in case.reply.items()},
        "end_state": {path: describe(matcher) for path, matcher in case.end_state.items()},
        "fault": _fault_text(case),
        "world": f"{case.world.name}, seed {case.world.seed}" if case.world else None,
        "twin_of": case.twin_of,
        "near_misses": [{"outcome": miss.outcome, "answer": _miss_text(miss)} for miss in case.near_misses],
    }


def _message_values(message: Message) -> dict[str, Any]:
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in message.calls]
    return {"role": message.role, "content": message.content, "calls": calls, "name": message.name}


def case_page(case: Case) -> Document:
    blocks: list[Block] = [Heading(case.id), Text(_about(case), "dim")]
    blocks.append(Code("\n".join(map(_message_text, case.messages)), "The conversation"))
    blocks.append(_tools_table(case.tools))
    blocks.append(Code("\n".join(_right(case)), "What is right"))
    if case.why:
        blocks.append(Text(case.why))
    if case.results:
        blocks.append(Code("\n".join(_results(case)), "What the tools answer"))
    if case.near_misses:
        columns = (Column("an answer that is almost right"), Column("is judged"))
        rows = tuple((cell(_miss_text(miss)), cell(miss.outcome.replace("_", " "))) for miss in case.near_misses)
        blocks.append(Table(columns, rows, title="Near misses"))
    return blocks


def _about(case: Case) -> str:
    parts = [case.category, f"at most {case.max_steps} steps" if case.is_episode else "one step"]
    parts += [f"the world {case.world.name} from seed {case.world.seed}"] if case.world else []
    parts += ["a call is required"] if case.tool_choice == "required" else []
    parts += ["one call at a time"] if not case.parallel_tool_calls else []
    parts += [f"{case.twin_of} without its fault"] if case.twin_of else []
    return ", ".join(parts)


def _message_text(message: Message) -> str:
    role = f"tool {message.name}" if message.name else message.role
    calls = [f"calls {describe_call(call)}" for call in message.calls]
    return f"{role}: " + "\n  ".join(text for text in (message.content, *calls) if text)


def _tools_table(tools: Sequence[Tool]) -> Table:
    columns = (Column("tool"), Column("what it is for"), Column("parameters"))
    rows = tuple((cell(tool.name, "strong"), cell(tool.description), cell(_parameters(tool))) for tool in tools)
    return Table(columns, rows, title=numbers.plural(len(tools), "tool"))


def _parameters(tool: Tool) -> str:
    required = tool.parameters.get("required", ())
    shown = [
        f"{name}{'' if name in required else '?'}: {_type(schema)}"
        for name, schema in tool.parameters.get("properties", {}).items()
    ]
    return "\n".join(shown) or "none"


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "anything"
    if "enum" in schema:
        return " | ".join(describe_value(value) for value in schema["enum"])
    kind = schema.get("type", "anything")
    text = " | ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{text} of {_type(schema['items'])}" if "items" in schema and text == "array" else text


def _right(case: Case) -> Iterator[str]:
    if case.any_call:
        yield "any call that its tool's schema allows"
    elif not case.expected:
        yield "no call"
    is_graph = any(call.after for call in case.expected)
    for call in case.expected:
        yield from _expected_text(call, case, is_graph=is_graph)
    for path, matcher in case.end_state.items():
        yield f"at the end {path} is {describe(matcher)}"
    for kind, patterns in case.reply.items():
        yield f"the reply {kind.replace('_', ' ')}: {' or '.join(pattern.pattern for pattern in patterns)}"


def _expected_text(call: ExpectedCall, case: Case, *, is_graph: bool) -> Iterator[str]:
    after = f"  after {', '.join(call.after)}" if call.after else ""
    named = is_graph or (case.fault is not None and case.fault.on == call.id)
    yield f"{call.id + ': ' if named else ''}{call.name}{after}"
    for name, matcher in call.arguments.items():
        origin = f"  (from {', '.join(call.threads[name])})" if name in call.threads else ""
        yield f"    {name} = {describe(matcher)}{origin}"
    if case.fault is not None and case.fault.on == call.id:
        yield f"    {_fault_text(case)}"


def _fault_text(case: Case) -> str | None:
    fault = case.fault
    if fault is None:
        return None
    times = _FOREVER if fault.times is None else "once" if fault.times == 1 else f"{fault.times} times"
    return f"fails {times} ({fault.kind.replace('_', ' ')}): {fault.content}"


def _results(case: Case) -> Iterator[str]:
    for rule in case.results:
        yield f"{rule.name}({_matchers(rule.arguments)}): {rule.content}"


def _matchers(matchers: Mapping[str, Matcher]) -> str:
    return ", ".join(f"{name}={describe(matcher)}" for name, matcher in matchers.items()) or "..."


def _miss_text(miss: NearMiss) -> str:
    if not miss.steps:
        return miss.reply
    return ", then ".join(" and ".join(map(describe_call, step)) or "a reply" for step in miss.steps)


# A log


def imported_page(found: Imported, log: Path, out: Path) -> Document:
    """What became of a log, and what is left to a person."""
    n_cases, n_look = len(found.cases), sum(bool(case.look) for case in found.cases)
    said = f"{numbers.plural(n_cases, 'case')} from {numbers.plural(found.n_lines, 'line')} of {log}, in {out}."
    if found.n_repeated:
        said += f" {numbers.plural(found.n_repeated, 'turn')} told more than once counted once."
    blocks: list[Block] = [
        Text(said, "good"),
        Text(
            "A log is not the truth: what the assistant did is taken to be right, value for value. Look at the cases"
            + (f", above all at {'this one' if n_look == 1 else f'these {n_look}'}:" if n_look else "."),
            "warn",
        ),
    ]
    if n_look:
        rows = [(case.id, text) for case in found.cases for text in case.look]
        blocks.append(_listed(("case", "look at"), rows))
    if found.left_out:
        rows = [(str(e.line) + (f", turn {e.turn}" if e.turn else ""), e.reason) for e in found.left_out]
        blocks += [Heading("Left out", 2), _listed(("line", "why"), rows)]
    blocks.append(Text(f"Next: toolgauge suite check {shlex.quote(str(out))}", "dim"))
    return blocks


def _listed(headers: tuple[str, str], rows: Sequence[tuple[str, str]]) -> Table:
    n_more = len(rows) - _MOST_SHOWN
    notes = (f"and {n_more} more; --json has all of them",) if n_more > 0 else ()
    shown = tuple((cell(first), cell(second)) for first, second in rows[:_MOST_SHOWN])
    return Table(tuple(map(Column, headers)), shown, notes=notes)
