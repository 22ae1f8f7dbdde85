"""Before a run: which parameters and listed values of its tools a chat template does not show the model.

    missing, n_left = look(ChatTemplate(source), tools, until_s=time.monotonic() + 2)

Gemma 4's template drops parameters that are named like a schema's own keywords, gpt-oss's writes `any[]` for a list of
objects: a model cannot fill what it is not told of. Many tools are rendered at once, as they are and with each name
replaced by one of its own, which tells whether it is there however common it is; where names are missed, tools are
rendered one by one, and those names in turn. Knows no vocabulary.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from bench import numbers
from bench.audit.answerable import all_tools
from bench.run.plan import Plan, PlannedCell
from bench.suites.case import Case
from engine.errors import TemplateError
from engine.prompt import tool_description
from engine.template import ChatTemplate
from engine.types import Finding as Told
from engine.types import Tool

NOT_SHOWN: Final = "parameters-not-shown"
NOT_LOOKED_AT: Final = "parameters-not-looked-at"  # there was no time for all tools

_FIRST_SIGN: Final = 0x20000  # of the rarest Chinese characters: letters to every template, and in no schema
_N_AT_ONCE: Final = 64  # tools in one prompt
_MOST_TOOLS = _MOST_PARTS = 3  # that a sentence names
_LIMIT_S: Final = 2.0  # for one prompt
_NAME: Final = re.compile(r"(?<!\w)[A-Za-z_][\w-]*")  # as every template writes it
_ONE: Final = {"items", "additionalProperties", "not"}  # keywords that hold a schema,
_LISTED: Final = {"anyOf", "oneOf", "allOf", "prefixItems"}  # several,
_NAMED: Final = {"$defs", "definitions", "patternProperties"}  # and several by name

Described = Mapping[str, Any]  # a tool as a template is given it


def unseen(plan: Plan, *, most_s: float) -> Iterator[Told]:
    """A sentence for each template and suite of a plan's native modes where something is not shown."""
    until_s = time.monotonic() + most_s
    groups: dict[tuple[str, str], list[PlannedCell]] = {}
    for cell in plan.cells:
        if cell.mode.style == "native" and cell.model.template is not None:
            groups.setdefault((cell.suite.name, cell.model.template), []).append(cell)
    for (suite, source), cells in groups.items():
        offered = _offered({item.case.id: item.case for cell in cells for item in cell.items}.values())
        tools, cases = [tool for tool, _ in offered], [ids for _, ids in offered]
        missing, n_left = look(ChatTemplate(source, limit_s=_LIMIT_S), tools, until_s=until_s)
        models = ", ".join(dict.fromkeys(cell.model.name for cell in cells))
        if missing:
            n_cases = len(set[str]().union(*(cases[place] for place in missing)))
            yield _told(models, suite, [(tools[place].name, missing[place]) for place in sorted(missing)], n_cases)
        if n_left:
            left = numbers.plural(n_left, "tool")
            yield Told(
                NOT_LOOKED_AT, f"{models}: {left} of {suite} not looked at for what the chat template leaves out"
            )


def _offered(cases: Iterable[Case]) -> list[tuple[Tool, set[str]]]:
    """Each tool once, with the ids of the cases that offer it."""
    found: dict[str, tuple[Tool, set[str]]] = {}
    for case in cases:
        for tool in all_tools(case):
            key = json.dumps(tool_description(tool), default=dict)
            found.setdefault(key, (tool, set()))[1].add(case.id)
    return [*found.values()]


def _told(models: str, suite: str, missing: Sequence[tuple[str, Sequence[str]]], n_cases: int) -> Told:
    named = [f"{_listed(parts)} of the tool '{tool}'" for tool, parts in missing[:_MOST_TOOLS]]
    if len(missing) > _MOST_TOOLS:
        named.append(f"something of {numbers.plural(len(missing) - _MOST_TOOLS, 'more tool')}")
    cases = f"{numbers.plural(n_cases, 'case')} of {suite}"
    sentence = f"{models}: the chat template does not show {'; '.join(named)}; {cases} offer such tools"
    return Told(NOT_SHOWN, sentence, rendered="\n".join(f"{tool}: {', '.join(parts)}" for tool, parts in missing))


def _listed(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _MOST_PARTS} more" if len(parts) > _MOST_PARTS else ""
    return ", ".join(parts[:_MOST_PARTS]) + more


def look(template: ChatTemplate, tools: Sequence[Tool], *, until_s: float) -> tuple[dict[int, tuple[str, ...]], int]:
    """What is not shown, by the place of its tool: `'filter.unit'`, `the values of 'unit'`; and how many are left.

    Nothing of tools that the template refuses, or does not show at all: the self-check and the run tell of that.
    """
    places = range(len(tools))
    waiting = [places[first : first + _N_AT_ONCE] for first in range(0, len(tools), _N_AT_ONCE)]
    missing: dict[int, tuple[str, ...]] = {}
    while waiting and time.monotonic() < until_s:
        group = waiting.pop(0)
        try:
            found = _missing(template, [tool_description(tools[place]) for place in group])
        except TemplateError:
            found = {} if len(group) > 1 else {0: ()}
        missing |= {group[place]: parts for place, parts in found.items() if parts}
        waiting += [range(group[place], group[place] + 1) for place in range(len(group)) if place not in found]
    return missing, sum(map(len, waiting))


def _missing(template: ChatTemplate, tools: Sequence[Described]) -> dict[int, tuple[str, ...]]:
    """For each tool what is not shown; a tool that has to be looked at alone is left out."""
    signs = _signs()
    signed = [_Signed(signs) for _ in tools]
    renamed = [
        {**tool, "parameters": names.schema(tool["parameters"])} for tool, names in zip(tools, signed, strict=True)
    ]
    usual, prompt = _prompt(template, tools), _prompt(template, renamed)
    shown = [[part for part in names.parts if part.stands_in(prompt)] for names in signed]
    wanted = Counter(part.name for parts in shown for part in parts if part.name)
    there = _names(usual)
    there.subtract(_names(prompt))
    # Fewer than stood there as names of their own: it depends on the name itself.
    dropped = {name for name, n in wanted.items() if there[name] < n}
    found = {}
    for place, (tool, names) in enumerate(zip(tools, signed, strict=True)):
        doubted = [part for part in shown[place] if part.name in dropped]
        if len(tools) > 1 and doubted:
            continue
        lost = [
            part.label
            for part in names.parts
            if part not in shown[place] or (part in doubted and not _is_named(template, tool, part, usual))
        ]
        found[place] = tuple(dict.fromkeys(lost)) if lost and _is_shown(template, tool, usual) else ()
    return found


def _is_named(template: ChatTemplate, tool: Described, part: _Part, usual: str) -> bool:
    """Whether the prompt for a single tool loses a name when this part of it, and no other, has another name."""
    schema = _Signed(_signs(), only=part.sign).schema(tool["parameters"])
    prompt = _prompt(template, [{**tool, "parameters": schema}])
    return _names(prompt)[part.name] < _names(usual)[part.name]


def _is_shown(template: ChatTemplate, tool: Described, usual: str) -> bool:
    """Whether a prompt has a tool's name more often than the template's own words and the question have it."""
    try:
        bare = _prompt(template, [])
    except TemplateError:  # it may well ask for tools
        bare = ""
    return usual.count(tool["name"]) > bare.count(tool["name"])


def _names(prompt: str) -> Counter[str]:
    return Counter(_NAME.findall(prompt))


def _signs() -> Iterator[str]:
    return map(chr, count(_FIRST_SIGN))


def _prompt(template: ChatTemplate, tools: Sequence[Described]) -> str:
    return template.render(
        messages=[{"role": "user", "content": "Hello."}],
        tools=[{"type": "function", "function": tool} for tool in tools],
        documents=None,
        add_generation_prompt=True,
        bos_token="",
        eos_token="",
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A parameter or a listed value. `name`: of a parameter, if every template writes it as it is; else empty."""

    label: str
    name: str
    sign: str

    def stands_in(self, prompt: str) -> bool:
        return self.sign in prompt or json.dumps(self.sign)[1:-1] in prompt


class _Signed:
    """Gives every parameter and listed value of a schema, or that of one sign only, another first character."""

    def __init__(self, signs: Iterator[str], *, only: str = "") -> None:
        self.parts: list[_Part] = []
        self._signs, self._only = signs, only

    def schema(self, schema: Any, path: tuple[str, ...] = ()) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        return {keyword: self._keyword(keyword, value, path) for keyword, value in schema.items()}

    def _keyword(self, keyword: str, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            if keyword == "properties":
                inner = ((name, (*path, name), each) for name, each in value.items())
                return {self._name(name, at): self.schema(each, at) for name, at, each in inner}
            if keyword in _NAMED:
                return {name: self.schema(each, path) for name, each in value.items()}
            return self.schema(value, path) if keyword in _ONE else value
        if isinstance(value, list | tuple):
            if keyword == "enum":
                return [self._value(each, path) if isinstance(each, str) and each else each for each in value]
            return [self.schema(each, path) for each in value] if keyword in _LISTED else value
        return value

    def _name(self, name: str, path: tuple[str, ...]) -> str:
        return self._part(name, f"'{'.'.join(path)}'", name if name.isascii() and _NAME.fullmatch(name) else "")

    def _value(self, value: str, path: tuple[str, ...]) -> str:
        return self._part(value, f"the values of '{'.'.join(path)}'", "")

    def _part(self, text: str, label: str, name: str) -> str:
        sign = next(self._signs)
        self.parts.append(_Part(label, name, sign))
        return text if self._only and sign != self._only else sign + text[1:]
