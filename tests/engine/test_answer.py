"""Phases, budgets and stop rules, with made-up logits: the `wish` of a test is what the model would write by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.constraint import backend
from engine.decoding.answer import Answer
from engine.decoding.spelling import Spelling
from engine.decoding.stops import REPEATED_TOKENS, MarkerFinder, repeats
from engine.errors import ConstraintError
from engine.llama import Model
from engine.runtime import Limits, Reasoning, Request
from engine.sampler import Logits, Workspace
from engine.types import ConstraintStats, Generation, Sampling, StopReason
from engine.vocabulary import Vocabulary
from grammars.nodes import Json
from tests.engine.options import CheckedOptions, Options, OptionsState

THINK = Reasoning("<think>", "</think>")
CALL = "<tool_call>"


@dataclass
class Stream:
    """A watcher that wants to have seen certain texts."""

    name: str
    call: str
    text: str = ""

    def feed(self, text: str) -> None:
        self.text += text

    @property
    def name_known(self) -> bool:
        return self.name in self.text

    @property
    def call_complete(self) -> bool:
        return self.call in self.text

    @property
    def call_start(self) -> int | None:
        place = self.text.find(self.call)
        return place if place >= 0 else None


@dataclass
class Desk:
    """Runs answers against wishes."""

    model: Model
    vocabulary: Vocabulary = field(init=False)
    workspace: Workspace = field(init=False)

    def __post_init__(self) -> None:
        self.vocabulary = self.model.vocabulary()
        self.workspace = Workspace(self.vocabulary)

    def options(self, *texts: str) -> Options:
        return Options(self.vocabulary, self.tokenize, texts)

    def tokenize(self, text: str) -> list[int]:
        return self.model.tokenize(text)

    def spelled(self, text: str) -> list[int]:
        """The text in one token per byte, markers too."""
        single = {piece: token for token, piece in enumerate(self.vocabulary.pieces) if len(piece) == 1}
        return [single[bytes((byte,))] for byte in text.encode()]

    def logits(self, *wishes: int) -> Logits:
        """The first wish is the likeliest token, and so on; all others are equal, the ends the last of all."""
        row = np.zeros(self.vocabulary.n_tokens, dtype=np.float32)
        row[list(self.vocabulary.eog)] = -1
        for place, token in enumerate(wishes):
            row[token] = 20 - place
        return row

    def answer(self, request: Request, n_ctx: int = 4096, measure: bool = False) -> Answer:
        spelling = Spelling(self.vocabulary, self.tokenize)
        return Answer(request, self.vocabulary, self.workspace, spelling.tokens, n_ctx=n_ctx, measure=measure)

    def run(
        self, request: Request, wish: str | Sequence[int], *, n_ctx: int = 4096, measure: bool = False
    ) -> Generation:
        """Let the model write what it wishes, where it may; it ends when the wish does."""
        answer = self.answer(request, n_ctx, measure)
        wished = self.tokenize(wish) if isinstance(wish, str) else list(wish)
        rows = [self.logits(token) for token in wished] + [self.logits(*sorted(self.vocabulary.eog))]

        def row(position: int) -> Logits:
            return rows[min(position, len(rows) - 1)].copy()

        rows_wanted: range = range(0)
        while not answer.done:
            best = [answer.best(row(position)) for position in rows_wanted]
            mask = answer.mask() if answer.wants_mask else None
            new = answer.advance(row(len(answer.tokens)), mask, best)
            end = len(answer.tokens)
            rows_wanted = range(end - len(new) + 1, end) if answer.wants_all_rows else range(0)
        return answer.generation(submitted_s=0.0, prefill_s=0.0, decodes=(), n_cached=0)

    def write(self, request: Request, text: str) -> Generation:
        """Let the model write a text, in the longest tokens that it may."""
        answer, wish = self.answer(request), text.encode()
        by_piece = {piece: token for token, piece in enumerate(self.vocabulary.pieces)}
        while not answer.done:
            rest = wish[sum(len(self.vocabulary.pieces[token]) for token in answer.tokens) :]
            heads = (rest[:size] for size in range(16, 0, -1))
            wished = [by_piece[head] for head in dict.fromkeys(heads) if head in by_piece] if rest else []
            answer.advance(self.logits(*wished or sorted(self.vocabulary.eog)))
        return answer.generation(submitted_s=0.0, prefill_s=0.0, decodes=(), n_cached=0)


@pytest.fixture
def desk(tiny_model: Model) -> Desk:
    return Desk(tiny_model)


def request(**settings: object) -> Request:
    return replace(Request("key", (1, 2, 3)), **settings)  # type: ignore[arg-type]


# Free text


def test_free_text_ends_with_the_models_end_token_which_is_left_out(desk: Desk) -> None:
    generation = desk.run(request(), "No tool is needed.")
    assert (generation.text, generation.stop) == ("No tool is needed.", StopReason.EOG)
    assert generation.tokens == tuple(desk.tokenize("No tool is needed."))
    assert generation.constraint is None


def test_a_format_may_end_answers_with_a_token_of_its_own(desk: Desk) -> None:
    ends = frozenset(desk.tokenize("[TOOL_CALLS]"))
    generation = desk.run(request(stop_tokens=ends), "one[TOOL_CALLS]two")
    assert (generation.text, generation.stop) == ("one", StopReason.EOG)


@pytest.mark.parametrize("budget", [1, 2, 7])
def test_the_answers_budget_is_kept_to_the_token(desk: Desk, budget: int) -> None:
    generation = desk.run(request(limits=Limits(answer=budget)), desk.spelled("a long story"))
    assert (len(generation.tokens), generation.stop) == (budget, StopReason.LENGTH)


def test_the_context_ends_an_answer_when_prompt_and_answer_fill_it(desk: Desk) -> None:
    generation = desk.run(request(), desk.spelled("a long story"), n_ctx=3 + 5)
    assert (len(generation.tokens), generation.stop) == (5, StopReason.CONTEXT)


def test_endless_repetition_is_stopped_and_lists_are_not(desk: Desk) -> None:
    wish = desk.spelled("start " + "abc" * 400)
    generation = desk.run(request(limits=Limits(answer=1000)), wish)
    assert generation.stop is StopReason.REPETITION
    assert len(generation.tokens) < len("start ") + REPEATED_TOKENS + 16
    numbers = "[" + ", ".join(str(number) for number in range(160)) + "]"
    assert desk.run(request(limits=Limits(answer=1000)), desk.spelled(numbers)).stop is StopReason.EOG


def test_an_empty_board_of_eight_by_eight_is_no_endless_repetition(desk: Desk) -> None:
    """A right answer of 64 zeros was cut after 43 of them, in every mode."""
    board = "[" + ", ".join("0" * 64) + "]"
    assert desk.run(request(), desk.spelled(board)).stop is StopReason.EOG


ZEROS, ABC = {"type": "array", "items": {"type": "integer"}}, {"type": "string"}


@pytest.mark.parametrize("name", ["llguidance", "gbnf"])
@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({**ZEROS, "minItems": 120, "maxItems": 120}, [0] * 120),
        ({**ZEROS, "maxItems": 800}, [0] * 120),
        ({**ZEROS, "minItems": 120}, [0] * 120),
        ({**ZEROS, "minItems": 200}, [0] * 210),
        ({**ABC, "maxLength": 900}, "abc" * 120),
    ],
)
def test_a_repetition_that_the_grammar_bounds_or_demands_may_be_long(
    desk: Desk, name: str, schema: dict[str, object], text: object
) -> None:
    """A list of equal elements was cut although the schema asked for every one of them."""
    compiled, wish = backend(name, desk.model).compile(Json(schema)), json.dumps(text)
    generation = desk.write(request(compiled=compiled, limits=Limits(answer=1000)), wish)
    assert (generation.text, generation.stop) == (wish, StopReason.EOG)
    assert len(generation.tokens) > REPEATED_TOKENS + 16


@pytest.mark.parametrize("name", ["llguidance", "gbnf"])
@pytest.mark.parametrize(
    ("schema", "text", "n_tokens"),
    [
        (ZEROS, "[" + "0, " * 900, REPEATED_TOKENS + 32),
        (ABC, '"' + "abc" * 900, REPEATED_TOKENS + 32),
        ({"type": "array"}, "[" * 900, REPEATED_TOKENS + 32),
        ({"type": "array"}, '[{"a": ' * 200, REPEATED_TOKENS + 32),
        ({"type": "integer"}, "1" * 900, REPEATED_TOKENS + 32),
        ({**ZEROS, "minItems": 120}, "[" + "0, " * 900, 2 * REPEATED_TOKENS + 48),
    ],
)
def test_a_repetition_that_the_grammar_never_ends_is_stopped(
    desk: Desk, name: str, schema: dict[str, object], text: str, n_tokens: int
) -> None:
    compiled = backend(name, desk.model).compile(Json(schema))
    generation = desk.write(request(compiled=compiled, limits=Limits(answer=900)), text)
    assert generation.stop is StopReason.REPETITION
    assert len(generation.tokens) <= n_tokens


def test_a_grammar_that_breaks_further_on_does_not_break_a_repetition(desk: Desk) -> None:
    class Broken(Options):
        def start(self):  # type: ignore[no-untyped-def]
            class State(OptionsState):
                def accept(self, token: int) -> None:
                    if len(self.accepted) == 350:
                        raise ConstraintError("the grammar engine is in an error state")
                    super().accept(token)

            return State(self)

    wish = "Q" * 300
    compiled = Broken(desk.vocabulary, desk.tokenize, (wish, "Q" * 400))
    generation = desk.write(request(compiled=compiled, limits=Limits(answer=1000)), wish)
    assert (generation.text, generation.stop) == (wish, StopReason.EOG)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1] * REPEATED_TOKENS, 1),
        ([1] * (REPEATED_TOKENS - 1), 0),
        ([*range(32)] * 9, 32),
        ([*range(33)] * 9, 0),
        ([9, *range(32)] * 9, 0),
        ([1] * 255 + [2], 0),
        ([5, 6, 7] + [1, 2] * 128, 2),
    ],
)
def test_what_counts_as_repetition(tokens: list[int], expected: int) -> None:
    assert repeats(tokens) == expected


def found_at(finder: MarkerFinder, text: bytes, size: int) -> tuple[bytes, int] | None:
    """The marker found in text that comes in pieces of `size` bytes, and where it ends."""
    for start in range(0, len(text), size):
        piece = text[start : start + size]
        if found := finder.feed(piece):
            assert piece.endswith(found.rest)
            return found.marker, start + len(piece) - len(found.rest)
    return None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_marker_is_found_however_the_text_is_cut(size: int) -> None:
    text = b"<<think <think>rest"
    assert found_at(MarkerFinder(["<think>"]), text, size) == (b"<think>", text.index(b"rest"))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("text", "marker", "end"),
    [
        (b"a [x {y", b"[", 3),
        (b"a {x [y", b"{", 3),
        (b"commentary to=", b" to=", 14),  # what is complete first, ...
        (b"say|commentary to=", b"|commentary to=", 18),  # ... and of two that end together the longer
        (b"<a<ab<abc", b"<abc", 9),
        (b"none", None, None),
    ],
)
def test_the_first_of_several_markers_is_found(size: int, text: bytes, marker: bytes | None, end: int | None) -> None:
    finder = MarkerFinder(["{", "[", " to=", "|commentary to=", "<abc"])
    assert found_at(finder, text, size) == ((marker, end) if marker else None)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("text", "marker"),
    [
        (b"{", b"{"),
        (b" \n\t {x", b"{"),
        (b"\n<|call|>{", b"<|call|>"),
        (b"<|cal{", None),
        (b"so {", None),
        (b"", None),
        (b"  ", None),
    ],
)
def test_a_marker_may_count_at_the_start_only(size: int, text: bytes, marker: bytes | None) -> None:
    finder = MarkerFinder(["{", "<|call|>"], at_start=True)
    found = found_at(finder, text, size)
    assert found == ((marker, text.index(marker) + len(marker)) if marker else None)
    finder.reset()
    assert found_at(finder, b"{", size) == (b"{", 1), "a new stream has a start of its own"


# Constraints


def test_what_is_allowed_is_written_and_nothing_is_counted(desk: Desk) -> None:
    generation = desk.run(request(compiled=desk.options("yes", "no"), use_forced=False), "no")
    assert (generation.text, generation.stop) == ("no", StopReason.EOG)
    assert generation.constraint == ConstraintStats(n_masked=len(generation.tokens))


def test_a_constraint_pushes_the_model_to_the_likeliest_allowed_text(desk: Desk) -> None:
    options = desk.options("yes", "no")
    generation = desk.run(request(compiled=options, use_forced=False), "maybe")
    assert generation.text in ("yes", "no")
    stats = generation.constraint
    assert stats and stats.n_interventions == stats.n_masked == len(generation.tokens)
    assert options.started[-1].accepted == list(generation.tokens)


@pytest.mark.parametrize("kind", [Options, CheckedOptions])
@pytest.mark.parametrize("use_forced", [True, False])
@pytest.mark.parametrize("measure", [True, False])
def test_every_token_was_accepted_by_the_constraint(
    desk: Desk, kind: type[Options], use_forced: bool, measure: bool
) -> None:
    options = kind(desk.vocabulary, desk.tokenize, ("QXQ", "QZZZ", "QX"))
    generation = desk.run(request(compiled=options, use_forced=use_forced), "QZ?", measure=measure)
    assert (generation.text, generation.stop) == ("QZZZ", StopReason.EOG)
    assert options.started[-1].accepted == list(generation.tokens)


def test_a_complete_answer_may_end_or_go_on(desk: Desk) -> None:
    options = desk.options("QX", "QXQ")
    assert desk.run(request(compiled=options), "QX").text == "QX"
    assert desk.run(request(compiled=options), "QXQ").text == "QXQ"


def test_forced_tokens_are_written_without_being_chosen(desk: Desk) -> None:
    generation = desk.run(request(compiled=desk.options("QXQX")), "something else")
    assert (generation.text, generation.stop) == ("QXQX", StopReason.EOG)
    assert generation.constraint == ConstraintStats(n_forced=4)


def test_forced_positions_where_the_model_wished_otherwise_are_counted_if_measured(desk: Desk) -> None:
    forced = desk.options("QXQX")
    agreed = desk.run(request(compiled=forced), desk.spelled("QXQX"), measure=True)
    assert agreed.constraint == ConstraintStats(n_forced=4)
    differed = desk.run(request(compiled=forced), desk.spelled("QZQZ"), measure=True)
    assert differed.constraint == ConstraintStats(n_forced=4, n_interventions=2)


def test_another_segmentation_of_forced_text_is_no_intervention(desk: Desk) -> None:
    text = ' "name": "city"}'
    assert len(desk.tokenize(text)) < len(text), "this test needs tokens of several letters"
    generation = desk.run(request(compiled=desk.options(text)), desk.spelled(text)[:1], measure=True)
    first_only = generation.constraint
    assert first_only and first_only.n_forced == len(generation.tokens)
    assert first_only.n_interventions == len(generation.tokens) - 1


def test_removed_mass_is_the_probability_of_what_was_not_allowed(desk: Desk) -> None:
    token = desk.spelled("Q")[0]
    answer = desk.answer(request(compiled=desk.options("Q", "QQ"), use_forced=False), measure=True)
    row = np.full(desk.vocabulary.n_tokens, -100, dtype=np.float32)
    row[token], row[desk.spelled("Z")[0]] = np.log(0.25), np.log(0.75)
    answer.advance(row.copy())
    answer.advance(desk.logits(token))
    stats = answer.generation(submitted_s=0, prefill_s=0, decodes=(), n_cached=0).constraint
    assert stats and stats.n_masked == 2
    assert stats.removed_mass == pytest.approx(0.75 / 2, abs=1e-3)


def test_a_constraint_that_allows_nothing_more_stops_the_answer(desk: Desk) -> None:
    @dataclass
    class DeadEnd(Options):
        def start(self):  # type: ignore[no-untyped-def]
            state = super().start()
            state.__class__ = type("Dead", (state.__class__,), {"allows": lambda *_: False})
            return state

    generation = desk.run(request(compiled=DeadEnd(desk.vocabulary, desk.tokenize, ("yes",)), use_forced=False), "yes")
    assert (generation.text, generation.stop) == ("", StopReason.CONSTRAINT)


def test_a_constraint_that_forces_what_it_forbids_is_an_error(desk: Desk) -> None:
    @dataclass
    class Lying(Options):
        def start(self):  # type: ignore[no-untyped-def]
            state = super().start()
            state.__class__ = type("Liar", (state.__class__,), {"forced": lambda *_: desk.spelled("Z")})
            return state

    with pytest.raises(ConstraintError, match="forces token"):
        desk.run(request(compiled=Lying(desk.vocabulary, desk.tokenize, ("yes",))), "yes")


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_forced_tokens_keep_the_budget(desk: Desk, budget: int) -> None:
    generation = desk.run(request(compiled=desk.options("QXQX"), limits=Limits(answer=budget)), "")
    assert (generation.text, generation.stop) == ("QXQX"[:budget], StopReason.LENGTH)


def test_an_answer_that_is_finished_with_the_last_token_of_its_budget_is_not_cut_off(desk: Desk) -> None:
    for use_forced in (True, False):
        compiled = desk.options("QXQX")
        generation = desk.run(
            request(compiled=compiled, limits=Limits(answer=4), use_forced=use_forced), desk.spelled("QXQX")
        )
        assert (generation.text, generation.stop) == ("QXQX", StopReason.EOG)


def test_a_formats_own_end_token_ends_a_complete_constrained_answer(desk: Desk) -> None:
    ends = frozenset(desk.tokenize("[TOOL_CALLS]"))
    compiled = desk.options("QX", "QXQ")
    generation = desk.run(request(compiled=compiled, stop_tokens=ends), "QX[TOOL_CALLS]")
    assert (generation.text, generation.stop) == ("QX", StopReason.EOG)
    assert generation.constraint and generation.constraint.n_interventions == 0


def test_with_a_temperature_a_formats_own_end_token_has_its_share(desk: Desk) -> None:
    """It ended an answer always where it was the likeliest token, and never where it was not."""
    (end,) = desk.tokenize("[TOOL_CALLS]")
    (go_on,) = desk.spelled("Q")
    compiled = desk.options("X", "XQ")
    for end_is_likelier in (True, False):
        texts = []
        for seed in range(60):
            warm = Sampling(temperature=1.0, seed=seed)
            answer = desk.answer(request(compiled=compiled, stop_tokens=frozenset({end}), sampling=warm))
            answer.advance(desk.logits(*desk.spelled("X")))
            row = np.full(desk.vocabulary.n_tokens, -100, dtype=np.float32)
            row[end], row[go_on] = (0.1, 0.0) if end_is_likelier else (0.0, 0.1)
            answer.advance(row)
            found = answer.generation(submitted_s=0, prefill_s=0, decodes=(), n_cached=0)
            assert found.stop is StopReason.EOG
            assert found.constraint and found.constraint.n_interventions == 0
            texts.append(found.text)
        assert 15 < texts.count("X") < 45
        assert texts.count("X") + texts.count("XQ") == 60


# Triggers


def test_text_is_free_until_the_trigger_and_constrained_behind_it(desk: Desk) -> None:
    compiled = desk.options(f"{CALL}QX</tool_call>", f"{CALL}QZ</tool_call>")
    generation = desk.run(request(compiled=compiled, triggers=(CALL,)), f"Let me see. {CALL}QZ and more")
    assert generation.text == f"Let me see. {CALL}QZ</tool_call>"
    assert generation.stop is StopReason.EOG
    assert compiled.started[-1].written == b"<tool_call>QZ</tool_call>"


def test_without_the_trigger_nothing_is_constrained(desk: Desk) -> None:
    compiled = desk.options("QX")
    generation = desk.run(request(compiled=compiled, triggers=(CALL,)), "No tool is needed.")
    assert generation.text == "No tool is needed."
    assert not compiled.started
    assert generation.constraint == ConstraintStats()


def test_a_trigger_spelled_in_letters_triggers_too(desk: Desk) -> None:
    generation = desk.run(request(compiled=desk.options(f"{CALL}QX"), triggers=(CALL,)), desk.spelled(f"{CALL}QZ"))
    assert generation.text == f"{CALL}QX"


JOINED = '", "arguments": {"'  # a single token of the tiny vocabulary


@pytest.mark.parametrize("option", ['": {"Q', '": {"QX'])
def test_a_token_that_reaches_over_the_trigger_is_kept_if_the_rest_is_allowed(desk: Desk, option: str) -> None:
    compiled = desk.options(f'", "arguments{option}')
    generation = desk.run(request(compiled=compiled, triggers=('", "arguments',)), f"{JOINED}QX")
    assert generation.tokens[0] == desk.tokenize(JOINED)[0]
    assert generation.text == f'", "arguments{option}'


def test_a_token_that_reaches_over_the_trigger_is_cut_if_the_rest_is_not_allowed(desk: Desk) -> None:
    compiled = desk.options('", "argumentsQX')
    generation = desk.run(request(compiled=compiled, triggers=('", "arguments',)), f"{JOINED}QX")
    assert generation.text == '", "argumentsQX'
    assert desk.tokenize(JOINED)[0] not in generation.tokens
    assert generation.constraint and generation.constraint.n_interventions == 1, "the model wished otherwise"


OBJECT = '{"name": "QX'
OBJECTS = (OBJECT, '{"name": "QZ')


def at_start(desk: Desk, *texts: str, **settings: object) -> Request:
    return request(compiled=desk.options(*texts), triggers=("{", "[TOOL_CALLS]{"), trigger_at_start=True, **settings)


@pytest.mark.parametrize("trigger", [CALL, "[TOOL_CALLS]", "call:"])
def test_any_of_several_triggers_begins_the_constraint(desk: Desk, trigger: str) -> None:
    triggers = (CALL, "[TOOL_CALLS]", "call:")
    compiled = desk.options(*(f"{each}{name}" for each in triggers for name in ("QX", "QZ")))
    generation = desk.run(request(compiled=compiled, triggers=triggers), f"so {trigger}QZ {CALL}")
    assert generation.text == f"so {trigger}QZ"
    assert compiled.started[-1].written.decode() == f"{trigger}QZ"


@pytest.mark.parametrize("lead", ["", "\n", " \n\t "])
@pytest.mark.parametrize("wish", ["{", '{"', '{"name": "', '{"name": "QZ and so on'])
@pytest.mark.parametrize("spelled", [True, False])
def test_a_trigger_at_the_start_begins_the_constraint(desk: Desk, lead: str, wish: str, spelled: bool) -> None:
    wished = desk.spelled(lead + wish) if spelled else desk.tokenize(lead + wish)
    generation = desk.run(at_start(desk, *OBJECTS), wished)
    assert generation.text in [lead + each for each in OBJECTS]
    assert generation.stop is StopReason.EOG
    assert not wish.endswith("on") or generation.text.endswith("QZ")


@pytest.mark.parametrize("prose", ["Like {so}.", "a{", '\n\nnot {"name": "QA', "[TOOL_CALLS] {"])
def test_a_trigger_at_the_start_means_nothing_in_prose(desk: Desk, prose: str) -> None:
    asked = at_start(desk, *OBJECTS)
    for wish in (desk.tokenize(prose), desk.spelled(prose)):
        generation = desk.run(asked, wish)
        assert (generation.text, generation.stop) == (prose, StopReason.EOG)
        assert generation.constraint == ConstraintStats()


@pytest.mark.parametrize("rest", ["", "\n", " hm"])
def test_the_start_of_an_answer_is_behind_its_reasoning(desk: Desk, rest: str) -> None:
    wish = "<think>{is it?</think>" + rest + '{"name": "QZ...'
    generation = desk.run(at_start(desk, *OBJECTS, reasoning=THINK), wish)
    assert generation.text == wish[: -len("...")] if not rest.strip() else wish


def test_what_follows_a_trigger_is_forced(desk: Desk) -> None:
    for use_forced in (True, False):
        compiled = desk.options(f"{CALL}QXQX</tool_call>")
        wish = f"so {CALL}QXQX</tool_call>"
        generation = desk.run(request(compiled=compiled, triggers=(CALL,), use_forced=use_forced), wish)
        assert (generation.text, generation.stop) == (wish, StopReason.EOG)
        n_forced = len(desk.tokenize("QXQX</tool_call>"))
        stats = ConstraintStats(n_forced=n_forced) if use_forced else ConstraintStats(n_masked=n_forced)
        assert generation.constraint == stats


def test_a_trigger_is_written_with_the_text_that_shares_a_token_with_it(desk: Desk) -> None:
    """The constraint wants one token for both, and the model has written letters."""
    text = f"{JOINED}Q"
    asked = request(compiled=desk.options(text), triggers=('", "arguments',))
    generation = desk.run(asked, desk.spelled('so", "argumentsZ'))
    assert generation.text == f"so{text}"
    compiled = asked.compiled
    assert isinstance(compiled, Options) and compiled.started[-1].written == text.encode()


def test_a_grammar_that_does_not_begin_with_its_trigger_is_an_error(desk: Desk) -> None:
    with pytest.raises(ConstraintError, match="does not begin with its trigger <tool_call>"):
        desk.run(request(compiled=desk.options("QX"), triggers=(CALL,)), f"{CALL}QX")


def test_an_answer_that_is_cut_within_its_trigger_has_not_ended(desk: Desk) -> None:
    text = JOINED
    asked = request(compiled=desk.options(text), triggers=('", "arguments',), limits=Limits(answer=13))
    generation = desk.run(asked, desk.spelled('", "arguments'))
    assert generation.stop is StopReason.LENGTH
    assert len(generation.tokens) == 13 and text.startswith(generation.text) and generation.text != text


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_a_trigger_keeps_the_budget(desk: Desk, budget: int) -> None:
    compiled = desk.options(f"{CALL}QXQX")
    generation = desk.run(request(compiled=compiled, triggers=(CALL,), limits=Limits(answer=budget)), f"{CALL}QXQX")
    assert (len(generation.tokens), generation.stop) == (budget, StopReason.LENGTH)


# Reasoning


def test_reasoning_is_free_and_counted_apart(desk: Desk) -> None:
    compiled = desk.options("yes", "no")
    generation = desk.run(
        request(compiled=compiled, reasoning=THINK, use_forced=False), "<think>Is it so? Yes!</think>no"
    )
    assert generation.text == "<think>Is it so? Yes!</think>no"
    assert generation.n_reasoning == len(desk.tokenize("<think>Is it so? Yes!</think>"))
    assert generation.constraint == ConstraintStats(n_masked=len(desk.tokenize("no")))


def test_reasoning_that_the_prompt_has_opened_goes_on_until_it_is_closed(desk: Desk) -> None:
    opened = Reasoning("<think>", "</think>", opened=True)
    generation = desk.run(request(compiled=desk.options("QX"), reasoning=opened), "hm hm</think>QZ")
    assert generation.text == "hm hm</think>QX"
    assert generation.n_reasoning == len(desk.tokenize("hm hm</think>"))


def test_a_model_that_does_not_reason_is_constrained_from_its_first_token(desk: Desk) -> None:
    generation = desk.run(request(compiled=desk.options("yes", "no"), reasoning=THINK), "no")
    assert (generation.text, generation.n_reasoning) == ("no", 0)


def test_a_model_that_wants_neither_is_pushed_into_the_answer(desk: Desk) -> None:
    generation = desk.run(request(compiled=desk.options("yes", "no"), reasoning=THINK), "maybe")
    assert generation.text in ("yes", "no")
    assert generation.n_reasoning == 0


def test_an_opening_spelled_in_letters_is_completed(desk: Desk) -> None:
    wish = [*desk.spelled("<think>")[:1], *desk.spelled("ing or not</think>")]
    generation = desk.run(request(compiled=desk.options("QX"), reasoning=THINK), wish)
    assert generation.text.startswith("<think>")
    assert generation.text.endswith("</think>QX")
    assert 0 < generation.n_reasoning < len(generation.tokens)


@pytest.mark.parametrize("spelled", [True, False])
@pytest.mark.parametrize("lead", ["\n", "\n\n", " ", "\n \n"])
def test_white_space_before_reasoning_is_free_under_a_constraint_too(desk: Desk, lead: str, spelled: bool) -> None:
    """Some models write an empty line before they open their reasoning."""
    wish = [*(desk.spelled if spelled else desk.tokenize)(lead), *desk.tokenize("<think>a</think>\nQZ")]
    generation = desk.run(request(reasoning=THINK, compiled=desk.options("QX", "QY")), wish)
    free = desk.run(request(reasoning=THINK), wish)
    assert generation.text == lead + "<think>a</think>\nQX"
    assert generation.n_reasoning == free.n_reasoning > 0
    assert generation.constraint is not None and generation.constraint.n_interventions == 1  # X for Z


def test_white_space_before_an_answer_without_reasoning_is_no_intervention(desk: Desk) -> None:
    generation = desk.run(request(reasoning=THINK, compiled=desk.options("QX", "QY")), "\n\nQX")
    assert (generation.text, generation.n_reasoning, generation.stop) == ("\n\nQX", 0, StopReason.EOG)
    assert generation.constraint is not None and generation.constraint.n_interventions == 0


def test_white_space_without_end_before_reasoning_is_not(desk: Desk) -> None:
    generation = desk.run(request(reasoning=THINK, compiled=desk.options("QX", "QY")), desk.spelled("\n" * 50))
    assert (generation.text.lstrip("\n")[:1], generation.stop) == ("Q", StopReason.EOG)
    assert len(generation.tokens) <= 8 + 2


def test_white_space_after_reasoning_is_free(desk: Desk) -> None:
    for use_forced in (True, False):
        generation = desk.run(
            request(compiled=desk.options("QX"), reasoning=THINK, use_forced=use_forced), "<think>a</think>\n\nQZ"
        )
        assert generation.text == "<think>a</think>\n\nQX"


def test_white_space_without_end_after_reasoning_is_not(desk: Desk) -> None:
    wish = [*desk.tokenize("<think></think>"), *desk.spelled("\n" * 60)]
    generation = desk.run(request(compiled=desk.options("QX"), reasoning=THINK), wish)
    assert generation.text.strip().endswith("</think>" + "\n" * 8 + "QX")


def test_a_trigger_inside_reasoning_does_not_trigger(desk: Desk) -> None:
    compiled = desk.options(f"{CALL}QX")
    text = f"<think>maybe {CALL}abc</think>\nso {CALL}QZ"
    generation = desk.run(request(compiled=compiled, triggers=(CALL,), reasoning=THINK), text)
    assert generation.text == f"<think>maybe {CALL}abc</think>\nso {CALL}QX"


@pytest.mark.parametrize("required", [True, False])
def test_what_begins_a_call_for_certain_ends_reasoning(desk: Desk, required: bool) -> None:
    reasoning = replace(THINK, calls=(f"{CALL}Q",))
    triggers = () if required else (CALL,)
    wish = f"<think>maybe {CALL}a, no: {CALL}QZ"
    asked = request(compiled=desk.options(f"{CALL}QX"), triggers=triggers, reasoning=reasoning)
    assert desk.run(asked, wish).text == f"<think>maybe {CALL}a, no: {CALL}QX"
    assert desk.run(request(reasoning=reasoning), wish).text == wish, "where nothing is constrained, nothing ends it"


def test_what_began_like_reasoning_may_still_be_the_trigger(desk: Desk) -> None:
    wish = desk.spelled(f"{CALL}QZ")
    generation = desk.run(request(compiled=desk.options(f"{CALL}QX"), triggers=(CALL,), reasoning=THINK), wish)
    assert (generation.text, generation.n_reasoning) == (f"{CALL}QX", 0)


CHANNELS = Reasoning("<think>analysis<tool_call>", "</tool_call>", resume="[TOOL_CALLS]assistant")
CHANNEL_CALL = "<think>commentary to="


def test_reasoning_may_open_with_several_tokens(desk: Desk) -> None:
    for reasoning in (CHANNELS, replace(CHANNELS, opened=True)):
        wish = f"{'' if reasoning.opened else CHANNELS.open}hm, <think>?</tool_call>"
        compiled = desk.options(f"{CHANNEL_CALL}QX", f"{CHANNEL_CALL}QZ")
        after = desk.run(
            request(compiled=compiled, triggers=(CHANNEL_CALL,), reasoning=reasoning),
            f"{wish}[TOOL_CALLS]assistant{CHANNEL_CALL}QZ",
        )
        assert after.text == f"{wish}[TOOL_CALLS]assistant{CHANNEL_CALL}QZ"
        assert after.n_reasoning == len(desk.tokenize(wish))


@pytest.mark.parametrize("required", [True, False])
def test_reasoning_may_open_in_another_way_and_end_with_the_next_message(desk: Desk, required: bool) -> None:
    other = "<think>comment<think>analysis<tool_call>"
    reasoning = replace(CHANNELS, others=(other,), breaks=("[TOOL_CALLS]",))
    asked = request(
        compiled=desk.options(f"{CHANNEL_CALL}QX", f"{CHANNEL_CALL}QZ"),
        triggers=() if required else (CHANNEL_CALL,),
        reasoning=reasoning,
    )
    wish = f"{other}hm[TOOL_CALLS]assistant{CHANNEL_CALL}QZ"
    generation = desk.run(asked, wish)
    assert generation.text == wish
    assert generation.n_reasoning == len(desk.tokenize(f"{other}hm[TOOL_CALLS]"))


@pytest.mark.parametrize("use_forced", [True, False])
def test_reasoning_is_not_opened_for_a_model_that_may_mean_something_else(desk: Desk, use_forced: bool) -> None:
    """As gpt-oss, which begins answers with a channel that stands in two openings and nowhere in the grammar."""
    others = tuple(f"<think>comment{to}<think>analysis<tool_call>" for to in (" to=assistant", ""))
    final = "<think>final<tool_call>"
    asked = request(
        compiled=desk.options(f"{final}QX", f"{final}QZ"),
        reasoning=replace(CHANNELS, others=others),
        use_forced=use_forced,
    )
    generation = desk.run(
        asked, [*desk.tokenize("<think>"), *desk.spelled("comment<"), *desk.tokenize("<tool_call>QZ")]
    )
    assert generation.text.startswith(f"{final}Q")
    assert generation.n_reasoning == 0


def test_the_one_opening_that_a_model_can_mean_is_completed(desk: Desk) -> None:
    other = "<think>comment<think>analysis<tool_call>"
    asked = request(compiled=desk.options("<think>finalQX"), reasoning=replace(CHANNELS, others=(other,)))
    wish = [*desk.tokenize("<think>"), *desk.spelled("c")]
    generation = desk.run(asked, [*wish, *desk.tokenize("<think>" * 99), *desk.tokenize("hm</tool_call>")])
    assert generation.text.startswith(other)


def test_a_trigger_may_begin_like_reasoning(desk: Desk) -> None:
    for required in (True, False):
        compiled = desk.options(f"{CHANNEL_CALL}QX", f"{CHANNEL_CALL}QZ")
        asked = request(compiled=compiled, triggers=() if required else (CHANNEL_CALL,), reasoning=CHANNELS)
        generation = desk.run(asked, f"{CHANNEL_CALL}QZ")
        assert (generation.text, generation.n_reasoning) == (f"{CHANNEL_CALL}QZ", 0)


@pytest.mark.parametrize("use_forced", [True, False])
@pytest.mark.parametrize("parts", [("<think>analysis<tool_call>",), ("<think>", "a", "nalysis<tool_call>")])
def test_a_required_answer_may_begin_like_reasoning_and_is_resumed_after_it(
    desk: Desk, use_forced: bool, parts: tuple[str, ...]
) -> None:
    compiled = desk.options(f"{CHANNEL_CALL}QX", f"{CHANNEL_CALL}QZ")
    asked = request(compiled=compiled, reasoning=CHANNELS, use_forced=use_forced)
    reasoned, end = "hm</tool_call>", f"[TOOL_CALLS]assistant{CHANNEL_CALL}QZ"
    wish = [token for part in (*parts, reasoned, end) for token in desk.tokenize(part)]
    generation = desk.run(asked, wish)
    assert generation.text == f"{CHANNELS.open}{reasoned}{end}"
    assert generation.n_reasoning == len(wish) - len(desk.tokenize(end))
    assert compiled.started[-1].written.decode() == f"{CHANNEL_CALL}QZ"


def test_an_opening_of_several_tokens_is_completed(desk: Desk) -> None:
    """In its own markers, not in letters."""
    compiled = desk.options("QX", "QZ")
    wish = [*desk.tokenize("<think>"), *desk.spelled("0" * 20), *desk.tokenize("hm</tool_call>")]
    generation = desk.run(request(compiled=compiled, reasoning=CHANNELS), wish)
    opening = desk.tokenize(CHANNELS.open)
    assert list(generation.tokens[: len(opening)]) == opening
    assert generation.constraint and generation.constraint.n_forced >= len(opening) - 1
    assert generation.text.endswith("hm</tool_call>[TOOL_CALLS]assistantQX")


@pytest.mark.parametrize("opened", [True, False])
def test_the_budget_for_reasoning_is_kept_to_the_token(desk: Desk, opened: bool) -> None:
    reasoning = Reasoning("<think>", "</think>", opened=opened)
    wish = [*(() if opened else desk.tokenize("<think>")), *desk.spelled("on and on and on and on")]
    generation = desk.run(request(reasoning=reasoning, limits=Limits(answer=3, reasoning=9)), wish)
    assert (len(generation.tokens), generation.n_reasoning) == (9, 9)
    assert generation.stop is StopReason.REASONING_LENGTH


def test_the_budgets_do_not_touch_each_other(desk: Desk) -> None:
    wish = [*desk.tokenize("<think>"), *desk.spelled("12345"), *desk.tokenize("</think>"), *desk.spelled("answer")]
    limits = Limits(answer=4, reasoning=7)  # reasoning needs all of its budget
    generation = desk.run(request(reasoning=THINK, limits=limits), wish)
    assert (generation.n_reasoning, len(generation.tokens)) == (7, 11)
    assert generation.stop is StopReason.LENGTH


# What others see


def test_the_watcher_sees_the_text_and_its_moments_are_kept(desk: Desk) -> None:
    watcher = Stream("name", "é}")
    generation = desk.run(request(watcher=watcher), desk.spelled('{"name": "é}'))
    assert watcher.text == '{"name": "é}', "split characters arrive whole"
    times = generation.timings
    assert times.ttft_s and times.ttfn_s and times.ttfc_s
    assert times.ttft_s < times.ttfn_s < times.ttfc_s <= times.total_s


def test_moments_that_never_came_are_null(desk: Desk) -> None:
    times = desk.run(request(watcher=Stream("name", "call")), "nothing of it").timings
    assert times.ttft_s and times.ttfn_s is None and times.ttfc_s is None


def test_time_in_the_constraint_is_counted(desk: Desk) -> None:
    free = desk.run(request(), "yes").timings
    constrained = desk.run(request(compiled=desk.options("yes", "no")), "yes").timings
    assert free.mask_s == 0 < constrained.mask_s


def test_masks_are_wanted_ahead_only_where_they_will_be_needed(desk: Desk) -> None:
    def wanted(compiled: Options, wish: str, **settings: bool) -> bool:
        answer = desk.answer(request(compiled=compiled, use_forced=False), **settings)
        answer.advance(desk.logits(*desk.spelled(wish)))
        return answer.wants_mask

    checked: Callable[..., Options] = CheckedOptions
    assert not wanted(desk.options("QXQ", "QZQ"), "Q")
    assert wanted(desk.options("QXQ", "QZQ"), "X"), "a refusal makes another one likely"
    assert wanted(desk.options("QXQ", "QZQ"), "Q", measure=True)
    assert not wanted(checked(desk.vocabulary, desk.tokenize, ("QXQ", "QZQ")), "X"), "candidates are cheaper"
