"""The closer look at times: what is counted, what adds up, and what is left out where it was not measured."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from rich.console import Console

from bench.report import compare, comparisons, csv, html, markdown, tables, terminal
from bench.report.build import build
from bench.report.details import latency
from bench.report.details.latency import Latency, measure
from bench.report.judged import Judged, judged
from bench.report.machine import decode_tok_per_s, prefill_tok_per_s, speed
from bench.report.values import Report
from bench.results.rows import LatencySample
from bench.results.store import Store
from bench.run.config import LatencySettings
from bench.run.execute import execute
from bench.run.judge import verdict
from bench.run.loading import open_model
from bench.stats import Middle, Spread
from tests.bench import samples
from tests.bench.scripted import PROVENANCE, plan_of
from tests.bench.stored import RIGHT, stored_run

PARTS = {"prefill_s": 1.0, "reasoning_s": 2.0, "prose_s": 0.5, "call_s": 4.0, "mask_wait_s": 0.25, "overhead_s": 0.25}
PLAIN = LatencySample(
    cell_id=1,
    key="k",
    case_id="a",
    repetition=0,
    drafted=False,
    warm=False,
    error=None,
    text="call",
    stop="eog",
    n_prompt=100,
    n_cached=0,
    n_tokens=20,
    n_first=1,
    n_forced=0,
    n_masked=0,
    n_drafted=0,
    n_accepted=0,
    ttft_s=1.1,
    ttfn_s=2.0,
    ttfc_s=8.0,
    decode_s=7.0,
    mask_s=0.5,
    host_s=0.5,
    compile_s=0.0,
    total_s=9.0,
    energy_j=None,
    created_utc="",
    **PARTS,
)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    path = stored_run(tmp_path_factory.mktemp("run"), {("F16", "native.free"): [RIGHT]})
    with Store.read(path) as store:
        run = store.run("last")
        return replace(judged(store, run, store.cells(run.id)[0], None), samples=())


def sample(**changes: Any) -> LatencySample:
    return replace(PLAIN, **changes)


def measured(blank: Judged, *cold: LatencySample, warm: tuple[LatencySample, ...] = ()) -> Latency:
    found = measure(replace(blank, samples=cold, warm=warm))
    assert found
    return found


def test_nothing_timed_is_nothing_said(blank: Judged) -> None:
    assert measure(blank) is None


def test_moments_are_medians_over_the_samples_that_have_them(blank: Judged) -> None:
    silent = sample(case_id="b", ttft_s=1.3, ttfn_s=None, ttfc_s=None, call_s=None)
    found = measured(blank, PLAIN, sample(case_id="c", ttft_s=1.2, ttfc_s=10.0), silent)
    assert (found.n, found.n_called) == (3, 2)
    assert found.ttft_s == Spread(1.2, pytest.approx(0.1), 3)
    assert found.ttfc_s == Spread(9.0, 1.0, 2)
    assert found.ttfn_s and found.ttfn_s.n == 2


@pytest.mark.parametrize(
    ("changes", "tok_per_s"),
    [
        ({}, 19 / 7),
        ({"n_first": 13, "n_forced": 12}, 1.0),
        ({"n_first": 20, "n_forced": 20, "decode_s": 0.0005}, None),  # all of it came with the prompt: 40,000 tok/s
        ({"n_first": None, "n_forced": 12}, None),  # by an older version, which did not count them
    ],
)
def test_tokens_that_came_with_the_first_one_were_not_decoded(changes: dict[str, Any], tok_per_s: float | None) -> None:
    found = speed([sample(**changes)]).decode_tok_per_s
    assert (found and found.median) == (tok_per_s and pytest.approx(tok_per_s))


def test_parts_are_means_that_add_up(blank: Judged) -> None:
    slow = sample(case_id="b", prefill_s=3.0, reasoning_s=0.0, call_s=9.0, ttfc_s=13.0)
    silent = sample(case_id="c", ttfc_s=None, **dict.fromkeys([*PARTS][1:]))
    parts = measured(blank, PLAIN, slow, silent).parts
    assert parts
    assert (parts.n, parts.prefill_s, parts.reasoning_s, parts.call_s) == (2, 2.0, 1.0, 6.5)
    assert sum(getattr(parts, name) for name in PARTS) == pytest.approx(parts.ttfc_s)


def test_samples_of_before_have_no_parts_and_no_warmth(blank: Judged) -> None:
    old = sample(**dict.fromkeys([*PARTS][1:]))
    found = measured(blank, old)
    assert (found.parts, found.warm, found.compile_s, found.noise) == (None, None, None, None)
    assert found.ttfc_s is not None


def test_cold_and_warm_are_the_same_answers_of_the_same_repetition(blank: Judged) -> None:
    cold = [
        sample(case_id=case, repetition=n, ttft_s=t) for case, n, t in (("a", 0, 9.0), ("a", 1, 1.0), ("b", 1, 3.0))
    ]
    warm = tuple(
        sample(case_id=case, repetition=1, ttft_s=t, text=text, n_cached=80, warm=True)
        for case, t, text in (("a", 0.1, "call"), ("b", 0.3, "another"), ("never cold", 7.0, ""))
    )
    cool = sample(case_id="b", repetition=1, warm=True, n_cached=0, ttft_s=50.0)
    found = measured(blank, *cold, warm=(*warm, cool)).warm
    assert found
    assert (found.n, found.cached, found.n_differ) == (2, 0.8, 1)
    assert found.cold_ttft_s == Spread(2.0, 1.0, 2)
    assert found.warm_ttft_s and found.warm_ttft_s.median == pytest.approx(0.2)


def test_first_calls_cold_and_warm_are_of_the_same_answers(blank: Judged) -> None:
    """One that called only cold, and one that called only warm, had moved a median each."""
    first_calls = {"a": (8.0, 6.0), "b": (10.0, 7.0), "c": (90.0, None), "d": (None, 1.0)}
    cold = [sample(case_id=case, ttfc_s=before) for case, (before, _) in first_calls.items()]
    warm = tuple(
        sample(case_id=case, ttfc_s=after, ttft_s=0.1, n_cached=80, warm=True)
        for case, (_, after) in first_calls.items()
    )
    whole = measured(blank, *cold, warm=warm)
    assert whole.warm
    assert whole.warm.cold_ttfc_s == Spread(9.0, 1.0, 2)
    assert whole.warm.warm_ttfc_s == Spread(6.5, 0.5, 2)
    assert whole.warm.cold_ttft_s == Spread(pytest.approx(1.1), 0.0, 4)
    table = latency.tables([replace(samples.row("F16", "native.free", 9), latency=whole)])[2]
    assert table.notes[-1] == "first call: over the 2 answers of a row with a call both times"


def test_noise_is_how_far_repetitions_of_an_answer_lie_apart(blank: Judged) -> None:
    repeated = [sample(repetition=n, total_s=t) for n, t in enumerate((10.0, 11.0, 9.0))]
    steady = [sample(case_id="b", repetition=n, total_s=5.0) for n in range(2)]
    chance = [sample(case_id="c", repetition=n, total_s=n + 1.0, text=str(n)) for n in range(2)]
    assert measured(blank, *repeated).noise == pytest.approx(0.2)
    assert measured(blank, *repeated, *steady, *chance).noise == pytest.approx(0.1)


def test_each_set_of_tools_is_compiled_once(blank: Judged) -> None:
    costs = (0.2, 0.2, 0.4, 0.2)
    found = measured(blank, *(sample(case_id=str(n), compile_s=cost) for n, cost in enumerate(costs)))
    assert found.compile_s == Spread(pytest.approx(0.3), pytest.approx(0.1), 2)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of a whole run of the scripted model, whose clock only counts."""
    folder = tmp_path_factory.mktemp("whole")
    plan = plan_of(folder, modes=("native.free", "native.schema"), latency=LatencySettings(n_cases=2, repetitions=2))
    with Store.open(folder / "results.db") as store:
        return build(store, execute(store, plan, PROVENANCE, opener=open_model, scorer=verdict))


def test_a_run_ends_in_times_that_add_up(report: Report) -> None:
    for row in report.sections[0].rows:
        found = row.latency
        assert found and found.parts and found.warm
        assert (found.n, found.n_called, found.parts.n, found.warm.n) == (4, 4, 4, 2)
        assert sum(getattr(found.parts, name) for name in PARTS) == pytest.approx(found.parts.ttfc_s)
        assert found.noise == pytest.approx(0)
        assert found.warm.n_differ == 0
        assert found.warm.warm_ttft_s and found.warm.cold_ttft_s
        assert found.warm.warm_ttft_s.median < found.warm.cold_ttft_s.median
        assert (found.compile_s is None) is (row.mode == "native.free")
        assert row.speed.ttfc_s and row.speed.ttfc_s.n == 4, "warm samples are not among them"


def test_every_rendering_has_it(report: Report) -> None:
    document = tables.document(report, ["latency"])
    stream = io.StringIO()
    terminal.render(document, Console(file=stream, width=120))
    for output in (stream.getvalue(), markdown.render(document), html.render("report", document)):
        for words in (
            *("Until the first token, name and call", "What the time to the first call goes to"),
            *("With a cold and with a warm prefix", "Once"),
        ):
            assert words in output
    assert "What the time" not in markdown.render(tables.document(report))
    (row, _) = json.loads(json.dumps(report.to_json()))["sections"][0]["rows"]
    assert row["latency"] == json.loads(json.dumps(asdict(report.sections[0].rows[0].latency)))  # type: ignore[call-overload]
    header, first, *_ = csv.render(report).splitlines()
    values = dict(zip(header.split(","), first.split(","), strict=False))
    assert float(values["latency.parts.call_s"]) > 0
    assert float(values["latency.warm.warm_ttft_s.median"]) > 0


def test_what_was_not_measured_is_a_dash() -> None:
    with_all, without = samples.row("F16", "native.free", 9), samples.row("F16", "native.schema", 9)
    assert without.latency
    bare = replace(
        without, latency=replace(without.latency, parts=None, warm=None, compile_s=None, noise=None), load_s=None
    )
    found = latency.tables([with_all, bare])
    assert [table.title for table in found][1:] == [
        "What the time to the first call goes to",
        "With a cold and with a warm prefix",
        "Once",
    ]
    for table in found[1:]:
        assert {each.text for each in table.rows[1][2:]} == {"-"}
    assert [table.title for table in latency.tables([bare])] == ["Until the first token, name and call"]
    assert latency.tables([replace(bare, latency=None)]) == []


def test_free_and_constrained_first_calls_are_compared_within_each_case(blank: Judged) -> None:
    """Repetitions are one value, their median; a case without a call in either mode is no case of both."""
    free = replace(
        blank,
        samples=(
            *(sample(case_id="a", repetition=n, ttfc_s=seconds) for n, seconds in enumerate((1.0, 2.0, 9.0))),
            sample(case_id="b", ttfc_s=10.0),
            sample(case_id="c", ttfc_s=None),
            sample(case_id="d", ttfc_s=1.0),
        ),
    )
    schema = replace(blank.cell, mode="native.schema", backend="llguidance")
    seconds = {"a": 1.0, "b": 9.0, "c": 4.0, "d": None}
    constrained = replace(
        blank, cell=schema, samples=tuple(sample(case_id=case_id, ttfc_s=took) for case_id, took in seconds.items())
    )
    (pair,) = compare.paired([free, constrained])
    assert pair.first_call == Middle(pytest.approx(0.7), 0.5, 0.9, 2, 0.5)
    (pair,) = compare.paired([replace(free, samples=()), constrained])
    assert pair.first_call is None


def test_another_setting_can_read_faster_and_write_slower(blank: Judged) -> None:
    """Flash attention on a CPU: the first call alone hid that one rate had doubled and the other halved."""
    before = replace(blank, samples=tuple(sample(case_id=case_id) for case_id in "abcdefg"))
    quicker = {"prefill_s": PLAIN.prefill_s / 2, "decode_s": PLAIN.decode_s * 2}
    after = replace(blank, samples=tuple(sample(case_id=case_id, **quicker) for case_id in "abcdefg"))
    prefill = compare.times_as_much(before, after, prefill_tok_per_s)
    decode = compare.times_as_much(before, after, decode_tok_per_s)
    assert prefill and (prefill.median, prefill.n) == (pytest.approx(2.0), 7)
    assert decode and (decode.median, decode.n) == (pytest.approx(0.5), 7)
    assert compare.times_as_much(before, replace(after, samples=()), decode_tok_per_s) is None


def test_the_time_that_a_constraint_takes_or_saves_stands_beside_what_it_rescued() -> None:
    (section,) = samples.report().sections
    untimed, saved, unsure, few = section.paired[:4]
    pairs = (
        untimed,
        replace(saved, first_call=Middle(0.8, 0.7, 0.955, 10, 0.979)),
        replace(unsure, first_call=Middle(1.02, 0.9, 1.2, 10, 0.979)),
        replace(few, first_call=Middle(1.5, 1.25, 2.0, 3, 0.75)),
    )
    table = comparisons.paired(pairs)
    assert [row[-1].text for row in table.rows] == ["-", "0.80x (0.70-0.95)", "1.02x (0.90-1.20)", "1.50x"]
    assert [row[-1].tone for row in table.rows][1:3] == ["certain", "plain"]
    lines = [line for line in markdown.render([table]).splitlines() if "x (" in line]
    assert [line.count("**") for line in lines] == [2, 0]
    assert lines[0].endswith("| **0.80x (0.70-0.95)** |")
    assert "median over 3-10 cases with a call both ways; of fewer than 6 there is no interval" in table.notes[-1]
    assert "first call" not in [column.header for column in comparisons.paired(section.paired).columns]
