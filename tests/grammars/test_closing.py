"""Objects that several schemas describe: what stands behind a reference is closed no more than what is written out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.gbnf import to_gbnf
from grammars.lark import to_lark
from grammars.nodes import Json
from grammars.pointer import map_subschemas, resolve
from grammars.schema import normalise_parameters
from grammars.validation import validator


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required]}


KINDS = {
    "Base": _object("id", id={"type": "integer"}),
    "Card": _object("kind", kind={"const": "card"}, number={"type": "string"}),
    "Bank": _object("kind", kind={"const": "bank"}, iban={"type": "string"}, last={"$ref": "#/$defs/Card"}),
    "Both": {"oneOf": [{"$ref": "#/$defs/Card"}, {"$ref": "#/$defs/Bank"}]},
}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _written_out(schema: Any, root: Any) -> Any:
    """What each reference points to in its place."""

    def out(sub: Any, _path: str = "#", _key: str = "") -> Any:
        if not isinstance(sub, dict):
            return sub
        return out(resolve(sub["$ref"], root)) if "$ref" in sub else map_subschemas(sub, out)

    return {key: value for key, value in out(schema).items() if key != "$defs"}


@pytest.mark.parametrize(
    "payment",
    [
        KINDS["Base"] | {"oneOf": [_ref("Card"), _ref("Bank")]},
        {"allOf": [_ref("Base")], "oneOf": [_ref("Card"), _ref("Bank")]},
        {"allOf": [_ref("Base"), {"oneOf": [_ref("Card"), _ref("Bank")]}]},
        {"allOf": [_ref("Base"), _ref("Both")]},
        KINDS["Base"] | {"anyOf": [_ref("Both")]},
    ],
)
def test_alternatives_beside_properties_may_be_references(payment: dict[str, Any]) -> None:
    """As OpenAPI's generators write a class with subclasses: each branch would forbid what stands beside it."""
    parameters = {"properties": {"p": payment}, "required": ["p"], "$defs": KINDS}
    both = [normalise_parameters(one) for one in (parameters, _written_out(parameters, parameters))]
    for value, is_valid in (
        ({"id": 1, "kind": "card"}, True),
        ({"id": 1, "kind": "bank", "iban": "x", "last": {"kind": "card"}}, True),
        ({"kind": "card"}, False),
        ({"id": 1, "kind": "coin"}, False),
        ({"id": 1, "kind": "card", "number": 3}, False),
        ({"id": 1, "kind": "bank", "last": {"kind": "card", "id": 1}}, False),
    ):
        assert [validator(one).is_valid({"p": value}) for one in both] == [is_valid, is_valid], value
    for normalised in both:
        assert to_gbnf(Json(normalised), {}) and to_lark(Json(normalised), {})


def test_a_definition_that_stands_alone_elsewhere_is_closed_there() -> None:
    parameters = {"properties": {"p": KINDS["Base"] | {"anyOf": [_ref("Card")]}, "c": _ref("Card")}, "$defs": KINDS}
    normalised = normalise_parameters(parameters)
    assert validator(normalised).is_valid({"p": {"id": 1, "kind": "card"}, "c": {"kind": "card"}})
    assert not validator(normalised).is_valid({"c": {"id": 1, "kind": "card"}})
    assert normalised["properties"]["p"]["anyOf"] == [_ref("Card_open")]


def test_what_holds_itself_may_be_an_alternative_beside_properties() -> None:
    node = _object("v", v={"type": "integer"}, next=_ref("Node"))
    parameters = {"properties": {"p": _object(id=True) | {"anyOf": [_ref("Node")]}}, "$defs": {"Node": node}}
    check = validator(normalise_parameters(parameters))
    assert check.is_valid({"p": {"id": 1, "v": 1, "next": {"v": 2}}})
    assert not check.is_valid({"p": {"id": 1, "v": 1, "next": {"v": 2, "id": 2}}})


def test_the_whole_may_be_an_alternative_of_a_part() -> None:
    part = _object("id", id={"type": "integer"}) | {"anyOf": [{"$ref": "#"}, {"type": "object"}]}
    normalised = normalise_parameters({"properties": {"p": part}, "$defs": {"n": {"type": "null"}}})
    assert validator(normalised).is_valid({"p": {"id": 1, "p": {"id": 2}}})
    assert "$defs" not in normalised["$defs"]["open"]


def test_a_branch_that_lists_nothing_leaves_the_object_closed() -> None:
    branches = [_ref("a"), _ref("b")]
    needs = {name: {"required": [name]} for name in "ab"}
    normalised = normalise_parameters({"properties": {"a": {}, "b": {}}, "anyOf": branches, "$defs": needs})
    assert normalised["additionalProperties"] is False
    assert normalised["anyOf"] == branches


def test_two_sets_of_alternatives_that_cannot_be_merged_leave_each_other_open() -> None:
    one, other = ([_object(a={}), _object("b", b={})], [_object("c", c={}), _object("d", d={})])
    normalised = normalise_parameters({"properties": {"p": {"oneOf": one, "anyOf": other}}})
    assert validator(normalised).is_valid({"p": {"b": 1, "c": 1}}) is False  # the first of `one` takes that, too
    assert validator(normalised).is_valid({"p": {"a": 1, "c": 1}})


def test_a_chain_of_alternatives_beside_properties_does_not_double() -> None:
    """Written out, thirty such definitions would be a billion."""
    chain: dict[str, Any] = {
        f"s{n}": {"anyOf": [_ref(f"s{n + 1}"), _ref(f"s{n + 1}") | {"description": "or so"}]} for n in range(30)
    }
    chain["s30"] = _object(a={"type": "integer"})
    normalised = normalise_parameters({"properties": {"x": _object(b={}) | {"anyOf": [_ref("s0")]}}, "$defs": chain})
    assert len(normalised["$defs"]) == 2 * len(chain)


NAMES = st.sampled_from("abcd")
PROPERTIES = st.dictionaries(NAMES, st.sampled_from([{"type": "integer"}, {"type": "string"}, _ref("z")]), max_size=2)


@st.composite
def _described(draw: st.DrawFn, *refs: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if draw(st.booleans()):
        schema |= {"properties": draw(PROPERTIES), "required": draw(st.lists(NAMES, max_size=1))}
    for keyword in (
        draw(st.lists(st.sampled_from(["anyOf", "oneOf", "allOf"]), max_size=2, unique=True)) if refs else ()
    ):
        schema[keyword] = [_ref(name) for name in draw(st.lists(st.sampled_from(refs), min_size=1, max_size=2))]
    return schema


VALUES = st.sampled_from([1, "x"]) | st.dictionaries(NAMES, st.sampled_from([1, "x"]), max_size=2)


@given(
    _described("a", "b"),
    _described("b", "z"),
    _described("z"),
    _described(),
    st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=5),
)
def test_a_reference_and_what_it_points_to_are_closed_alike(
    whole: dict[str, Any], a: dict[str, Any], b: dict[str, Any], z: dict[str, Any], values: list[Any]
) -> None:
    z["properties"] = {name: {"type": "integer"} for name in z.get("properties", {})}
    parameters = {"properties": {"p": whole}, "$defs": {"a": a, "b": b, "z": z}}
    both = [validator(normalise_parameters(one)) for one in (parameters, _written_out(parameters, parameters))]
    for value in values:
        verdicts = [check.is_valid({"p": value}) for check in both]
        assert verdicts[0] == verdicts[1], value
