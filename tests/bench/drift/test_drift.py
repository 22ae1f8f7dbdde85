"""Drift from end to end on small files: what is compared with what, what it comes to, and what goes wrong."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

import bench.drift.measure as module
from bench.drift.measure import NO_CALL, Drift, Settings, measure
from bench.drift.values import ALL, summarise, to_json
from bench.run.config import RunConfig
from bench.run.plan import PlannedModel
from bench.run.prepare import models_for
from bench.suites.case import Suite, load
from engine.llama import ContextParams, LoadParams, Model, load_model
from engine.quantize import quantize
from grammars.errors import ToolgaugeError
from tests.bench.run.test_prepare import Heard
from tests.tiny_gguf import write_tiny_model

T = TypeVar("T")
BUNDLED = Path(__file__).resolve().parents[3] / "bench/nano/nano-f16.gguf"
ONE_THREAD = Settings(context=ContextParams(n_threads=1), load=LoadParams(n_gpu_layers=0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-F16.gguf, a copy of it, tiny-Q8_0.gguf, and another model in other-F16.gguf."""
    place = tmp_path_factory.mktemp("models")
    source = write_tiny_model(place / "tiny-F16.gguf", context=8192)
    shutil.copy(source, place / "copy-F16.gguf")
    shutil.copy(quantize(source, "Q8_0", place / "made"), place / "tiny-Q8_0.gguf")
    write_tiny_model(place / "other-F16.gguf", width=128)
    return place


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting processes takes longer than what is tested here is about."""

    def here(work: Callable[[Path], T], *, what: str, progress: Callable[[float], None] | None = None) -> T:
        return work(Path(what))

    monkeypatch.setattr(module, "apart", here)


here = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(scope="module")
def quick() -> Suite:
    return load("quick")


def models(folder: Path, *names: str) -> tuple[PlannedModel, ...]:
    return models_for(RunConfig(models=tuple(str(folder / name) for name in names)), Heard())


def few(suite: Suite, *ids: str) -> Suite:
    return replace(suite, cases=tuple(case for case in suite.cases if case.id in ids))


@here
def test_the_bundled_model_drifts_more_at_each_lower_level_and_not_at_all_from_a_copy_of_itself(
    tmp_path: Path,
) -> None:
    levels = ("Q8_0", "Q4_K_M", "Q2_K")
    copy = shutil.copy(BUNDLED, tmp_path / "copy.gguf")
    made = [str(quantize(BUNDLED, level, tmp_path / "made")) for level in levels]
    planned = models_for(RunConfig(models=(*reversed(made), str(BUNDLED), str(copy))), Heard())
    suites = (load("nano"), few(load("quick"), "quick/selection-2"))
    found = measure(planned, suites, replace(ONE_THREAD, limit=8), Heard())
    assert found.reference.path == str(BUNDLED), "of two F16 files, the first"
    assert len(found.lessons) == 9
    figures = {each.model.path: each for each in summarise(found)}
    same = figures[str(copy)].roles[ALL]
    assert (same.kl.mean, same.kl.high, same.agreement.value, same.n_flips) == (0.0, 0.0, 1.0, 0)
    assert figures[str(copy)].worst == ()
    means = [figures[path].roles[ALL].kl.mean for path in made]
    assert 0 < means[0] < means[1] < means[2]
    assert means[2] > 5 * means[0]
    for role in ("name", "key", "value"):
        assert figures[made[0]].roles[role].kl.mean < figures[made[2]].roles[role].kl.mean


@here
def test_lessons_are_the_first_right_answers_and_the_other_cases_are_accounted_for(folder: Path, quick: Suite) -> None:
    suite = few(quick, "quick/selection-2", "quick/recovery-2", "quick/restraint-1", "quick/restraint-2")
    found = measure(models(folder, "tiny-Q8_0.gguf", "tiny-F16.gguf"), [suite], ONE_THREAD, Heard())
    assert (found.reference.quant, [level.model.quant for level in found.levels]) == ("F16", ["Q8_0"])
    answers = {lesson.case_id: "".join(lesson.texts) for lesson in found.lessons}
    assert answers["quick/selection-2"] == (
        '<tool_call>\n{"name": "convert_currency", "arguments": '
        '{"amount": 250, "from_currency": "USD", "to_currency": "JPY"}}\n</tool_call>'
    )
    assert [(left.case_id, left.reason) for left in found.left_out] == [
        ("quick/restraint-1", NO_CALL),
        ("quick/restraint-2", NO_CALL),
    ]
    assert answers.keys() == {"quick/selection-2", "quick/recovery-2"}
    for lesson, shifts in zip(found.lessons, found.levels[0].shifts, strict=True):
        assert [shift.token for shift in shifts] == list(lesson.forced.answer)
    whole = summarise(found)[0].roles
    assert whole[ALL].n_tokens == found.n_tokens == sum(its.n_tokens for role, its in whole.items() if role != ALL)
    assert sum(its.share or 0 for role, its in whole.items() if role != ALL) == pytest.approx(1)


@here
def test_a_case_s_figures_do_not_depend_on_the_others(folder: Path, quick: Suite) -> None:
    pair = models(folder, "tiny-F16.gguf", "tiny-Q8_0.gguf")
    ids = ("quick/selection-2", "quick/selection-3", "quick/selection-7")
    together = measure(pair, [few(quick, *ids)], ONE_THREAD, Heard())
    alone = measure(pair, [few(quick, ids[2])], ONE_THREAD, Heard())
    assert together.levels[0].shifts[2] == alone.levels[0].shifts[0]


@here
def test_a_case_and_its_twin_without_the_fault_are_one_case(folder: Path) -> None:
    """Their first prompt and its answer are the same: counted apart, they made every interval of `core` too narrow."""
    core = load("core")
    twin = next(case for case in core.cases if case.twin_of)
    both = few(core, twin.twin_of or "", twin.id)
    drift = measured(folder, both)
    assert len(drift.lessons) == 2
    (figures,) = summarise(drift)
    assert figures.roles[ALL].n_cases == 1
    assert figures.roles[ALL].kl.low is None


@here
def test_the_json_style_measures_the_envelope(folder: Path, quick: Suite) -> None:
    pair = models(folder, "tiny-F16.gguf", "tiny-Q8_0.gguf")
    found = measure(pair, [few(quick, "quick/selection-2")], replace(ONE_THREAD, style="json"), Heard())
    assert found.format_id == "json"
    assert "".join(found.lessons[0].texts).startswith('{"calls": [{"name": "convert_currency"')


@here
def test_the_limit_counts_the_cases_in_which_a_call_is_right(folder: Path, quick: Suite) -> None:
    found = measured(folder, quick, limit=5)
    assert (len(found.lessons), found.left_out) == (5, ())
    assert len({lesson.case_id.rpartition("-")[0] for lesson in found.lessons}) > 3, "one category after the other"


@here
def test_a_suite_that_is_named_twice_is_measured_once(folder: Path, quick: Suite) -> None:
    """Its cases would be counted twice, and the interval be too narrow."""
    asked = few(quick, "quick/selection-2", "quick/selection-3")
    found = measure(models(folder, "tiny-F16.gguf", "tiny-Q8_0.gguf"), [asked, asked], ONE_THREAD, Heard())
    assert [lesson.case_id for lesson in found.lessons] == ["quick/selection-2", "quick/selection-3"]


def measured(folder: Path, suite: Suite, limit: int | None = None, heard: Heard | None = None) -> Drift:
    pair = models(folder, "tiny-F16.gguf", "tiny-Q8_0.gguf")
    return measure(pair, [suite], replace(ONE_THREAD, limit=limit), heard or Heard())


@here
def test_the_size_of_the_logits_is_said_before_they_are_written(
    folder: Path, quick: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    found = measured(folder, few(quick, "quick/selection-2"), heard=heard)
    assert any(f"{found.n_tokens} tokens of 1 case" in text and "KiB" in text for text in heard.said)
    assert heard.labels[-2:] == ["tiny F16, the reference", "tiny Q8_0"]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10**6, 10**6, 90_000))
    with pytest.raises(ToolgaugeError, match=r"are free; measure about 1 cases \(--limit\), or .* TMPDIR"):
        measured(folder, quick, limit=3)


@here
def test_prompts_that_do_not_fit_are_left_out_and_named(folder: Path, quick: Suite) -> None:
    pair = models(folder, "tiny-F16.gguf", "tiny-Q8_0.gguf")
    asked = few(quick, "quick/selection-2", "quick/selection-7")
    roomy = measure(pair, [asked], ONE_THREAD, Heard())
    lengths = sorted(lesson.forced.n_tokens for lesson in roomy.lessons)
    tight = replace(ONE_THREAD, context=ContextParams(n_threads=1, n_ctx=lengths[0]))
    found = measure(pair, [asked], tight, Heard())
    assert len(found.lessons) == 1
    assert found.left_out[0].reason == f"prompt and answer do not fit into a context of {lengths[0]:,} tokens (-c)"
    with pytest.raises(ToolgaugeError, match=r"no case has an answer .* context of 16 tokens \(-c\)"):
        measure(pair, [asked], replace(tight, context=ContextParams(n_threads=1, n_ctx=16)), Heard())


def load_or_die(path: Path, params: LoadParams) -> Model:
    """Runs in the new processes."""
    if path.name == "copy-F16.gguf":
        os.write(2, b"ggml: cannot go on\n")
        os.abort()
    return load_model(path, params)


def test_a_level_that_takes_its_process_with_it_is_a_sentence_and_the_others_go_on(folder: Path, quick: Suite) -> None:
    three = models(folder, "tiny-F16.gguf", "copy-F16.gguf", "tiny-Q8_0.gguf")
    found = measure(three, [few(quick, "quick/selection-2")], replace(ONE_THREAD, opener=load_or_die), Heard())
    dead, alive = summarise(found)
    assert dead.error and "ended: ggml: cannot go on" in dead.error
    assert alive.error is None and alive.roles[ALL].kl.mean > 0
    values = to_json(found, [dead, alive])
    assert [level["error"] for level in values["levels"]] == [dead.error, None]
    assert values["levels"][0]["roles"] == {}


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("tiny-F16.gguf",), "name at least two, e.g. --quants"),
        (("tiny-F16.gguf", "other-F16.gguf"), "not levels of one model, so their tokens cannot be compared"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(
    names: tuple[str, ...], sentence: str, folder: Path, quick: Suite
) -> None:
    with pytest.raises(ToolgaugeError, match=sentence):
        measure(models(folder, *names), [quick], ONE_THREAD, Heard())


def test_cases_without_calls_are_nothing_to_measure_on(folder: Path, quick: Suite) -> None:
    silent = replace(quick, cases=tuple(case for case in quick.cases if not case.expected))
    with pytest.raises(ToolgaugeError, match="in none of these cases is a call right"):
        measured(folder, silent)


@here
def test_a_format_that_nobody_recognises_is_asked_for(folder: Path, quick: Suite) -> None:
    strange = [replace(model, format_id=None) for model in models(folder, "tiny-F16.gguf", "tiny-Q8_0.gguf")]
    with pytest.raises(ToolgaugeError, match="--style json"):
        measure(strange, [quick], ONE_THREAD, Heard())
    found = measure(strange, [few(quick, "quick/selection-2")], replace(ONE_THREAD, style="json"), Heard())
    assert len(found.lessons) == 1


@pytest.mark.parametrize(
    ("quants", "reference"),
    [
        (("Q8_0", "F16", "BF16"), "BF16"),
        (("Q8_0", "F16", "F32"), "F32"),
        (("Q4_K_M", "Q8_0", "Q2_K"), "Q8_0"),
        (("Q8_0", "F16 (one)", "F16 (two)"), "F16 (one)"),
    ],
)
def test_the_reference_is_the_most_precise_level(folder: Path, quants: tuple[str, ...], reference: str) -> None:
    sizes = {"Q8_0": 80, "Q4_K_M": 50, "Q2_K": 30}
    (model,) = models(folder, "tiny-F16.gguf")
    ladder = [replace(model, quant=quant, gguf_bytes=sizes.get(quant, 160)) for quant in quants]
    first, others = module._ordered(ladder)
    assert first.quant == reference
    assert [each.quant for each in others] == [quant for quant in quants if quant != reference]
