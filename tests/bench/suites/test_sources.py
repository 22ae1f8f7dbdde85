"""Tools as people have them: JSON of several services, typed functions, pydantic models; and what is said otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.attempt import DEFAULT_TOOLS
from bench.suites.sources.tools import definitions_from, tools_from
from grammars.errors import ToolgaugeError

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "d", "parameters": PARAMETERS}
OPENAI = {"type": "function", "function": WEATHER}
MCP = {"name": "weather", "description": "d", "inputSchema": PARAMETERS, "annotations": {"readOnlyHint": True}}

MODULE = '''
from __future__ import annotations
from typing import Literal
from pydantic import BaseModel, Field

print("being imported")

class Guest(BaseModel):
    name: str
    age: int = Field(ge=0)

class BookTable(BaseModel):
    """Book a table."""
    guests: list[Guest]
    title: str = Field("dinner", description="Why")

class Plain:
    pass

NUMBER = 7

def weather(city: str, unit: Literal["C", "F"] = "C") -> dict:
    """Tell the weather.

    Args:
        city: Where.
    """

async def forecast(city: str, days: int = 3) -> dict:
    """Tell the weather to come."""

def untyped(city):
    pass

def _hidden(city: str) -> dict:
    pass
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a module in it; what is imported from it is forgotten afterwards."""
    (tmp_path / "our_tools.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "document",
    [
        [WEATHER],
        [OPENAI],
        [MCP],
        {"tools": [MCP]},
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP], "nextCursor": None}},
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [OPENAI], "tool_choice": "auto"},
        {"model": "m", "messages": [], "functions": [WEATHER]},
        {"tools": [{"name": "weather", "description": "d", "input_schema": PARAMETERS}]},
        {"tools": [{"type": "custom", "name": "weather", "description": "d", "input_schema": PARAMETERS}]},
        WEATHER,
        OPENAI,
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tools_are_read_as_people_have_them(document: object, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text(mark + json.dumps(document), encoding="utf-8")
    (tool,) = tools_from(path)
    assert (tool.name, tool.description) == ("weather", "d")
    assert tool.parameters["properties"] == {"city": {"type": "string"}}


def test_the_everyday_tools() -> None:
    assert {"get_weather", "send_email"} <= {tool.name for tool in tools_from(DEFAULT_TOOLS)}


def broken(**schema: Any) -> str:
    return json.dumps([WEATHER, {"name": "bad", "parameters": {"type": "object", "properties": {"x": schema}}}])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot read"),
        ("{", "is not JSON: "),
        ('[{"name": "a", "name": "b"}]', "the key 'name' stands twice in one object"),
        ('[{"name": "a", "parameters": {"minimum": NaN}}]', "NaN is no JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ("", "is not JSON: "),
        ("[]", "it holds no tools; write a JSON list"),
        ('"tools"', "it holds no tools"),
        ('{"tools": {}}', "it holds no tools"),
        ('{"model": "m", "messages": []}', "it holds no tools"),
        ("[7]", "tool 1 is no JSON object"),
        (
            '[{"type": "web_search_20250305", "name": "web_search"}]',
            "tool 1 is of type 'web_search_20250305'",
        ),
        ('[{"type": "web_search"}]', "tool 1 is of type 'web_search', which only a service can run"),
        ('{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "not ready"}}', "a server's error: not ready"),
        (json.dumps({"tools": [MCP], "nextCursor": "p2"}), "one page of a longer list"),
        ('[{"description": "nameless"}]', "tool 1: a tool has no name"),
        (json.dumps([WEATHER, OPENAI]), "two tools are named 'weather'"),
        (broken(type="colour"), "tool 2: tool 'bad': parameters at #/properties/x"),
        (broken(**{"$ref": "#/$defs/nobody"}), "tool 2: tool 'bad': parameters at #/properties/x: $ref"),
    ],
)
def test_tools_that_cannot_be_used_are_a_sentence(text: str | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ToolgaugeError) as caught:
        tools_from(path)
    assert sentence in str(caught.value)
    assert "tools.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["our_tools:weather,BookTable", "our_tools.py: weather, BookTable"])
def test_functions_and_models_of_a_module(folder: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    weather, book = definitions_from(source)
    assert weather == {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            },
            "required": ["city"],
        },
    }
    assert (book["name"], book["description"]) == ("BookTable", "Book a table.")
    assert book["parameters"]["properties"]["title"] == {"type": "string", "default": "dinner", "description": "Why"}
    assert set(book["parameters"]["$defs"]["Guest"]["properties"]) == {"name", "age"}
    assert {tool.name for tool in tools_from(source)} == {"weather", "BookTable"}
    assert capsys.readouterr().out == ""  # what a module prints is no result


def test_a_file_that_is_named_like_a_module_in_use(folder: Path) -> None:
    (folder / "json.py").write_text("def look(x: int) -> dict: ...")
    assert [tool["name"] for tool in definitions_from("json.py:")] == ["look"]
    assert sys.modules["json"] is json


def test_a_module_beside_the_file_can_be_imported_by_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "app").mkdir()
    (folder / "app" / "types_of_ours.py").write_text("City = str")
    (folder / "app" / "more.py").write_text("from types_of_ours import City\ndef find(city: City) -> dict: ...")
    path = list(sys.path)
    assert [tool["name"] for tool in definitions_from("app/more.py:find")] == ["find"]
    assert sys.path == path


def test_all_public_functions_unless_the_module_lists_them(folder: Path) -> None:
    (folder / "listed.py").write_text("from our_tools import weather\n__all__ = ['weather']\ndef own(x: int): ...")
    assert [tool["name"] for tool in definitions_from("listed:")] == ["weather"]
    (folder / "unlisted.py").write_text("from our_tools import weather\ndef own(x: int): ...")
    assert [tool["name"] for tool in definitions_from("unlisted:")] == ["own"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("no_such_module:f", "there is no Python module 'no_such_module', neither in "),
        ("no_such.inner:f", "there is no Python module 'no_such.inner'"),
        ("nowhere.py:f", "there is no file nowhere.py"),
        (":f", "names no module"),
        ("our_tools.py", "say which functions: our_tools.py:NAME, or our_tools.py: for all"),
        (
            "my_app.tools",  # the colon forgotten
            "cannot read my_app.tools: no such file or directory; for functions of a module write my_app.tools:NAME,"
            " or my_app.tools: for all",
        ),
        ("our_tools", "; for functions of a module write our_tools:NAME, or our_tools: for all"),
        ("our_tools:nothing", "our_tools has no 'nothing'; its public functions are: weather, forecast, untyped"),
        ("our_tools:NUMBER", "our_tools:NUMBER is a value of type int; a tool is a function"),
        ("our_tools:Plain", "our_tools:Plain is a class without pydantic's BaseModel"),
        ("our_tools:untyped", "our_tools.untyped cannot be a tool: parameter 'city' has no type hint"),
        ("our_tools:", "parameter 'city' has no type hint; name those to offer: our_tools:NAME,NAME"),
        ("our_tools:weather,weather", "two tools are named 'weather'"),
        ("needy:f", "needy needs the Python module 'not_installed_here', which is not installed"),
        ("failing:f", "importing failing failed (failing.py, line 2): ZeroDivisionError: division by zero"),
        ("torn:f", "importing torn failed (torn.py, line 1): SyntaxError: "),
        ("leaving:f", "importing leaving failed (leaving.py, line 2): it ends the program"),
        ("empty:", "empty defines no public function"),
        ("builtins:print", "builtins.print cannot be a tool: "),
    ],
)
def test_python_that_cannot_be_used_is_a_sentence(folder: Path, source: str, sentence: str) -> None:
    (folder / "needy.py").write_text("import not_installed_here\n")
    (folder / "failing.py").write_text("x = 1\ny = x / 0\n")
    (folder / "torn.py").write_text("def f(:\n")
    (folder / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "empty.py").write_text("")
    with pytest.raises(ToolgaugeError) as caught:
        tools_from(source)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
