"""Calls as chat templates write them: by small ones of our own that have each family's shape, and by the makers' own.

The makers' are read from the folder that TOOLGAUGE_REAL_DATA names; run with `-s` for how many examples each read back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from engine.formats import NATIVE, detect, get
from engine.formats.protocol import CannotCarry, ToolFormat
from engine.formats.table import TEMPLATES
from engine.llama import LoadParams, Model, load_model
from engine.prompt import PromptBuilder
from engine.selfcheck import check
from engine.template import ChatTemplate
from engine.types import Call, Message, Tool
from tests.engine.formats.drawing import Conversation, hostile, plain
from tests.engine.formats.test_identity import same_calls
from tests.engine.formats.walking import BUNDLED

OWN = Path(__file__).with_name("templates")
N_EXAMPLES = 500 if "TOOLGAUGE_WALKS" in os.environ else 40
ASK = Message("user", "What now?")
NOTHING = Call("zzz", {})  # a call whose text is known, to find where a turn's own words begin and end


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with load_model(BUNDLED, LoadParams(vocab_only=True)) as loaded:
        yield loaded


@cache
def examples() -> tuple[Conversation, ...]:
    """The same for every template: drawing them takes longer than rendering."""
    drawn: list[Conversation] = []

    @settings(
        max_examples=N_EXAMPLES, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(conversation=plain() | hostile())
    def draw(conversation: Conversation) -> None:
        drawn.append(conversation)

    draw()
    return tuple(drawn)


def rendered_calls(builder: PromptBuilder, calls: tuple[Call, ...], tools: tuple[Tool, ...]) -> str:
    """What the template writes between the beginning and the end of the assistant's turn."""
    frame = builder.text([ASK, Message("assistant", calls=(NOTHING,))], tools, generation=False)
    known = builder.fmt.write([NOTHING], tools).strip()
    before, found, after = frame.rpartition(known)
    assert found, f"the template does not write {known!r}: {frame[-300:]!r}"
    whole = builder.text([ASK, Message("assistant", calls=calls)], tools, generation=False)
    # Ids are numbered by place, so that the first call has the same in both.
    assert whole.startswith(before) and whole.endswith(after)
    return whole[len(before) : len(whole) - len(after)]


def read_back(fmt: ToolFormat, source: str, model: Model) -> tuple[int, int]:
    """How many examples the format could carry and read back, and how many it cannot carry."""
    builder = PromptBuilder(model, ChatTemplate(source), fmt, "native")
    n_read = n_refused = 0
    for tools, drawn in examples():
        calls = drawn[: fmt.max_calls]
        try:
            fmt.write(calls, tools)
        except CannotCarry:
            n_refused += 1
            continue
        text = rendered_calls(builder, calls, tools)
        parsed = fmt.parse(text, tools)
        assert same_calls(parsed.calls, calls), f"{fmt.id} reads {parsed} in {text!r}"
        assert (parsed.fragments, parsed.content, parsed.open_block) == ((), "", False), text
        n_read += 1
    return n_read, n_refused


# Our own


@pytest.mark.parametrize("format_id", NATIVE)
def test_a_template_of_each_shape_is_told_from_the_others(format_id: str) -> None:
    found = detect((OWN / f"{format_id}.jinja").read_text(encoding="utf-8"))
    assert found.format is not None and found.format.id == format_id


@pytest.mark.parametrize("format_id", NATIVE)
def test_what_a_template_of_each_shape_writes_is_read_back(format_id: str, model: Model) -> None:
    source = (OWN / f"{format_id}.jinja").read_text(encoding="utf-8")
    n_read, n_refused = read_back(get(format_id), source, model)
    assert n_read > N_EXAMPLES / 2 and n_read + n_refused == len(examples())


WORDLESS = {"harmony", "json_list", "llama3_json", "mistral_json"}  # a turn with calls is nothing else in our templates


@pytest.mark.parametrize("format_id", NATIVE)
def test_a_template_of_each_shape_agrees_with_its_format(format_id: str, model: Model) -> None:
    source = (OWN / f"{format_id}.jinja").read_text(encoding="utf-8")
    of_the_vocabulary = {"marker-not-a-token", "turn-end-not-a-stop"}  # the bundled model has its own family's alone
    found = {finding.name for finding in check(ChatTemplate(source), get(format_id), model)}
    assert found - of_the_vocabulary == ({"words-not-shown"} if format_id in WORDLESS else set())


# The makers'


@pytest.fixture(scope="module")
def tally() -> Iterator[dict[str, str]]:
    lines: dict[str, str] = {}
    yield lines
    print("\n| template | format | read back | cannot be carried | sha256 |\n|---|---|---|---|---|")
    for name in sorted(lines):
        print(lines[name])


@pytest.mark.real
@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_makers_template_writes_is_read_back(
    name: str, real_data: Path, model: Model, tally: dict[str, str]
) -> None:
    template = TEMPLATES[name]
    path = real_data / "templates" / f"{name}.jinja"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == template.sha256, "not the file that the page speaks of"
    source = data.decode()
    found = detect(source)
    assert found.format is not None and found.format.id == template.format_id
    n_read, n_refused = read_back(found.format, source, model)
    assert n_read > N_EXAMPLES / 2
    n_carried = len(examples()) - n_refused
    tally[name] = f"| {name} | {template.format_id} | {n_read}/{n_carried} | {n_refused} | {template.sha256} |"
