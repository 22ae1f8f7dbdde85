from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import ItemRecord
from bench.score import Outcome, score
from bench.score.closing import closed, is_mendable
from bench.score.hygiene import repair
from bench.score.ledger import LEDGER
from bench.suites.case import Case
from engine import formats
from engine.formats.protocol import ToolFormat
from engine.types import Call, Parsed
from tests.bench.episodes import broken, case_from, play, raw_case, raw_episode

RIGHT = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
SUM = Call("add", {"a": 1, "b": 2})

DEEP = '{"a": ' * 900 + "1" + "}" * 900
MENDED: list[tuple[str, tuple[str, ...]]] = [
    (RIGHT, ("envelope",)),
    (f"<tool_call>\n{RIGHT}\n</tool_call>", ("envelope",)),
    (f"<|tool_call|>{RIGHT}", ("envelope",)),
    (f"[{RIGHT}]", ("envelope",)),
    ('{"calls": [' + RIGHT + '], "reply": 5}', ("envelope",)),
    ('{"tool_calls": [{"type": "function", "function": ' + RIGHT + "}]}", ("envelope",)),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}}', ("envelope",)),
    ('{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}', ("envelope",)),
    (f"<think>Add them.</think>{RIGHT}", ("think_block",)),
    (f"<tool_call>\n<think>\n\n</think>\n\n{RIGHT}</tool_call>", ("think_block",)),
    (f"""<thinking>It isn't {{"name": "add"}}.</thinking>\n{RIGHT}""", ("think_block",)),
    ('maybe {"name": "add", "arguments": {"a": 9, "b": 9}}? No.</think>' + RIGHT, ("think_block",)),
    (f"<think>Add.</think>Sure: ```json\n{RIGHT}\n```", ("think_block", "fence")),
    (f"```json\n{RIGHT}\n```", ("fence",)),
    (f"Sure!\n```\n{RIGHT}\n```\nDone.", ("fence",)),
    (f"I will add them: {RIGHT} There you go.", ("prose",)),
    (RIGHT + "}", ("prose",)),
    (RIGHT + "}}}", ("prose",)),
    (RIGHT + "\n[1] A source, {or two}.", ("prose",)),
    (RIGHT.replace('"', "“", 1).replace('"', "”", 1), ("smart_quotes",)),
    ("{“name”: “add”, “arguments”: {“a”: 1, “b”: 2}}", ("smart_quotes",)),
    ("{'name': 'add', 'arguments': {'a': 1, 'b': 2}}", ("single_quotes",)),
    (RIGHT.replace("2}", "2,}"), ("trailing_comma",)),
    (RIGHT[:-1], ("unclosed",)),
    (RIGHT[:-2], ("unclosed",)),
    ("```\n{'name': 'add', 'arguments': {'a': 1, 'b': 2,}", ("fence", "single_quotes", "trailing_comma", "unclosed")),
]


@pytest.mark.parametrize(("text", "names"), MENDED)
def test_repairs_are_named(text: str, names: tuple[str, ...]) -> None:
    mended = repair(broken(text))
    assert mended is not None
    assert (mended.names, mended.calls) == (names, (SUM,))


VALUES: list[tuple[str, tuple[str, ...], object]] = [
    (
        "{'name': 'f', 'arguments': {'x': True, 'y': None}}",
        ("single_quotes", "python_literals"),
        {"x": True, "y": None},
    ),
    ('{"name": "f", "arguments": {"x": "it\'s: \'fine\', ok",}}', ("trailing_comma",), {"x": "it's: 'fine', ok"}),
    ('{"name": "f", "arguments": {"x": "True, None",}}', ("trailing_comma",), {"x": "True, None"}),
    ('{"name": "f", "arguments": {"x": "a,]", }}', ("trailing_comma",), {"x": "a,]"}),
    ('{"name": "f", "arguments": {"x": "{ [ “q”', ("unclosed",), {"x": "{ [ “q”"}),
    ('{"name": "f", "arguments": {"x": "\\"', ("unclosed",), {"x": '"'}),
    ('{"name": "f", "arguments": {"x": "True, ]', ("unclosed",), {"x": "True, ]"}),
    # marks of reasoning inside a value are the value's
    ('{"name": "f", "arguments": {"x": "</think> {1}",}}', ("trailing_comma",), {"x": "</think> {1}"}),
    (
        'so: {"name": "f", "arguments": {"x": "<think>a</think>", "y": {"z": 1}}}',
        ("prose",),
        {"x": "<think>a</think>", "y": {"z": 1}},
    ),
    ('<think>a</think>{"name": "f", "arguments": {"x": "b</think>"}}', ("think_block",), {"x": "b</think>"}),
    ('{"name": "f", "arguments": {"x": "a, ]", "y": "\'t\'",}}', ("trailing_comma",), {"x": "a, ]", "y": "'t'"}),
    ("{'name': 'f', 'arguments': {'x': 'None, True'}}", ("single_quotes",), {"x": "None, True"}),
    ('{"name": "f", "arguments": {"x": None, "y": "None"}}', ("python_literals",), {"x": None, "y": "None"}),
    ('{"name": "f", "arguments": {"x": "«a», b"},}', ("trailing_comma",), {"x": "«a», b"}),
    ('{"name": "f", "arguments": {"x": "```json\\n{}\\n```", }}', ("trailing_comma",), {"x": "```json\n{}\n```"}),
    # one fault behind the other, against the ledger's order
    ("""{"name": "f", "arguments": {"y": [1,], 'x': 2}}""", ("single_quotes", "trailing_comma"), {"y": [1], "x": 2}),
    # closing the bracket inside the quotes that are yet to be mended would be one repair too many
    (
        """{"name": "f", "arguments": {"y": [1,], 'x': '{'}}""",
        ("single_quotes", "trailing_comma"),
        {"y": [1], "x": "{"},
    ),
    ('```\nnote\n``` {"name": "f", "arguments": {"x": 1}}', ("prose",), {"x": 1}),
    ('{note} [1] {"name": "f", "arguments": {"x": 1}}', ("prose",), {"x": 1}),
    ("{'name': 'f', 'arguments': {'x': 'it's'}}", ("single_quotes",), {"x": "it's"}),
    ('see {"name": "f", "arguments": {"x": "<b> } ```"}} ok', ("prose",), {"x": "<b> } ```"}),
]


@pytest.mark.parametrize(("text", "names", "arguments"), VALUES)
def test_repairs_leave_values_alone(text: str, names: tuple[str, ...], arguments: object) -> None:
    mended = repair(broken(text))
    assert mended is not None
    assert (mended.names, mended.calls[0].arguments) == (names, arguments)


OTHER = '{"name": "add", "arguments": {"a": 3, "b": "{"}}'


@pytest.mark.parametrize(
    ("fmt", "text", "names"),
    [
        ("hermes", f"<tool_call>\n{RIGHT}\n{OTHER}\n</tool_call>", ("several",)),
        ("hermes", f"<tool_call>\n{RIGHT}, {OTHER}\n</tool_call>", ("several",)),
        ("hermes", f"<tool_call>\n{RIGHT}}}\n{OTHER}\n</tool_call>", ("several",)),
        ("hermes", f"<tool_call>\n{RIGHT}\nand\n[{OTHER}]\n</tool_call>", ("several",)),
        ("hermes", f"<tool_call>\n{RIGHT.replace('2}', '2,}')}\n{OTHER}\n</tool_call>", ("several", "trailing_comma")),
        ("hermes", f"<tool_call>\n{RIGHT}\n{OTHER[:-1]}", ("several", "unclosed")),
        ("nemotron_json", f"<TOOLCALL>{RIGHT}, {OTHER}</TOOLCALL>", ("several",)),
        ("mistral_json", f"[TOOL_CALLS]{RIGHT}; {OTHER}", ("several",)),
        ("json_list", f"```\n{RIGHT},\n{OTHER}\n```", ("fence", "several")),
        (
            "hermes",
            f'<tool_call>\n{RIGHT}\n{{"arguments": {{"a": 3, "b": "{{"}}, "name": "add"}}\n</tool_call>',
            ("several",),
        ),
        ("llama3_json", f"<|python_tag|>Both:\n{RIGHT}\n{OTHER}\nDone.", ("prose", "several")),
    ],
)
def test_a_repair_drops_no_call(fmt: str, text: str, names: tuple[str, ...]) -> None:
    mended = repair(formats.get(fmt).parse(text, ()))
    assert mended is not None
    assert (mended.names, mended.calls) == (names, (SUM, Call("add", {"a": 3, "b": "{"})))


@pytest.mark.parametrize(
    "behind",
    [
        'The user is {"user": {"name": "Bob", "age": 3}}.',
        '{"type": "result", "sum": 3}',
        '<tool_response>{"name": "sum", "value": 3}</tool_response>',
        "[1, [2]] and {}",
    ],
)
def test_json_behind_a_call_that_is_no_call_costs_it_nothing(behind: str) -> None:
    """Models make up a result behind their call; a name in it was taken for another call, and the repair was lost."""
    mended = repair(broken(f"{RIGHT}\n{behind}"))
    assert mended is not None
    assert (mended.names, mended.calls) == (("prose",), (SUM,))


def test_where_one_of_several_calls_stays_unreadable_none_is_made_of_the_others() -> None:
    assert repair(broken(f'{RIGHT}\n{{"name": "add"}}')) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot do that.",
        "{",
        '{"name": "add", "arguments": {"a": 1, "b": ',
        '{"name": "add"}',
        '{"name": 5, "arguments": {}}',
        '{"name": "add", "arguments": [1, 2]}',
        '{"name": "add", "arguments": {"a": 1, "a": 2}}',
        '{"name": "add", "arguments": {"a": NaN}}',
        "add(a=1, b=2)",
        # which of these quotes are the value's cannot be told
        '{“name”: "add", "arguments": {"note": "“a”, ‘b’"}}',
        "{“name”: “add”, “arguments”: {“note”: “say ‘hi’, ok”}}",
        f"<think>I could call {RIGHT}",
        f"<think>I could call {RIGHT} </think>",
        "[" * 5000,
        "9" * 5000,
    ],
)
def test_nothing_is_made_up(text: str) -> None:
    mended = repair(broken(text))
    assert mended is None or mended.calls == ()


def test_a_cut_string_of_quotes_takes_no_time() -> None:
    """Each escaped quote looks like the beginning of another string that nothing closes."""
    began = time.process_time()
    mended = repair(broken('{"name": "f", "arguments": {"x": "' + '\\"' * 100_000))
    assert mended is not None
    assert mended.calls == (Call("f", {"x": '"' * 100_000}),)
    assert time.process_time() - began < 5


def test_one_unreadable_fragment_spoils_the_repair() -> None:
    parsed = broken(RIGHT[:-1])
    assert repair(parsed) is not None
    assert repair(Parsed(fragments=(*parsed.fragments, *broken("no").fragments))) is None
    assert repair(Parsed(calls=(SUM,))) is None


def test_a_stray_marker_beside_a_call_keeps_the_call() -> None:
    mended = repair(broken("</tool_call>", SUM))
    assert mended is not None
    assert (mended.names, mended.calls) == (("envelope",), (SUM,))


@pytest.mark.parametrize("fmt", formats.FORMATS.values(), ids=lambda fmt: fmt.id)
def test_markers_without_a_call_are_not_repaired(fmt: ToolFormat, tmp_path: Path) -> None:
    nothing = case_from(tmp_path, raw_case(expected={"calls": []}))
    for text in (*fmt.markers, "\n".join(fmt.markers), "".join(fmt.markers[:1] * 2)):
        assert repair(fmt.parse(text, ())) is None, text
        assert score(nothing, answered(nothing, fmt.id, text)).hygiene.repairs is None, text


def test_an_envelope_that_says_that_there_is_no_call_can_be_read_in_prose() -> None:
    mended = repair(broken('No tool fits: {"calls": [], "reply": ""}'))
    assert mended is not None
    assert (mended.names, mended.calls) == (("prose",), ())


@settings(max_examples=100)
@given(st.text(st.sampled_from("{}[]\"'“”,:\\ `aTN1\n<>|")))
def test_repairing_never_raises(text: str) -> None:
    repair(broken(text))
    for _, mend in LEDGER:
        mend(text, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.sampled_from("ab ,:{}[]'\"\\“”`é"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100)
@given(st.dictionaries(st.text("pqr", min_size=1), JSON, max_size=3), st.sampled_from([None, 2]))
def test_what_can_be_read_is_never_altered(arguments: dict[str, object], indent: int | None) -> None:
    written = json.dumps({"name": "f", "arguments": arguments}, indent=indent, ensure_ascii=False)
    for text in (written, f"```json\n{written}\n```" if "`" not in written else written):
        mended = repair(broken(text))
        assert mended is not None
        assert mended.calls == (Call("f", arguments),)


@settings(max_examples=60)
@given(st.dictionaries(st.text("pqr", min_size=1), JSON, min_size=1, max_size=3))
def test_a_cut_tail_of_brackets_is_closed_again(arguments: dict[str, object]) -> None:
    written = json.dumps({"name": "f", "arguments": arguments}, ensure_ascii=False)
    mended = repair(broken(written[:-2]))
    assert mended is not None
    assert (mended.names, mended.calls) == (("unclosed",), (Call("f", arguments),))


def test_the_verdict_stays_and_the_repair_is_told(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    for text, correct in (
        (RIGHT[:-1], True),
        (RIGHT[:-1].replace("2", "7"), False),
        (RIGHT[:-1].replace("2", '"2"'), False),
    ):
        result = score(case, play(case, [broken(text)]))
        assert result.outcome is Outcome.UNPARSEABLE
        assert result.hygiene.repairs == ("unclosed",)
        assert result.hygiene.correct_after_repair is correct
    hopeless = score(case, play(case, [broken("no")])).hygiene
    assert (hopeless.repairs, hopeless.correct_after_repair) == (None, None)


def test_an_episode_would_have_gone_on_so_nothing_is_claimed(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_episode())
    result = score(case, play(case, [broken(RIGHT[:-1])]))
    assert (result.hygiene.repairs, result.hygiene.correct_after_repair) == (("unclosed",), None)


def test_flags(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())

    def flags(parsed: Parsed) -> tuple[str, ...]:
        return score(case, play(case, [parsed])).hygiene.flags

    assert flags(Parsed(calls=(SUM,))) == ()
    assert flags(Parsed(calls=(SUM,), content="Adding.")) == ("prose_with_call",)
    assert flags(Parsed(calls=(Call("add", {"a": 1, "b": 2, "note": "“x”"}),))) == ("smart_quotes_in_value",)
    assert flags(Parsed(content="```python\n1 + 2\n```")) == ()  # an answer about code is no attempt at a call
    assert flags(broken(f"```\n{RIGHT}\n```")) == ("fence",)
    assert flags(broken("{'a': }")) == ("single_quotes",)


CODE = '{"name": "add", "arguments": {"a": 1, "b": 2, "note": "```python\\nx\\n```"%s}}'
QWEN_CODE = """<tool_call>
<function=add>
<parameter=note>
```json
{"name": "x"}
```
</parameter>
</function>
"""


@pytest.mark.parametrize(
    ("fmt", "text", "is_fenced"),
    [
        ("hermes", f"<think>In ```json``` or bare?</think>\n<tool_call>\n{RIGHT}\n</tool_call>", False),
        ("hermes", f"<tool_call>\n{CODE % ''}\n</tool_call>", False),
        ("hermes", f"<tool_call>\n{CODE % ','}\n</tool_call>", False),  # a broken call's value
        ("hermes", f"```json\n<tool_call>\n{RIGHT}\n</tool_call>\n```", True),
        ("hermes", f"<tool_call>\n```json\n{RIGHT}\n```\n</tool_call>", True),
        ("qwen_xml", QWEN_CODE + "</tool_call>", False),
        ("qwen_xml", QWEN_CODE, False),
        ("qwen_xml", f"```xml\n{QWEN_CODE}</tool_call>\n```", True),
        ("json", f'{{"calls": [{RIGHT}], "reply": "```python\\nx\\n```"}}', False),
        ("json", f'<think>```</think>{{"calls": [{RIGHT}], "reply": ""}}', False),
        ("json", f'```json\n{{"calls": [{RIGHT}], "reply": ""}}\n```', True),
        ("json", f'Here it is: ```json\n{{"calls": [{RIGHT}], "reply": ""}}\n```', True),
    ],
)
def test_a_fence_in_a_thought_or_a_value_is_not_untidy(fmt: str, text: str, is_fenced: bool, tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    assert ("fence" in score(case, answered(case, fmt, text)).hygiene.flags) is is_fenced


def answered(case: Case, fmt: str, text: str) -> ItemRecord:
    """The record of an answer as a model wrote it."""
    parsed = formats.get(fmt).parse(text, case.tools)
    record = play(case, [parsed])
    (step,) = record.steps
    step = replace(step, generation=replace(step.generation, text=text))
    return replace(record, steps=(step,), format_id=fmt)


LAST_MARKERS = {
    "hermes": "</tool_call>",
    "qwen_xml": "</tool_call>",
    "glm_xml": "</tool_call>",
    "deepseek_dsml": "</｜DSML｜function_calls>",
    "gemma4": "<tool_call|>",
    "deepseek_v31": "<｜tool▁calls▁end｜>",
    "nemotron_json": "</TOOLCALL>",
}


@pytest.mark.parametrize("fmt", LAST_MARKERS)
def test_a_call_without_its_last_marker_is_one_repair_in_every_format(fmt: str, tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    written = formats.get(fmt).write([SUM], case.tools)
    assert written.endswith(LAST_MARKERS[fmt])
    for n_calls, text in ((1, written), (2, formats.get(fmt).write([SUM, SUM], case.tools))):
        result = score(case, answered(case, fmt, text.removesuffix(LAST_MARKERS[fmt])))
        name = "unclosed" if fmt == "glm_xml" else "envelope"  # there it is the end of the call as well
        assert (result.outcome, result.hygiene.repairs) == (Outcome.UNPARSEABLE, (name,))
        assert result.hygiene.correct_after_repair is (n_calls == 1)


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        ("qwen_xml", "<tool_call>\n<function=add>\n{a}\n{b}\n</tool_call>"),
        ("qwen_xml", "<tool_call>\n<function=add>\n{a}\n<parameter=b>\n2"),
        ("qwen_xml", "<think>Add.</think><function=add>\n{a}\n{b}\n"),
        ("glm_xml", "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>b</arg_key><arg_value>2"),
        (
            "glm_xml",
            "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>b</arg_key><arg_value>2</arg_value>",
        ),
        ("gemma4", "<|tool_call>call:add{{a:1,b:2"),
        ("deepseek_dsml", '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="add">\n{json_a}\n{json_b}\n'),
        ("deepseek_dsml", '<｜DSML｜function_calls>\n<｜DSML｜invoke name="add">\n{json_a}\n{cut_b}'),
    ],
)
def test_a_call_between_tags_without_its_end_is_unclosed(fmt: str, text: str, tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    cut = '<｜DSML｜parameter name="{}" string="false">{}'
    parts = {
        "a": "<parameter=a>\n1\n</parameter>",
        "b": "<parameter=b>\n2\n</parameter>",
        "json_a": cut.format("a", 1) + "</｜DSML｜parameter>",
        "json_b": cut.format("b", 2) + "</｜DSML｜parameter>",
        "cut_b": cut.format("b", 2),
    }
    result = score(case, answered(case, fmt, text.format(**parts)))
    assert (result.outcome, result.hygiene.repairs) == (Outcome.UNPARSEABLE, ("unclosed",))
    assert result.hygiene.correct_after_repair is True


@pytest.mark.parametrize("call", [Call("weather", {"city": "hello there"}), SUM], ids=["text", "numbers"])
@pytest.mark.parametrize("fmt", [fmt.id for fmt in formats.FORMATS.values() if fmt.closing.ends])
def test_half_an_end_is_no_part_of_a_value(fmt: str, call: Call, tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    written = formats.get(fmt).write([call], case.tools)
    value = str([*call.arguments.values()][-1])
    ends = range(written.rindex(value) + len(value), len(written))
    mended = [closed(answered(case, fmt, written[:end]).steps[0], fmt, case.tools) for end in ends]
    assert any(mended)
    assert all(each.calls == (call,) for each in mended if each)


def test_a_call_of_which_nothing_but_the_name_is_there_is_unclosed(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    mended = closed(answered(case, "glm_xml", "<tool_call>get").steps[0], "glm_xml", case.tools)
    assert mended is not None
    assert (mended.names, mended.calls) == (("unclosed",), (Call("get", {}),))


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        ("qwen_xml", "<tool_call>\n"),
        ("qwen_xml", "<tool_call>\n<function=add>\n<parameter=a"),
        (
            "qwen_xml",
            "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\nand so on\n</function>\n</tool_call>",
        ),
        ("gemma4", '<|tool_call>call:add{a:"1",b:2}'),
        ("mistral_args", '[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2'),
    ],
)
def test_an_end_makes_up_no_call(fmt: str, text: str, tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    assert closed(answered(case, fmt, text).steps[0], fmt, case.tools) is None


FORGOTTEN = {  # the end of a format's last value
    "qwen_xml": "\n</parameter>",
    "glm_xml": "</arg_value>",
    "deepseek_dsml": "</｜DSML｜parameter>",
    "gemma4": '<|"|>',
}


@pytest.mark.parametrize("gap", ["", "\n"])
@pytest.mark.parametrize("n_ends", [0, 1, 2])
@pytest.mark.parametrize("fmt", FORGOTTEN)
def test_a_value_without_its_end_does_not_take_in_what_stands_behind_it(
    fmt: str, n_ends: int, gap: str, tmp_path: Path
) -> None:
    """The model wrote all ends of the call but the innermost, or the first of them, and ended its answer."""
    case = case_from(tmp_path, raw_case())
    call = Call("weather", {"city": "Paris"})
    value, _, rest = formats.get(fmt).write([call], ()).rpartition(FORGOTTEN[fmt])
    ends = {
        "qwen_xml": ["\n</function>", "\n</tool_call>"],
        "glm_xml": ["", "</tool_call>"],
        "deepseek_dsml": ["\n</｜DSML｜invoke>", "\n</｜DSML｜function_calls>"],
        "gemma4": ["}", "<tool_call|>"],
    }[fmt]
    assert rest == "".join(ends)
    text = value + gap + "".join(ends[:n_ends])
    mended = closed(answered(case, fmt, text).steps[0], fmt, case.tools)
    assert mended is not None
    assert (mended.names, mended.calls) == (("unclosed",), (call,))


def test_every_format_whose_calls_are_json_or_have_an_end_can_be_mended() -> None:
    assert {fmt for fmt in formats.FORMATS if not is_mendable(fmt)} == {"harmony", "mistral_args", "mistral_args_id"}
    assert not is_mendable("")


def test_the_reply_that_the_json_modes_ask_for_is_not_untidy(tmp_path: Path) -> None:
    """`{"calls": [...], "reply": "Let me check."}` is what the prompt shows, and what a grammar makes a model write."""
    case = case_from(tmp_path, raw_case())
    parsed = formats.ENVELOPE.parse(f'{{"calls": [{RIGHT}], "reply": "Let me check."}}', case.tools)
    record = replace(play(case, [parsed]), format_id=formats.ENVELOPE.id)
    assert (parsed.calls, parsed.content) == ((SUM,), "Let me check.")
    assert score(case, record).hygiene.flags == ()
    assert score(case, replace(record, format_id="hermes")).hygiene.flags == ("prose_with_call",)


def test_smart_quotes_that_the_user_wrote_are_no_leak(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case(messages=[{"role": "user", "content": "Add 1 and 2 with note “x”"}]))
    call = Call("add", {"a": 1, "b": 2, "note": "“x”"})
    assert score(case, play(case, [[call]])).hygiene.flags == ()


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        (formats.get("hermes"), '<tool_call>\n{"name": "add", "arguments": ' + DEEP + "}\n</tool_call>"),
        (formats.get("hermes"), '<tool_call>\n{"name": "add", "arguments": ' + json.dumps(DEEP) + "}\n</tool_call>"),
        (formats.ENVELOPE, '{"calls": [{"name": "add", "arguments": ' + DEEP + '}], "reply": ""}'),
    ],
    ids=["hermes", "arguments as text", "envelope"],
)
def test_arguments_nested_without_end_are_unreadable_and_stop_nobody(
    tmp_path: Path, fmt: ToolFormat, text: str
) -> None:
    case = case_from(tmp_path, raw_case())
    parsed = fmt.parse(text, case.tools)
    assert parsed.calls == ()
    assert repair(parsed) is None
    assert score(case, play(case, [parsed])).outcome is Outcome.UNPARSEABLE
