"""The speed harness end to end, on a small random model: what it prints, what it leaves out, how texts are compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.perf import random_model
from bench.perf.__main__ import main
from bench.perf.measure import Missing, Session, measure, open_session
from bench.perf.methods import (
    BATCHED_FORCED,
    BATCHED_FREE,
    BATCHED_NATIVE,
    BATCHED_NATIVE_SHARED,
    BATCHED_SHARED,
    BATCHED_UNIFIED,
    BINDING_FREE,
    BINDING_GRAMMAR,
    DRAFTED,
    FORCED,
    FREE,
    GBNF,
    LLAMA_BENCH,
    OUTLINES,
    UNFORCED,
    Prompted,
    Run,
)
from bench.perf.random_model import write_random_model
from bench.perf.texts import compare, is_canonical
from bench.perf.workload import Case, load_workload
from engine.errors import ConstraintError, ToolgaugeError
from engine.llama import reference
from engine.llama.library import library
from engine.llama.reference import ReferenceLoop
from engine.types import StopReason
from tests.bench.perf.small import SHAPE

METHODS = [
    *(FREE, LLAMA_BENCH, BINDING_FREE, FORCED, DRAFTED, UNFORCED, GBNF, OUTLINES, BINDING_GRAMMAR),
    *(BATCHED_FREE[4], BATCHED_NATIVE[4]),
    *(BATCHED_FREE[16], BATCHED_NATIVE[16], BATCHED_UNIFIED[16]),
    *(BATCHED_SHARED[16], BATCHED_NATIVE_SHARED[16], BATCHED_FORCED[16]),
]
NATIVE = {LLAMA_BENCH, *BATCHED_NATIVE.values(), *BATCHED_UNIFIED.values(), *BATCHED_NATIVE_SHARED.values()}
WORKLOAD = load_workload()


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv(random_model.REAL_DATA, raising=False)
        return write_random_model(tmp_path_factory.mktemp("random") / "small.gguf", 2000, SHAPE)


@pytest.fixture(autouse=True)
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever llama.cpp tools this machine has are not found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="module")
def session(model_path: Path) -> Iterator[Session]:
    with open_session(model_path, WORKLOAD, n_gpu_layers=0, n_threads=1) as session:
        yield session


def test_it_prints_tables_and_one_json_document_as_the_last_line(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "perf.json"
    assert main(["--quick", "--model", str(model_path), "--json", str(file), "-t", "1", "-ngl", "0"]) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    document = json.loads(last)
    assert document == json.loads(file.read_text(encoding="utf-8"))
    assert document["workload"] == {"version": WORKLOAD.version, "sha256": WORKLOAD.sha256, "size": "quick"}
    assert [method["method"] for method in document["methods"]] == METHODS
    assert document["counts"] == {"passed": 24, "skipped": 10, "excluded": 0}
    assert len(document["samples"]) == 24
    assert {each["method"] for each in document["missing"]} == NATIVE
    for name in ("llama-bench", "llama-batched-bench"):
        assert any(f"there is no {name} here" in line for line in table)
    assert all(sample["seconds"] > 0 for sample in document["samples"])
    assert {claim["what"] for claim in document["claims"]} >= {"llguidance / free", "host share of free decoding"}
    assert document["machine"]["cpu"]
    for method in METHODS:
        assert any(line.startswith(f"| {method} ") for line in table), method
    free = next(text for text in document["texts"] if text["first"] == FREE)
    assert (free["n"], free["same tokens"]) == (1, 1)  # our loop and the binding's do the same work
    assert sum(text["unexplained"] for text in document["texts"]) == 0


def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--model", str(tmp_path / "none.gguf")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: there is no model file")


def test_a_folder_that_is_not_there_is_noticed_before_measuring(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick", "--model", str(model_path), "--json", str(tmp_path / "none" / "perf.json")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "there is no folder" in captured.err
    assert "round" not in captured.err


def test_every_case_can_be_constrained_by_every_method(session: Session) -> None:
    for case in WORKLOAD.cases:
        for method in session.methods:
            if method.name in NATIVE:
                continue
            seconds = method.prepare(case)
            assert (seconds is None) == ("free" in method.name)


def test_forced_tokens_are_not_sampled_and_the_first_of_them_not_timed(session: Session) -> None:
    case = WORKLOAD.cases[0]
    prompted = session.prompt(case, case.messages)
    methods = {method.name: method for method in session.methods}
    runs = {}
    for name in (FORCED, UNFORCED):
        methods[name].prepare(case)
        runs[name] = methods[name].run(prompted, 64)
    assert runs[FORCED].tokens == runs[UNFORCED].tokens
    assert (runs[UNFORCED].n_forced, runs[UNFORCED].n_timed) == (0, 63)
    leading = 64 - runs[FORCED].n_timed
    beginning = session.model.vocabulary().text(runs[FORCED].tokens[:leading])
    assert beginning.startswith('<tool_call>\n{"name": "create_shipment", "arguments": {"reference": ')
    n_forced = runs[FORCED].n_forced
    assert n_forced is not None
    assert n_forced > leading


def test_a_whole_answer_fits_its_budget(session: Session) -> None:
    methods = {method.name: method for method in session.methods}
    for case in WORKLOAD.cases:
        methods[FORCED].prepare(case)
        run = methods[FORCED].run(session.prompt(case, case.messages), WORKLOAD.sizes["full"].n_tokens["answer"])
        assert run.stop == "eog"
        assert run.n_tokens > 150


class Scripted:
    """A method that does as it is told."""

    def __init__(self, name: str, *, refuses: str = "", n_timed: int = 20, fails: str = "", n_good: int = 1) -> None:
        """`fails`: after `n_good` answers, of which the first is for warming up."""
        self.name, self.budget = name, "free"  # type: str, Budget
        self._refuses, self._fails, self._n_timed, self._n_good = refuses, fails, n_timed, n_good
        self.asked: list[tuple[str, int]] = []

    def prepare(self, case: Case) -> float | None:
        if self._refuses:
            raise ConstraintError(self._refuses)
        return 0.5

    def run(self, prompted: Prompted, n_tokens: int) -> Run:
        self.asked.append((prompted.case.id, n_tokens))
        if self._fails and len(self.asked) > self._n_good:
            raise ToolgaugeError(self._fails)
        return Run((1,) * n_tokens, n_tokens, self._n_timed, 0.1)


def test_what_cannot_be_timed_is_counted_with_its_reason(session: Session) -> None:
    methods = (
        Scripted("good"),
        Scripted("refuses", refuses="no such keyword"),
        Scripted("short", n_timed=3),
        Scripted("fails", fails="no answer came"),
    )
    measured = measure(replace(session, methods=methods), WORKLOAD, "quick")
    assert {sample.method for sample in measured.samples} == {"good"}
    assert len(measured.samples) == 2
    found = {(each.method, each.reason, each.n_runs, each.skipped) for each in measured.missing}
    assert found == {
        ("refuses", "no such keyword", 2, True),
        ("short", "only 3 tokens to time", 1, False),
        ("fails", "no answer came", 1, False),
    }
    assert len(measured.missing) == 5
    assert measured.compile_s["good"] == [0.5]
    assert methods[1].asked == []
    assert methods[0].asked == [("shipment", 8), ("shipment", 24), ("shipment", 24)]


def test_a_method_that_fails_in_the_warm_up_is_left_out(session: Session) -> None:
    """llama-bench of another version: what it prints is not understood, and the whole measurement ended with it."""
    broken = Scripted("broken", fails="is it another version?", n_good=0)
    methods = (Scripted("good"), broken)
    measured = measure(replace(session, methods=methods), WORKLOAD, "full")
    cases = WORKLOAD.cases[: WORKLOAD.sizes["full"].n_cases]
    repetitions = WORKLOAD.sizes["full"].repetitions
    assert len(measured.samples) == measured.n_rounds == len(cases) * repetitions
    assert {sample.method for sample in measured.samples} == {"good"}
    assert measured.missing == [
        Missing("broken", case.id, "is it another version?", repetitions, skipped=True) for case in cases
    ]
    assert len(broken.asked) == 1


def test_a_method_that_fails_while_texts_are_compared_loses_only_the_comparison(session: Session) -> None:
    """After everything was timed."""
    case, lengths = WORKLOAD.cases[0], WORKLOAD.sizes["full"]
    n_good = 1 + lengths.repetitions  # of one case
    methods = (Scripted(FORCED), Scripted(UNFORCED, fails="no answer came", n_good=n_good))
    few = replace(WORKLOAD, cases=(case,), sizes={"full": replace(lengths, n_cases=1)})
    measured = measure(replace(session, methods=methods), few, "full")
    assert len(measured.samples) == 2 * lengths.repetitions
    assert case.others
    assert [text.prompt for text in measured.texts] == [case.id]


def test_a_constraint_that_was_not_built_is_never_left_out_of_an_answer(session: Session) -> None:
    """An answer without it would be timed as a constrained one."""
    case = replace(WORKLOAD.cases[0], id="never prepared")
    prompted = session.prompt(case, case.messages)
    constrained = [each for each in session.methods if "free" not in each.name and each.name not in NATIVE]
    assert len(constrained) == 7
    for method in constrained:
        with pytest.raises(KeyError, match="never prepared"):
            method.run(prompted, 8)


def test_every_round_asks_all_methods_and_the_order_changes(session: Session) -> None:
    asked: list[str] = []

    class Noted(Scripted):
        def run(self, prompted: Prompted, n_tokens: int) -> Run:
            asked.append(self.name)
            return super().run(prompted, n_tokens)

    names = ["a", "b", "c", "d"]
    measured = measure(replace(session, methods=tuple(map(Noted, names))), WORKLOAD, "full")
    assert measured.n_rounds == 12
    rounds = [tuple(asked[start : start + 4]) for start in range(4, len(asked), 4)]
    assert len(rounds) == 12
    assert all(sorted(order) == names for order in rounds)
    assert len(set(rounds)) > 4


def test_the_binding_loads_as_our_loop_does(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "has_amx", lambda: True)
    llama = reference.open_binding(session.model, session.runtime.context)
    try:
        assert not llama.model_params.use_extra_bufts
        assert library().llama_model_default_params().use_extra_bufts  # only there
    finally:
        llama.close()


def test_the_binding_refuses_a_grammar_that_would_end_the_process(session: Session) -> None:
    loop = ReferenceLoop(session.model, session.runtime.context)
    try:
        with pytest.raises(ConstraintError, match="does not accept the grammar"):
            loop.grammar({"enum": ['a"b']})
    finally:
        loop.close()


def test_a_canonical_cut_is_the_tokenizers(session: Session) -> None:
    model = session.model
    canonical = model.tokenize('{"name": "country"}')
    assert all(is_canonical(model, canonical, position) for position in range(len(canonical)))
    letters = [token for letter in '{"name": "' for token in model.tokenize(letter)]
    assert not is_canonical(model, letters, letters.index(model.tokenize("n")[0]))


def test_texts_are_compared_and_their_difference_explained(session: Session) -> None:
    model, context = session.model, session.runtime.context
    prompt = model.tokenize("The country")
    whole = model.tokenize(" name of")
    cut = [*model.tokenize(" "), *model.tokenize("name"), *model.tokenize(" of")]
    parted = [*model.tokenize(" "), *model.tokenize("name"), *model.tokenize(" country")]
    other = [*model.tokenize(" "), *model.tokenize("z")]

    def verdict(first: list[int], second: list[int], stop: StopReason = StopReason.EOG) -> str:
        runs = [Run(tuple(tokens), len(tokens), 0, 1.0, stop) for tokens in (first, second)]
        return compare(("first", "second"), "p", context, prompt, *runs).verdict

    assert verdict(whole, whole) == "same tokens"
    assert verdict(whole, cut) == "same text"
    assert verdict(whole, parted) == "segmentation"
    assert verdict(parted, whole) == "unexplained"  # the first should have been the canonical one
    assert verdict(whole, other) == "unexplained"  # both are, so it was another text from there on
    # An answer that was cut off says nothing about how it would have gone on; one that ended does.
    assert verdict(whole, whole[:1], StopReason.LENGTH) == "same tokens"
    assert verdict(whole, cut[:2], StopReason.LENGTH) == "same text"
    assert verdict(whole, whole[:1]) == "unexplained"
