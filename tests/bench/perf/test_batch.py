"""Batches in the speed harness: what is timed, that both sides do the same work, and free answers without an end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.perf.__main__ import main
from bench.perf.batch import N_PROMPT, N_SHARED, Batched, Batches, LlamaBatchedBench, prompts
from bench.perf.endless import EndlessAnswer
from bench.perf.measure import measure, open_session
from bench.perf.methods import BATCHED_FORCED, BATCHED_FREE, BATCHED_NATIVE, FORCED, FREE, LLAMA_BENCH, Prompted
from bench.perf.native import like
from bench.perf.native_tools import TOOLS, NativeTool
from bench.perf.random_model import write_random_model
from bench.perf.record import _LIBRARIES, keep
from bench.perf.workload import load_workload
from bench.report.document import Heading
from engine.constraint import backend
from engine.decoder import LlamaRuntime
from engine.errors import ToolgaugeError
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.runtime import Limits, Request
from engine.types import Generation, StopReason
from tests.bench.perf.small import SHAPE

WORKLOAD = load_workload()
CASE = WORKLOAD.cases[0]
# Says that it did what it was asked, in so many nanoseconds or seconds.
BENCH = """
import json, sys
asked = dict(zip(sys.argv[1::2], sys.argv[2::2]))
says = {"n_prompt": 0, "n_gen": int(asked["-n"]), "n_depth": int(asked["-d"]), "n_threads": int(asked["-t"])}
print(json.dumps([says | {"build_commit": "abc", "model_filename": asked["-m"], "samples_ns": [50_000_000]}]))
"""
BATCHED = """
import json, sys
asked = dict(zip(sys.argv[1::2], sys.argv[2::2]))
says = {"pp": int(asked["-npp"]), "tg": int(asked["-ntg"]), "pl": int(asked["-npl"]), "n_threads": int(asked["-t"])}
print(json.dumps(says | {"t_tg": 0.5}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_random_model(tmp_path_factory.mktemp("random") / "small.gguf", 2000, SHAPE)
    with load_model(path, LoadParams(n_gpu_layers=0)) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def batches(model: Model) -> Iterator[Batches]:
    with closing(Batches(model, ContextParams(n_batch=512, n_threads=1))) as opened:
        yield opened


def fake(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(0o755)
    return path


def prompted(model: Model) -> Prompted:
    return Prompted(CASE, tuple(model.tokenize(CASE.plain(CASE.messages))))


def test_every_sequence_has_a_prompt_of_its_own_and_all_are_as_long() -> None:
    for n_tokens in (40, 128, 1000):
        made = prompts(range(n_tokens), 16)
        assert {len(prompt) for prompt in made} == {N_PROMPT}
        assert len({*made}) == 16
        assert {token for prompt in made for token in prompt} <= {*range(n_tokens)}
        made = prompts(range(n_tokens), 16, shared=True)
        assert {len(prompt) for prompt in made} == {N_SHARED}
        assert len({prompt[:-1] for prompt in made}) == 1
        assert len({prompt[-1] for prompt in made}) == 16


@pytest.mark.parametrize(("n_slots", "shared"), [(4, False), (16, False), (16, True)])
def test_free_batches_write_one_token_of_each_answer_in_every_step(
    model: Model, batches: Batches, n_slots: int, shared: bool
) -> None:
    method = Batched("free", "free", batches, n_slots, shared=shared)
    assert method.prepare(CASE) is None
    for n_tokens in (24, 30):
        run = method.run(prompted(model), n_tokens)
        assert run.n_timed == n_slots * n_tokens
        assert run.n_tokens >= run.n_timed + n_slots  # the first tokens came with the prompts
        assert run.seconds > 0
    assert batches.open(n_slots, shared=shared).runtime.n_pending == 0


def test_a_prompt_that_all_share_is_read_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Batches(model, ContextParams(n_batch=512, n_threads=1))) as opened:
        context = opened.open(4, shared=True).runtime.context
        decode, read = context.decode, []
        monkeypatch.setattr(context, "decode", lambda batch: (read.append(batch.n_tokens), decode(batch)))
        run = Batched("free", "free", opened, 4, shared=True).run(prompted(model), 8)
        assert sum(read) <= N_SHARED + 4 + run.n_tokens


def test_constrained_batches_end_with_the_first_answer(model: Model, batches: Batches) -> None:
    engine = backend("llguidance", model)
    method = Batched("constrained", "answer", batches, 4, lambda: engine)
    seconds = method.prepare(CASE)
    assert seconds is not None
    cut, whole = method.run(prompted(model), 10), method.run(prompted(model), 320)
    assert 4 * 10 <= cut.n_timed < whole.n_timed  # forced tokens come in twos and more
    assert 100 < whole.n_tokens / 4 < 320
    texts = [model.vocabulary().text(answer.tokens) for answer in batches.open(4).answers]
    assert sum(answer.stop is StopReason.EOG for answer in batches.open(4).answers) >= 1
    assert all(text.startswith("<tool_call>") for text in texts)
    assert batches.open(4).runtime.n_pending == 0


def test_answers_that_end_before_all_have_begun_are_no_measurement(model: Model) -> None:
    tight = Batches(model, ContextParams(n_batch=N_PROMPT, n_threads=1))  # one prompt in a step
    with closing(tight):
        opened = tight.open(4)
        opened.runtime.n_ctx = N_PROMPT + 2
        with pytest.raises(ToolgaugeError, match="complete before the others had begun"):
            Batched("free", "free", tight, 4).run(prompted(model), 8)
        assert opened.runtime.n_pending == 0


def answer(model: Model, make_answer: type[EndlessAnswer] | None) -> Generation:
    options = {"make_answer": make_answer} if make_answer else {}
    with LlamaRuntime(model, ContextParams(n_ctx=512, n_threads=1), **options) as runtime:  # type: ignore[arg-type]
        runtime.submit(Request(key=1, prompt=prompted(model).tokens, limits=Limits(answer=200)))
        while True:
            for finished in runtime.step():
                assert finished.generation is not None
                return finished.generation


def test_a_free_answer_goes_on_past_its_end_and_past_repetition(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = model.vocabulary()
    written = answer(model, None).tokens
    ending = replace(vocabulary, eog=frozenset({written[5]}))
    monkeypatch.setattr(model, "vocabulary", lambda: ending)
    first = written.index(written[5])
    assert (len(answer(model, None).tokens), answer(model, None).stop) == (first, StopReason.EOG)
    monkeypatch.setattr("engine.decoding.answer.repeats", lambda tokens: True)
    endless = answer(model, EndlessAnswer)
    assert (len(endless.tokens), endless.stop) == (200, StopReason.LENGTH)
    assert endless.tokens[: len(written)] == written[:200]


def test_tools_take_part_in_every_round(model: Model, tmp_path: Path) -> None:
    paths = {TOOLS[0]: fake(tmp_path, TOOLS[0], BENCH), TOOLS[1]: fake(tmp_path, TOOLS[1], BATCHED)}
    tools = {name: NativeTool(name, path) for name, path in paths.items()}
    chosen = {FREE, FORCED, LLAMA_BENCH, BATCHED_FREE[4], BATCHED_NATIVE[4]}
    with open_session(model.path, WORKLOAD, tools, n_gpu_layers=0, n_threads=1) as session:
        methods = tuple(method for method in session.methods if method.name in chosen)
        measured = measure(replace(session, methods=methods), WORKLOAD, "quick")
        n_prompt = len(session.prompt(CASE, CASE.messages).tokens)
    assert not measured.missing
    runs = {(sample.method, sample.repetition): sample.run for sample in measured.samples}
    assert len(runs) == 2 * len(chosen)
    for repetition in range(2):
        native, ours = runs[LLAMA_BENCH, repetition], runs[FREE, repetition]
        assert (native.n_timed, native.seconds) == (ours.n_timed, 0.05)
        assert native.says["n_depth"] == n_prompt
        native, ours = runs[BATCHED_NATIVE[4], repetition], runs[BATCHED_FREE[4], repetition]
        assert (native.n_timed, native.seconds) == (ours.n_timed, 0.5)


def test_a_batched_tool_that_is_not_here_says_so(model: Model) -> None:
    with model.context(ContextParams(n_ctx=256, n_threads=1)) as context:
        method = LlamaBatchedBench(BATCHED_NATIVE[4], None, like(context), 4)
        with pytest.raises(ToolgaugeError, match="there is no llama-batched-bench here; `make perf-tools` builds it"):
            method.prepare(CASE)


def test_results_are_kept_with_machine_versions_and_tools(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bench, folder = fake(tmp_path, "my-bench", BENCH), tmp_path / "kept"
    command = ["--quick", "--replay", "--model", str(model.path), "-t", "1", "-ngl", "0", "--llama-bench", str(bench)]
    assert main([*command, "--keep", str(folder)]) == 2
    assert "there is no folder" in capsys.readouterr().err
    folder.mkdir()
    assert main([*command, "--keep", str(folder)]) == 0
    printed = capsys.readouterr()
    data, text = sorted(folder.iterdir())
    assert data.name.endswith("-replay-cpu.json")
    assert text.name == f"{data.stem}.md"
    document = json.loads(data.read_text(encoding="utf-8"))
    assert document == json.loads(printed.out.strip().splitlines()[-1])
    assert document["tools"] == {"llama-bench": {"built": None, "build_commit": "abc", "n_threads": 1}}
    assert document["versions"]["system_info"]
    assert {claim["what"] for claim in document["claims"]} >= {"llguidance, drafted / llama-bench"}
    tables = text.read_text(encoding="utf-8")
    assert tables.startswith("# Decoding speed\n\n`python -m bench.perf --quick --replay")
    assert "How llama-bench was built is not known" in tables
    assert str(tmp_path) not in json.dumps(document["tools"])


@pytest.mark.parametrize(
    ("what", "name"),
    [("suite-suites/mine.jsonl", "suite-suites-mine-jsonl"), (f"suite-{'a' * 300}", f"suite-{'a' * 74}")],
)
def test_results_are_kept_under_any_name(what: str, name: str, tmp_path: Path) -> None:
    """--suite suites/mine.jsonl --keep: there was no such folder, and the measurement was lost."""
    facts = {"machine": {"gpu": None}, "versions": dict.fromkeys(("llama", *_LIBRARIES))}
    kept = keep(tmp_path, what, [Heading("Speed")], facts, ["--suite", "suites/mine.jsonl"])
    assert [file.name[len("2026-01-01-") :] for file in kept] == [f"{name}-cpu.json", f"{name}-cpu.md"]
    assert all(file.is_file() for file in kept)


def test_names_of_methods_belong_to_the_sizes_that_are_measured() -> None:
    assert BATCHED_FREE.keys() == BATCHED_NATIVE.keys()
    assert BATCHED_FORCED.keys() <= BATCHED_FREE.keys()
