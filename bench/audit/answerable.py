"""Whether a case can be answered rightly under one constraint: its tools expressed, its answer written and accepted.

    checker = Checker(format_of("native.schema", "hermes"), "native.schema", "gbnf", engine, kinds)
    list(checker.check(case, right_answers(case)))      # nothing: it can

A tool is compiled by itself, an answer against the tools that it calls: what only fifty tools together exceed is seen
by the run alone. Knows no suite and no report.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bench.audit.acceptable import RightCalls, reference_call, right_calls
from bench.modes import MODES
from bench.suites.bfcl.multi_turn import is_multi_turn, n_turns, reference_calls, tools_in
from bench.suites.case import Case
from engine import formats
from engine.constraint.protocol import Backend, Compiled, ConstraintSpec
from engine.errors import ConstraintError
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.types import Call, Tool
from grammars.errors import UnsupportedSchema
from grammars.nodes import Node

if TYPE_CHECKING:
    from engine.constraint.tokens import TokenKinds

_N_KEPT = 64  # compiled constraints
_N_SHOWN = 30  # characters around the place where an answer was refused


class Problem(StrEnum):
    """What stands between a case and a right answer under a constraint; a case counts where the first of them is."""

    INEXPRESSIBLE = "inexpressible"  # the item would be a constraint error
    CONTRADICTORY = "contradictory"  # every right answer breaks its own tool's schema, whatever the format
    NOT_CARRIED = "not_carried"  # the format has no way of writing a right answer
    FORBIDDEN = "forbidden"  # the constraint is there, and refuses every right answer that was tried
    UNCHECKED = "unchecked"  # what is right is said so loosely that no valid example of it was found


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem and the cases that have it. `modes` and `backends` are empty where it depends on neither."""

    problem: Problem
    reason: str
    tool: str = ""
    keyword: str = ""
    path: str = ""  # within the tool's schema
    modes: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()


def right_answers(case: Case) -> dict[str, RightCalls]:
    """For each call that is right, in all steps, those ways of making it that are valid."""
    tools = {tool.name: tool for tool in all_tools(case)}
    if is_multi_turn(case):
        calls = [call for turn in reference_calls(case) for call in turn]
        return {f"call-{number}": reference_call(call, tools[call.name]) for number, call in enumerate(calls, start=1)}
    return {expected.id: right_calls(expected, tools[expected.name]) for expected in case.expected}


def all_tools(case: Case) -> tuple[Tool, ...]:
    """What is offered in any step."""
    return tools_in(case, n_turns(case)) if is_multi_turn(case) else case.tools


def format_of(mode: str, format_id: str | None) -> ToolFormat:
    """The format in which the answers of a mode are written."""
    return formats.of_style(MODES[mode].style, format_id)


class Checker:
    """One mode with one backend. Without `kinds` answers are written and not walked, which needs no vocabulary."""

    def __init__(
        self, fmt: ToolFormat, mode: str, backend_name: str, engine: Backend | Renderer, kinds: TokenKinds | None = None
    ) -> None:
        self._format, self._engine, self._kinds = fmt, engine, kinds
        self._mode, self._backend = mode, backend_name
        self._compiled: OrderedDict[str, tuple[ConstraintSpec, Compiled]] = OrderedDict()
        self._tools: dict[str, Finding | None] = {}

    def check(self, case: Case, rights: Mapping[str, RightCalls]) -> Iterator[Finding]:
        """What is wrong with a case here; nothing where a right answer passes."""
        broken = list(self._inexpressible(case))
        yield from broken
        if not broken and all(right.calls for right in rights.values()):
            yield from self._answers(case, rights)

    def _inexpressible(self, case: Case) -> Iterator[Finding]:
        tools = all_tools(case)
        if not tools and case.tool_choice == "required":
            try:
                self._format.constraint((), required=True)
            except ConstraintError as error:
                yield self._finding(Problem.INEXPRESSIBLE, str(error))
        for tool in tools:
            key = _key((tool,))
            if key not in self._tools:
                self._tools[key] = self._problem_of_tool(tool)
            if problem := self._tools[key]:
                yield problem

    def _problem_of_tool(self, tool: Tool) -> Finding | None:
        try:
            self._constraint((tool,))
        except UnsupportedSchema as error:
            return self._unsupported(error, tool.name)
        except ConstraintError as error:
            return self._finding(Problem.INEXPRESSIBLE, str(error), tool=tool.name)
        return None

    def _answers(self, case: Case, rights: Mapping[str, RightCalls]) -> Iterator[Finding]:
        if not rights:
            if case.tool_choice == "required" and not case.any_call:
                yield self._finding(Problem.FORBIDDEN, "a call is required, and none would be right")
            return
        tools, options = all_tools(case), [right.calls for right in rights.values()]
        # In one step all calls stand in one answer; in several a model may make them one after the other.
        at_once = not case.is_episode and len(options) > 1
        if at_once and not case.parallel_tool_calls:
            yield self._finding(Problem.FORBIDDEN, f"an answer may hold one call, and {len(options)} are right")
            return
        if at_once and self._problem_of([calls[0] for calls in options], tools) is None:
            return
        best = [self._best(calls, tools) for calls in options]
        alone = [problem for _, problem in best if problem]
        yield from alone
        if at_once and not alone and (problem := self._problem_of([call for call, _ in best], tools)):
            yield problem

    def _best(self, calls: Sequence[Call], tools: Sequence[Tool]) -> tuple[Call, Finding | None]:
        """The first call that passes; else the first, and what is wrong with it."""
        wrong: Finding | None = None
        for call in calls:
            problem = self._problem_of([call], tools)
            if problem is None:
                return call, None
            wrong = wrong or problem
        return calls[0], wrong

    def _problem_of(self, calls: Sequence[Call], tools: Sequence[Tool]) -> Finding | None:
        """What keeps an answer with these calls from being given."""
        names = list(dict.fromkeys(call.name for call in calls))
        tool = names[0] if len(names) == 1 else ""
        used = tuple(each for each in tools if each.name in names)
        try:
            text = self._format.write(calls, used)
            spec, compiled = self._constraint(used)
        except CannotCarry as error:
            return self._finding(Problem.NOT_CARRIED, str(error), tool=tool)
        except UnsupportedSchema as error:
            return self._unsupported(error, tool)
        except ConstraintError as error:
            return self._finding(Problem.INEXPRESSIBLE, str(error), tool=tool)
        reason = "" if self._kinds is None else _refusal(self._format, spec, compiled, self._kinds, text)
        return self._finding(Problem.FORBIDDEN, reason, tool=tool) if reason else None

    def _constraint(self, tools: tuple[Tool, ...]) -> tuple[ConstraintSpec, Compiled]:
        key = _key(tools)
        if key not in self._compiled:
            spec = self._format.constraint(tools, required=False)
            self._compiled[key] = spec, self._engine.compile(spec.root)
            if len(self._compiled) > _N_KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return self._compiled[key]

    def _unsupported(self, error: UnsupportedSchema, tool: str) -> Finding:
        owner, path = error.tool or tool, error.path
        if tool and owner.startswith(f"{tool}."):  # formats that write arguments one by one name the argument, too
            path = f"#/properties/{owner.removeprefix(f'{tool}.')}{path[1:]}"
            owner = tool
        return self._finding(Problem.INEXPRESSIBLE, error.reason, tool=owner, keyword=error.keyword, path=path)

    def _finding(self, problem: Problem, reason: str, *, tool: str = "", keyword: str = "", path: str = "") -> Finding:
        return Finding(problem, reason, tool, keyword, path, (self._mode,), (self._backend,))


class Renderer:
    """A backend that only writes its grammar: what it cannot express shows, and no vocabulary is needed for it.

    The format's markers are taken to be tokens, as they are in the models that write it.
    """

    version, text = "", ""

    def __init__(self, name: str, fmt: ToolFormat) -> None:
        self.name, self._markers = name, fmt.markers

    def compile(self, root: Node) -> Renderer:
        """Raises `UnsupportedSchema`."""
        from grammars.gbnf import to_gbnf
        from grammars.lark import to_lark
        from grammars.regex import FIRST_STAND_IN, to_regex

        ids = {marker: number for number, marker in enumerate(self._markers)}
        match self.name:
            case "llguidance":
                to_lark(root, ids)
            case "gbnf":
                to_gbnf(root, ids)
            case _:
                to_regex(root, {marker: chr(FIRST_STAND_IN + number) for marker, number in ids.items()})
        return self

    def start(self) -> Any:
        raise AssertionError("nothing is walked without a vocabulary")


def _refusal(fmt: ToolFormat, spec: ConstraintSpec, compiled: Compiled, kinds: TokenKinds, text: str) -> str:
    """Why a grammar does not take an answer; empty if it does."""
    from bench.audit.trial import beginning
    from engine.constraint.walk import walk

    begins = beginning(spec, text, fmt, opened=False)
    if begins is None:
        return f"nothing in the answer begins a call: {text[:_N_SHOWN]!r}"
    data = text[begins:].encode("utf-8", errors="replace")
    end = walk(compiled.start(), kinds, data.decode())
    if end.n_bytes < len(data):
        before, after = (part.decode(errors="replace") for part in (data[: end.n_bytes], data[end.n_bytes :]))
        return f"the right answer is refused after {before[-_N_SHOWN:]!r}, where it goes on {after[:_N_SHOWN]!r}"
    return "" if end.complete else f"the right answer may not end after {text[-_N_SHOWN:]!r}"


def _key(tools: Sequence[Tool]) -> str:
    return json.dumps([(tool.name, tool.parameters) for tool in tools], default=repr)
