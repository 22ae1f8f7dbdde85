"""What a chat template leaves out of the tools that a run offers: small ones in the shapes of makers' that do."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.audit.shown import NOT_LOOKED_AT, NOT_SHOWN, look, unseen
from bench.cli.audit import say_warnings
from bench.run.plan import Plan, make_plan
from bench.suites.case import load
from engine.fake import TEMPLATE
from engine.template import ChatTemplate
from engine.types import Tool
from tests.bench.episodes import write_suite
from tests.bench.scripted import fake, plan_of

# As Gemma 4's: a parameter that has the name of one of a schema's keywords is taken for that keyword.
KEYWORDS = (
    "{% macro fields(all) %}{% for name in all if name not in ['type', 'description', 'properties'] %}"
    "{{ name }}:{type:{{ all[name].type }}{% if all[name].enum %},enum:{{ all[name].enum | tojson }}{% endif %}"
    "{% if all[name].properties %},properties:{ {{- fields(all[name].properties) -}} }{% endif %}}"
    "{% endfor %}{% endmacro %}"
    "{% for tool in tools %}{{ tool.function.name }}{description:{{ tool.function.description }},"
    "properties:{ {{- fields(tool.function.parameters.properties) -}} },"
    "required:{{ tool.function.parameters.required | tojson }}}{% endfor %}{{ messages[0].content }}"
)
# As gpt-oss's: what the members of a list are is told of the simplest kinds only.
ANY = (
    "{% for tool in tools %}type {{ tool.function.name }} = ("
    "{% for name, of in tool.function.parameters.properties.items() %}{{ name }}: "
    "{% if of.type == 'array' %}{{ of['items'].type if of['items'].type == 'string' else 'any' }}[]"
    "{% elif of.enum %}{{ of.enum | join(' | ') }}{% else %}{{ of.type }}{% endif %}, {% endfor %})\n{% endfor %}"
    "{{ messages[0].content }}"
)
# Shows no tools at all, and has words of its own.
NONE = "{{ messages[0].content }}<think></think>"
TEXT: dict[str, Any] = {"type": "string"}
WORDS = {"type": "string", "enum": ["open", "done"]}


def tool(name: str, **properties: Any) -> Tool:
    return Tool(name, "type, description, city.", {"type": "object", "properties": properties, "required": ["type"]})


def missing(source: str, *tools: Tool) -> dict[str, tuple[str, ...]]:
    found, n_left = look(ChatTemplate(source), tools, until_s=time.monotonic() + 60)
    assert n_left == 0
    return {tools[place].name: parts for place, parts in found.items()}


SHOWN = tool("find", city=TEXT, city_name=TEXT, state=WORDS, inner={"type": "object", "properties": {"city": TEXT}})


@pytest.mark.parametrize("source", [TEMPLATE.source, KEYWORDS])
def test_a_template_that_shows_all_is_not_talked_about(source: str) -> None:
    assert missing(source, SHOWN, tool("bare"), replace(SHOWN, name="seek")) == {}


def test_names_are_compared_as_they_are_however_common_they_are() -> None:
    """`type` stands everywhere in such a prompt, and the parameter of that name nowhere."""
    lossy = tool("book", type=WORDS, city=TEXT, inner={"type": "object", "properties": {"description": TEXT}})
    assert missing(KEYWORDS, SHOWN, lossy) == {"book": ("'type'", "'inner.description'")}
    assert missing(KEYWORDS, lossy) == missing(KEYWORDS, SHOWN, lossy)
    assert missing(TEMPLATE.source, SHOWN, lossy) == {}


PAGE = tool(
    "create_page",
    title=TEXT,
    parent_id=TEXT,
    properties={"type": "object", "properties": {"title": TEXT, "status": TEXT}},
)
HIDDEN_OF_PAGE = ("'properties'", "'properties.title'", "'properties.status'")


def test_of_parameters_of_one_name_only_those_that_are_hidden_are_told() -> None:
    """`title` is shown, and `properties.title` is not, for `properties` is dropped with all that it holds."""
    assert missing(KEYWORDS, PAGE) == {"create_page": HIDDEN_OF_PAGE}
    assert missing(KEYWORDS, SHOWN, PAGE) == {"create_page": HIDDEN_OF_PAGE}
    assert missing(TEMPLATE.source, PAGE) == {}
    twice = tool("book", type=TEXT, inner={"type": "object", "properties": {"type": TEXT}}, city=TEXT)
    assert missing(KEYWORDS, twice) == {"book": ("'type'", "'inner.type'")}


def test_a_tool_that_is_called_as_the_template_has_it_in_words_of_its_own_is_not_shown_by_them() -> None:
    assert missing(NONE, tool("think", thought=TEXT)) == {}


def test_what_is_within_lists_is_looked_for() -> None:
    lists = tool(
        "order",
        lines={"type": "array", "items": {"type": "object", "properties": {"city": TEXT, "n": {"type": "integer"}}}},
        tags={"type": "array", "items": WORDS},
        days={"type": "array", "items": TEXT},
        state=WORDS,
    )
    assert missing(ANY, SHOWN, lists) == {
        "find": ("'inner.city'",),
        "order": ("'lines.city'", "'lines.n'", "the values of 'tags'"),
    }
    assert missing(TEMPLATE.source, lists) == {}


def test_alternatives_and_definitions_are_looked_for_once() -> None:
    either = {"anyOf": [{"type": "object", "properties": {"city": TEXT}}] * 2}
    shape = Tool(
        "pay", "", {"type": "object", "properties": {"how": either}, "$defs": {"money": {"properties": {"n": {}}}}}
    )
    assert missing(ANY, shape) == {"pay": ("'how.city'", "'n'")}
    assert missing(TEMPLATE.source, shape) == {}


@pytest.mark.parametrize("ascii_only", ["true", "false"])
def test_names_that_a_template_escapes_are_shown(ascii_only: str) -> None:
    odd = tool(
        "look", **{"größe": TEXT, 'a"b': TEXT, "with-dash": TEXT, "_x": TEXT}, state={"enum": ["é", "", 3, None]}
    )
    source = f"{{{{ tools | tojson(ensure_ascii={ascii_only}) }}}}{{{{ messages[0].content }}}}"
    assert missing(source, odd, SHOWN) == {}


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content }}",  # shows no tools, as the self-check says
        "{{ raise_exception('no') }}",
        "{% for t in tools %}{{ raise_exception('no') if t.function.name == 'find' else t | tojson }}{% endfor %}",
    ],
)
def test_what_others_tell_of_is_not_told_here(source: str) -> None:
    assert missing(source, SHOWN, tool("bare", city=TEXT)) == {}


def test_a_refused_tool_hides_nothing_of_the_others() -> None:
    source = "{% if 'odd' in tools | tojson %}{{ raise_exception('no') }}{% endif %}" + ANY
    assert missing(source, tool("odd", x=TEXT), SHOWN) == {"find": ("'inner.city'",)}


def test_many_tools_take_few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[int] = []
    render = ChatTemplate.render

    def counted(self: ChatTemplate, **variables: Any) -> str:
        prompts.append(len(variables["tools"]))
        return render(self, **variables)

    monkeypatch.setattr(ChatTemplate, "render", counted)
    assert missing(TEMPLATE.source, *(replace(SHOWN, name=f"find{number}") for number in range(100))) == {}
    assert prompts == [64, 64, 36, 36]


def test_there_may_be_no_time() -> None:
    assert look(TEMPLATE, [SHOWN, SHOWN], until_s=time.monotonic() - 1) == ({}, 2)


# Of a plan


def plan_with(folder: Path, source: str, *, modes: tuple[str, ...] = ("native.free", "json.free")) -> Plan:
    def case(number: int, *names: str) -> dict[str, Any]:
        tools = [tool(name, inner={"type": "object", "properties": {"city": TEXT}}, n=TEXT) for name in names]
        described = [{"name": each.name, "description": "", "parameters": dict(each.parameters)} for each in tools]
        asked = [{"role": "user", "content": f"Request {number}"}]
        return {
            "id": f"mine/{number}",
            "category": "any",
            "tools": described,
            "messages": asked,
            "expected": {"calls": []},
        }

    suite = load(write_suite(folder, case(1, "a", "b"), case(2, "a", "c", "d", "e"), case(3)))
    plan = plan_of(folder, [replace(fake(), template=source)], modes=modes)
    return make_plan(plan.config, plan.models, (suite,))


def test_one_sentence_says_what_and_how_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finding,) = say_warnings(plan_with(tmp_path, ANY))
    assert finding.name == NOT_SHOWN
    assert finding.message == (
        "fake:perfect: the chat template does not show 'inner.city' of the tool 'a'; 'inner.city' of the tool 'b';"
        " 'inner.city' of the tool 'c'; something of 2 more tools; 2 cases of mine offer such tools"
    )
    assert finding.rendered.splitlines() == [f"{name}: 'inner.city'" for name in "abcde"]
    assert f"warning: {finding.message}" in " ".join(capsys.readouterr().err.split())


def test_nothing_is_said_where_all_is_shown_or_no_template_shows_tools(tmp_path: Path) -> None:
    assert say_warnings(plan_with(tmp_path, TEMPLATE.source)) == ()
    assert say_warnings(plan_with(tmp_path, ANY, modes=("json.free",))) == ()


def test_what_there_was_no_time_for_is_said(tmp_path: Path) -> None:
    (finding,) = unseen(plan_with(tmp_path, ANY), most_s=-1)
    assert (finding.name, finding.message) == (
        NOT_LOOKED_AT,
        "fake:perfect: 5 tools of mine not looked at for what the chat template leaves out",
    )


# The makers' own templates


@pytest.mark.real
def test_makers_templates_show_all_but_what_is_known(real_data: Path) -> None:
    tools = [
        tool for case in load("core").cases for tool in case.tools if tool.name in ("dns_add_record", "book_seats")
    ]
    lossy = {}
    for path in sorted((real_data / "templates").glob("*.jinja")):
        if found := missing(path.read_text(encoding="utf-8"), *tools):
            lossy[path.stem] = found
    assert lossy == {
        "google-gemma-4-31B-it": {"dns_add_record": ("'type'",)},
        "openai-gpt-oss-120b": {"book_seats": ("'rows.row'", "'rows.seats'")},
    }


@pytest.mark.real
@pytest.mark.parametrize(
    ("template", "shaped", "hidden"),
    [
        ("google-gemma-4-31B-it", PAGE, {PAGE.name: HIDDEN_OF_PAGE}),
        ("deepseek-ai-DeepSeek-V3.1", tool("think", thought=TEXT), {}),  # which shows no tools
    ],
)
def test_makers_templates_are_not_said_to_hide_what_they_show(
    template: str, shaped: Tool, hidden: dict[str, tuple[str, ...]], real_data: Path
) -> None:
    assert missing((real_data / "templates" / f"{template}.jinja").read_text(encoding="utf-8"), shaped) == hidden
