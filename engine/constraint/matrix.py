"""What each backend can express, found out by trying: the table in docs/grammars.md.

    python -m engine.constraint.matrix MODEL.gguf

prints it for the vocabulary of any GGUF. A backend either does a keyword exactly (every valid value of the probe is
accepted, every invalid one refused) or refuses the schema; a third case would be a bug, and is shown as WRONG.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.constraint import BACKENDS, backend
from engine.constraint.tokens import TokenKinds
from engine.constraint.walk import accepts
from grammars.canonical import dumps
from grammars.errors import UnsupportedSchema
from grammars.nodes import AnyJsonObject, Json, Literal, Node, QuotedDict, RawString, RawText, Seq

if TYPE_CHECKING:
    from engine.llama import Model


@dataclass(frozen=True, slots=True)
class Probe:
    """A keyword, a node that uses it, texts in its language and texts that are not."""

    keyword: str
    node: Node
    valid: tuple[str, ...]
    invalid: tuple[str, ...]


def _schema(keyword: str, schema: dict[str, Any], valid: list[Any], invalid: list[Any]) -> Probe:
    texts = [tuple(dumps(value, schema) for value in values) for values in (valid, invalid)]
    return Probe(keyword, Json(schema), *texts)


_AB = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}}
_TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
            "required": ["v"],
            "additionalProperties": False,
        }
    },
}
_CHOICES = [{"type": "string"}, {"type": "integer"}]
_LONG = "x" * 5001
_QUOTE = '<|"|>'


def _values() -> Iterator[Probe]:
    yield _schema("`type`: string, boolean, null", {"type": "string"}, ["", 'é"\n\x7f😀'], [1, None])
    yield _schema("`type`: integer", {"type": "integer"}, [0, -12, 10**30], [1.5, "1", True])
    yield _schema("`type`: number", {"type": "number"}, [0, -1.5, 1e-7, 1e22], ["1", None])
    yield _schema("`type`: a list of them", {"type": ["string", "null"]}, ["a", None], [1])
    yield _schema("no `type` (any value)", {}, [1, "a", [None, {"a": True}]], [])
    yield _schema("`enum`, `const`", {"enum": ["a", 'q"\n', 2.5, None, [1, {"x": True}]]}, ["a", 'q"\n', 2.5], ["b", 2])
    yield _schema("`enum` beside any other keyword", {"enum": [1, "a", 2], "not": {"const": 2}}, [1, "a"], [2])


def _numbers() -> Iterator[Probe]:
    bounds = {"type": "integer", "minimum": -5, "exclusiveMaximum": 12}
    yield _schema("bounds of an integer", bounds, [-5, 0, 11], [-6, 12, 100])
    yield _schema("… beyond 2^53", {"type": "integer", "minimum": 2**60}, [2**60], [2**60 - 1, 0])
    bounds = {"type": "number", "minimum": -0.5, "exclusiveMaximum": 2.25}
    yield _schema("bounds of a number", bounds, [-0.5, 0, 2.2, 1e-7, 1], [-0.6, 2.25, 3])
    yield _schema("… beyond 2^53, or closer to 0 than 1e-15", {"type": "number", "maximum": 1e300}, [1], [])
    step = {"type": "integer", "multipleOf": 5}
    yield _schema("`multipleOf` of a bounded integer", {**step, "minimum": 0, "maximum": 99}, [0, 95], [3, 100])
    yield _schema("`multipleOf` of any integer", step, [-5, 0, 1000], [1, 12])
    yield _schema("`multipleOf` of a number", {"type": "number", "multipleOf": 0.5}, [1.5], [0.3])


def _strings() -> Iterator[Probe]:
    yield _schema(
        "`minLength`, `maxLength`", {"type": "string", "minLength": 1, "maxLength": 2}, ["é", "\n😀"], ["", "abc"]
    )
    yield _schema("… in the thousands", {"type": "string", "maxLength": 5000}, ["", _LONG[1:]], [_LONG])
    yield _schema("`pattern`", {"type": "string", "pattern": '^"?[a-c]+\\s|\\d$'}, ['"ab ', "x7"], ["ab", "7x"])
    both = {"type": "string", "pattern": "^a+$", "maxLength": 3}
    yield _schema("`pattern` and a length that cuts it", both, ["a", "aaa"], ["aaaa", "b"])
    yield _schema("… look-around, back-references, `\\p`", {"type": "string", "pattern": "(?=a)b"}, [], ["c"])
    for name, good, bad in (
        ("date", "2024-02-29", "2023-02-29"),
        ("time", "23:59:59.5+01:00", "24:00:00Z"),
        ("date-time", "2024-02-29T12:00:00Z", "2024-02-29 12:00:00Z"),
        ("email", "ann@mail.example.org", "ann.example.org"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("hostname", "mail.example.org", "mail..example"),
        ("uri", "https://a.example/x?q=%20#f", "a.example/x y"),
        ("ipv4", "192.168.0.1", "192.168.0.256"),
    ):
        yield _schema(f"`format`: {name}", {"type": "string", "format": name}, [good], [bad])
    yield _schema(
        "… any other of JSON Schema (ipv6, duration, ...)", {"type": "string", "format": "ipv6"}, ["::1"], ["x"]
    )
    both = {"type": "string", "format": "time", "pattern": "^\\d\\d:\\d\\d$"}
    yield _schema("… beside a `pattern`, which then says it all", both, ["19:30"], ["19:30:00Z"])
    apart = {"type": "string", "format": "date", "anyOf": [{"pattern": "^2024"}]}
    yield _schema("… and a `pattern` in another schema of the same value", apart, ["2024-01-02"], ["2024-xx"])
    yield _schema("… of nobody's (int32, password, ...)", {"type": "string", "format": "password"}, ["x"], [])


def _arrays() -> Iterator[Probe]:
    yield _schema("`items`", {"type": "array", "items": {"type": "integer"}}, [[], [1, 2]], [["a"]])
    sized = {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 3}
    yield _schema("`minItems`, `maxItems`", sized, [[None], [None] * 3], [[], [None] * 4])
    pair = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}
    yield _schema("`prefixItems`", pair, [[], [1], [1, "a"]], [["a"], [1, "a", 2]])
    fixed = {"type": "array", "prefixItems": [{"type": "integer"}] * 2, "minItems": 2, "maxItems": 2}
    yield _schema("… as many as `maxItems`", fixed, [[1, 2]], [[1], [1, 2, 3]])
    yield _schema("`uniqueItems`", {**sized, "uniqueItems": True}, [[None]], [[None, None]])
    yield _schema("`contains`", {"type": "array", "contains": {"const": 1}}, [[1]], [[]])
    yield _schema("`unevaluatedItems`", {**pair, "items": True, "unevaluatedItems": False}, [[1]], [[1, "a", 2]])


def _objects() -> Iterator[Probe]:
    closed = {**_AB, "additionalProperties": False}
    yield _schema("`properties`, all optional", closed, [{}, {"b": None}, {"a": 1, "b": None}], [{"c": 1}, {"a": "x"}])
    yield _schema("`required`", {**closed, "required": ["b"]}, [{"b": None}, {"a": 1, "b": None}], [{}, {"a": 1}])
    others = {**_AB, "additionalProperties": {"type": "boolean"}}
    yield _schema("`additionalProperties`: a schema", others, [{"a": 1, "c": True}, {}], [{"c": 1}, {"a": True}])
    yield _schema("… true, or none given", _AB, [{"a": 1, "c": "x"}, {"c": [{}]}], [{"a": "x"}])
    yield _schema("`patternProperties`", {"type": "object", "patternProperties": {"^x": False}}, [{}], [{"xy": 1}])
    yield _schema("`propertyNames`", {"type": "object", "propertyNames": {"pattern": "^a"}}, [{}], [{"b": 1}])
    yield _schema("`minProperties`, `maxProperties`", {**closed, "minProperties": 1}, [{"a": 1}], [{}])
    yield _schema("`dependentRequired`", {**closed, "dependentRequired": {"a": ["b"]}}, [{}], [{"a": 1}])
    yield _schema("`dependentSchemas`", {**closed, "dependentSchemas": {"a": {"required": ["b"]}}}, [{}], [{"a": 1}])
    yield _schema("`unevaluatedProperties`", {**_AB, "unevaluatedProperties": False}, [{}], [{"c": 1}])


def _combined() -> Iterator[Probe]:
    yield _schema("`anyOf`", {"anyOf": _CHOICES}, [1, "a"], [None])
    beside = {"type": "integer", "anyOf": [{"maximum": 0}, {"minimum": 9}]}
    yield _schema("… beside other keywords", beside, [0, 9], [1, 8])
    yield _schema("`oneOf` of branches that exclude each other", {"oneOf": _CHOICES}, [1, "a"], [None])
    needs = [{"type": "object", "properties": {key: {"type": "null"}}, "required": [key]} for key in "ab"]
    closed = {"oneOf": [{**one, "additionalProperties": False} for one in needs]}
    yield _schema("… closed objects that require other names", closed, [{"a": None}, {"b": None}], [{}, {"c": None}])
    yield _schema("… that may overlap", {"oneOf": [{"type": "integer"}, {"type": "number"}]}, [1.5], [1])
    merged = {"allOf": [{"type": "integer", "minimum": 1}, {"maximum": 3}]}
    yield _schema("`allOf`", merged, [1, 3], [0, 4])
    yield _schema("… of two patterns", {"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}]}, ["ab"], ["a"])
    yield _schema("`not`", {"type": "integer", "not": {"const": 1}}, [2], [1])
    yield _schema("`if`, `then`, `else`", {"type": "integer", "if": {"minimum": 1}, "then": {"maximum": 3}}, [2], [4])
    flat = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "null"}}}
    yield _schema("`$ref`", flat, [None], [1])
    yield _schema("… that leads back to itself", _TREE, [{"v": 1}, {"v": 1, "next": {"v": 2}}], [{"v": 1, "next": {}}])


def _texts() -> Iterator[Probe]:
    valid = ("{}", '{\n  "a": [1, 2.5e-7, "\\u00e9\\/"],\n  "b":null\n}')
    yield Probe("any JSON object, white space bounded", AnyJsonObject(), valid, ("[]", '{"a": 1,}', '{"a":  1}'))
    raw = Seq((Literal("<v>"), RawText("</v>"), Literal("</v>")))
    yield Probe("raw text up to an end", raw, ("<v></v>", "<v>é\n</v</v>"), ("<v></v></v>", "<v>a"))


def _raw_strings() -> Iterator[Probe]:
    def probe(keyword: str, schema: dict[str, Any], valid: list[str], invalid: list[str]) -> Probe:
        end = "\n</v>\n"
        node = Seq((Literal("<v>\n"), RawString(schema, end), Literal(end)))
        return Probe(keyword, node, *(tuple(f"<v>\n{text}{end}" for text in texts) for texts in (valid, invalid)))

    text = {"type": "string"}
    yield probe("any string", text, ["", "2", 'é"\\\n\t</v>'], ["a\n</v>", "\n</v>\nb", "\0"])
    yield probe("`enum`, `const`", {"enum": ["a\n", "\n</v>\n", 3]}, ["a\n"], ["a", "3", "\n</v>\n"])
    yield probe("`pattern`", {**text, "pattern": "^<|\\d$"}, ["<v>", "x\n7"], ["x", "<\n</v>\n"])
    yield probe("`format`", {**text, "format": "date"}, ["2024-02-29"], ["2023-02-29"])
    lengths = {**text, "minLength": 1, "maxLength": 40}
    yield probe("`minLength`, `maxLength`", lengths, ["é", _LONG[:40]], ["", _LONG[:41]])
    yield probe("… in the thousands", {**text, "maxLength": 5000}, ["", _LONG[1:]], [_LONG])


def _dictionaries() -> Iterator[Probe]:
    def probe(keyword: str, schema: dict[str, Any], valid: list[str], invalid: list[str]) -> Probe:
        node = QuotedDict(schema, _QUOTE)
        return Probe(keyword, node, *(tuple(text.replace("'", _QUOTE) for text in texts) for texts in (valid, invalid)))

    closed = {**_AB, "additionalProperties": False, "required": ["b"]}
    yield probe("`properties`, `required`", closed, ["{b:null}", "{a:1,b:null}"], ["{}", "{a: 1,b:null}"])
    yield probe("… a name that needs quotes", {**closed, "properties": {"a:b": {}}}, ["{b:null}"], [])
    others = {**_AB, "additionalProperties": {"type": "boolean"}}
    yield probe("`additionalProperties`: a schema", others, ["{a:1,x y:true}"], ["{:true}", "{x:1}", "{a:true}"])
    yield probe("no `type` (any value)", {}, ["{a:[1,'x',{}]}", "null"], ["{a}", "{'a':1}", "[1, 2]"])
    yield probe("`enum`, `const`", {"enum": ["a", 2.5, [{"k": "x"}]]}, ["'a'", "2.5", "[{k:'x'}]"], ["a", "'b'", "'"])
    text = {"type": "string"}
    yield probe("`pattern`", {**text, "pattern": "a"}, ["'a'", "'{\n<|a'"], ["'b'", "a", "'a''"])
    yield probe("`minLength`, `maxLength`", {**text, "maxLength": 3}, ["''", "'abc'"], ["abc", "'abcd'", '"a"'])


GROUPS: dict[str, Iterable[Probe]] = {
    "Any value": tuple(_values()),
    "Numbers": tuple(_numbers()),
    "Strings": tuple(_strings()),
    "Arrays": tuple(_arrays()),
    "Objects": tuple(_objects()),
    "Combinations": tuple(_combined()),
    "Not a schema": tuple(_texts()),
    "Strings as bare text": tuple(_raw_strings()),
    "Gemma's dictionaries": tuple(_dictionaries()),
}


def outcome(engine: Any, probe: Probe) -> str:
    """`yes`, `no` (refused), or `WRONG`."""
    try:
        compiled = engine.compile(probe.node)
    except UnsupportedSchema:
        return "no"
    kinds: TokenKinds = engine.kinds
    right = all(accepts(compiled.start(), kinds, text) for text in probe.valid)
    return "yes" if right and not any(accepts(compiled.start(), kinds, text) for text in probe.invalid) else "WRONG"


def table(model: Model) -> str:
    """The whole matrix in Markdown."""
    engines = [backend(name, model) for name in BACKENDS]
    lines = [f"| | {' | '.join(BACKENDS)} |", f"|---|{'---|' * len(BACKENDS)}"]
    for group, probes in GROUPS.items():
        lines.append(f"| **{group}** |{' |' * len(BACKENDS)}")
        for probe in probes:
            cells = " | ".join(outcome(engine, probe) for engine in engines)
            lines.append(f"| {probe.keyword} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from engine.llama import LoadParams, load_model

    sys.stdout.write(table(load_model(Path(sys.argv[1]), LoadParams(vocab_only=True))))
