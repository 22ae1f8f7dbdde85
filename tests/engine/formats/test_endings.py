"""An answer ends where its model ends it: what a template writes behind the last call is allowed, and forces nothing.

Nemotron 3 writes a line break behind its last call. Where a grammar knows a line break only as what stands before the
next call, each of its answers has one call too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.constraint import BACKENDS, backend
from engine.constraint.walk import walk
from engine.formats import FORMATS, NATIVE, get
from engine.formats.protocol import ToolFormat
from engine.formats.table import TEMPLATES
from engine.llama import LoadParams, Model, load_model
from engine.prompt import PromptBuilder
from engine.runtime import Request
from engine.selfcheck import CALLS, TOOLS
from engine.template import ChatTemplate
from engine.types import Message, StopReason
from grammars.schema import normalise_parameters
from tests.engine.formats.drawing import marker_texts
from tests.engine.formats.walking import BUNDLED, write_with_markers
from tests.engine.test_answer import Desk

OWN = Path(__file__).with_name("templates")
# Our own templates, and the spellings of other generations of a family.
SPELLINGS = (*NATIVE, "qwen_xml_line_end", "glm_xml_lines", "mistral_json_space")
OFFERED = tuple(replace(tool, parameters=normalise_parameters(tool.parameters)) for tool in TOOLS)
ASK = Message("user", "What is the weather in Paris?")


@pytest.fixture(scope="module", params=["markers as text", "markers as tokens"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = BUNDLED  # it has its own family's markers alone
    if request.param == "markers as tokens":
        path = write_with_markers(BUNDLED, tmp_path_factory.mktemp("vocab") / BUNDLED.name, marker_texts())
    with load_model(path, LoadParams(vocab_only=True)) as loaded:
        yield loaded


@pytest.fixture(scope="module", params=BACKENDS)
def engine(request: pytest.FixtureRequest, model: Model) -> Any:
    return backend(request.param, model)


def rendered(fmt: ToolFormat, source: str, n_calls: int, model: Model) -> str:
    """The assistant's turn as the template writes it, from a constraint's beginning to the format's own end."""
    builder = PromptBuilder(model, ChatTemplate(source), fmt, "native")
    asked = builder.text([ASK], OFFERED, generation=False)
    answered = builder.text([ASK, Message("assistant", calls=CALLS[:n_calls])], OFFERED, generation=False)
    assert answered.startswith(asked)
    turn = answered[len(asked) :]
    for end in fmt.stop_texts:
        turn = turn.partition(end)[0]
    triggers = fmt.constraint(OFFERED, required=False).triggers
    return turn[min(turn.index(trigger) for trigger in triggers if trigger in turn) :]


def check_end(fmt: ToolFormat, source: str, engine: Any, model: Model) -> None:
    for n_calls in (1, 2)[: fmt.max_calls]:
        turn = rendered(fmt, source, n_calls, model)
        constraint = engine.compile(fmt.constraint(OFFERED, required=True).root).start()
        found = walk(constraint, engine.kinds, turn)
        answer, rest = (part.decode() for part in (turn.encode()[: found.n_bytes], turn.encode()[found.n_bytes :]))
        assert fmt.parse(answer, OFFERED).calls == CALLS[:n_calls], (answer, rest)
        assert constraint.complete, answer
        assert set(constraint.forced()) <= set(model.vocabulary().eog), answer
        assert constraint.finished or not rest[:1].isspace(), f"the grammar forbids {rest!r} behind {answer!r}"


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_turn_may_end_as_a_template_of_each_shape_ends_it(name: str, engine: Any, model: Model) -> None:
    format_id = max((each for each in NATIVE if name.startswith(each)), key=len)
    check_end(get(format_id), (OWN / f"{name}.jinja").read_text(encoding="utf-8"), engine, model)


@pytest.mark.real
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_turn_may_end_as_the_makers_template_ends_it(name: str, real_data: Path, engine: Any, model: Model) -> None:
    path = real_data / "templates" / f"{name}.jinja"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    check_end(get(TEMPLATES[name].format_id), path.read_text(encoding="utf-8"), engine, model)


@pytest.mark.parametrize("format_id", ["hermes", "qwen_xml", "glm_xml"])
@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("required", [False, True])
def test_the_decoder_lets_a_model_end_behind_a_line_break(
    format_id: str, ending: str, required: bool, engine: Any, model: Model
) -> None:
    fmt = get(format_id)
    spec = fmt.constraint(OFFERED, required=required)
    wish = fmt.write(CALLS[:1], OFFERED) + ending
    request = Request("key", (1, 2, 3), compiled=engine.compile(spec.root), triggers=spec.triggers)
    generation = Desk(model).run(request, wish)
    assert (generation.text, generation.stop) == (wish, StopReason.EOG)
    assert fmt.parse(generation.text, OFFERED).calls == CALLS[:1]


@pytest.mark.parametrize("format_id", FORMATS)
def test_a_single_call_ends_the_answer_at_once(format_id: str, engine: Any) -> None:
    fmt = FORMATS[format_id]
    constraint = engine.compile(fmt.constraint(OFFERED, required=True, several=False).root).start()
    answer = fmt.write(CALLS[:1], OFFERED)
    assert walk(constraint, engine.kinds, answer).n_bytes == len(answer.encode())
    assert constraint.complete and constraint.finished
