"""From a JSON Schema to shapes, once for all engines.

References, `allOf`, unions, enums and bounds are worked out here, and every assertion that shapes cannot say is refused
by name, so that no keyword can be ignored unseen further down. The values of an enum are filtered by the whole schema:
beside one, every keyword is understood. Knows no engine's syntax.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from grammars.alternatives import TYPES, alternatives, is_reference
from grammars.canonical import dumps, plain
from grammars.errors import UnsupportedSchema
from grammars.formats import FORMATS, OTHER_STANDARD_FORMATS
from grammars.merge import Unmergeable
from grammars.pattern import PatternError, parse_pattern
from grammars.pointer import Schema, child, resolve
from grammars.ranges import Bound
from grammars.regular import Expr
from grammars.shape import (
    NEVER,
    AnyValue,
    Array,
    Const,
    Document,
    Integer,
    Number,
    Object,
    Property,
    Ref,
    Shape,
    String,
    Union,
)
from grammars.validation import validator

MAX_ENUMERATED = 512  # multiples in a range that are written out one by one
MAX_DIGITS = 100  # of an integer's bound: each digit stands within what the one before it leads to
MAX_DEPTH = 100  # of sub-schemas; a recursion that is no plain reference would go on for ever
_LONGEST = 10**MAX_DIGITS
_EXACT = 2**53  # up to here a double tells every integer apart

# Refused wherever they stand, and those of each type that shapes know or refuse.
_REFUSED = ("not", "if", "unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies")
_OF_TYPES = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format"),
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
        *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties", "dependentRequired"),
    }
)


def lower(schema: Mapping[str, Any], backend: str, *, most_times: int | None = None) -> Document:
    """Raises `UnsupportedSchema`, with keyword and path, for what cannot be said in shapes.

    `most_times`: how often the backend can have a character or an item be repeated; None is no limit.
    """
    return _Lowering(dict(schema), backend, most_times).document()


class _Lowering:
    def __init__(self, root: dict[str, Any], backend: str, most_times: int | None) -> None:
        self.root, self.backend, self.most_times = root, backend, most_times
        self.shapes: dict[str, Shape] = {}
        self.pending: list[str] = []
        self.contradictions: list[str] = []  # where an enum has no value that fits

    def document(self) -> Document:
        root = self.shape(self.root, "#")
        while self.pending:
            name = self.pending.pop()
            self.shapes[name] = self.shape(resolve(name, self.root), name)
        for name in self.shapes:
            self.refuse_endless(name)
        if root == NEVER:
            where = self.contradictions[0] if self.contradictions else "#"
            raise self.unsupported("enum" if self.contradictions else "type", where, "no value can satisfy the schema")
        return Document(root, self.shapes)

    def unsupported(self, keyword: str, path: str, reason: str = "") -> UnsupportedSchema:
        return UnsupportedSchema(self.backend, keyword, path, reason)

    def refuse_endless(self, name: str) -> None:
        """A shape that may be itself, with no value around it, has no grammar."""
        seen: set[str] = set()
        open_names = list(_directly(self.shapes[name]))
        while open_names:
            other = open_names.pop()
            if other == name:
                raise self.unsupported("$ref", name, "it refers to itself without a value in between")
            if other not in seen:
                seen.add(other)
                open_names += _directly(self.shapes[other])

    def shape(self, schema: Schema, path: str) -> Shape:
        if is_reference(schema):
            assert isinstance(schema, dict)
            return self.reference(schema["$ref"])
        if path.count("/") > MAX_DEPTH:
            raise self.unsupported("$ref", path, f"more than {MAX_DEPTH} levels deep")
        try:
            flat = list(alternatives(schema, self.root, path))
        except Unmergeable as error:
            raise self.unsupported(error.keyword, path, error.reason) from None
        return union(self.alternative(one, one_path) for one, one_path in flat)

    def reference(self, name: str) -> Ref:
        if name not in self.shapes:
            self.shapes[name] = NEVER  # until it is its turn
            self.pending.append(name)
        return Ref(name)

    def alternative(self, schema: Schema, path: str) -> Shape:
        if isinstance(schema, bool):
            return AnyValue(path) if schema else NEVER
        if is_reference(schema):
            return self.reference(schema["$ref"])
        if "enum" in schema or "const" in schema:
            return self.constants(schema, path)
        for key in _REFUSED:
            if key in schema:
                raise self.unsupported(key, path)
        given = schema.get("type", TYPES)
        kinds = [given] if isinstance(given, str) else list(given)
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        if len(kinds) == len(TYPES) - 1 and not _OF_TYPES & schema.keys():
            return AnyValue(path)
        return union(self.of_type(kind, schema, path) for kind in kinds)

    def constants(self, schema: dict[str, Any], path: str) -> Shape:
        values = schema.get("enum", [schema.get("const")])
        check = validator(self.root).evolve(schema=schema)
        texts = [dumps(plain(value)) for value in values if check.is_valid(value)]
        if not texts:
            self.contradictions.append(path)
        return union(Const(text) for text in dict.fromkeys(texts))

    def of_type(self, kind: str, schema: dict[str, Any], path: str) -> Shape:
        match kind:
            case "null":
                return Const("null")
            case "boolean":
                return Union((Const("true"), Const("false")))
            case "integer":
                return self.integer(schema, path)
            case "number":
                return self.number(schema, path)
            case "string":
                return self.string(schema, path)
            case "array":
                return self.array(schema, path)
            case "object":
                return self.object(schema, path)
        raise self.unsupported("type", path, f"{kind!r} is no type of JSON Schema")

    def integer(self, schema: dict[str, Any], path: str) -> Shape:
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if abs(schema.get(key, 0)) >= _LONGEST:
                raise self.unsupported(key, path, f"a bound of an integer may have at most {MAX_DIGITS} digits")
        lows = [math.ceil(schema["minimum"])] if "minimum" in schema else []
        lows += [math.floor(schema["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in schema else []
        highs = [math.floor(schema["maximum"])] if "maximum" in schema else []
        highs += [math.ceil(schema["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in schema else []
        low, high = max(lows, default=None), min(highs, default=None)
        if low is not None and high is not None and low > high:
            return NEVER
        step = schema.get("multipleOf")
        if step is None or step == 1:
            return Integer(low, high, path=path)
        if step != int(step):
            raise self.unsupported("multipleOf", path, "not a whole number")
        step = int(step)
        if low is not None and high is not None and (high - low) // step < MAX_ENUMERATED:
            return union(Const(str(value)) for value in range(-(-low // step) * step, high + 1, step))
        return Integer(low, high, step, path)

    def number(self, schema: dict[str, Any], path: str) -> Shape:
        if "multipleOf" in schema:
            raise self.unsupported("multipleOf", path, "of a number that need not be an integer")
        lows = [self.bound(schema, key, path) for key in ("minimum", "exclusiveMinimum") if key in schema]
        highs = [self.bound(schema, key, path) for key in ("maximum", "exclusiveMaximum") if key in schema]
        low = max(lows, key=lambda bound: (bound.value, bound.excluded), default=None)
        high = min(highs, key=lambda bound: (bound.value, not bound.excluded), default=None)
        if low is not None and high is not None:
            if low.value > high.value or (low.value == high.value and (low.excluded or high.excluded)):
                return NEVER
            if low.value == high.value and "minimum" in schema and "maximum" in schema:
                return Const(dumps(plain(schema["minimum"])))
        return Number(low, high)

    def bound(self, schema: dict[str, Any], key: str, path: str) -> Bound:
        """A bound that includes itself: next to an excluded double stands another one."""
        given = schema[key]
        if abs(given) > _EXACT or 0 < abs(given) < 1e-15:
            raise self.unsupported(key, path, "a bound of a number must be 0, or between 1e-15 and 2^53 in size")
        if not key.startswith("exclusive"):
            return Bound(Decimal(repr(given)))
        if given == 0:
            return Bound(Decimal(0), excluded=True)
        return Bound(Decimal(repr(math.nextafter(given, math.inf if key == "exclusiveMinimum" else -math.inf))))

    def string(self, schema: dict[str, Any], path: str) -> Shape:
        content: Expr | None = None
        form = schema.get("format")
        if "pattern" in schema:  # the author's exact words for what a format beside it names
            try:
                content = parse_pattern(schema["pattern"])
            except PatternError as error:
                raise self.unsupported("pattern", path, str(error)) from None
        elif form in FORMATS:
            content = FORMATS[form]
        elif form in OTHER_STANDARD_FORMATS:
            raise self.unsupported("format", path, f"'{form}' is not one of {', '.join(FORMATS)}")
        self.check_times(schema, path, "minLength", "maxLength")
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        if high is not None and high < low:
            return NEVER
        return String(int(low), None if high is None else int(high), content, path)

    def array(self, schema: dict[str, Any], path: str) -> Shape:
        for key in ("contains", "uniqueItems"):
            if schema.get(key, False) is not False and not (key == "uniqueItems" and schema.get("maxItems", 2) <= 1):
                raise self.unsupported(key, path)
        prefix = [
            self.shape(item, child(path, "prefixItems", index))
            for index, item in enumerate(schema.get("prefixItems", []))
        ]
        has_room = schema.get("maxItems", math.inf) > len(prefix)
        rest: Shape | None = self.shape(schema.get("items", True), child(path, "items")) if has_room else NEVER
        if NEVER in prefix:
            prefix, rest = prefix[: prefix.index(NEVER)], NEVER
        self.check_times(schema, path, "minItems", "maxItems")
        low, high = int(schema.get("minItems", 0)), schema.get("maxItems")
        if rest == NEVER:
            rest, high = None, min(len(prefix), len(prefix) if high is None else high)
        if high is not None and high < low:
            return NEVER
        return Array(tuple(prefix), rest, low, None if high is None else int(high), path)

    def check_times(self, schema: dict[str, Any], path: str, *keys: str) -> None:
        for key in keys:
            if self.most_times is not None and schema.get(key, 0) > self.most_times:
                raise self.unsupported(key, path, f"more than {self.most_times:,} times have to be counted")

    def object(self, schema: dict[str, Any], path: str) -> Shape:
        names: dict[str, Schema] = dict(schema.get("properties", {}))
        required = schema.get("required", [])
        for key in ("patternProperties", "propertyNames", "dependentRequired"):
            if schema.get(key, True) not in (True, {}):
                raise self.unsupported(key, path)
        others: Schema = schema.get("additionalProperties", True)
        for name in required:
            names.setdefault(name, others)
        properties = [
            Property(name, self.shape(one, child(path, "properties", name)), name in required)
            for name, one in names.items()
        ]
        if any(one.shape == NEVER and one.required for one in properties):
            return NEVER
        rest: Shape | None = self.shape(others, child(path, "additionalProperties"))
        closed = rest == NEVER and "patternProperties" not in schema
        possible = [one for one in properties if one.shape != NEVER]
        self.check_counts(schema, path, len(required), len(possible) if closed else None)
        if not closed and len(possible) < len(properties):
            raise self.unsupported("properties", path, "a forbidden property beside additional ones")
        return Object(tuple(possible), None if closed else rest, path)

    def check_counts(self, schema: dict[str, Any], path: str, n_least: int, n_most: int | None) -> None:
        """`minProperties` and `maxProperties` where they say nothing new."""
        if schema.get("minProperties", 0) > n_least:
            raise self.unsupported("minProperties", path)
        if "maxProperties" in schema and (n_most is None or schema["maxProperties"] < n_most):
            raise self.unsupported("maxProperties", path)


def union(options: Iterable[Shape]) -> Shape:
    """Any of the options, flattened."""
    flat: list[Shape] = []
    for option in options:
        flat += [one for one in (option.options if isinstance(option, Union) else (option,)) if one not in flat]
    anything = next((one for one in flat if isinstance(one, AnyValue)), None)
    if anything is not None:
        return anything
    return flat[0] if len(flat) == 1 else Union(tuple(flat))


def _directly(shape: Shape) -> Iterator[str]:
    """The names of the shapes that this one may be as a whole."""
    if isinstance(shape, Ref):
        yield shape.name
    elif isinstance(shape, Union):
        for option in shape.options:
            yield from _directly(option)
