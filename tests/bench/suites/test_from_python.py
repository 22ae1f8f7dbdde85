from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from bench.suites.docstring import docstring
from bench.suites.from_python import NotATool, arguments_model, definition, model_definition
from grammars.schema import normalise_tool


class Guest(BaseModel):
    """Who comes."""

    title: str
    age: int = Field(default=3, ge=0)


class Colour(Enum):
    RED = "red"


def book(
    room: Literal["blue", "green"],
    guests: list[Guest],
    colour: Colour,
    start: Annotated[str, Field(description="When it begins.", pattern="^[0-9]{2}:")],
    minutes: int = 30,
    note: str | None = None,
) -> dict[str, Any]:
    """Book a room
    for guests.

    Only on weekdays.

    Args:
        room: Which room,
            by its colour.
        minutes (int): How long.
        start: Not said, since the type says it.

    Returns:
        note: nothing of interest.
    """
    return {}


def test_a_function_becomes_a_tool() -> None:
    tool = definition(book)
    assert (tool["name"], tool["description"]) == ("book", "Book a room for guests.\nOnly on weekdays.")
    properties = tool["parameters"]["properties"]
    assert list(properties) == ["room", "guests", "colour", "start", "minutes", "note"]
    assert tool["parameters"]["required"] == ["room", "guests", "colour", "start"]
    assert properties["room"] == {
        "type": "string",
        "enum": ["blue", "green"],
        "description": "Which room, by its colour.",
    }
    assert properties["start"] == {"type": "string", "pattern": "^[0-9]{2}:", "description": "When it begins."}
    assert properties["minutes"] == {"type": "integer", "default": 30, "description": "How long."}
    assert properties["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    guest = tool["parameters"]["$defs"]["Guest"]
    assert list(guest["properties"]) == ["title", "age"]  # a property may be called title
    assert "title" not in guest and "additionalProperties" not in tool["parameters"]
    assert normalise_tool(tool).parameters["additionalProperties"] is False


GOOGLE = """Get the forecast.

    For a few days.

    Args:
        city (str): Name of the city,
            as people say it.
        days (int): How many.
        **more: Nothing yet.

    Returns:
        A text: as it is printed.

    Raises:
        ValueError: No such city.
    """
SPHINX = """Get the forecast.

    For a few days.

    :param str city: Name of the city,
        as people say it.
    :type city: str
    :param days: How many.

    :returns: A text: as it is printed.
    :raises ValueError: No such city.

    Days: counted from today.
    """
NUMPY = """Get the forecast.

    For a few days.

    Parameters
    ----------
    city : str
        Name of the city,
        as people say it.
    days : int, optional
        How many.

    Returns
    -------
    str
        A text: as it is printed.

    Raises
    ------
    ValueError
        No such city.
    """


@pytest.mark.parametrize("text", [GOOGLE, SPHINX, NUMPY], ids=["google", "sphinx", "numpy"])
def test_a_docstring_in_three_dialects_says_the_same(text: str) -> None:
    def forecast(city: str, days: int = 3) -> str:
        return ""

    forecast.__doc__ = text
    assert definition(forecast) == {
        "name": "forecast",
        "description": "Get the forecast.\nFor a few days.",
        "parameters": {
            "properties": {
                "city": {"description": "Name of the city, as people say it.", "type": "string"},
                "days": {"default": 3, "description": "How many.", "type": "integer"},
            },
            "required": ["city"],
            "type": "object",
        },
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Move.\n\nParameters\n----------\nx, y : int\n    Where to.\n",
            ("Move.", {"x": "Where to.", "y": "Where to."}),
        ),
        ("Move.\n\nParameters\n----------\nx\n    Left.\nNot a name.\n    More.\n", ("Move.", {"x": "Left."})),
        ("Move.\n\n:param x:\n:param dict[str, int] y: Up.\n\nAfterwards.", ("Move.", {"y": "Up."})),
        ("Move.\n\n:param x: One of:\n\n    - left\n    - right\n", ("Move.", {"x": "One of: - left - right"})),
        ("A :class:`Move`.\n\nUsage\n-----\nCall it.", ("A :class:`Move`.\nUsage ----- Call it.", {})),
    ],
)
def test_what_a_docstring_says_of_each_parameter(text: str, said: tuple[str, dict[str, str]]) -> None:
    def move(x: int, y: int) -> None: ...

    move.__doc__ = text
    assert docstring(move) == said


@pytest.mark.parametrize(
    "text",
    [
        "Book a table.\n\nAttributes:\n    guests: How many come.\n",
        "Book a table.\n\n:ivar guests: How many come.\n",
        "Book a table.\n\nAttributes\n----------\nguests : int\n    How many come.\n",
    ],
    ids=["google", "sphinx", "numpy"],
)
def test_the_docstring_of_a_model_describes_its_fields(text: str) -> None:
    """It was cut off as a section and given to no field."""

    class Table(BaseModel):
        guests: int
        time: str = Field(description="In 24 hours.")

    Table.__doc__ = text
    found = model_definition(Table)
    assert found["description"] == "Book a table."
    fields = found["parameters"]["properties"]
    assert {name: field["description"] for name, field in fields.items()} == {
        "guests": "How many come.",
        "time": "In 24 hours.",
    }


def test_parameters_that_are_not_the_models_to_give() -> None:
    assert list(definition(book, without=("guests", "colour"))["parameters"]["properties"])[1] == "start"


def test_arguments_are_read_into_what_the_function_takes() -> None:
    given = arguments_model(book).model_validate(
        {"room": "blue", "guests": [{"title": "Dr"}], "colour": "red", "start": "09:00", "minutes": 45.0}
    )
    taken = {name: getattr(given, name) for name in type(given).model_fields}
    assert taken["guests"] == [Guest(title="Dr")]
    assert (taken["colour"], taken["minutes"], taken["note"]) == (Colour.RED, 45, None)


def bare(a) -> None:  # type: ignore[no-untyped-def]
    """No hint."""


def several(*values: int) -> None:
    """No name."""


def only(a: int, /) -> None:
    """No name either."""


def private(_a: int) -> None:
    """An underscore."""


def strange(a: Callable[[], int]) -> None:
    """No schema."""


def lost(a: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """No such type."""


def endless(a: float = math.inf) -> None:
    """A default that JSON cannot say."""


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (bare, "parameter 'a' has no type hint"),
        (several, "parameter '[*]values: 'int'' cannot be given by name"),
        (only, "cannot be given by name"),
        (private, "begins with an underscore"),
        (strange, "has no JSON Schema"),
        (endless, "a default or an example is infinite or NaN"),
        (lost, "a type hint cannot be resolved"),
    ],
)
def test_what_cannot_be_a_tool_is_told_with_its_name(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(NotATool, match=f"{function.__name__} cannot be a tool: .*{problem}"):
        definition(function)


class Endless(BaseModel):
    """An example that JSON cannot say."""

    limit: float = Field(1.0, examples=[math.nan])


def test_a_model_whose_example_json_cannot_say() -> None:
    with pytest.raises(NotATool, match="Endless cannot be a tool: a default or an example is infinite or NaN"):
        model_definition(Endless)


def test_a_function_without_a_docstring_and_parameters() -> None:
    def nothing() -> None: ...

    assert definition(nothing) == {
        "name": "nothing",
        "description": "",
        "parameters": {"properties": {}, "type": "object"},
    }
