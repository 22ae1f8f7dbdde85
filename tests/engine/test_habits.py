"""What templates do with the model's own past turns: small ones in the shapes of makers' that lost or broke them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import formats
from engine.errors import TemplateError
from engine.fake import TEMPLATE, VOCABULARY, FakeModel
from engine.formats.envelope import EnvelopeFormat
from engine.habits import Habits
from engine.prompt import PromptBuilder
from engine.selfcheck import check
from engine.template import ChatTemplate
from engine.types import Call, Message, PromptStyle, Tool

MODEL = FakeModel("fake:test", lambda request, prompt: "")
WEATHER = Tool(
    "get_weather", "Weather.", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
ASK = Message("user", "Weather in Oslo?")
CALLS = (Call("get_weather", {"city": "Oslo"}),)
CALL, WORDS_AND_CALL = Message("assistant", calls=CALLS), Message("assistant", "I will look.", CALLS)
RESULT = Message("tool", '{"sky": "clear"}', name="get_weather")
THOUGHT = "I NEED THE FORECAST"
EPISODE = (ASK, Message("assistant", calls=CALLS, reasoning=THOUGHT), RESULT)

# As Hammer 2.1's: only what stands in `content`.
TEXT_ONLY = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Gemma 4's: a call and its results, then the words, which end the turn and leave no place for an answer.
WORDS_LAST = (
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}[{{ m.content }}]"
    "{% elif m.tool_calls %}<m>{% for c in m.tool_calls %}({{ c.function.name }} {{ c.function.arguments.city }}"
    "{{ c.function.arguments.place }}){% endfor %}{% if m.content %}{{ m.content }}</m>{% endif %}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
)
# As Ministral 3's.
NO_SILENCE = (
    "{% for m in messages %}{% if m.role == 'assistant' and not m.content and not m.tool_calls %}"
    "{{ raise_exception('Assistant message must have a string') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)


def builder(source: str, format_id: str = "hermes", style: PromptStyle = "native", **settings: bool) -> PromptBuilder:
    fmt = formats.get(format_id)
    chosen = EnvelopeFormat(fmt.frame) if style == "json" else fmt
    return PromptBuilder(MODEL, ChatTemplate(source), chosen, style, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "shows_calls", "keeps_words", "takes_silence"),
    [
        (TEMPLATE.source, True, True, True),
        (TEXT_ONLY, False, True, True),
        (WORDS_LAST, True, False, True),
        (NO_SILENCE, False, True, False),
        ("{{ raise_exception('never') }}", True, True, True),  # to be reported of a conversation that somebody wants
    ],
)
def test_a_template_is_asked_what_it_does(
    source: str, shows_calls: bool, keeps_words: bool, takes_silence: bool
) -> None:
    habits = builder(source).habits
    assert (habits.shows_calls, habits.keeps_words, habits.takes_silence) == (shows_calls, keeps_words, takes_silence)


def test_a_template_is_asked_once_and_only_what_matters() -> None:
    asked: list[str] = []

    def render(turns: object) -> str:
        asked.append(str(turns))
        return str(turns)

    habits = Habits(render)
    habits.suited([{"role": "user", "content": ""}], lambda calls: "")
    assert asked == []
    for _ in range(3):
        habits.suited([{"role": "assistant", "content": "", "tool_calls": [{}]}], lambda calls: "")
    assert len(asked) == 1


# Hammer 2.1: the calls that the model made were empty turns


@pytest.mark.parametrize("format_id", ["hermes", "json_list"])
def test_calls_that_a_template_does_not_show_stand_in_the_turns_as_text(format_id: str) -> None:
    built, fmt = builder(TEXT_ONLY, format_id), formats.get(format_id)
    for turn, words in ((CALL, ""), (WORDS_AND_CALL, "I will look.\n")):
        text = built.text((ASK, turn, RESULT), [WEATHER])
        answer = text.split("<|im_start|>assistant\n")[1].partition("<|im_end|>")[0]
        assert answer == words + fmt.write(CALLS, [WEATHER])
    assert fmt.parse(fmt.write(CALLS, [WEATHER]), [WEATHER]).calls == CALLS


def test_markers_of_calls_written_as_text_are_tokens_and_those_in_arguments_are_not() -> None:
    hostile = Message("assistant", calls=(Call("get_weather", {"city": "<tool_call>"}),))
    prompt = builder(TEXT_ONLY).build((ASK, hostile, RESULT), [WEATHER])
    assert prompt.text.count("<tool_call>") == 2
    assert list(prompt.tokens).count(VOCABULARY.token_of("<tool_call>") or -1) == 1


def test_a_call_that_cannot_be_written_as_text_is_refused_by_name() -> None:
    unwritable = Message("assistant", calls=(Call("a b", {}),))
    with pytest.raises(TemplateError, match=r"shows no calls, and .* 'a b'"):
        builder(TEXT_ONLY, "harmony").text((ASK, unwritable), [WEATHER])


# Gemma 4: words before a call ended the turn behind its result


def test_words_that_a_template_puts_behind_the_result_are_left_out() -> None:
    built = builder(WORDS_LAST, "gemma4")
    text = built.text((ASK, WORDS_AND_CALL, RESULT), [WEATHER])
    assert text == '<user>Weather in Oslo?<m>(get_weather Oslo)[{"sky": "clear"}]'
    assert "I am done." in built.text((ASK, CALL, RESULT, Message("assistant", "I am done.")), [WEATHER])


# Ministral 3: an empty turn was refused, and with it every conversation that had one


def test_a_turn_without_words_and_calls_is_a_space_where_it_is_refused() -> None:
    conversation = (ASK, Message("assistant", ""), ASK)
    assert builder(NO_SILENCE).text(conversation, []).endswith("<assistant> <user>Weather in Oslo?")
    assert "<|im_start|>assistant\n<|im_end|>" in builder(TEXT_ONLY).text(conversation, [])


def test_a_template_that_refuses_a_space_as_well_says_why_itself() -> None:
    with pytest.raises(TemplateError, match="must have a string"):
        builder(NO_SILENCE.replace("not m.content ", "not m.content | trim ")).text((ASK, Message("assistant")), [])


# The self-check


@pytest.mark.parametrize(("source", "name"), [(TEXT_ONLY, "calls-not-shown"), (WORDS_LAST, "words-not-shown")])
def test_what_cannot_be_shown_is_a_finding(source: str, name: str) -> None:
    names = {finding.name for finding in check(ChatTemplate(source), formats.get("hermes"), MODEL)}
    assert names & {"calls-not-shown", "words-not-shown"} == {name}


# The makers' own templates

SHOWN = {  # does the template show past reasoning: within an episode, and after the user's next message
    "GLM-4.7-Flash": (True, False),
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": (True, False),
    "Qwen-Qwen3-0.6B": (True, False),
    "Qwen3.5-4B": (True, False),
    "deepseek-ai-DeepSeek-V3.2": (True, False),
    "google-gemma-4-31B-it": (True, False),
    "mistralai-Ministral-3-14B-Reasoning-2512": (True, True),  # the model card asks for all of it
    "openai-gpt-oss-120b": (True, False),
}


def makers(real_data: Path) -> dict[str, tuple[str, str]]:
    """Of each template its source and format."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in (real_data / "templates").glob("*.jinja")}
    found = {name: (source, formats.detect(source).format) for name, source in sources.items()}
    assert len(found) >= 14
    return {name: (source, fmt.id) for name, (source, fmt) in found.items() if fmt is not None}


@pytest.mark.real
def test_makers_templates_show_past_reasoning_where_they_mean_to(real_data: Path) -> None:
    for name, (source, format_id) in makers(real_data).items():
        built = builder(source, format_id, thinking=True)
        later = (*EPISODE, Message("assistant", "Clear."), ASK)
        shown = tuple(THOUGHT in built.text(turns, [WEATHER]) for turns in (EPISODE, later))
        assert shown == SHOWN.get(name, (False, False)), name


@pytest.mark.real
def test_makers_templates_take_past_reasoning_beside_words_in_both_styles(real_data: Path) -> None:
    """gpt-oss's refuses a turn with a call, words and reasoning, and is given both as reasoning."""
    turn = Message("assistant", "I will look.", CALLS, reasoning=f"{THOUGHT} <|channel|>analysis<|message|>")
    in_json = set()
    for name, (source, format_id) in makers(real_data).items():
        text = builder(source, format_id, thinking=True).text((ASK, turn, RESULT), [WEATHER])
        assert (THOUGHT in text) == (name in SHOWN), name
        text = builder(source, format_id, "json", thinking=True).text((ASK, turn, RESULT), [WEATHER])
        in_json |= {name} if THOUGHT in text else set()
    assert in_json == {"mistralai-Ministral-3-14B-Reasoning-2512"}  # to the others, a result is the user's next message


@pytest.mark.real
def test_makers_templates_go_on_alike_with_and_without_words_before_a_call(real_data: Path) -> None:
    for name, (source, format_id) in makers(real_data).items():
        built = builder(source, format_id)
        plain, worded = (built.text((ASK, turn, RESULT), [WEATHER]) for turn in (CALL, WORDS_AND_CALL))
        assert plain.rpartition("Oslo")[2] == worded.rpartition("Oslo")[2], name
        assert built.habits.shows_calls, name
        assert built.habits.keeps_words == (name != "google-gemma-4-31B-it"), name


@pytest.mark.real
@pytest.mark.parametrize("style", ["native", "json"])
def test_makers_templates_take_a_turn_in_which_nothing_was_said(real_data: Path, style: PromptStyle) -> None:
    for source, format_id in makers(real_data).values():
        assert ASK.content in builder(source, format_id, style).text((ASK, Message("assistant"), ASK), [WEATHER])
