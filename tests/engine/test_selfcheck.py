"""The self-check: silent where template, vocabulary and format agree, a named finding for each way they do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import formats
from engine.fake import TEMPLATE, VOCABULARY, FakeModel
from engine.formats.protocol import ToolFormat
from engine.prompt import Tokenizer
from engine.selfcheck import CALLS, TOOLS, check
from engine.template import ChatTemplate
from engine.types import Finding
from engine.vocabulary import Vocabulary

MODEL = FakeModel("fake:test", lambda request, prompt: "")
HERMES = formats.get("hermes")


@dataclass(frozen=True)
class WithVocabulary:
    """The fake model with other kinds of tokens."""

    changed: Vocabulary

    def vocabulary(self) -> Vocabulary:
        return self.changed

    def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> list[int]:
        return MODEL.tokenize(text, parse_special=parse_special, add_special=add_special)


def found(source: str, fmt: ToolFormat | None = HERMES, tokenizer: Tokenizer = MODEL) -> dict[str, Finding]:
    findings = check(ChatTemplate(source), fmt, tokenizer)
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def changed(old: str, new: str) -> str:
    assert old in TEMPLATE.source
    return TEMPLATE.source.replace(old, new)


def test_a_template_that_agrees_has_no_finding() -> None:
    assert check(TEMPLATE, HERMES, MODEL) == ()


def test_a_model_without_a_template_is_one_finding() -> None:
    (finding,) = check(None, HERMES, MODEL)
    assert finding.name == "no-template"
    assert "--chat-template" in finding.message


def test_a_call_that_is_written_otherwise_shows_both_texts() -> None:
    findings = found(changed('"arguments": {{ call.function.arguments', '"parameters": {{ call.function.arguments'))
    differs = findings["call-text-differs"]
    assert differs.expected == HERMES.write(CALLS[:1], TOOLS)
    assert differs.rendered.strip() == differs.expected.replace('"arguments"', '"parameters"')
    assert '"arguments" is missing' in findings["does-not-parse-back"].message


def test_white_space_in_json_differs_and_still_reads_back() -> None:
    tight = 'call.function.arguments | tojson(separators=(",", ":"))'
    assert found(changed("call.function.arguments | tojson", tight)).keys() == {"call-text-differs"}


def test_a_template_that_refuses_says_what_it_refused() -> None:
    one_only = (
        "{%- if message.tool_calls and message.tool_calls | length > 1 %}{{ raise_exception('one!') }}{% endif %}"
    )
    source = changed("{%- if message.role == 'assistant' -%}", "{%- if message.role == 'assistant' -%}" + one_only)
    findings = found(source)
    assert findings.keys() == {"template-refuses"}
    assert findings["template-refuses"].message == "two calls: the chat template failed: one!"


@pytest.mark.parametrize(
    "source",
    ["{% if %}", "{{ 1 / 0 }}", "{{ raise_exception('no') }} <tool_call> arguments", "{{ messages[7].content }}"],
)
def test_a_broken_template_is_a_finding_never_an_error(source: str) -> None:
    assert "template-refuses" in {finding.name for finding in check(ChatTemplate(source), HERMES, MODEL)}


def test_one_reason_for_refusing_everything_is_one_finding() -> None:
    """It was said five times, in the same words."""
    template = ChatTemplate("{{ messages | nofilter }} <tool_call> arguments")
    (finding,) = check(template, HERMES, MODEL, thinking=True)
    assert finding.message == (
        "a question with tools, a system message, an answer, a call, a tool's result: "
        "the chat template failed: line 1: No filter named 'nofilter'."
    )


def test_two_reasons_for_refusing_are_two_findings() -> None:
    no_system = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    no_result = "{% if messages[-1].role == 'tool' %}{{ raise_exception('never') }}{% endif %}"
    refused = check(ChatTemplate(no_system + no_result + TEMPLATE.source), HERMES, MODEL)
    assert [finding.message for finding in refused if finding.name == "template-refuses"] == [
        "a system message: the chat template failed: no",
        "a tool's result: the chat template failed: never",
    ]


def test_a_template_without_tools_or_results_says_so() -> None:
    plain = (
        "{% for m in messages if m.role != 'tool' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    findings = found(plain)
    assert {"tools-not-shown", "result-not-shown", "format-not-recognised", "calls-not-shown"} <= findings.keys()
    assert "What is the weather" in findings["tools-not-shown"].rendered


def test_an_endless_text_is_shown_in_part() -> None:
    findings = found("{% for i in range(90000) %}{{ i }}{% endfor %}")
    assert len(findings["tools-not-shown"].rendered) < 5000


def test_the_wrong_format_is_named_beside_the_right_one() -> None:
    source = changed('{"name": "tool name", "arguments": {}}', "<function=tool_name>\n<parameter=x>\n</parameter>")
    assert "looks like qwen_xml" in found(source)["format-disagrees"].message


def test_no_format_at_all_is_a_finding() -> None:
    assert found("{{ messages[0].content }}", None).keys() == {"format-unknown"}


def test_markers_that_are_no_tokens_are_listed() -> None:
    lacking = replace(VOCABULARY, user_defined=frozenset())
    findings = found(TEMPLATE.source, tokenizer=WithVocabulary(lacking))
    assert findings.keys() == {"marker-not-a-token"}
    assert "<tool_call>, </tool_call>" in findings["marker-not-a-token"].message


def test_a_marker_that_ends_generation_is_found() -> None:
    token = VOCABULARY.token_of("</tool_call>")
    assert token is not None
    ending = replace(VOCABULARY, eog=VOCABULARY.eog | {token})
    assert "marker-ends-answer" in found(TEMPLATE.source, tokenizer=WithVocabulary(ending))


def test_a_turn_that_ends_with_no_stop_runs_on() -> None:
    endless = replace(VOCABULARY, eog=frozenset())
    findings = found(TEMPLATE.source, tokenizer=WithVocabulary(endless))
    assert "<|im_end|>" in findings["turn-end-not-a-stop"].message


@pytest.mark.parametrize(("opening", "names"), [("<think>\n", set()), ("<think>\n\n</think>\n\n", set()), ("", set())])
def test_reasoning_that_the_prompt_opens_or_closes_is_no_disagreement(opening: str, names: set[str]) -> None:
    source = changed("<|im_start|>assistant\n{% endif -%}", f"<|im_start|>assistant\n{opening}{{% endif -%}}")
    assert found(source).keys() == names


# The system message

HOW = "Call tools like this:"


def test_a_system_message_that_is_not_shown_is_a_finding() -> None:
    findings = found(changed("{{ system }}", "{{ '' }}"))
    assert findings.keys() == {"system-not-shown"}
    later = changed("{{ system }}", "{{ system if messages[-1].role == 'user' }}")
    assert found(later)["system-not-kept"].message.endswith("it stands in front of the user's last words then")
    gone = changed("{{ system }}", "{{ system if messages | length < 3 }}").replace(
        "{{ message.content }}<|im_end|>", ""
    )
    assert "once a tool has answered" in found(gone)["system-not-shown"].message


def test_a_system_message_that_costs_the_model_how_tools_are_called_is_a_finding() -> None:
    """As xLAM-2's template, which shows the tools all the same."""
    findings = found(changed(HOW, "{% if not system %}Call tools like this:{% endif %}"))
    assert findings.keys() == {"system-replaces-instructions"}
    assert f"without one: {HOW}" in findings["system-replaces-instructions"].message


@pytest.mark.parametrize(("replaces", "names"), [(True, {"system-replaces-reasoning"}), (False, set())])
def test_a_system_message_that_costs_the_model_how_it_reasons_is_a_finding(replaces: bool, names: set[str]) -> None:
    """As Ministral 3 Reasoning's template, whose own system message asks for it."""
    how = "First draft your thoughts: <think>Your draft.</think>"
    findings = found(
        (f"{{% if messages[0].role != 'system' %}}{how}{{% endif %}}" if replaces else how) + TEMPLATE.source
    )
    assert findings.keys() == names
    assert not names or "json.* modes" in findings["system-replaces-reasoning"].message


def test_who_the_model_is_said_to_be_may_be_replaced() -> None:
    """As Qwen3-Coder's template says it where there are tools, and others say it always."""
    persona = "{% if not system %}You are a keen helper.{% endif %}"
    assert found(changed(HOW, f"{persona} {HOW}")) == {}
    always = persona.replace("not system", "messages[0].role != 'system'")
    assert found(always + TEMPLATE.source) == {}


def test_a_template_that_takes_no_system_message_says_so() -> None:
    findings = found("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE.source)
    assert findings["template-refuses"].message == "a system message: the chat template failed: no"


# Settings


def settings_of(source: str, thinking: bool | None, effort: str | None = None) -> set[str]:
    findings = check(ChatTemplate(source), HERMES, MODEL, thinking=thinking, reasoning_effort=effort)
    return {finding.name for finding in findings}


def test_a_setting_that_the_template_ignores_is_a_finding() -> None:
    assert settings_of(TEMPLATE.source, None) == set()
    assert settings_of(TEMPLATE.source, True) == {"thinking-ignored"}
    assert settings_of(TEMPLATE.source, False, "low") == {"thinking-ignored", "reasoning-effort-ignored"}


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_a_setting_that_the_template_reads_is_none(name: str) -> None:
    source = f"{{{{ 'on' if {name} else 'off' }}}}" + TEMPLATE.source
    assert settings_of(source, False) == set()
    assert settings_of("{{ reasoning_effort }}" + TEMPLATE.source, None, "high") == set()


def test_a_word_in_the_system_message_switches_too() -> None:
    source = "{% if '/no_think' in messages[0].content %}off{% endif %}" + TEMPLATE.source
    assert settings_of(source, True) == set()


@given(st.text(st.sampled_from("{%}-<>|tool_callmessages[0] .content"), max_size=40))
@settings(max_examples=30)
def test_no_template_makes_it_raise(source: str) -> None:
    check(ChatTemplate(source), HERMES, MODEL, thinking=True)


# The makers' own templates


@pytest.mark.real
def test_the_makers_templates_agree_with_their_formats(real_data: Path) -> None:
    """Beside tokens, which the fake vocabulary lacks: tools, words and a system message that some leave out.

    One asks for reasoning where there is no system message.
    """
    checked, disagreeing = 0, {}
    for path in sorted((real_data / "templates").glob("*.jinja")):
        template = ChatTemplate(path.read_text(encoding="utf-8"))
        fmt = formats.detect(template.source).format
        assert fmt is not None, path.name
        checked += 1
        tokens = {"marker-not-a-token", "turn-end-not-a-stop"}
        if names := {finding.name for finding in check(template, fmt, MODEL)} - tokens:
            disagreeing[path.name] = names
    assert checked >= 14
    assert disagreeing == {
        "deepseek-ai-DeepSeek-V3.1.jinja": {"tools-not-shown"},
        "Mistral-Small-3.2-24B-Instruct-2506.jinja": {"words-not-shown"},
        "google-gemma-4-31B-it.jinja": {"words-not-shown"},
        "meta-llama-Llama-3.1-8B-Instruct.jinja": {"words-not-shown"},
        "mistralai-Ministral-3-14B-Reasoning-2512.jinja": {"system-replaces-reasoning"},
        "mistralai-Mistral-Nemo-Instruct-2407.jinja": {"words-not-shown", "system-not-kept"},
    }
