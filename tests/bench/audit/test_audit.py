"""What stands between a case and a right answer under a constraint, on cases made to have it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.audit.acceptable import right_calls
from bench.audit.answerable import Problem
from bench.audit.precheck import Audit, Found, audit, grouped, precheck
from bench.cli.audit import document, warnings
from bench.cli.main import main
from bench.report import markdown
from bench.shell import Exit
from bench.suites.case import Suite, load
from tests.bench.episodes import write_suite
from tests.bench.scripted import plan_of

Captured = pytest.CaptureFixture[str]
ALL = ("llguidance", "gbnf", "outlines")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process for each backend: starting one takes longer than what these tests do in it."""
    monkeypatch.setattr("bench.audit.precheck.apart", lambda function, what: function(Path()))


def tool(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "description": "", "parameters": {"type": "object", "properties": properties}}


def raw(number: int, tools: Sequence[Any], *calls: tuple[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    expected = {"calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}
    messages = [{"role": "user", "content": f"Request {number}"}]
    return {
        "id": f"mine/{number}",
        "category": "any",
        "tools": list(tools),
        "messages": messages,
        "expected": expected,
        **more,
    }


NOTE = tool("note", text={"type": "string"}, unit={"enum": ["celsius", "fahrenheit"]})


def audited(
    folder: Path, path: Path, *cases: dict[str, Any], backends: Sequence[str] = ALL, format_id: str | None = "hermes"
) -> Audit:
    return audit(load(write_suite(folder, *cases)), path, format_id=format_id, backends=backends)


def counts(found: Audit) -> dict[tuple[str, str], dict[str, int]]:
    """What is not nothing, by mode and backend."""
    return {
        (tally.mode, tally.backend): {"fine": tally.n_fine} | {str(p): n for p, n in tally.n.items() if n}
        for tally in found.tallies
    }


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("format_id", ["hermes", "gemma4"])
def test_every_case_of_quick_can_be_answered_everywhere(format_id: str, tiny_vocab: Path) -> None:
    found = audit(load("quick"), tiny_vocab, format_id=format_id, backends=ALL)
    assert found.findings == ()
    assert {(tally.mode, tally.backend, tally.n_fine) for tally in found.tallies} == {
        (mode, backend, 40) for mode in ("native.schema", "json.schema") for backend in ALL
    }


@pytest.mark.usefixtures("here")
def test_a_keyword_that_some_backends_know(tmp_path: Path, tiny_vocab: Path) -> None:
    """`multipleOf` of any integer is llguidance's alone, `uniqueItems` is nobody's, any value is not for outlines."""
    cases = [
        raw(1, [tool("step", n={"type": "integer", "multipleOf": 5})], ("step", {"n": [15]})),
        raw(2, [tool("pick", x={"type": "array", "uniqueItems": True})], ("pick", {"x": [[1]]})),
        raw(3, [tool("keep", v={})], ("keep", {"v": ["a"]})),
        raw(4, [NOTE], ("note", {"text": ["a"]})),
    ]
    found = audited(tmp_path, tiny_vocab, *cases)
    for mode in ("native.schema", "json.schema"):
        assert counts(found)[mode, "llguidance"] == {"fine": 3, "inexpressible": 1}
        assert counts(found)[mode, "gbnf"] == {"fine": 2, "inexpressible": 2}
        assert counts(found)[mode, "outlines"] == {"fine": 1, "inexpressible": 3}
    places = {(f.tool, f.keyword, f.path, f.backends, f.cases) for f in found.findings}
    assert places == {
        ("step", "multipleOf", "#/properties/n", ("gbnf", "outlines"), ("mine/1",)),
        ("pick", "uniqueItems", "#/properties/x", ALL, ("mine/2",)),
        ("keep", "type", "#/properties/v", ("outlines",), ("mine/3",)),
    }


@pytest.mark.usefixtures("here")
def test_a_tool_that_is_only_offered_spoils_the_case_too(tmp_path: Path, tiny_vocab: Path) -> None:
    pick = tool("pick", x={"type": "array", "uniqueItems": True})
    found = audited(tmp_path, tiny_vocab, raw(1, [NOTE, pick], ("note", {"text": ["a"]})), backends=["gbnf"])
    assert counts(found)["json.schema", "gbnf"] == {"fine": 0, "inexpressible": 1}


@pytest.mark.usefixtures("here")
def test_formats_that_write_arguments_one_by_one_name_the_same_place(tmp_path: Path, tiny_vocab: Path) -> None:
    case = raw(1, [tool("pick", x={"type": "array", "uniqueItems": True})], ("pick", {"x": [[1]]}))
    found = audited(tmp_path, tiny_vocab, case, format_id="qwen_xml")
    (finding,) = found.findings
    assert (finding.tool, finding.path, finding.modes) == ("pick", "#/properties/x", ("native.schema", "json.schema"))


@pytest.mark.usefixtures("here")
def test_a_right_answer_outside_of_its_own_enum(tmp_path: Path, tiny_vocab: Path) -> None:
    cases = [
        raw(1, [NOTE], ("note", {"text": ["a"], "unit": ["kelvin", "rankine"]})),
        raw(2, [NOTE], ("note", {"text": ["a"], "unit": ["kelvin", "celsius"]})),  # one of them is possible
        raw(3, [NOTE], ("note", {"text": ["a"], "unit": {"text": ["Celsius"]}})),  # so is one in small letters
    ]
    found = audited(tmp_path, tiny_vocab, *cases)
    (finding,) = found.findings
    assert (finding.problem, finding.cases, finding.keyword) == (Problem.CONTRADICTORY, ("mine/1",), "enum")
    assert finding.path == "#/properties/unit"
    assert finding.modes == finding.backends == ()
    assert {tally.n_fine for tally in found.tallies} == {2}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("format_id", "value"),
    [("qwen_xml", "a\n</parameter>\nb"), ("glm_xml", "a</arg_value>b"), ("gemma4", 'a<|"|>b')],
)
def test_a_value_that_the_format_cannot_carry(format_id: str, value: str, tmp_path: Path, tiny_vocab: Path) -> None:
    case = raw(1, [NOTE], ("note", {"text": [value]}))
    found = audited(tmp_path, tiny_vocab, case, format_id=format_id, backends=["llguidance"])
    assert counts(found) == {
        ("native.schema", "llguidance"): {"fine": 0, "not_carried": 1},
        ("json.schema", "llguidance"): {"fine": 1},
    }


@pytest.mark.usefixtures("here")
def test_another_acceptable_value_that_the_format_carries_is_enough(tmp_path: Path, tiny_vocab: Path) -> None:
    case = raw(1, [NOTE], ("note", {"text": ["a</arg_value>b", "plain"]}))
    assert audited(tmp_path, tiny_vocab, case, format_id="glm_xml", backends=["gbnf"]).findings == ()


@pytest.mark.usefixtures("here")
def test_two_calls_where_one_is_allowed(tmp_path: Path, tiny_vocab: Path) -> None:
    two = (("note", {"text": ["a"]}), ("note", {"text": ["b"]}))
    cases = [raw(1, [NOTE], *two), raw(2, [NOTE], *two, parallel_tool_calls=False)]
    found = audited(tmp_path, tiny_vocab, *cases, format_id="llama3_json", backends=["gbnf"])
    assert counts(found) == {
        ("native.schema", "gbnf"): {"fine": 0, "not_carried": 1, "forbidden": 1},
        ("json.schema", "gbnf"): {"fine": 1, "forbidden": 1},
    }


@pytest.mark.usefixtures("here")
def test_in_an_episode_calls_may_come_one_by_one(tmp_path: Path, tiny_vocab: Path) -> None:
    results = [{"name": "note", "arguments": {}, "result": {}}]
    case = raw(1, [NOTE], ("note", {"text": ["a"]}), ("note", {"text": ["b"]}), results=results)
    assert audited(tmp_path, tiny_vocab, case, format_id="llama3_json", backends=["gbnf"]).findings == ()


@pytest.mark.usefixtures("here")
def test_a_required_call_where_none_is_right(tmp_path: Path, tiny_vocab: Path) -> None:
    cases = [raw(1, [NOTE], tool_choice="required"), raw(2, [NOTE])]
    found = audited(tmp_path, tiny_vocab, *cases, backends=["llguidance"])
    (finding,) = found.findings
    assert (finding.problem, finding.cases) == (Problem.FORBIDDEN, ("mine/1",))


@pytest.mark.usefixtures("here")
def test_what_is_right_may_be_said_too_loosely_to_be_checked(tmp_path: Path, tiny_vocab: Path) -> None:
    code = tool("code", c={"type": "string", "pattern": "^[A-Z]{3}-[0-9]{6}$"})
    found = audited(tmp_path, tiny_vocab, raw(1, [code], ("code", {"c": {"contains": ["AB"]}})), backends=["gbnf"])
    (finding,) = found.findings
    assert finding.problem is Problem.UNCHECKED


@pytest.mark.usefixtures("here")
def test_without_a_native_format_the_json_mode_is_tried(tmp_path: Path, tiny_vocab: Path) -> None:
    found = audited(tmp_path, tiny_vocab, raw(1, [NOTE]), format_id=None, backends=["gbnf"])
    assert list(counts(found)) == [("json.schema", "gbnf")]


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}},
        "where": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "level": {"enum": ["low", "high"], "default": "low"},
    },
    "required": ["n", "level"],
}


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({"n": [1]}, {"n": 1, "level": "low"}),  # a required argument at its default need not be expected
        ({"n": ["1", 1], "level": ["high"]}, {"n": 1, "level": "high"}),
        ({"n": {"any": True}, "level": {"any": True}}, {"n": 1, "level": "low"}),
        ({"n": {"absent_or": [2]}, "level": ["low"]}, {"n": 2, "level": "low"}),
        ({"n": [1], "tags": {"unordered": ["y", "x"]}, "level": ["low"]}, {"n": 1, "tags": ["y", "x"], "level": "low"}),
        ({"n": [1], "where": {"object": {"id": ["a", 3]}}}, {"n": 1, "where": {"id": 3}, "level": "low"}),
        ({"n": [1], "level": {"text": ["HIGH"]}}, {"n": 1, "level": "high"}),
    ],
)
def test_acceptable_values_are_found_within_the_schema(
    arguments: dict[str, Any], first: dict[str, Any], tmp_path: Path
) -> None:
    asked = {"name": "f", "description": "", "parameters": SCHEMA}
    case = load(write_suite(tmp_path, raw(1, [asked], ("f", arguments)))).cases[0]
    found = right_calls(case.expected[0], case.tools[0])
    assert dict(found.calls[0].arguments) == first


@pytest.mark.parametrize(
    ("arguments", "exhausted"),
    [
        ({"n": ["a", "b"]}, True),
        ({"n": {"text": ["one"]}}, True),  # no text is an integer
        ({"n": [1], "tags": {"unordered": ["z"]}}, True),
        ({"n": [1], "where": {"object": {"id": ["a"]}}}, True),
        ({"n": {"absent": True}}, True),
    ],
)
def test_what_no_schema_allows_is_known_to_be_impossible(
    arguments: dict[str, Any], exhausted: bool, tmp_path: Path
) -> None:
    asked = {"name": "f", "description": "", "parameters": SCHEMA}
    case = load(write_suite(tmp_path, raw(1, [asked], ("f", arguments)))).cases[0]
    found = right_calls(case.expected[0], case.tools[0])
    assert (found.calls, found.exhausted) == ((), exhausted)
    assert found.violation is not None


CITIES = {"enum": ["New York", "Boston"]}
OPTIONAL = {"anyOf": [{"type": "string", **CITIES}, {"type": "null"}]}
TRIP = {"type": "object", "properties": {"to": {"$ref": "#/$defs/city"}}, "required": ["to"]}
LOOSE = {"type": "string", "pattern": "^[A-Z]{3}$"}
DEFINITIONS = {
    "city": CITIES,
    "code": LOOSE,
    "trip": TRIP,
    "trips": {"type": "array", "items": {"$ref": "#/$defs/trip"}},
}


def found_for(schema: Any, matcher: Any, folder: Path) -> tuple[Any, bool]:
    """The first valid value of an argument, and whether there is none for certain."""
    parameters = {"type": "object", "properties": {"x": schema}, "required": ["x"], "$defs": DEFINITIONS}
    asked = {"name": "f", "description": "", "parameters": parameters}
    case = load(write_suite(folder, raw(1, [asked], ("f", {"x": matcher})))).cases[0]
    found = right_calls(case.expected[0], case.tools[0])
    return (found.calls[0].arguments["x"] if found.calls else None), found.exhausted


@pytest.mark.parametrize("schema", [CITIES, {"$ref": "#/$defs/city"}, OPTIONAL, {"oneOf": [{"$ref": "#/$defs/city"}]}])
def test_what_a_schema_lists_is_found_wherever_it_stands(schema: Any, tmp_path: Path) -> None:
    """An optional enum, as every Python function with `city: Literal[...] | None` has it."""
    for matcher in ({"text": ["new york"]}, {"like": ["NEW YORK."]}, {"contains": ["york"]}):
        assert found_for(schema, matcher, tmp_path) == ("New York", False)
    for matcher in ({"text": ["paris"]}, {"like": ["Paris"]}, {"contains": ["paris"]}):
        assert found_for(schema, matcher, tmp_path) == (None, True)


@pytest.mark.parametrize(
    ("schema", "matcher", "found"),
    [
        ({"$ref": "#/$defs/trip"}, {"like": [{"to": "boston"}]}, {"to": "Boston"}),
        ({"$ref": "#/$defs/trips"}, {"like": [[{"to": "boston"}]]}, [{"to": "Boston"}]),
        ({"$ref": "#/$defs/trip"}, {"object": {"to": {"text": ["boston"]}}}, {"to": "Boston"}),
        (
            {"anyOf": [{"$ref": "#/$defs/trip"}, {"type": "null"}]},
            {"object": {"to": {"text": ["boston"]}}},
            {"to": "Boston"},
        ),
        # nothing of it is right, for certain
        ({"$ref": "#/$defs/trip"}, {"like": [{"to": "paris"}]}, None),
        ({"$ref": "#/$defs/trips"}, {"object": {"to": {"text": ["boston"]}}}, None),
        ({"type": ["integer", "null"]}, {"text": ["boston"]}, None),
    ],
)
def test_so_is_what_its_parts_list(schema: Any, matcher: Any, found: Any, tmp_path: Path) -> None:
    assert found_for(schema, matcher, tmp_path) == (found, found is None)


@pytest.mark.parametrize(
    "schema", [LOOSE, {"$ref": "#/$defs/code"}, {"anyOf": [{"$ref": "#/$defs/code"}, {"type": "null"}]}]
)
def test_a_text_that_only_a_pattern_restricts_may_have_another_spelling(schema: Any, tmp_path: Path) -> None:
    for matcher in ({"text": ["a-b-c"]}, {"like": ["abcd"]}, {"contains": ["ab"]}):
        assert found_for(schema, matcher, tmp_path) == (None, False)


# What is printed


@pytest.mark.usefixtures("here")
def test_the_page_says_where_and_what_to_do(tmp_path: Path, tiny_vocab: Path) -> None:
    step = tool("step", n={"type": "integer", "multipleOf": 5})
    found = audited(tmp_path, tiny_vocab, raw(1, [step], ("step", {"n": [15]})), raw(2, [NOTE]))
    text = markdown.render(document(found, None))
    assert "| step | multipleOf at #/properties/n: " in text
    assert "native.schema, json.schema: gbnf, outlines" in text
    assert "They can be expressed with --backend llguidance." in text


def test_the_command_needs_no_model(capsys: Captured) -> None:
    assert main(["grammar", "--audit", "quick", "--backend", "gbnf", "--format", "qwen_xml", "--json"]) == Exit.OK
    values = json.loads(capsys.readouterr().out)
    assert (values["suite"], values["n_cases"], values["format_id"]) == ("quick", 40, "qwen_xml")
    assert [tally["n_fine"] for tally in values["tallies"]] == [40, 40]
    assert values["findings"] == []


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "name a model whose grammar is wanted, or a suite to audit with --audit SUITE"),
        (["--audit", "none"], "cannot read suite 'none'"),
        (["--audit", "quick", "--backend", "gbnf,magic"], "unknown constraint backend 'magic'"),
        (["--audit", "quick", "--answer", "x"], "--audit takes tools and answers from the suite; leave --answer out"),
        (["--audit", "quick", "--required"], "leave --required out"),
    ],
)
def test_mistakes_are_one_sentence(flags: list[str], sentence: str, capsys: Captured) -> None:
    assert main(["grammar", *flags]) == Exit.USAGE
    assert sentence in capsys.readouterr().err


# Before a run


def plan_with(folder: Path, *cases: dict[str, Any], **settings: Any) -> Any:
    found: Suite = load(write_suite(folder, *cases))
    plan = plan_of(folder, modes=("native.schema", "json.schema", "json.free"), **settings)
    from bench.run.plan import make_plan

    return make_plan(plan.config, plan.models, (found,))


def test_a_run_is_warned_of_what_its_backend_cannot_express(tmp_path: Path) -> None:
    pick = tool("pick", x={"type": "array", "uniqueItems": True})
    plan = plan_with(tmp_path, raw(1, [pick], ("pick", {"x": [[1]]})), raw(2, [NOTE]))
    (found,) = precheck(plan, most_s=60)
    assert (found.n_checked, found.n_cases) == (2, 2)
    assert list(warnings(found)) == [
        "native.schema, json.schema: llguidance cannot express 'uniqueItems' at #/properties/x of the tool 'pick';"
        " 1 case of mine will not be scored"
    ]


@pytest.mark.usefixtures("workers_here")
def test_what_was_known_before_a_run_is_stored_with_it_and_reported(tmp_path: Path, capsys: Captured) -> None:
    tools = [tool(f"pick{number}", x={"type": "array", "uniqueItems": True}) for number in range(6)]
    suite = write_suite(tmp_path, *(raw(number, [each]) for number, each in enumerate(tools)))
    db = ["--db", str(tmp_path / "results.db")]
    main(["run", "fake:silent", "--suite", str(suite), "--modes", "native.schema", "--no-latency", *db, "--no-report"])
    assert capsys.readouterr().err.count("cannot express 'uniqueItems'") >= 4
    assert main(["report", *db]) == Exit.OK
    text = " ".join(capsys.readouterr().out.split())
    sentence = (
        "llguidance cannot express 'uniqueItems' at #/properties/x of the tool 'pick0'; 1 case of mine will not be"
    )
    assert f"Known before the run: native.schema: {sentence} scored." in text
    assert "2 more findings before the run" in text
    assert main(["report", "--json", *db]) == Exit.OK
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["name"] for finding in findings] == ["audit-inexpressible"] * 6


def test_what_there_was_no_time_for_is_said(tmp_path: Path) -> None:
    (found,) = precheck(plan_with(tmp_path, raw(1, [NOTE]), raw(2, [NOTE])), most_s=-1)
    assert (found.n_checked, found.n_cases, found.findings) == (0, 2, ())
    assert list(warnings(found)) == [
        "mine: 2 cases not checked for what a constraint cannot express; see `toolgauge grammar --audit`"
    ]


def test_a_case_without_tools_is_no_constraint_error_unless_it_requires_a_call(tmp_path: Path) -> None:
    (found,) = precheck(plan_with(tmp_path, raw(1, []), raw(2, [], tool_choice="required")), most_s=60)
    assert [finding.cases for finding in found.findings] == [("mine/2",)] * len(found.findings) != []


def test_free_modes_need_no_check(tmp_path: Path) -> None:
    assert precheck(plan_of(tmp_path, modes=("native.free", "json.syntax")), most_s=60) == ()


def test_findings_of_many_cases_are_few_warnings(tmp_path: Path) -> None:
    tools = [tool(f"pick{number}", x={"type": "array", "uniqueItems": True}) for number in range(9)]
    plan = plan_with(tmp_path, *(raw(number, [each]) for number, each in enumerate(tools)))
    (found,) = precheck(plan, most_s=60)
    told = list(warnings(found))
    assert len(found.findings) == 9
    assert len(told) == 5
    assert told[-1] == "mine: 5 more findings; `toolgauge grammar --audit` names them all"


@pytest.mark.usefixtures("here")
def test_findings_are_merged_only_where_the_whole_is_true(tmp_path: Path, tiny_vocab: Path) -> None:
    """Two modes with different backends stay two lines."""
    case = raw(1, [tool("keep", v={})], ("keep", {"v": ["a"]}))
    (finding,) = audited(tmp_path, tiny_vocab, case).findings
    native = replace(finding, modes=("native.schema",), backends=("gbnf",), cases=())
    envelope = replace(finding, modes=("json.schema",), backends=("outlines",), cases=())
    assert len(grouped([Found("a", native), Found("a", envelope)])) == 2
    assert len(grouped([Found("a", native), Found("a", replace(envelope, backends=("gbnf",)))])) == 1
