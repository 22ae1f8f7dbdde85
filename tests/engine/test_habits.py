"""What templates do with the model's own past turns: small ones in the shapes of makers' that lost or broke them."""

from __future__ import annotations

from dataclasses import replace
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
LISTED = replace(RESULT, content='[{"sky": "clear"}]')
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
# As Llama 3.1's: a turn with calls is its calls.
NO_WORDS = WORDS_LAST.replace("{% if m.content %}{{ m.content }}</m>{% endif %}", "")
# As Mistral Nemo's: the system message stands in the last message of all, if that is the user's.
SYSTEM_LAST = (
    "{% set first = messages[0].role == 'system' %}{% for m in (messages[1:] if first else messages) %}"
    "{% if m.role == 'user' %}[INST]{% if first and loop.last %}{{ messages[0].content }}\n\n{% endif %}"
    "{{ m.content }}[/INST]{% elif m.tool_calls %}[CALLS]{{ m.tool_calls[0].function.arguments | tojson }}"
    "{% else %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
)
# As Gemma 4's first: results stand with the calls that they answer, and every role but the model's is taken as it is.
RESULTS_WITH_CALLS = (
    '{% macro written(v) %}{% if v is string %}<|"|>{{ v }}<|"|>{% elif v is mapping %}'
    "{ {%- for key in v %}{{ key }}:{{ written(v[key]) }}{% endfor -%} }{% else %}{{ v }}{% endif %}{% endmacro %}"
    "{% for m in messages %}<{{ 'model' if m.role == 'assistant' else m.role }}>"
    "{% for c in m.tool_calls or [] %}({{ c.function.name }}{{ written(c.function.arguments) }}){% endfor %}"
    "{% for r in m.tool_responses or [] %}={{ r.name }}"
    "{% if r.response is mapping %}{{ written(r.response) }}{% else %}{value:{{ written(r.response) }}}{% endif %}"
    "{% endfor %}{{ m.content if m.content is string }}"
    "{% if m.content or not m.tool_responses %}</>{% endif %}{% endfor %}"
)
# As gpt-oss's: a result is JSON, which makes a quoted string of text.
RESULTS_AS_JSON = (
    "{% for m in messages %}<{{ m.role }}>{% for c in m.tool_calls or [] %}"
    "{{ c.function.arguments | tojson }}{% endfor %}"
    "{% if m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
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
        (NO_WORDS, True, False, True),
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


# Mistral Nemo: behind a result the model had no system message any more

BRIEF = Message("system", "Be brief.")


def test_a_system_message_that_a_template_forgets_stands_in_front_of_the_users_last_words() -> None:
    built = builder(SYSTEM_LAST, "mistral_json")
    assert built.habits.forgets_system
    first = "[INST]Be brief.\n\nWeather in Oslo?[/INST]"
    step = '[CALLS]{"city": "Oslo"}[tool]{"sky": "clear"}'
    assert built.text((BRIEF, ASK), [WEATHER]) == first
    assert built.text((BRIEF, ASK, CALL, RESULT), [WEATHER]) == first + step
    later = (BRIEF, ASK, CALL, RESULT, Message("assistant", "Clear."), ASK, CALL, RESULT)
    assert built.text(later, [WEATHER]) == f"[INST]Weather in Oslo?[/INST]{step}[assistant]Clear.{first}{step}"


@pytest.mark.parametrize(
    "source",
    [
        TEMPLATE.source,  # shows it always
        TEXT_ONLY,
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",  # shows it never
        "{% if messages | length > 2 %}{{ raise_exception('no') }}{% endif %}{{ messages }}",
    ],
)
def test_a_system_message_stays_where_it_is_with_every_other_template(source: str) -> None:
    assert not builder(source).habits.forgets_system


# Gemma 4's first template: results stood in turns of a `tool`, which the model knows nothing of


def test_results_stand_with_their_calls_where_the_template_reads_them_there() -> None:
    built = builder(RESULTS_WITH_CALLS, "gemma4")
    assert built.habits.joins_results
    asked = "<user>Weather in Oslo?</><model>"
    step = '(get_weather{city:<|"|>Oslo<|"|>})=get_weather{sky:<|"|>clear<|"|>}'
    assert built.text((ASK, CALL, RESULT), [WEATHER]) == asked + step
    two = (ASK, Message("assistant", calls=CALLS * 2), RESULT, Message("tool", "none", name="get_weather"))
    assert built.text(two, [WEATHER]).endswith(
        '={sky:<|"|>clear<|"|>}={value:<|"|>none<|"|>}'.replace("=", "=get_weather")
    )
    # What the model says then ends the same turn.
    answered = (ASK, CALL, RESULT, Message("assistant", "Clear."), ASK)
    assert built.text(answered, [WEATHER]) == f"{asked}{step}Clear.</><user>Weather in Oslo?</>"


def test_results_have_turns_of_their_own_where_the_template_knows_them() -> None:
    """As Gemma 4's second template, which reads both."""
    known = RESULTS_WITH_CALLS.replace("{% for m in messages %}", "{% for m in messages if m.role != 'tool' %}")
    assert not builder(known).habits.joins_results
    assert not builder(TEMPLATE.source).habits.joins_results


# gpt-oss, Llama 3.1: an object was shown as a string with a backslash before each quote


def test_a_result_that_would_be_quoted_is_an_object_or_a_list_and_text_stays_text() -> None:
    built = builder(RESULTS_AS_JSON, "harmony")
    assert built.habits.reads_objects
    assert built.habits.reads_lists
    texts = {
        '{"sky": "clear"}': '{"sky": "clear"}',
        ' {"a": {"b": [null, 1.5, "\\u00e9"]}} ': '{"a": {"b": [null, 1.5, "é"]}}',
        "none": '"none"',
        '{"sky": "clear"} {}': r'"{\"sky\": \"clear\"} {}"',
        '{"a": 1, "a": 2}': r'"{\"a\": 1, \"a\": 2}"',  # an object would lose a member
        '[{"a": 1}]': '[{"a": 1}]',
        "[]": "[]",
        "[1": '"[1"',
        "1": '"1"',
    }
    for content, shown in texts.items():
        text = built.text((ASK, CALL, Message("tool", content, name="get_weather")), [WEATHER])
        assert text.endswith(f"<tool>{shown}"), content


def test_a_list_stays_text_where_the_template_takes_objects_alone() -> None:
    objects = "(m.content if m.content is mapping else m.content ~ '') | tojson"
    source = RESULTS_AS_JSON.replace("m.content | tojson", objects)
    built = builder(source, "harmony")
    assert (built.habits.reads_objects, built.habits.reads_lists) == (True, False)
    shown = r'"[{\"sky\": \"clear\"}]"'
    assert built.text((ASK, CALL, LISTED), [WEATHER]).endswith(f"<tool>{shown}")


@pytest.mark.parametrize("shape", ["%s", "[%s]"])
def test_a_marker_that_a_result_spells_with_escapes_is_no_token(shape: str) -> None:
    hostile = Message("tool", shape % r'{"a": "<\u0074ool_call>"}', name="get_weather")
    prompt = builder(RESULTS_AS_JSON).build((ASK, CALL, hostile), [WEATHER])
    assert prompt.text.endswith("<tool>" + shape % '{"a": "<tool_call>"}')
    assert VOCABULARY.token_of("<tool_call>") not in prompt.tokens


def test_a_template_is_asked_of_lists_only_where_a_result_is_one() -> None:
    asked: list[str] = []

    def render(turns: object) -> str:
        asked.append(str(turns))
        return str(turns)

    habits = Habits(render)
    habits.with_values([{"role": "tool", "content": "[1"}])
    assert asked == []
    habits.with_values([{"role": "tool", "content": "{}"}])
    assert asked and not any("['Tromso']" in turns for turns in asked)
    for _ in range(3):
        habits.with_values([{"role": "tool", "content": "[1]"}])
    assert sum("['Tromso']" in turns for turns in asked) == 1


@pytest.mark.parametrize(
    "source",
    [
        TEMPLATE.source,
        TEXT_ONLY,
        WORDS_LAST,
        RESULTS_AS_JSON.replace("{{ m.content | tojson }}", '"{{ m.content }}"'),  # which would be Python's text of it
        RESULTS_AS_JSON.replace("m.content | tojson", "m.content + ''"),
    ],
)
def test_a_result_stays_text_where_an_object_would_not_help(source: str) -> None:
    built = builder(source)
    assert not built.habits.reads_objects
    assert not built.habits.reads_lists
    assert RESULT.content in built.text((ASK, CALL, RESULT), [WEATHER])
    assert LISTED.content in built.text((ASK, CALL, LISTED), [WEATHER])


# Ministral 3: an empty turn was refused, and with it every conversation that had one


def test_a_turn_without_words_and_calls_is_a_space_where_it_is_refused() -> None:
    conversation = (ASK, Message("assistant", ""), ASK)
    assert builder(NO_SILENCE).text(conversation, []).endswith("<assistant> <user>Weather in Oslo?")
    assert "<|im_start|>assistant\n<|im_end|>" in builder(TEXT_ONLY).text(conversation, [])


def test_a_template_that_refuses_a_space_as_well_says_why_itself() -> None:
    with pytest.raises(TemplateError, match="must have a string"):
        builder(NO_SILENCE.replace("not m.content ", "not m.content | trim ")).text((ASK, Message("assistant")), [])


# The self-check


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (TEXT_ONLY, "calls-not-shown"),
        (WORDS_LAST, "words-not-shown"),
        (NO_WORDS, "words-not-shown"),
        (SYSTEM_LAST, "system-not-kept"),
    ],
)
def test_what_cannot_be_shown_is_a_finding(source: str, name: str) -> None:
    names = {finding.name for finding in check(ChatTemplate(source), formats.get("hermes"), MODEL)}
    assert name in names
    assert names & {"calls-not-shown", "words-not-shown", "system-not-kept", "system-not-shown"} - {name} <= (
        {"words-not-shown"} if source == SYSTEM_LAST else set()
    )


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


WORDLESS = {  # show nothing that was said before a call, Gemma 4's nothing where it would belong
    "Mistral-Small-3.2-24B-Instruct-2506",
    "google-gemma-4-31B-it",
    "meta-llama-Llama-3.1-8B-Instruct",
    "mistralai-Mistral-Nemo-Instruct-2407",
}


@pytest.mark.real
def test_makers_templates_show_system_messages_and_results_as_they_are_meant(real_data: Path) -> None:
    forgetful, quoting, quoting_lists = set(), set(), set()
    for name, (source, format_id) in makers(real_data).items():
        built = builder(source, format_id)
        text = built.text((BRIEF, ASK, CALL, RESULT), [WEATHER])
        assert "Be brief." in text, name
        assert RESULT.content in text, name
        assert LISTED.content in built.text((BRIEF, ASK, CALL, LISTED), [WEATHER]), name
        assert not built.habits.joins_results, name
        forgetful |= {name} if built.habits.forgets_system else set()
        quoting |= {name} if built.habits.reads_objects else set()
        quoting_lists |= {name} if built.habits.reads_lists else set()
    assert forgetful == {"mistralai-Mistral-Nemo-Instruct-2407"}
    assert quoting == quoting_lists == {"meta-llama-Llama-3.1-8B-Instruct", "openai-gpt-oss-120b"}


@pytest.mark.real
def test_makers_templates_go_on_alike_with_and_without_words_before_a_call(real_data: Path) -> None:
    for name, (source, format_id) in makers(real_data).items():
        built = builder(source, format_id)
        plain, worded = (built.text((ASK, turn, RESULT), [WEATHER]) for turn in (CALL, WORDS_AND_CALL))
        assert plain.rpartition("Oslo")[2] == worded.rpartition("Oslo")[2], name
        assert built.habits.shows_calls, name
        assert built.habits.keeps_words == (name not in WORDLESS), name


@pytest.mark.real
@pytest.mark.parametrize("style", ["native", "json"])
def test_makers_templates_take_a_turn_in_which_nothing_was_said(real_data: Path, style: PromptStyle) -> None:
    for source, format_id in makers(real_data).values():
        assert ASK.content in builder(source, format_id, style).text((ASK, Message("assistant"), ASK), [WEATHER])
