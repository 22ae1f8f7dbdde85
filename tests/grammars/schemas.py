"""Hypothesis strategies: tool schemas, values that satisfy them, and values that nearly do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from grammars.formats import FORMATS
from grammars.merge import ASSERTIONS
from grammars.pattern import parse_pattern
from grammars.pointer import child, resolve
from grammars.schema import normalise_parameters
from grammars.syntax import to_regex_text

PATTERNS = ["^[a-c]+$", "^\\d{2,4}$", "x", "^(ab|c\\n)*$", "^[^a-z]$", "\\\\", '^"?.\\s$', "^é[\\w-]{0,3}|z$", "^$"]
TEXT = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFFF), max_size=6) | st.text(
    st.sampled_from('ab"\\\n\x00\x7f/é😀<tool_call>'), max_size=6
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e18, max_value=1e18)
SCALARS = st.none() | st.booleans() | st.integers(-1000, 1000) | NUMBERS | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
NAMES = st.sampled_from(["a", "b", "ab", "city", 'q"uote', "é\n", ""])


@st.composite
def _integers(draw: st.DrawFn) -> dict[str, Any]:
    low, high = sorted((draw(st.integers(-300, 300)), draw(st.integers(-300, 300))))
    schema: dict[str, Any] = {"type": "integer"}
    schema |= draw(st.sampled_from([{}, {"minimum": low}, {"exclusiveMinimum": low}, {"minimum": low + 0.5}]))
    return schema | draw(st.sampled_from([{}, {"maximum": high + 1}, {"exclusiveMaximum": high + 2}]))


@st.composite
def _numbers(draw: st.DrawFn) -> dict[str, Any]:
    ends = st.sampled_from([-1000, -12.34, -1, -0.25, 0, 1e-7, 0.3, 1, 2.25, 10, 99.99, 12345])
    low, high = sorted((draw(ends), draw(ends)))
    schema: dict[str, Any] = {"type": "number"}
    schema |= draw(st.sampled_from([{}, {"minimum": low}, {"exclusiveMinimum": low}]))
    return schema | draw(st.sampled_from([{}, {"maximum": high}, {"exclusiveMaximum": high + 1}]))


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.integers(0, 3))
    lengths = [{}, {"minLength": low}, {"maxLength": low + 2}, {"minLength": low, "maxLength": low + 3}]
    contents = [{"pattern": pattern} for pattern in PATTERNS] + [{"format": name} for name in FORMATS]
    return {"type": "string", **draw(st.sampled_from(lengths) | st.sampled_from(contents))}


_LEAVES = (
    _integers()
    | _numbers()
    | strings()
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"type": "string"}])
    | st.lists(SCALARS, min_size=1, max_size=4).map(lambda values: {"enum": values})
    | VALUES.map(lambda value: {"const": value})
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _arrays(inner) | _objects(inner) | st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some})


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": draw(inner | st.just(False))}
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=2))
    low = draw(st.integers(0, 2))
    return schema | draw(
        st.sampled_from([{}, {"minItems": low}, {"maxItems": low + 1}, {"minItems": 1, "maxItems": 3}])
    )


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    return schema | draw(st.sampled_from([{}, {}, {"additionalProperties": False}])) | draw(_open(inner))


def _open(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just({}) | st.just({}) | inner.map(lambda schema: {"additionalProperties": schema})


@st.composite
def tool_parameters(draw: st.DrawFn, *, flat: bool = False) -> dict[str, Any]:
    """Normalised parameters. `flat`: nothing that nests without limit, and small."""
    if flat:
        properties = st.dictionaries(NAMES, _LEAVES, min_size=1, max_size=3)
        return normalise_parameters({"type": "object", "properties": draw(properties)})
    references = st.sampled_from(
        ["#/$defs/node", "#/$defs/Leaf", "#/components/schemas/leaf", "#/components/schemas/list"]
    )
    anywhere = references.map(lambda ref: {"$ref": ref}) | st.sampled_from([{}, {"type": "object"}])
    inner = st.recursive(_LEAVES | anywhere, _containers, max_leaves=5)
    schema = draw(_objects(inner))
    names = sorted(schema["properties"])
    if names and draw(st.booleans()):
        schema["properties"]["again"] = {"$ref": child("#/properties", draw(st.sampled_from(names)))}
    schema["components"] = {"schemas": {"leaf": draw(_LEAVES), "list": draw(_arrays(_LEAVES))}}
    schema["$defs"] = {
        "Leaf": draw(_LEAVES),
        "node": {
            "type": "object",
            "properties": {"v": draw(_LEAVES), "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["v"],
        },
    }
    return normalise_parameters(schema)


@st.composite
def instances(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A value that satisfies the schema or nearly does: what is valid is for a validator to say."""
    value = _like(draw, schema, schema, 0)
    if draw(st.booleans()):
        return value
    return _mutated(draw, value)


def _like(draw: st.DrawFn, schema: Any, root: Any, depth: int) -> Any:
    if isinstance(schema, bool) or ASSERTIONS.isdisjoint(schema):
        return draw(VALUES)
    if "$ref" in schema:
        return _like(draw, resolve(schema["$ref"], root), root, depth + 1)
    if "anyOf" in schema:
        branches = schema["anyOf"] if depth < 4 else schema["anyOf"][-1:]
        return _like(draw, draw(st.sampled_from(branches)), root, depth + 1)
    if "enum" in schema or "const" in schema:
        return draw(st.sampled_from(schema.get("enum", [schema.get("const")])))
    kind = schema["type"] if isinstance(schema["type"], str) else draw(st.sampled_from(schema["type"]))
    makers: dict[str, Callable[..., Any]] = {
        "object": _like_object,
        "array": _like_array,
        "string": _like_string,
        "integer": _like_number,
        "number": _like_number,
        "boolean": lambda draw, *_: draw(st.booleans()),
        "null": lambda *_: None,
    }
    return makers[kind](draw, schema, root, depth)


def _like_object(draw: st.DrawFn, schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    value = {}
    for name, one in schema.get("properties", {}).items():
        if name in schema.get("required", []) or (depth < 4 and draw(st.booleans())):
            value[name] = _like(draw, one, root, depth + 1)
    if schema.get("additionalProperties") is not False and depth < 4:
        for name in draw(st.lists(NAMES | TEXT, max_size=2)):
            if name not in schema.get("properties", {}):
                value[name] = _like(draw, schema.get("additionalProperties", True), root, depth + 1)
    return dict(draw(st.permutations(list(value.items()))))


def _like_array(draw: st.DrawFn, schema: dict[str, Any], root: Any, depth: int) -> list[Any]:
    prefix = schema.get("prefixItems", [])
    least = schema.get("minItems", 0)
    size = draw(st.integers(least, min(schema.get("maxItems", 4), 4))) if depth < 4 else least
    items = [*prefix[:size], *[schema.get("items", True)] * (size - len(prefix))]
    return [_like(draw, item, root, depth + 1) for item in items]


def _like_string(draw: st.DrawFn, schema: dict[str, Any], _root: Any, _depth: int) -> str:
    content = parse_pattern(schema["pattern"]) if "pattern" in schema else FORMATS.get(schema.get("format", ""))
    if content is not None:
        return draw(
            st.from_regex(to_regex_text(content), fullmatch=True, alphabet=st.characters(max_codepoint=0xFFFFF))
        )
    size = draw(st.integers(schema.get("minLength", 0), schema.get("maxLength", 5)))
    return draw(TEXT.map(lambda text: (text * 9)[:size]) | TEXT)


def _like_number(draw: st.DrawFn, schema: dict[str, Any], _root: Any, _depth: int) -> int | float:
    ends = [schema[key] for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if key in schema]
    near = [end + step for end in ends for step in (-1, -0.5, 0, 0.001, 1)] + [round(end, 1) for end in ends]
    numbers = st.sampled_from(near or [0]) | st.integers(-400, 400) | NUMBERS
    value = draw(numbers)
    return int(value) if schema["type"] == "integer" and draw(st.booleans()) else value


def _mutated(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        changed = dict(value)
        if draw(st.booleans()):
            del changed[name]
        else:
            changed[name] = _mutated(draw, value[name])
        return changed
    if isinstance(value, dict) and draw(st.booleans()):
        return value | {draw(NAMES | TEXT): draw(VALUES)}
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], _mutated(draw, value[index]), *value[index + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool):
        return draw(st.sampled_from([value + 1, value - 1, float(value), value * 1000, str(value)]))
    if isinstance(value, str):
        return draw(st.sampled_from([value + "a", value[:-1], value.upper(), value + "\n", None]))
    return draw(VALUES)
