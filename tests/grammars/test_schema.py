from __future__ import annotations

import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grammars.errors import InvalidSchema, UnsupportedSchema
from grammars.gbnf import to_gbnf
from grammars.lark import to_lark
from grammars.nodes import Json
from grammars.schema import normalise_parameters, normalise_tool, normalise_tools
from grammars.validation import validator

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED_CITY = {**CITY, "additionalProperties": False}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "w", "description": "d", "parameters": CITY}},
        {"name": "w", "description": "d", "parameters": CITY},
        {"name": "w", "description": "d", "inputSchema": CITY},
        {"name": "w", "description": "d", "input_schema": CITY},
    ],
    ids=["openai", "bare", "mcp", "anthropic"],
)
def test_every_spelling_of_a_tool_reads_the_same(tool: dict[str, Any]) -> None:
    normalised = normalise_tool(tool)
    assert (normalised.name, normalised.description) == ("w", "d")
    assert normalised.parameters == CLOSED_CITY


def test_what_describes_no_arguments_is_not_taken_for_them() -> None:
    beside = {"annotations": {"readOnlyHint": True}, "outputSchema": {"type": "object"}, "_meta": {"x": 1}}
    assert normalise_tool({"name": "ping", **beside}) == normalise_tool({"name": "ping"})


def test_a_discriminator_is_required_of_every_branch() -> None:
    """pydantic's `kind: Literal["cat"] = "cat"`: nothing else would tell the two apart."""
    branches = {
        name: {"type": "object", "properties": {"kind": {"const": name, "default": name}}} for name in ("cat", "dog")
    }
    animal = {
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in branches],
        "discriminator": {"propertyName": "kind", "mapping": {name: f"#/$defs/{name}" for name in branches}},
    }
    found = normalise_parameters({"type": "object", "properties": {"pet": animal}, "$defs": branches})
    assert validator(found).is_valid({"pet": {"kind": "dog"}})
    assert not validator(found).is_valid({"pet": {}})
    assert to_gbnf(Json(found), {}) and to_lark(Json(found), {})


def _tagged(tag: str, name: str, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {tag: {"const": name, "default": name}, **others}, "required": [*others]}


def _union(tag: str, *names: str) -> dict[str, Any]:
    mapping = {name: f"#/$defs/{name}" for name in names}
    return {"oneOf": [{"$ref": one} for one in mapping.values()], "discriminator": {"propertyName": tag}}


def test_a_tag_is_required_of_the_branches_and_nowhere_else() -> None:
    """pydantic's `shape: Annotated[Circle | Square, Field(discriminator="kind")]` beside `hole: Circle | None`."""
    definitions = {
        "circle": _tagged("kind", "circle", radius={"type": "number"}),
        "square": _tagged("kind", "square", side={"type": "number"}),
    }
    hole = {"anyOf": [{"$ref": "#/$defs/circle"}, {"type": "null"}]}
    properties = {"shape": _union("kind", "circle", "square"), "hole": hole}
    check = validator(normalise_parameters({"type": "object", "properties": properties, "$defs": definitions}))
    assert check.is_valid({"shape": {"kind": "circle", "radius": 2}, "hole": {"radius": 1}})
    assert check.is_valid({"hole": {"kind": "circle", "radius": 1}})
    assert not check.is_valid({"shape": {"radius": 2}})


@pytest.mark.parametrize("is_named", [True, False])
def test_a_union_within_a_union_has_both_tags(is_named: bool) -> None:
    """pydantic's own example of nested discriminated unions."""
    black, white = (_tagged("color", color, says={"type": "string"}) for color in ("black", "white"))
    for cat in (black, white):
        cat["properties"] = {"pet": {"const": "cat", "default": "cat"}, **cat["properties"]}
    definitions = {
        "black": black,
        "white": white,
        "dog": _tagged("pet", "dog"),
        "cat": _union("color", "black", "white"),
    }
    pet = _union("pet", "cat", "dog")
    if not is_named:
        pet["oneOf"][0] = definitions.pop("cat")
    found = normalise_parameters({"type": "object", "properties": {"pet": pet}, "$defs": definitions})
    valid = {"pet": "cat", "color": "white", "says": "mew"}
    assert validator(found).is_valid({"pet": valid})
    for name in ("pet", "color"):
        assert not validator(found).is_valid({"pet": {key: value for key, value in valid.items() if key != name}})
    assert to_gbnf(Json(found), {}) and to_lark(Json(found), {})


def test_a_keyword_of_nobodys_may_differ_on_both_sides_of_a_reference() -> None:
    definitions = {
        "text": {"type": "string", "x-order": 1},
        "node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node", "x-order": 1}}},
    }
    properties = {"a": {"$ref": "#/$defs/text", "x-order": 2}, "b": {"$ref": "#/$defs/node", "minProperties": 0}}
    found = normalise_parameters({"type": "object", "properties": properties, "$defs": definitions})
    assert validator(found).is_valid({"a": "x", "b": {"next": {"next": {}}}})
    assert not validator(found).is_valid({"a": 1})
    assert to_gbnf(Json(found), {})


@pytest.mark.parametrize(
    "beside",
    [
        {"cache_control": {"type": "ephemeral"}},
        {"metadata": {"v": 1, "owner": {"description": "us"}}},
        {"x-meta": {"type": "object"}},
        {"display": {"icon": {"url": "/a.png"}}},
    ],
)
def test_notes_beside_a_tool_without_arguments_are_not_taken_for_them(beside: dict[str, Any]) -> None:
    assert normalise_tool({"name": "ping", **beside}) == normalise_tool({"name": "ping"})


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"type": "object", "description": "none"},
        {"properties": {"city": {}}},
        {"city": {"type": "string"}},
        {"city": {"description": "where"}},
        {"city": "string"},
    ],
)
def test_arguments_under_another_key_are_named(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema, match="its arguments stand under 'args'"):
        normalise_tool({"name": "w", "args": elsewhere})


@pytest.mark.parametrize("keyword", ["dependencies", "components", "then", "discriminator"])
def test_a_keyword_of_an_older_draft_is_one(keyword: str) -> None:
    assert normalise_parameters({"type": "object", keyword: {}})["properties"] == {}


def test_a_tool_without_parameters_takes_none() -> None:
    expected = {"type": "object", "properties": {}, "additionalProperties": False, "required": []}
    assert normalise_tool({"name": "ping"}).parameters == expected
    assert normalise_tool({"name": "ping", "parameters": None}).description == ""


def test_the_input_is_left_alone() -> None:
    given = {"type": "dict", "properties": {"a": {"type": "float", "nullable": True}}, "required": ["a"]}
    before = repr(given)
    normalise_parameters(given)
    assert repr(given) == before


def _property(schema: dict[str, Any]) -> Any:
    return normalise_parameters({"type": "object", "properties": {"p": schema}})["properties"]["p"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "float"}, {"type": "number"}),
        ({"type": "String"}, {"type": "string"}),
        ({"type": "HashMap"}, {"type": "object"}),
        ({"type": "tuple", "items": {"type": "long"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "any", "description": "x"}, {"description": "x"}),
        ({"type": ""}, {}),
        ({"type": ["int", "none"]}, {"type": ["integer", "null"]}),
        ({"items": {}}, {"items": {}, "type": "array"}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"enum": ["a"], "nullable": True}, {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
        (
            {"type": "array", "items": [{"type": "int"}], "additionalItems": False},
            {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        ),
        (
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False},
            {"type": "integer", "exclusiveMinimum": 0, "maximum": 9},
        ),
        ({"properties": {"q": {}}}, {"properties": {"q": {}}, "type": "object", "additionalProperties": False}),
        ({"type": "object"}, {"type": "object"}),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"q": {}}, "additionalProperties": True},
            {"type": "object", "properties": {"q": {}}, "additionalProperties": True},
        ),
        (
            {"type": "array", "items": {"type": "object", "properties": {"q": {}}}},
            {"type": "array", "items": {"type": "object", "properties": {"q": {}}, "additionalProperties": False}},
        ),
    ],
)
def test_one_property_normalised(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert _property(given) == expected


def test_required_follows_the_order_of_the_properties_and_lists_what_was_forgotten() -> None:
    given = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["z", "b", "a"]}
    normalised = normalise_parameters(given)
    assert normalised["required"] == ["a", "b", "z"]
    assert list(normalised["properties"]) == ["a", "b", "z"]


def test_all_of_becomes_one_closed_object() -> None:
    given = {
        "type": "object",
        "$defs": {"base": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
        "allOf": [
            {"$ref": "#/$defs/base"},
            {"properties": {"id": {"minimum": 1}, "name": {"type": "string"}}, "required": ["name"]},
        ],
    }
    normalised = normalise_parameters(given)
    assert normalised["properties"] == {"id": {"type": "integer", "minimum": 1}, "name": {"type": "string"}}
    assert normalised["required"] == ["id", "name"]
    assert normalised["additionalProperties"] is False
    validator = Draft202012Validator(normalised)
    assert validator.is_valid({"id": 1, "name": "x"})
    assert not validator.is_valid({"id": 0, "name": "x"})
    assert not validator.is_valid({"id": 1, "name": "x", "other": 1})


def test_all_of_that_no_single_schema_can_say_stays() -> None:
    both = [{"pattern": "^a"}, {"pattern": "b$"}]
    assert _property({"type": "string", "allOf": both})["allOf"] == both


def test_a_top_level_reference_is_written_out() -> None:
    normalised = normalise_parameters({"$ref": "#/$defs/M", "$defs": {"M": CITY}})
    assert {key: normalised[key] for key in CLOSED_CITY} == CLOSED_CITY


def test_branches_that_only_require_leave_the_object_closed() -> None:
    given = {"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    validator = Draft202012Validator(normalise_parameters(given))
    assert validator.is_valid({"a": 1}) and validator.is_valid({"b": 1})
    assert not validator.is_valid({}) and not validator.is_valid({"a": 1, "c": 1})


def test_branches_that_list_properties_leave_the_object_open() -> None:
    given = {"type": "object", "properties": {"a": {}}, "anyOf": [{"properties": {"b": {"type": "string"}}}]}
    validator = Draft202012Validator(normalise_parameters(given))
    assert validator.is_valid({"a": 1, "b": "x"})
    assert not validator.is_valid({"b": 1})


def test_what_is_negated_is_not_closed() -> None:
    given = {"type": "object", "properties": {"a": {"not": {"type": "object", "properties": {"b": {"const": 1}}}}}}
    assert "additionalProperties" not in normalise_parameters(given)["properties"]["a"]["not"]


def _tool(parameters: Any) -> dict[str, Any]:
    return {"name": "t", "parameters": parameters}


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({}, "no name"),
        ({"name": 3}, "no name"),
        ({"name": "  "}, "no name"),
        ({"type": "function", "function": "x"}, "must be a JSON object"),
        ({"name": "t", "description": 3}, "description"),
        (_tool([]), "tool 't': parameters must be a JSON object"),
        (
            {"name": "t", "args": {"city": {"type": "string"}}},
            "tool 't': its arguments stand under 'args'",
        ),  # LangChain
        ({"name": "t", "parameter_definitions": {"city": {"type": "str"}}}, "under 'parameter_definitions'"),  # Cohere
        ({"name": "t", "inputs": {"city": {"type": "string"}}}, "under 'inputs'"),  # smolagents
        ({"name": "t", "params_json_schema": {"type": "object"}}, "under 'params_json_schema'"),  # Agents SDK
        ({"name": "t", "inputschema": {"type": "object"}}, "under 'inputschema'"),
        ({"name": "t", "inputSchema": {"json": {"type": "object"}}}, "parameters hold 'json'"),  # Bedrock
        (
            _tool({"city": {"type": "str"}, "days": {"type": "int"}}),
            "parameters hold 'city', which is no keyword",
        ),  # xLAM
        (_tool({"properties": {"p": {"type": "date"}}}), "#/properties/p/type: 'date' is no JSON type; write one of"),
        (_tool({"properties": {"p": {"type": "array", "items": None}}}), "'items' is null; leave it out"),
        (_tool({"properties": {"p": {"type": "string", "required": True}}}), "'required' is a list of names"),
        (_tool({"type": "string"}), "must be of type object"),
        (
            {"name": "t", "parameters": {"type": "object", "properties": {"p": {"type": "strng"}}}},
            "#/properties/p/type",
        ),
        (_tool({"type": "object", "required": "p"}), "#/required"),
        (_tool({"properties": {"p": {"pattern": "("}}}), "#/properties/p/pattern: '(' is no regular expression"),
        (_tool({"properties": {"p": {"pattern": 3}}}), "#/properties/p/pattern: 3 is not of type"),
        (_tool({"properties": {"p": {"propertyNames": {"pattern": "[a"}}}}), "#/properties/p/propertyNames/pattern"),
        (_tool({"patternProperties": {"*": {}}}), "#/patternProperties: '*' is no regular expression"),
        (_tool({"properties": {"a/b": {"minLength": -1}}}), "#/properties/a~1b/minLength"),
        (
            {"name": "t", "parameters": {"properties": {"p": {"$ref": "#/$defs/no"}}}},
            "#/properties/p: $ref '#/$defs/no'",
        ),
        (_tool({"properties": {"p": {"$ref": "http://x/y"}}}), "not a pointer"),
        (_tool({"properties": {"p": {"$ref": "#/properties/p"}}}), "only refers to itself"),
        (
            _tool({"properties": {"p": {"anyOf": [{"$ref": "#/properties/p"}, {"type": "string"}]}}}),
            "leads back to itself",
        ),
        (
            _tool({"$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
            "leads back to itself",
        ),
        (_tool({"patternProperties": {"^a": True}, "unevaluatedProperties": False}), "both patternProperties"),
        (_tool({"properties": {"p": {"$ref": "#/required"}}, "required": []}), "to no schema"),
        (_tool({"properties": {"p": {"$dynamicRef": "#x"}}}), "$dynamicRef"),
        (_tool({"type": "object", "allOf": [{"type": "string"}]}), "contradict"),
        (_tool({"allOf": [{"$ref": "#"}]}), "leads back to itself"),
        (_tool({"properties": {"p": {"maximum": float("inf")}}}), "#/properties/p/maximum: the number is out of range"),
        (_tool({"properties": {"p": {"enum": [1, {"a/b": [float("nan")]}]}}}), "#/properties/p/enum/1/a~1b/0: the num"),
    ],
)
def test_what_is_wrong_is_named(tool: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        normalise_tool(tool)
    assert message in str(caught.value)


def _nested(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("depth", [32, 300, 100_000])
def test_what_is_nested_too_deeply_is_one_sentence(depth: int) -> None:
    with pytest.raises(InvalidSchema, match="more than 64 levels; give inner parts a name under \\$defs"):
        normalise_tool(_tool(_nested({"type": "integer"}, depth)))
    assert normalise_tool(_tool(_nested({"type": "integer"}, 31)))


def _chain(length: int, *, back: bool = False) -> dict[str, Any]:
    """Definitions that each require the next one; the last of them may lead `back` to the first."""
    parts = {f"d{i}": {"type": "object", "properties": {"x": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(length)}
    end = {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}} if back else {"type": "integer"}
    return {"$defs": {f"d{length}": end} | parts, "properties": {"a": {"$ref": "#/$defs/d0"}}}


@pytest.mark.parametrize("length", [260, 600])
def test_what_is_deep_by_reference_is_one_sentence(length: int) -> None:
    """A thousand of them ended the process within llguidance, and five hundred were a traceback with outlines."""
    for back in (False, True):
        with pytest.raises(InvalidSchema, match="hold each other, through \\$ref, in more than 512 levels"):
            normalise_tool(_tool(_chain(length, back=back)))
        assert normalise_tool(_tool(_chain(200, back=back)))


def test_many_definitions_that_name_each_other_are_not_deep() -> None:
    names = [f"d{i}" for i in range(40)]
    every = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    parts = {name: {"type": "object", "properties": every} for name in names}
    assert normalise_tool(_tool({"$defs": parts, "properties": every}))


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_alternatives_that_double_with_every_reference_are_one_sentence(keyword: str) -> None:
    """Sixteen such definitions took a minute to hold against a value, forty an age, and to compile as well."""

    def doubled(length: int) -> dict[str, Any]:
        next_ = ({"$ref": f"#/$defs/d{i + 1}"} for i in range(length))
        parts = {f"d{i}": {keyword: [ref, ref | {"minimum": i}]} for i, ref in enumerate(next_)}
        return _tool(
            {"$defs": parts | {f"d{length}": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/d0"}}}
        )

    with pytest.raises(InvalidSchema, match="alternatives of alternatives, through \\$ref, more than 4,096"):
        normalise_tool(doubled(40))
    assert normalise_tool(doubled(8))


def test_a_long_chain_for_one_value_is_followed_to_its_end() -> None:
    parts: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}]} for i in range(160)}
    properties = {"a": {"$ref": "#/$defs/d0"}}
    assert normalise_tool(_tool({"$defs": parts | {"d160": {"type": "integer"}}, "properties": properties}))
    with pytest.raises(InvalidSchema, match="leads back to itself"):
        normalise_tool(_tool({"$defs": parts | {"d160": {"$ref": "#/$defs/d0"}}, "properties": properties}))


def _task(parent: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"title": {"type": "string"}, "parent": parent}, "required": ["title"]}


def test_a_schema_may_hold_itself_behind_a_description() -> None:
    """As pydantic 1 writes the field `parent: Task = Field(description=...)` of a model `Task`."""
    parent = {"title": "Parent", "description": "The task above.", "allOf": [{"$ref": "#/definitions/Task"}]}
    normalised = normalise_parameters({**_task(parent), "definitions": {"Task": _task(parent)}})
    expected = {"title": "Parent", "description": "The task above.", "$ref": "#/definitions/Task"}
    assert normalised["properties"]["parent"] == expected
    assert normalised["definitions"]["Task"]["properties"]["parent"] == expected
    assert validator(normalised).is_valid({"title": "a", "parent": {"title": "b", "parent": {"title": "c"}}})
    assert not validator(normalised).is_valid({"title": "a", "parent": {"title": "b", "parent": {"titel": "c"}}})
    for render in (to_gbnf, to_lark):
        assert render(Json(normalised), {})


def test_one_that_does_not_is_still_written_in_place() -> None:
    wrapped = {"description": "d", "default": "red", "allOf": [{"$ref": "#/definitions/Color"}]}
    given = {"properties": {"c": wrapped}, "definitions": {"Color": {"enum": ["red", "blue"]}}}
    expected = {"description": "d", "default": "red", "enum": ["red", "blue"]}
    assert normalise_parameters(given)["properties"]["c"] == expected


TREES = {name: {"properties": {side: {"$ref": f"#/$defs/{name}"} for side in ("left", "right")}} for name in ("a", "b")}


@pytest.mark.parametrize(
    "part",
    [
        {"allOf": [{"$ref": "#/$defs/task"}, {"required": ["parent"]}]},
        {"$ref": "#/$defs/task", "minProperties": 1},
        {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
        {"title": "Both", "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
        {
            "allOf": [
                {"properties": {"x": {"$ref": "#/properties/parent"}}},
                {"properties": {"x": {"minProperties": 1}}},
            ]
        },
    ],
)
def test_what_would_be_merged_without_end_is_one_sentence(part: dict[str, Any]) -> None:
    started = time.process_time()
    with pytest.raises(
        InvalidSchema, match=r"at #/.*: an allOf, or a .* leads back to itself .* write the \$ref alone"
    ):
        normalise_parameters({**_task(part), "$defs": {"task": _task(part), **TREES}})
    assert time.process_time() - started < 5


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("beside", [{}, {"type": "object"}])
def test_a_chain_of_schemas_that_name_the_next_one_twice_does_not_double(beside: dict[str, Any], same: bool) -> None:
    notes = {} if same else {"description": "or so"}
    chain = {
        f"s{n}": {**beside, "anyOf": [{"$ref": f"#/$defs/s{n + 1}"}, {"$ref": f"#/$defs/s{n + 1}", **notes}]}
        for n in range(30)
    }
    chain["s30"] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    started = time.process_time()
    normalised = normalise_parameters({"properties": {"x": {"$ref": "#/$defs/s0"}}, "$defs": chain})
    assert not validator(normalised).is_valid({"x": {"a": "1"}})
    assert to_gbnf(Json(normalised), {})
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("pattern", "is_checked"), [(r"^\p{L}+$", False), (r"^(?<year>\d{4})-\d{2}$", True), ("^(?=a)", False)]
)
def test_a_pattern_that_python_cannot_read_is_one_all_the_same(pattern: str, is_checked: bool) -> None:
    schema = {"type": "object", "properties": {"p": {"type": "string", "pattern": pattern}}}
    normalised = normalise_parameters(schema)
    assert validator(normalised).is_valid({"p": "2024-01"})
    assert validator(normalised).is_valid({"p": "24-1"}) is not is_checked
    if is_checked:
        assert "[0-9]" in to_gbnf(Json(normalised), {})
    else:
        with pytest.raises(UnsupportedSchema, match="'pattern' at #/properties/p"):
            to_gbnf(Json(normalised), {})


def test_two_tools_may_not_share_a_name() -> None:
    with pytest.raises(InvalidSchema, match="two tools are named 'a'"):
        normalise_tools([{"name": "a"}, {"name": "b"}, {"name": "a"}])
    assert [tool.name for tool in normalise_tools([{"name": "a"}, {"name": "b"}])] == ["a", "b"]


def test_a_schema_may_hold_itself_for_another_value() -> None:
    node = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/node"}}, {"type": "string"}]}
    given = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    assert normalise_parameters(given)["$defs"]["node"]["anyOf"][0]["items"] == {"$ref": "#/$defs/node"}


def test_references_are_read_from_the_root_whatever_a_part_calls_itself() -> None:
    """A bundled schema, whose parts keep their own `$id`: the library would look for `#/$defs/z` within the part."""
    part = {"$id": "https://example.org/part", "type": "object", "properties": {"z": {"$ref": "#/$defs/z"}}}
    given = {
        "type": "object",
        "properties": {"$id": {"type": "string"}, "p": part},
        "$defs": {"z": {"type": "integer"}},
    }
    normalised = normalise_parameters(given)
    assert validator(normalised).is_valid({"$id": "x", "p": {"z": 1}})
    assert not validator(normalised).is_valid({"p": {"z": "1"}})
