"""How a value is usually written in Java or JavaScript, whose arguments are source code in BFCL.

Of a collection these are the usual spellings and by no means all; the official checker knows fewer of them, and some
that no compiler takes. Knows no alternative and no matcher.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bench.suites.bfcl.categories import Language

_ELEMENT: Final = {
    "byte": "byte",
    "short": "short",
    "integer": "int",
    "long": "long",
    "float": "float",
    "double": "double",
    "boolean": "boolean",
    "char": "char",
    "String": "String",
}
_BOXED: Final = {"integer": "Integer", "long": "Long", "char": "Character"}
_LISTS: Final = ("Array", "ArrayList", "array")


def spellings(value: Any, schema: Mapping[str, Any], language: Language) -> list[str]:
    """The usual ways to write `value` as a parameter of BFCL's type `schema["type"]`; a name stays as it is."""
    kind = schema.get("type", "any")
    item_kind = schema.get("items", {}).get("type", "any") if kind in _LISTS else "any"
    if language is Language.JAVA:
        return _java(value, kind, item_kind)
    return _javascript(value, kind)


def _java(value: Any, kind: str, item_kind: str) -> list[str]:
    if isinstance(value, list):
        return _java_list(value, kind, item_kind)
    if isinstance(value, dict):
        return _java_map(value)
    if isinstance(value, bool) or value is None:
        return [json.dumps(value)]
    if isinstance(value, str):
        return [value, json.dumps(value, ensure_ascii=False)] if kind == "String" else [value]
    suffixes = {"long": ("L", ""), "float": ("f", ""), "double": ("", "d")}.get(kind, ("",))
    return [f"{value}{suffix}" for suffix in suffixes]


def _java_list(items: Sequence[Any], kind: str, item_kind: str) -> list[str]:
    written = [_java_element(item, item_kind) for item in items]
    element, boxed = _ELEMENT.get(item_kind, "Object"), _boxed(item_kind)
    found = []
    for joined in _joined(written):
        if kind == "Array":
            found += [f"new {element}[]{{{joined}}}", f"new {element}[] {{{joined}}}", f"{{{joined}}}"]
        else:
            of = f"Arrays.asList({joined})"
            found += [f"new ArrayList<>({of})", f"new ArrayList<{boxed}>({of})", of, f"List.of({joined})"]
    if kind == "ArrayList":
        adds = " ".join(f"add({item});" for item in written)
        found += [f"new ArrayList<{of}>() {{{{ {adds} }}}}" for of in ("", boxed)]
    return found


def _java_map(fields: Mapping[str, Any]) -> list[str]:
    pairs = [(json.dumps(key), _java_element(value, "any")) for key, value in fields.items()]
    puts = " ".join(f"put({key}, {value});" for key, value in pairs)
    found = [f"new HashMap<{of}>() {{{{ {puts} }}}}" for of in ("", "String, Object", "String, String")]
    flat = [part for pair in pairs for part in pair]
    return [*found, f"Map.of({', '.join(flat)})", *(["new HashMap<>()"] if not pairs else [])]


def _java_element(value: Any, kind: str) -> str:
    if isinstance(value, str) and kind == "char":
        return f"'{value}'"
    if isinstance(value, list | dict):
        return _java(value, "ArrayList" if isinstance(value, list) else "HashMap", "any")[0]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _java(value, kind, "any")[0]


def _boxed(kind: str) -> str:
    return _BOXED.get(kind, _ELEMENT.get(kind, "Object").capitalize())


def _javascript(value: Any, kind: str) -> list[str]:
    if isinstance(value, list):
        written = ["[" + joined + "]" for quote in "'\"" for joined in _joined([_element(v, quote) for v in value])]
        return list(dict.fromkeys(written))
    if isinstance(value, dict):
        return [_element(value, quote) for quote in "'\""]
    if isinstance(value, str):
        return [value, *(_element(value, quote) for quote in "'\"")] if kind == "String" else [value]
    text = _element(value, '"')
    if kind == "Bigint":
        return [f"{text}n"]
    return list(dict.fromkeys((text, text.removesuffix(".0"))))


def _element(value: Any, quote: str) -> str:
    """One value as JavaScript, its texts in these quotes."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text if quote == '"' else "'" + text[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    if isinstance(value, list):
        return f"[{', '.join(_element(item, quote) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_element(item, quote)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _joined(items: Iterable[str]) -> list[str]:
    written = list(items)
    return list(dict.fromkeys((", ".join(written), ",".join(written))))
