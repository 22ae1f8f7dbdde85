"""Where and why output breaks off, and what smaller budgets leave of stored answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.rates import Rate
from bench.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord, ToolResult
from bench.results.rows import Stored
from bench.results.store import Store
from bench.run import writer
from bench.run.execute import model_spec
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.run.messages import ItemFinished
from bench.run.plan import Plan
from bench.run.play import Player
from bench.run.todo import todo
from bench.score import score
from bench.score.bfcl import multi_turn
from bench.score.bfcl.verdict import VALID
from bench.score.outcome import CutAt, Outcome
from bench.score.truncation import Truncation, TruncationCause, ends_in_repetition, truncation
from bench.suites.case import Case, Official
from bench.truncation.cuts import Cutter
from bench.truncation.sweep import Answered, CellSweep, Level, judged, sweep
from engine.fake import VOCABULARY, FakeModel
from engine.formats import ENVELOPE, get
from engine.formats.hermes import HermesFormat
from engine.formats.protocol import ToolFormat
from engine.runtime import Limits, Reasoning, Request
from engine.types import Call, Fragment, Generation, Parsed, Sampling, StopReason
from grammars.errors import ToolgaugeError
from tests.bench.episodes import case_from, raw_case
from tests.bench.scripted import PROVENANCE, fake, plan_of
from tests.engine.test_answer import Desk

CALL = Call("add", {"a": 1, "b": 2})
VARIED = tuple(range(40))
LOOP = (*range(40), *(7, 8, 9) * 9)
ONCE_MORE = (*range(40), 7, 8, 9, 7, 8, 9)
THINK = Reasoning("<think>", "</think>")
HERMES = HermesFormat()


def step(parsed: Parsed, stop: StopReason, tokens: Sequence[int] = VARIED) -> StepRecord:
    return StepRecord(Generation(tokens=tuple(tokens), text="", stop=stop, n_prompt=1, n_cached=0), parsed)


def record(*steps: StepRecord) -> ItemRecord:
    return ItemRecord("mine/1", steps, EpisodeEnd.CUT)


@pytest.mark.parametrize(
    ("parsed", "stop", "tokens", "position", "cause"),
    [
        (Parsed(open_block=True), StopReason.LENGTH, VARIED, "in_call", "budget"),
        (Parsed(calls=(CALL,)), StopReason.LENGTH, VARIED, "after_call", "budget"),
        (Parsed(calls=(CALL,), open_block=True), StopReason.LENGTH, VARIED, "in_call", "budget"),
        (Parsed(content="I think"), StopReason.LENGTH, VARIED, "prose", "budget"),
        (Parsed(), StopReason.LENGTH, VARIED, "prose", "budget"),
        (Parsed(reasoning="Hm"), StopReason.LENGTH, VARIED, "reasoning", "budget"),
        (Parsed(reasoning="Hm"), StopReason.REASONING_LENGTH, VARIED, "reasoning", "reasoning_budget"),
        (Parsed(open_block=True), StopReason.CONTEXT, VARIED, "in_call", "context"),
        (Parsed(content="a a"), StopReason.REPETITION, VARIED, "prose", "repetition"),
        (Parsed(open_block=True), StopReason.LENGTH, LOOP, "in_call", "repetition"),
        (Parsed(open_block=True), StopReason.LENGTH, ONCE_MORE, "in_call", "budget"),
        (Parsed(reasoning="Hm"), StopReason.REASONING_LENGTH, LOOP, "reasoning", "repetition"),
        (Parsed(content="a"), StopReason.CONTEXT, LOOP, "prose", "repetition"),
        (Parsed(open_block=True), StopReason.EOG, LOOP, "in_call", "early_end"),
        (Parsed(open_reasoning=True), StopReason.EOG, LOOP, "reasoning", "early_end"),
    ],
)
def test_where_and_by_what(parsed: Parsed, stop: StopReason, tokens: Sequence[int], position: str, cause: str) -> None:
    found = truncation(record(step(parsed, stop, tokens)))
    assert found == Truncation(0, CutAt(position), TruncationCause(cause))


@pytest.mark.parametrize(
    ("format_id", "text"),
    [
        ("qwen_xml", "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</function>\n</tool_call>"),
        ("glm_xml", "<tool_call>weather<arg_key>city</arg_key><arg_value>Paris</tool_call>"),
        (
            "deepseek_dsml",
            '<｜DSML｜function_calls>\n<｜DSML｜invoke name="weather">\n'
            '<｜DSML｜parameter name="city" string="true">Paris\n'
            "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        ),
        ("gemma4", '<|tool_call>call:weather{city:<|"|>Paris}<tool_call|>'),
    ],
)
def test_a_model_that_wrote_a_calls_end_did_not_end_within_it(format_id: str, text: str) -> None:
    fmt = get(format_id)
    for written, is_broken_off in ((text, False), (text + "\n", False), (text[:-1], True)):
        parsed = fmt.parse(written, ())
        assert parsed.calls == () and parsed.fragments
        assert (truncation(record(step(parsed, StopReason.EOG))) is not None) == is_broken_off, written


WHOLE = '{"name": "add", "arguments": {"a": 1, "b": 2}}'


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (f'{{"calls": [{WHOLE}], "reply": "Sure, I will', "after_call"),
        (f'{{"calls": [{WHOLE}]', "after_call"),
        (f'{{"calls": [{WHOLE}, ', "after_call"),
        (f'{{"reply": "Sure.", "calls": [{WHOLE}', "after_call"),
        (f'<think>Add.</think>{{"calls": [{WHOLE}], "re', "after_call"),
        (f'{{"calls": [{WHOLE}, {{"name": "ad', "in_call"),
        ('{"calls": [{"name": "add", "argum', "in_call"),
        ('{"calls": [{"name": "add"}], "reply": "Su', "prose"),  # an element that is no call
        ('{"calls": [], "reply": "I am', "prose"),
        ('{"calls": [', "prose"),
        ('{"reply": "' + WHOLE.replace('"', "'"), "prose"),
        ("<think>Add", "reasoning"),
    ],
)
def test_a_cut_envelope_is_cut_behind_its_whole_calls_although_none_is_read(text: str, position: str) -> None:
    parsed = ENVELOPE.parse(text, ())
    assert parsed.calls == ()
    found = truncation(replace(record(step(parsed, StopReason.LENGTH)), format_id=ENVELOPE.id))
    assert found == Truncation(0, CutAt(position), TruncationCause.BUDGET)


@pytest.mark.parametrize("before", ["", "<think>Hm.", "<think>Hm.</think>", "<think>Maybe <tool_call>, so\n"])
@pytest.mark.parametrize("n_whole", [0, 1])
def test_a_call_that_ended_reasoning_is_cut_like_any_other(before: str, n_whole: int) -> None:
    """What a constraint made of it: its tokens are the answer's, although reasoning was not closed before it."""
    desk = Desk(FakeModel("fake:test", lambda request, prompt: ""))  # type: ignore[arg-type]
    written = f"<tool_call>\n{WHOLE}\n</tool_call>\n" * (n_whole + 1)
    generation = desk.run(
        Request(
            "key",
            (1, 2, 3),
            limits=Limits(reasoning=100, answer=len(desk.tokenize(written)) - 25),
            compiled=desk.options(written),
            triggers=HERMES.frame.calls,
            reasoning=replace(THINK, calls=HERMES.frame.calls),
            use_forced=False,
        ),
        before + written,
    )
    assert generation.stop is StopReason.LENGTH
    cut = StepRecord(generation, HERMES.parse(generation.text, ()))
    found = truncation(replace(record(cut), format_id=HERMES.id))
    assert found is not None and found.position is CutAt.IN_CALL


def test_a_draft_and_a_second_thought_are_cut_in_reasoning() -> None:
    harmony = get("harmony")
    thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>analysis<|message|>More"
    for fmt, text, n_reasoning in (
        (HERMES, f"<think>Hm.\n<tool_call>\n{WHOLE[:-9]}", len(VARIED)),
        (harmony, thought, 5),
    ):
        for stop in (StopReason.LENGTH, StopReason.CONTEXT):
            made = step(fmt.parse(text, ()), stop)
            made = replace(made, generation=replace(made.generation, n_reasoning=n_reasoning))
            found = truncation(replace(record(made), format_id=fmt.id))
            assert found is not None and found.position is CutAt.REASONING


@pytest.mark.parametrize(
    ("fmt", "written"),
    [
        (HERMES, f"<tool_call>\n{WHOLE}\n</tool_call>\nSure, I will add them for you."),
        (ENVELOPE, f'{{"calls": [{WHOLE}], "reply": "Sure, I will add them for you."}}'),
    ],
    ids=["hermes", "json"],
)
def test_a_budget_that_ends_in_the_words_behind_a_call_cuts_after_it(
    fmt: ToolFormat, written: str, tmp_path: Path
) -> None:
    case = case_from(tmp_path, raw_case())
    desk = Desk(FakeModel("fake:test", lambda request, prompt: ""))  # type: ignore[arg-type]
    tokens = tuple(desk.tokenize(written))
    generation = Generation(tokens, written, StopReason.EOG, n_prompt=1, n_cached=0)
    whole = ItemRecord(
        case.id, (StepRecord(generation, fmt.parse(written, case.tools)),), EpisodeEnd.SINGLE, format_id=fmt.id
    )
    cut = Cutter(fmt, VOCABULARY, "native.free", "none", frozenset()).cut(case, whole, len(tokens) - 10)
    assert score(case, cut).cut_at is CutAt.AFTER_CALL


@pytest.mark.parametrize(
    ("parsed", "stop"),
    [
        (Parsed(calls=(CALL,)), StopReason.EOG),
        (Parsed(), StopReason.EOG),
        (Parsed(fragments=(Fragment("{", "not JSON", 0),)), StopReason.EOG),
        (Parsed(open_block=True), StopReason.CONSTRAINT),
    ],
)
def test_what_is_finished_or_the_constraints_fault_is_not_truncated(parsed: Parsed, stop: StopReason) -> None:
    assert truncation(record(step(parsed, stop))) is None


def test_the_first_step_that_broke_off_counts() -> None:
    fine = step(Parsed(calls=(CALL,)), StopReason.EOG)
    cut = step(Parsed(content="a"), StopReason.CONTEXT)
    assert truncation(record(fine, cut, step(Parsed(), StopReason.LENGTH))) == Truncation(
        1, CutAt.PROSE, TruncationCause.CONTEXT
    )


@pytest.mark.parametrize(
    ("tokens", "repeats"),
    [
        ([5] * 24, True),
        ([5] * 23, False),
        ([1, *[5] * 24], True),
        ([*[5] * 24, 1], False),
        (list(range(8)) * 3, True),
        (list(range(9)) * 3, True),
        (list(range(9)) * 2, False),
        (list(range(32)) * 3, True),
        (list(range(33)) * 3, False),  # longer blocks are what tables and lists have
        ([*list(range(30)) * 2, *range(29), 99], False),
        ([], False),
    ],
)
def test_what_counts_as_repetition(tokens: list[int], repeats: bool) -> None:
    assert ends_in_repetition(tokens) == repeats


def test_the_score_names_the_cause(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    cut = score(case, record(step(Parsed(open_block=True), StopReason.LENGTH, LOOP)))
    assert (cut.outcome, cut.cut_at, cut.truncated_by) == (Outcome.TRUNCATED, CutAt.IN_CALL, TruncationCause.REPETITION)
    assert cut.truncated_at is CutAt.IN_CALL
    for begun, place in (Parsed(open_block=True), CutAt.IN_CALL), (Parsed(open_reasoning=True), CutAt.REASONING):
        early = score(case, record(step(begun, StopReason.EOG)))
        assert (early.outcome, early.cut_at) == (Outcome.UNPARSEABLE, None)
        assert (early.truncated_by, early.truncated_at) == (TruncationCause.EARLY_END, place)
    assert score(case, record(step(Parsed(calls=(CALL,)), StopReason.EOG))).truncated_by is None


# Cutting one answer: against the engine's own answer with that budget

PARTS = st.sampled_from(
    [
        "<think>",
        "</think>",
        " ",
        "\n",
        "Hm. ",
        "<thin",
        "<tool_call>\n",
        '{"name": "add"',
        "</tool_call>",
        "ab" * 40,
        "é😀",
    ]
)


@settings(max_examples=150)
@given(
    parts=st.lists(PARTS, max_size=8),
    spelled=st.booleans(),
    reasoning=st.sampled_from([None, THINK, replace(THINK, opened=True)]),
    budget=st.integers(1, 40),
    n_reasoning=st.integers(1, 60),
    n_ctx=st.integers(20, 300),
)
def test_a_cut_answer_is_the_engines_own_with_that_budget(
    parts: list[str], spelled: bool, reasoning: Reasoning | None, budget: int, n_reasoning: int, n_ctx: int
) -> None:
    desk = Desk(FakeModel("fake:test", lambda request, prompt: ""))  # type: ignore[arg-type]
    text = "".join(parts)
    wish = desk.spelled(text) if spelled else desk.tokenize(text)
    prompt = "<|im_start|>assistant\n" + ("<think>" if reasoning and reasoning.opened else "")

    def answer(n_answer: int) -> StepRecord:
        request = Request("key", (1, 2, 3), limits=Limits(n_answer, n_reasoning), reasoning=reasoning)
        generation = desk.run(request, wish, n_ctx=n_ctx)
        parsed = HERMES.parse(generation.text, (), reasoning_opened=bool(reasoning and reasoning.opened))
        return StepRecord(generation, parsed, prompt=prompt)

    case = _any_case()
    long, real = answer(200), answer(budget)
    cutter = Cutter(HERMES, VOCABULARY, "native.free", "none", frozenset())
    (cut,) = cutter.cut(case, ItemRecord(case.id, (long,), EpisodeEnd.SINGLE), budget).steps
    for name in ("tokens", "text", "stop", "n_reasoning", "n_prompt"):
        assert getattr(cut.generation, name) == getattr(real.generation, name), name
    assert cut.parsed == real.parsed


def _any_case() -> Case:
    return Case("mine/1", "any", (), (), "auto", (), {}, None, (), 1, "")


# Whole runs of scripted models, whose answers are a token a byte


def filled(store: Store, plan: Plan) -> int:
    """Play the plan in this process and store it; its run."""
    run_id = writer.begin_run(store, plan, PROVENANCE)
    cells = {(cell.model.name, cell.mode): cell.id for cell in store.cells(run_id)}
    items = {item.key: (cell, item) for cell in plan.cells for item in cell.items}
    for model in plan.models:
        left = todo(plan, model, Stored({}, frozenset(), frozenset()))
        spec = model_spec(plan, model, open_model)
        loaded = open_model(spec, left.work())

        def keep(message: Any) -> None:
            if isinstance(message, ItemFinished):
                cell, item = items[message.key]
                place = cells[cell.model.name, cell.mode.id]
                writer.put_item(store, run_id, place, item, message.record, scores=[verdict(item.case, message.record)])

        with loaded.runtime(single=False) as opened:
            Player(loaded, spec, keep).play(opened.runtime, left.work().items)
    writer.release(store, run_id, finished=True)
    return run_id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


MODELS = ("fake:perfect", "fake:rude", "fake:broken-json", "fake:silent")


def plan_at(folder: Path, budget: int, **settings: Any) -> Plan:
    return plan_of(
        folder,
        [fake(name) for name in MODELS],
        with_episode=True,
        modes=("native.free", "json.schema"),
        limits=Limits(budget),
        suites=(str(folder / "mine.jsonl"),),
        **settings,
    )


def test_a_sweep_counts_as_real_runs_do(store: Store, tmp_path: Path) -> None:
    long = store.run(str(filled(store, plan_at(tmp_path, 300))))
    budgets = (1, 8, 20, 48, 58, 59, 60, 120, 300)
    found = sweep(store, long, budgets)
    assert found.budgets == budgets
    for place, budget in enumerate(budgets):
        real = sweep(store, store.run(str(filled(store, plan_at(tmp_path, budget)))), [budget])
        assert [cell.levels[place] for cell in found.cells] == [cell.levels[0] for cell in real.cells], budget
    right = {(cell.model, cell.mode): [level.n_correct for level in cell.levels] for cell in found.cells}
    assert right["fake:perfect", "native.free"][0] == 0
    assert right["fake:perfect", "native.free"][-1] == 4


def test_what_is_left_at_each_budget(store: Store, tmp_path: Path) -> None:
    run = store.run(str(filled(store, plan_at(tmp_path, 300))))
    cells = {(cell.model, cell.mode): cell for cell in sweep(store, run, (4, 30, 300)).cells}
    small, middle, large = cells["fake:perfect", "native.free"].levels
    assert (small.n_scored, small.n_correct, small.n_truncated) == (4, 0, 4)
    assert small.truncated == {("in_call", "budget"): 4}
    assert middle.truncated == {("in_call", "budget"): 4}
    assert (large.n_correct, large.truncated) == (4, {})
    assert cells["fake:perfect", "native.free"].enough == 300
    broken = cells["fake:broken-json", "native.free"].levels[-1]
    assert broken.truncated == {("in_call", "early_end"): 4}
    assert cells["fake:silent", "native.free"].enough is None


def test_answering_again_makes_no_interval_narrower(store: Store, tmp_path: Path) -> None:
    """The trials of a case resemble each other: eight answers to four cases say no more than four."""
    plans = (plan_at(tmp_path, 300, sampling=Sampling(temperature=0.5), trials=n) for n in (1, 2))
    once, twice = (
        sweep(store, store.run(str(filled(store, plan))), (58,)).cells[0].levels[0].accuracy for plan in plans
    )
    assert once
    assert twice
    assert (once.n, twice.n) == (4, 8)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize(("first", "rest"), [(1, 8), (8, 1), (1, 1)])
def test_how_many_at_a_time_is_what_was_and_not_what_the_settings_say(
    store: Store, tmp_path: Path, first: int, rest: int
) -> None:
    """A run may be gone on with at another number, which its settings keep nothing of."""
    run = store.run(str(filled(store, plan_at(tmp_path, 50))))
    with store.transaction() as sql:
        sql.execute("UPDATE item SET n_slots = CASE WHEN id <= 2 THEN ? ELSE ? END", (first, rest))
    assert sweep(store, run, (50,)).n_parallel == max(first, rest)


def test_an_error_after_a_cut_never_happens(tmp_path: Path) -> None:
    case = case_from(tmp_path, raw_case())
    tokens = tuple(b"some words")
    generation = Generation(tokens, "some words", StopReason.EOG, n_prompt=1, n_cached=0)
    failed = ItemRecord(
        case.id,
        (StepRecord(generation, Parsed(content="some words")),),
        EpisodeEnd.ERROR,
        ItemError(ErrorKind.CONTEXT, "the prompt does not fit"),
    )
    cutter = Cutter(HERMES, VOCABULARY, "native.free", "none", frozenset())
    cut = cutter.cut(case, failed, 4)
    assert (cut.error, cut.end, cut.steps[0].generation.text) == (None, EpisodeEnd.SINGLE, "some")
    assert cutter.cut(case, failed, 11) is failed


TALK = Case(
    "multi_turn_base_0",
    "multi_turn_base",
    (),
    (),
    "auto",
    (),
    {},
    None,
    (),
    42,
    "",
    official=Official("bfcl", {"turns": [[["user", "Add."]], [["user", "Once more."]]], "held_back": {}}),
)
WRITTEN = HERMES.write([CALL], ())
LONG = "I have added the two numbers for you, and this is a long summary of what I did to get there."


def talk(*texts: str) -> ItemRecord:
    steps = []
    for text in texts:
        generation = Generation(tuple(text.encode()), text, StopReason.EOG, n_prompt=1, n_cached=0)
        parsed = HERMES.parse(text, ())
        steps.append(StepRecord(generation, parsed, tuple(ToolResult("add", "3", ok=True) for _ in parsed.calls)))
    return ItemRecord(TALK.id, tuple(steps), EpisodeEnd.REPLY)


@pytest.mark.parametrize(
    ("texts", "budget", "was", "expected", "position"),
    [
        ((WRITTEN, "Done.", WRITTEN, LONG), 80, Outcome.CORRECT, Outcome.CORRECT, CutAt.PROSE),
        ((WRITTEN, LONG, WRITTEN, "Done."), 80, Outcome.CORRECT, Outcome.CORRECT, CutAt.PROSE),
        ((WRITTEN, "Done.", WRITTEN, LONG), 80, Outcome.WRONG_TOOL, Outcome.TRUNCATED, CutAt.PROSE),
        ((WRITTEN, "Done.", WRITTEN, LONG), 80, Outcome.RUNTIME_ERROR, Outcome.RUNTIME_ERROR, CutAt.PROSE),
        ((WRITTEN, "Done.", WRITTEN, LONG), 20, Outcome.CORRECT, Outcome.TRUNCATED, CutAt.IN_CALL),
        ((WRITTEN + LONG, "Done.", "No.", "Bye."), 80, Outcome.CORRECT, Outcome.CORRECT, CutAt.AFTER_CALL),
        ((WRITTEN, "Done.", LONG + WRITTEN, "Done."), 80, Outcome.CORRECT, Outcome.TRUNCATED, CutAt.PROSE),
        ((WRITTEN, "Done.", WRITTEN, LONG), 200, Outcome.CORRECT, Outcome.CORRECT, None),
    ],
)
def test_a_conversation_whose_calls_are_all_there_is_as_right_as_it_was(
    texts: tuple[str, ...], budget: int, was: Outcome, expected: Outcome, position: CutAt | None
) -> None:
    """A long closing reply that is cut ends its turn like a whole one."""
    assert len(WRITTEN) < 80 < len(LONG)
    whole = talk(*texts)
    cutter = Cutter(HERMES, VOCABULARY, "native.free", "none", frozenset())
    outcome, found = judged(cutter, Answered(TALK, whole, was), budget)
    assert (outcome, found and found.position) == (expected, position)
    if outcome is Outcome.CORRECT:  # as a run with that budget is judged, whose calls the official checker accepts
        cut = cutter.cut(TALK, whole, budget)
        assert multi_turn.outcome(TALK, cut, VALID) is Outcome.CORRECT
        assert [step.results for step in cut.steps] == [step.results for step in whole.steps]


def test_a_larger_budget_than_the_runs_is_a_sentence(store: Store, tmp_path: Path) -> None:
    run = store.run(str(filled(store, plan_at(tmp_path, 50))))
    with pytest.raises(ToolgaugeError, match=r"run 1 had 50 tokens for an answer, so nobody .* leave 64"):
        sweep(store, run, (32, 64))


def test_answers_without_a_verdict_are_counted_apart(store: Store, tmp_path: Path) -> None:
    run = store.run(str(filled(store, plan_at(tmp_path, 50))))
    with store.transaction() as sql:
        sql.execute("DELETE FROM score WHERE item_id = 1")
    first = sweep(store, run, (50,)).cells[0]
    assert (first.n_left_out, first.levels[0].n_scored) == (1, 3)


def test_a_sweep_as_json_is_whole(store: Store, tmp_path: Path) -> None:
    run = store.run(str(filled(store, plan_at(tmp_path, 50))))
    values = sweep(store, run, (8, 50)).to_json()
    assert (values["run_id"], values["budgets"], values["generated_at"]) == (1, (8, 50), 50)
    level = values["cells"][0]["levels"][0]
    assert level["truncated"] == [{"position": "in_call", "cause": "budget", "n": 4}]
    assert level["n_truncated"] == 4


def test_enough_is_the_smallest_budget_without_a_loss() -> None:
    levels = tuple(Level(budget, Rate(right, 10, 0, 1), 0, {}) for budget, right in ((32, 4), (64, 7), (128, 7)))
    cell = CellSweep("m", "Q4_K_M", "quick", "native.free", "none", 0, levels)
    assert cell.enough == 64
