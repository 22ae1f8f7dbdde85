"""BFCL's function documents as the tools that a model is offered.

A document keeps its order and its words; types get the names that JSON Schema has for them, as they do officially for
models behind an interface. A dot in a name becomes `_`, because tool-call formats know no dots (`OfferedName` keeps the
way back). Descriptions end with the official hint of the language; for Java and JavaScript every parameter is a string
of source code. The official checker reads the documents without any of this, and so do verdicts.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any, Final

from bench.suites.bfcl.categories import Language
from engine.types import Tool
from grammars.schema import modernise, normalise_parameters

_HINTS: Final = {
    Language.PYTHON: " Note that the provided function is in Python 3 syntax.",
    Language.JAVA: " Note that the provided function is in Java 8 SDK syntax.",
    Language.JAVASCRIPT: " Note that the provided function is in JavaScript syntax.",
}
_SPOKEN: Final = {Language.JAVA: "Java", Language.JAVASCRIPT: "JavaScript"}
_LISTS: Final = {Language.JAVA: ("ArrayList", "Array"), Language.JAVASCRIPT: ("array",)}


def offered_name(name: str) -> str:
    """A function's name as a tool-call format can carry it; no two functions of a case become one."""
    return name.replace(".", "_")


def offered_tool(document: dict[str, Any], language: Language) -> Tool:
    """One function document as a tool; the same document is read once."""
    return _tool(json.dumps(document), language)


@lru_cache(maxsize=8192)
def _tool(text: str, language: Language) -> Tool:
    document = json.loads(text)
    parameters = document["parameters"]
    if language is not Language.PYTHON:
        parameters = parameters | {
            "properties": {name: _as_source(schema, language) for name, schema in parameters["properties"].items()}
        }
    return Tool(
        name=offered_name(document["name"]),
        description=document["description"] + _HINTS[language],
        parameters=normalise_parameters(parameters, f"function '{document['name']}'"),
        written=modernise(parameters),
    )


def _as_source(schema: dict[str, Any], language: Language) -> dict[str, Any]:
    """A parameter whose value is written as source code; its type is told in words."""
    schema = copy.deepcopy(schema)
    kind, spoken = schema["type"], _SPOKEN[language]
    if kind == "any":
        words = f" This parameter can be of any type of {spoken} object in string representation."
    else:
        words = f" This is {spoken} {kind} type parameter in string representation."
    if kind in _LISTS[language]:
        inner = schema.pop("items")["type"]
        words += f" The list elements are of type {inner}; they are not in string representation."
    if language is Language.JAVASCRIPT and kind == "dict" and "properties" in schema:
        fields = json.dumps(schema.pop("properties"))
        words += f" The dictionary entries have the following schema; they are not in string representation. {fields}"
    return schema | {"type": "string", "description": schema["description"] + words}
