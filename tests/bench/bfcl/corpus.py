"""Answers to BFCL's cases: right ones made from the reference, and many that are almost right.

Everything is drawn from seeds, so that two runs judge the same answers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.types import Call

AST_CATEGORIES = {
    "simple_python": "python",
    "simple_java": "java",
    "simple_javascript": "javascript",
    "multiple": "python",
    "parallel": "python",
    "parallel_multiple": "python",
    "live_simple": "python",
    "live_multiple": "python",
    "live_parallel": "python",
    "live_parallel_multiple": "python",
}
RELEVANCE_CATEGORIES = ("irrelevance", "live_irrelevance", "live_relevance")

Calls = list[Call]


@dataclass(frozen=True)
class Entry:
    id: str
    category: str
    language: str
    functions: Sequence[Mapping[str, Any]]
    ground_truth: Sequence[Mapping[str, Any]]

    def schema(self, name: str) -> Mapping[str, Any]:
        """The properties of a function."""
        return next((f["parameters"]["properties"] for f in self.functions if f["name"] == name), {})


def entries(package: Path, category: str) -> list[Entry]:
    name = f"BFCL_v4_{category}.json"
    questions = _lines(package / "data" / name)
    answers = [{}] * len(questions)
    if category in AST_CATEGORIES:
        answers = _lines(package / "data" / "possible_answer" / name)
        assert [q["id"] for q in questions] == [a["id"] for a in answers]
    language = AST_CATEGORIES.get(category, "python")
    return [
        Entry(q["id"], category, language, q["function"], a.get("ground_truth", []))
        for q, a in zip(questions, answers, strict=True)
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- right answers ----------------------------------------------------------------------------------------------------


def ideal(entry: Entry, *, fully: bool, which: int = 0) -> Calls:
    """The reference's answer; `fully`: with what may be left out; `which`: of several alternatives the n-th."""
    calls = []
    for expected in entry.ground_truth:
        ((name, arguments),) = expected.items()
        given = {}
        for parameter, alternatives in arguments.items():
            values = [a for a in alternatives if a != ""]
            if values and (fully or "" not in alternatives):
                schema = entry.schema(name).get(parameter, {})
                given[parameter] = _written(entry.language, schema, plain(values[which % len(values)]))
        calls.append(Call(name, given))
    return calls


def plain(alternative: Any) -> Any:
    """An alternative with each object's fields at their first value."""
    if isinstance(alternative, dict):
        fields = {key: [v for v in values if v != ""] for key, values in alternative.items()}
        return {key: values[0] for key, values in fields.items() if values}  # which stands as it is
    if isinstance(alternative, list):
        return [plain(item) for item in alternative]
    return alternative


def _written(language: str, schema: Mapping[str, Any], value: Any) -> Any:
    if language == "python":
        return value
    return _java(schema.get("type", ""), schema, value) if language == "java" else _javascript(schema, value)


def _java(kind: str, schema: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        item_kind = schema.get("items", {}).get("type", "any")
        if kind == "ArrayList":
            items = ", ".join(f'"{v}"' if isinstance(v, str) else _java(item_kind, {}, v) for v in value)
            return f"new ArrayList<>(Arrays.asList({items}))"
        element = {"integer": "int", "String": "String"}.get(item_kind, "Object")
        return f"new {element}[]{{{', '.join(_java(item_kind, {}, v) for v in value)}}}"
    if isinstance(value, dict):
        puts = (f'put("{k}", {json.dumps(v)});' for k, v in value.items())
        return f"new HashMap<String, Object>() {{{{ {' '.join(puts)} }}}}"
    return json.dumps(value) + {"long": "L", "float": "f"}.get(kind, "")


def _javascript(schema: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {json.dumps(v)}" for k, v in value.items()) + "}"
    return json.dumps(value) + ("n" if schema.get("type") == "Bigint" else "")


# --- answers that are almost right ------------------------------------------------------------------------------------

JUNK: tuple[Any, ...] = (
    *(0, 1, -7, 42, 1.0, 0.5, 10**400, True, False, None, "", " ", "-", "x", "dontcare", "5", "5.0", "true", "null"),
    *([], [""], [0], [1.5, 2], [[1], [2]], ["a", "B"], [{}], [{"a": 1}], [None], {}, {"a": 1}, {"": ""}, {"a": [1]}),
)
SOURCES: tuple[str, ...] = (
    *("5", "5L", "5l", "5n", "5n\n", "5\n", "5.0f", "5.0", "1e3F", "1e3", "'c'", '"text"', "'text'", "true", "True"),
    *("null", "new int[]{1, 2}", 'new String[]{"a"}', "new ArrayList<>()", "new ArrayList<Integer>() {{ add(1); }}"),
    *("new HashMap<>()", 'new HashMap<String, Integer>() {{ put("a", 1); }}', "[]", "[1, 2]", "['a', \"b\"]", "{}"),
    *(
        "[[1, 2], [3]]",
        "new Array(1, 2)",
        "{a: 1, b: [2, 3]}",
        "{'a': 'x, y', b: {c: 1}}",
        "9" * 5000,
        "[" + "9" * 5000,
    ),
)


def respelled(rng: random.Random, value: Any) -> Any:
    """Another spelling of a value, or a value close to it."""
    if isinstance(value, bool):
        return rng.choice((not value, int(value), str(value).lower()))
    if isinstance(value, int):
        return rng.choice((as_float(value), str(value), value + 1, -value, value == 1))
    if isinstance(value, float):
        return rng.choice((int(value), str(value), value + 0.5, -value))
    if isinstance(value, str):
        return _respelled_text(rng, value)
    if isinstance(value, list):
        return _respelled_list(rng, value)
    return _respelled_object(rng, value) if isinstance(value, dict) else rng.choice(JUNK)


def as_float(value: int) -> float:
    return float(value) if abs(value) < 1 << 60 else 0.5


def upper(value: Any) -> Any:
    if isinstance(value, str):
        return value.upper()
    if isinstance(value, list):
        return [upper(item) for item in value]
    return {key: upper(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _respelled_text(rng: random.Random, text: str) -> Any:
    at = rng.randint(0, len(text))
    insert = rng.choice(
        (" ", "\t", ",", ".", "/", "-", "_", "*", "^", "'", '"', "’", "é", "(", "\n", ";", "0", "L", "}")
    )
    return rng.choice(
        (
            *(text.upper(), text.lower(), text.title(), text.swapcase(), f" {text} ", f'"{text}"', f"'{text}'"),
            *(
                text[:at] + insert + text[at:],
                text[:at],
                text[at:],
                text[::-1],
                text.replace(" ", ""),
                [text],
                text + "x",
            ),
            *(text.replace("'", '"'), text.replace('"', "'"), text.replace(".", "_"), rng.choice(SOURCES)),
        )
    )


def _respelled_list(rng: random.Random, items: list[Any]) -> Any:
    at = rng.randrange(len(items)) if items else 0
    changed = [*items[:at], respelled(rng, items[at]), *items[at + 1 :]] if items else [rng.choice(JUNK)]
    typed = [as_float(i) if type(i) is int else int(i) if type(i) is float else i for i in items]
    return rng.choice(
        (items[::-1], changed, [*items, *items[:1]], items[:-1], [items], items[0] if items else {}, typed)
    )


def _respelled_object(rng: random.Random, fields: dict[str, Any]) -> Any:
    if not fields:
        return rng.choice(({"x": 1}, [], "{}"))
    key = rng.choice(list(fields))
    without = {k: v for k, v in fields.items() if k != key}
    changed = {**fields, key: respelled(rng, fields[key])}
    return rng.choice((without, changed, {**fields, "x": 1}, [fields], {**without, key.upper(): fields[key]}))


KINDS: Mapping[str, Callable[[random.Random], Any]] = {
    "string": lambda rng: rng.choice(("a", "A b", "c-d", "it's", "x.y", "5")),
    "integer": lambda rng: rng.randint(-2, 3),
    "float": lambda rng: rng.choice((0.0, 1.0, 2.5, 2)),
    "boolean": lambda rng: rng.random() < 0.5,
    "any": lambda rng: rng.choice(("a", "B-c")),
    "dict": lambda rng: {
        k: [rng.choice(JUNK) for _ in range(rng.randint(0, 2))] for k in rng.sample("abc", rng.randint(0, 3))
    },
}


def invented(rng: random.Random) -> tuple[Entry, Calls]:
    """A case with one function of one parameter, beyond what BFCL's own data has, and an answer to it."""
    kind = rng.choice((*KINDS, "array", "tuple"))
    item_kind = rng.choice(tuple(KINDS))
    schema = {"type": kind, "items": {"type": item_kind}} if kind in ("array", "tuple") else {"type": kind}

    def one(of: str) -> Any:
        return [KINDS[item_kind](rng) for _ in range(rng.randint(0, 3))] if of in ("array", "tuple") else KINDS[of](rng)

    # the reference's values may be of another type than the schema's, and are then all of that one
    of = rng.choice(("string", "integer", "boolean")) if rng.random() < 0.2 else kind
    alternatives = [one(of) for _ in range(rng.randint(0, 3))]
    alternatives.insert(rng.randint(0, len(alternatives)), "") if rng.random() < 0.4 else None
    properties = {"p": schema, "q": {"type": "string"}}
    parameters = {"type": "dict", "properties": properties, "required": ["p"] if rng.random() < 0.3 else []}
    entry = Entry(
        "invented", "simple_python", "python", [{"name": "f", "parameters": parameters}], [{"f": {"p": alternatives}}]
    )
    near = plain(rng.choice(alternatives)) if alternatives else one(kind)
    value = rng.choice((near, respelled(rng, near), respelled(rng, near), rng.choice(JUNK), one(kind)))
    return entry, [Call("f", rng.choice(({"p": value}, {"p": value}, {"p": value}, {}, {"q": "x"})))]


Mutation = Callable[[random.Random, Entry, Calls], Calls]


def _on_value(change: Callable[[random.Random, Any], Any]) -> Mutation:
    """One argument of one call changed."""

    def mutate(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
        places = [(n, name) for n, call in enumerate(calls) for name in call.arguments]
        if not places:
            return [*calls, Call("f", {"x": change(rng, "x")})]
        n, name = rng.choice(places)
        return _with_call(calls, n, {**calls[n].arguments, name: change(rng, calls[n].arguments[name])})

    return mutate


def _with_call(calls: Calls, n: int, arguments: Mapping[str, Any], name: str | None = None) -> Calls:
    return [*calls[:n], Call(name or calls[n].name, arguments), *calls[n + 1 :]]


def _renamed_function(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    n = rng.randrange(len(calls))
    name = calls[n].name
    other = rng.choice(
        (name + "s", name.upper(), name.replace(".", "_"), name.replace("_", "."), entry.functions[0]["name"])
    )
    return _with_call(calls, n, calls[n].arguments, other)


def _renamed_parameter(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    n = rng.randrange(len(calls))
    arguments = calls[n].arguments
    victim = rng.choice([*arguments, ""])
    return _with_call(calls, n, {(k + "_" if k == victim else k): v for k, v in arguments.items()})


def _without_parameter(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    n = rng.randrange(len(calls))
    victim = rng.choice([*calls[n].arguments, ""])
    return _with_call(calls, n, {k: v for k, v in calls[n].arguments.items() if k != victim})


def _with_unknown_parameter(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    n = rng.randrange(len(calls))
    return _with_call(calls, n, {**calls[n].arguments, "surplus": rng.choice(JUNK)})


def _with_schema_parameter(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    """A parameter of the schema that the answer lacks, at its default if it has one."""
    n = rng.randrange(len(calls))
    lacking = {k: s for k, s in entry.schema(calls[n].name).items() if k not in calls[n].arguments}
    if not lacking:
        return calls[::-1]
    name, schema = rng.choice(list(lacking.items()))
    return _with_call(calls, n, {**calls[n].arguments, name: schema.get("default", rng.choice(JUNK))})


def _shuffled_arguments(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    n = rng.randrange(len(calls))
    items = list(calls[n].arguments.items())
    rng.shuffle(items)
    return _with_call(calls, n, dict(items))


def _swapped_values(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    n = rng.randrange(len(calls))
    values = list(calls[n].arguments.values())
    rng.shuffle(values)
    return _with_call(calls, n, dict(zip(calls[n].arguments, values, strict=True)))


def _shuffled_calls(rng: random.Random, entry: Entry, calls: Calls) -> Calls:
    return rng.sample(calls, len(calls))


MUTATIONS: Mapping[str, Mutation] = {
    "no call": lambda rng, entry, calls: [],
    "a call dropped": lambda rng, entry, calls: calls[: rng.randrange(len(calls))],
    "a call repeated": lambda rng, entry, calls: [*calls, rng.choice(calls)],
    "one call throughout": lambda rng, entry, calls: [calls[-1]] * len(calls),
    "calls shuffled": _shuffled_calls,
    "calls reversed": lambda rng, entry, calls: calls[::-1],
    "function renamed": _renamed_function,
    "parameter renamed": _renamed_parameter,
    "parameter dropped": _without_parameter,
    "unknown parameter": _with_unknown_parameter,
    "optional parameter given": _with_schema_parameter,
    "arguments shuffled": _shuffled_arguments,
    "values swapped": _swapped_values,
    "null": _on_value(lambda rng, value: None),
    "true": _on_value(lambda rng, value: True),
    "empty string": _on_value(lambda rng, value: ""),
    "empty list": _on_value(lambda rng, value: []),
    "empty object": _on_value(lambda rng, value: {}),
    "as a string": _on_value(lambda rng, value: str(value)),
    "in a list": _on_value(lambda rng, value: [value]),
    "upper case": _on_value(lambda rng, value: upper(value)),
    "respelled": _on_value(respelled),
    "respelled again": _on_value(respelled),
    "respelled a third time": _on_value(respelled),
    "random value": _on_value(lambda rng, value: rng.choice(JUNK)),
    "random source": _on_value(lambda rng, value: rng.choice(SOURCES)),
}


def answers(entry: Entry) -> Iterator[tuple[str, Calls]]:
    """Right answers, and each mutation of one of them, with what was done."""
    rng = random.Random(entry.id)
    right = [ideal(entry, fully=True), ideal(entry, fully=False), ideal(entry, fully=True, which=1)]
    for calls in right:
        yield "right", calls
    for name, mutate in MUTATIONS.items():
        yield name, mutate(rng, entry, rng.choice(right))
    for n, call in enumerate(right[0]):
        for name, value in call.arguments.items():
            # what the rules are most involved for, more often
            for _ in range(8 if isinstance(value, list | dict) else 4 if entry.language != "python" else 0):
                yield "respelled", _with_call(right[0], n, {**call.arguments, name: respelled(rng, value)})
