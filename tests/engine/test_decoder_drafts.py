"""Drafts change the work and nothing else: the same tokens, stops and figures, with fewer batches.

First where logits are exact, so that everything must be equal; then on real models, where two tokens may be closer than
kernels are exact (`engine.divergence`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench.nano
import engine.decoder
from engine.constraint import BACKENDS, backend
from engine.constraint.protocol import Backend
from engine.decoder import LlamaRuntime
from engine.divergence import explain
from engine.errors import ConstraintError, ToolgaugeError
from engine.formats.envelope import EnvelopeFormat
from engine.formats.hermes import HermesFormat
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.prompt import PromptBuilder
from engine.runtime import Finished, Limits, Reasoning, Request
from engine.template import ChatTemplate
from engine.types import Generation, Message, Sampling, StopReason, Timings, Tool
from tests.engine.options import CheckedOptions, Options, OptionsState
from tests.engine.scripted_context import ScriptedContext, scripted
from tests.engine.tiny_hybrid import write_tiny_hybrid

PARAMS = ContextParams(n_ctx=512, n_batch=128, n_threads=1)
TEXTS = ("the weather in Oslo is good", "the weather in Rome is bad", "the week", "weather, weather, weather, whether")


def answers(
    model: Model, pending: Sequence[Request], n_slots: int = 1, *, draft: bool = False, **options: bool
) -> tuple[dict[object, Finished], LlamaRuntime]:
    finished: dict[object, Finished] = {}
    with LlamaRuntime(model, PARAMS, n_slots, drafts=draft, **options) as runtime:
        for request in pending:
            runtime.submit(replace(request, draft=draft))
        for _ in range(5000):
            if not runtime.n_pending:
                return finished, runtime
            finished |= {each.key: each for each in runtime.step()}
    raise AssertionError("the runtime does not come to an end")


def generations(finished: dict[object, Finished]) -> dict[object, Generation]:
    assert not [each.error for each in finished.values() if each.error]
    return {key: each.generation for key, each in finished.items() if each.generation}


def plain(finished: Finished) -> Finished:
    """Without what a draft may change: times, and that there was one."""
    if finished.generation is None:
        return finished
    return replace(finished, generation=replace(finished.generation, timings=Timings(), n_drafted=0, n_accepted=0))


# Exact logits: everything is equal


@pytest.fixture
def exact(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(engine.decoder, "_context", scripted)
    return tiny_model


def requests(model: Model, **changes: object) -> list[Request]:
    shared = model.tokenize("What is the weather in Oslo? " * 3)
    questions = ("the weather", "Rome, the week", "is it bad in Rome?", " ".join(TEXTS), "go on " * 9)
    base = replace(Request("", ()), n_shared=len(shared), limits=Limits(answer=60), **changes)  # type: ignore[arg-type]
    return [replace(base, key=each, prompt=(*shared, *model.tokenize(each))) for each in questions]


def options(model: Model, kind: type[Options] = Options) -> Options:
    return kind(model.vocabulary(), model.tokenize, TEXTS)


def assert_equal(model: Model, pending: Sequence[Request], n_slots: int = 1, *, measure: bool = False) -> int:
    """The number of choices that were accepted."""
    without, slow = answers(model, pending, n_slots, measure_constraint=measure)
    drafted, fast = answers(model, pending, n_slots, measure_constraint=measure, draft=True)
    assert {key: plain(each) for key, each in drafted.items()} == {key: plain(each) for key, each in without.items()}
    contexts = slow.context, fast.context
    assert all(isinstance(context, ScriptedContext) for context in contexts)
    if n_slots == 1:
        assert fast.context.n_decodes <= slow.context.n_decodes  # type: ignore[attr-defined]
    found = [each.generation for each in drafted.values() if each.generation]
    assert all(0 <= each.n_accepted <= each.n_drafted for each in found)
    return sum(each.n_accepted for each in found)


@pytest.mark.parametrize("n_slots", [1, 3, 9])
def test_free_answers_are_equal(exact: Model, n_slots: int) -> None:
    assert assert_equal(exact, requests(exact), n_slots) > 20


@pytest.mark.parametrize("n_slots", [1, 3])
@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize("use_forced", [False, True])
@pytest.mark.parametrize("kind", [Options, CheckedOptions])
def test_constrained_answers_are_equal_and_so_are_their_figures(
    exact: Model, n_slots: int, measure: bool, use_forced: bool, kind: type[Options]
) -> None:
    constraint = options(exact, kind)
    pending = requests(exact, compiled=constraint, use_forced=use_forced)
    assert assert_equal(exact, pending, n_slots, measure=measure) > 3
    whole = [tuple(state.accepted) for state in constraint.started]
    assert sorted(whole[: len(pending)]) == sorted(whole[len(pending) :]), "each state was led the same way"


@given(
    prompt=st.text(alphabet='ab "', min_size=1, max_size=30),
    texts=st.lists(st.text(alphabet='ab "', min_size=1, max_size=25), min_size=1, max_size=4, unique=True),
    limits=st.builds(Limits, answer=st.integers(1, 40), reasoning=st.integers(1, 20)),
    reasoning=st.sampled_from([None, Reasoning("a", "b"), Reasoning("<think>", "b", opened=True)]),
    triggers=st.sampled_from([(), ("a",), ("b ",)]),
    choices=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([1, 2])),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_is_equal(
    exact: Model,
    prompt: str,
    texts: list[str],
    limits: Limits,
    reasoning: Reasoning | None,
    triggers: tuple[str, ...],
    choices: tuple[bool, bool, bool, int],
) -> None:
    constrained, use_forced, measure, n_slots = choices
    begun = tuple((triggers[0] if triggers else "") + text for text in texts)
    compiled = Options(exact.vocabulary(), exact.tokenize, begun) if constrained else None
    base = Request("", (), limits=limits, reasoning=reasoning, use_forced=use_forced, compiled=compiled)
    base = replace(base, triggers=triggers if constrained else ())
    pending = [replace(base, key=n, prompt=tuple(exact.tokenize(prompt * (n + 1)))) for n in range(3)]
    assert_equal(exact, pending, n_slots, measure=measure)


def test_a_full_context_and_a_full_budget_stop_a_drafted_answer_where_they_would(exact: Model) -> None:
    for limit in (1, 2, 3, 7, 1000):
        pending = [replace(each, limits=Limits(answer=limit)) for each in requests(exact)]
        long = replace(pending[0], key="long", prompt=pending[0].prompt * 4)
        assert len(long.prompt) < PARAMS.n_ctx
        assert_equal(exact, [*pending, long], 2)


@pytest.mark.parametrize("n_accepted", [9, 0])
@pytest.mark.parametrize("copies", [True, False], ids=["copies break too", "copies do not"])
def test_a_constraint_that_breaks_within_a_draft_keeps_what_was_written(
    exact: Model, copies: bool, n_accepted: int
) -> None:
    """The copy that a draft is tried on breaks first; that took all answers in flight down with it."""

    class State(OptionsState):
        def accept(self, token: int) -> None:
            if len(self.accepted) == n_accepted:
                raise ConstraintError("the grammar engine is in an error state")
            super().accept(token)

        def copy(self) -> OptionsState:
            if copies:
                return super().copy()
            other = OptionsState(self._options)
            other.written, other.accepted = self.written, [*self.accepted]
            return other

    class Broken(Options):
        def start(self) -> OptionsState:
            return State(self)

    broken = Broken(exact.vocabulary(), exact.tokenize, TEXTS)
    for n_slots in (1, 2):
        assert_equal(exact, requests(exact, compiled=broken, use_forced=False), n_slots)


def test_a_draft_makes_fewer_batches(exact: Model) -> None:
    pending = requests(exact, compiled=options(exact), use_forced=False)
    _, slow = answers(exact, pending)
    _, fast = answers(exact, pending, draft=True)
    assert 5 * fast.context.n_decodes < 4 * slow.context.n_decodes  # type: ignore[attr-defined]


# Refused, never ignored


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_tiny_hybrid(tmp_path_factory.mktemp("hybrid") / "hybrid.gguf", seed=3)
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield model


def test_a_model_that_cannot_rewind_is_not_drafted_for(hybrid: Model) -> None:
    with pytest.raises(ToolgaugeError, match=r"cannot be drafted: what it has read cannot be taken back"):
        LlamaRuntime(hybrid, PARAMS, drafts=True)
    with LlamaRuntime(hybrid, PARAMS) as runtime:
        assert not runtime.context.can_rewind
        runtime.submit(Request("key", (1, 2), draft=True))
        (finished,) = runtime.step()
        assert finished.generation is None and "cannot be drafted" in str(finished.error)
        with pytest.raises(ToolgaugeError, match="cannot be rewound"):
            runtime.context.rewind(0, 0)


def test_a_draft_needs_a_runtime_for_drafts_and_the_likeliest_tokens(tiny_model: Model) -> None:
    request = Request("key", (1, 2), draft=True)
    for drafts, asked, error in (
        (False, request, "not made for drafts"),
        (True, replace(request, sampling=Sampling(temperature=0.5)), "at temperature 0"),
    ):
        with LlamaRuntime(tiny_model, PARAMS, drafts=drafts) as runtime:
            runtime.submit(asked)
            (finished,) = runtime.step()
        assert finished.generation is None and error in str(finished.error)


# Real models


def unexplained(model: Model, pending: Sequence[Request], n_slots: int = 1, *, measure: bool = False) -> list[object]:
    """What drafts have changed beyond noise in the logits."""
    without = generations(answers(model, pending, n_slots, measure_constraint=measure)[0])
    drafted = generations(answers(model, pending, n_slots, measure_constraint=measure, draft=True)[0])
    assert sum(each.n_accepted for each in drafted.values()) > 0, "this test needs drafts that are right"
    found: list[object] = []
    with model.context(PARAMS) as context:
        for request in pending:
            first, second = without[request.key], drafted[request.key]
            if first.tokens == second.tokens:
                same = plain(Finished("", first)) == plain(Finished("", second))
                # the mean of probabilities is a little different wherever logits are
                mass = first.constraint and first.constraint.removed_mass
                found += [] if same or mass is not None else [request.key]
            elif (parting := explain(context, request.prompt, first.tokens, second.tokens)) is None:
                found.append(request.key)
            elif parting.cause != "noise":
                found.append((request.key, parting))
    return found


@pytest.mark.parametrize("n_slots", [1, 3])
def test_noise_is_the_same_noise(tiny_model: Model, n_slots: int) -> None:
    pending = [replace(each, limits=Limits(answer=80)) for each in requests(tiny_model)]
    assert not unexplained(tiny_model, pending, n_slots)


@pytest.fixture(scope="module")
def nano() -> Iterator[Model]:
    path = Path(bench.nano.__file__).with_name("nano-f16.gguf")
    with load_model(path, LoadParams(n_gpu_layers=0)) as model:
        yield model


SEND = Tool(
    "send_message",
    "Send a message to a person.",
    {
        "type": "object",
        "properties": {
            "to": {"type": "string", "maxLength": 40},
            "channel": {"type": "string", "enum": ["email", "sms"]},
            "text": {"type": "string", "maxLength": 60},
            "copies": {"type": "integer", "minimum": 0, "maximum": 9},
        },
        "required": ["to", "channel", "text"],
        "additionalProperties": False,
    },
)
ASKED = (
    "Send Maria Keller an sms that says: the train is late, please wait for me in the hall.",
    "Email Jonas Lindqvist: the meeting moved to Thursday afternoon.",
    "Thank you, bye!",
)


@cache
def opened(name: str, model: Model) -> Backend:
    return backend(name, model)


def asked(model: Model, name: str | None, *, style: str, required: bool) -> list[Request]:
    native, fmt = HermesFormat(), EnvelopeFormat()
    chosen = native if style == "native" else fmt
    builder = PromptBuilder(model, ChatTemplate(str(model.chat_template())), chosen, style)  # type: ignore[arg-type]
    base = Request("", (), limits=Limits(answer=70))
    if name:
        spec = chosen.constraint([SEND], required=required)
        compiled = opened(name, model).compile(spec.root)
        base = replace(base, compiled=compiled, triggers=spec.triggers, trigger_at_start=spec.at_start)
    prompts = [builder.build([Message("user", text)], [SEND]).tokens for text in ASKED]
    return [replace(base, key=text, prompt=prompt) for text, prompt in zip(ASKED, prompts, strict=True)]


@pytest.mark.parametrize("style", ["native", "json"])
@pytest.mark.parametrize("name", [None, *BACKENDS])
def test_the_bundled_model_calls_the_same(nano: Model, name: str | None, style: str) -> None:
    assert not unexplained(nano, asked(nano, name, style=style, required=True))


def test_the_bundled_model_calls_the_same_beside_others_and_measured(nano: Model) -> None:
    assert not unexplained(nano, asked(nano, "llguidance", style="native", required=False), 2, measure=True)


def test_a_drafted_answer_says_how_much_of_it_was_a_guess(nano: Model) -> None:
    pending = asked(nano, "llguidance", style="native", required=True)
    for each in generations(answers(nano, pending, draft=True)[0]).values():
        assert each.constraint and each.stop is StopReason.EOG
        assert 0 < each.n_accepted <= each.n_drafted
        assert each.n_accepted <= len(each.tokens) - each.constraint.n_forced
    assert all(each.n_drafted == 0 for each in generations(answers(nano, pending)[0]).values())
