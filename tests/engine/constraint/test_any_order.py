"""Parameters between tags may come in any order, each once, and those that are required have to come."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.constraint.walk import accepts, walk
from engine.errors import UnsupportedSchema
from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.types import Call, Tool
from grammars import regex
from grammars.build import MOST_IN_ANY_ORDER
from grammars.nodes import AnyOrder, Literal, Marker, RawText, Seq
from grammars.schema import normalise_parameters
from tests.engine.constraint.test_language import N_EXAMPLES

TAGGED = ("qwen_xml", "glm_xml", "deepseek_dsml")
FEW = settings(max_examples=min(N_EXAMPLES, 15), deadline=None, suppress_health_check=list(HealthCheck))
KINDS: dict[str, tuple[Any, Any]] = {  # a schema, and a value of it
    "text": ({"type": "string"}, "two\nlines"),
    "number": ({"type": "integer", "minimum": 1}, 12),
    "flag": ({"type": "boolean"}, True),
    "either": ({"type": ["string", "null"]}, None),
    "list": ({"type": "array", "items": {"type": "string"}, "maxItems": 2}, ["a"]),
}
NAMES = ("a", "ab", "b", "limit", "offset", "ba", "c", "d", "e", "f")  # some begin like others
tagged = pytest.mark.parametrize("fmt", [FORMATS[name] for name in TAGGED], ids=TAGGED)


def tool_of(kinds: dict[str, str], required: set[str]) -> Tool:
    properties = {name: KINDS[kind][0] for name, kind in kinds.items()}
    return Tool("f", "", normalise_parameters({"type": "object", "properties": properties, "required": [*required]}))


def written(fmt: ToolFormat, kinds: dict[str, str]) -> str:
    """A call with these parameters in this order."""
    return fmt.write([Call("f", {name: KINDS[kind][1] for name, kind in kinds.items()})], [tool_of(kinds, set())])


def taken(fmt: ToolFormat, engine: Any, tool: Tool) -> Any:
    compiled = engine.compile(fmt.constraint([tool], required=True).root)
    return lambda text: accepts(compiled.start(), engine.kinds, text)


@tagged
@FEW
@given(data=st.data())
def test_any_order_of_all_that_is_required_and_nothing_twice(engine: Any, fmt: ToolFormat, data: st.DataObject) -> None:
    most = regex.MOST_IN_ANY_ORDER if engine.name == "outlines" else MOST_IN_ANY_ORDER
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=most, unique=True))
    kinds = {name: data.draw(st.sampled_from([*KINDS])) for name in names}
    required = data.draw(st.sets(st.sampled_from(names)))
    is_taken = taken(fmt, engine, tool_of(kinds, required))
    for _ in range(4):
        given_names = data.draw(st.permutations(data.draw(st.lists(st.sampled_from(names), unique=True))))
        given = {name: kinds[name] for name in given_names}
        text = written(fmt, given)
        assert is_taken(text) == (required <= given.keys()), text
    everything = {name: kinds[name] for name in data.draw(st.permutations(names))}
    again = data.draw(st.sampled_from(names))
    twice = written(fmt, {**everything, "zzz": kinds[again]})
    assert not is_taken(twice), "a parameter that the tool does not have"
    assert not is_taken(twice.replace("zzz", again)), "a parameter that has been written"


@tagged
def test_the_order_of_a_model(engine: Any, fmt: ToolFormat) -> None:
    """Qwen3-Coder writes `limit` before `offset`, whichever comes first in the schema."""
    kinds = {"path": "text", "offset": "number", "limit": "number"}
    is_taken = taken(fmt, engine, tool_of(kinds, {"path"}))
    for order in permutations(kinds):
        assert is_taken(written(fmt, {name: kinds[name] for name in order})), order
    assert not is_taken(written(fmt, {"limit": "number", "offset": "number"}))


@tagged
def test_beyond_what_an_engine_can_hold_the_order_of_the_schema_is_always_taken(engine: Any, fmt: ToolFormat) -> None:
    kinds = dict(zip(NAMES, (*KINDS, *KINDS), strict=True))
    names = [*kinds]
    is_taken = taken(fmt, engine, tool_of(kinds, {"a", "f"}))
    assert is_taken(written(fmt, kinds))
    assert is_taken(written(fmt, {name: kinds[name] for name in ("ab", "a", "f")})), "any order within a group"
    assert not is_taken(written(fmt, {name: kinds[name] for name in names[:-1]}))
    backwards = {name: kinds[name] for name in reversed(names)}
    assert is_taken(written(fmt, backwards)) == (engine.name == "llguidance"), "it has no limit that a tool reaches"


@tagged
@pytest.mark.parametrize("required", [set(), {"text"}])
def test_a_single_parameter_is_written_as_ever(fmt: ToolFormat, required: set[str]) -> None:
    assert "AnyOrder" not in repr(fmt.constraint([tool_of({"text": "text"}, required)], required=True).root)
    assert "AnyOrder" in repr(fmt.constraint([tool_of({"text": "text", "b": "flag"}, required)], required=True).root)


@tagged
def test_what_is_the_only_way_on_is_forced(engines: dict[str, Any], fmt: ToolFormat) -> None:
    """Such as the name of the last parameter that is missing."""
    engine = engines["llguidance"]
    tool = tool_of({"first": "flag", "second": "flag"}, {"first", "second"})
    constraint = engine.compile(fmt.constraint([tool], required=True).root).start()
    text = written(fmt, {"second": "flag", "first": "flag"})
    until_its_end = text[: text.lower().index("true") + len("true")]
    assert walk(constraint, engine.kinds, until_its_end).n_bytes == len(until_its_end.encode())
    certain = b""
    while forced := constraint.forced():
        for token in forced:
            certain += engine.kinds.vocabulary.pieces[token]
            constraint.accept(token)
    assert b"first" in certain, certain


def test_raw_text_at_the_end_of_an_item_needs_its_end(engines: dict[str, Any]) -> None:
    items = (Seq((Literal("a="), RawText(";"))), Literal("b;"))
    with pytest.raises(UnsupportedSchema, match="RawText"):
        engines["llguidance"].compile(Seq((AnyOrder(items, (True, True)), Marker(";"))))
