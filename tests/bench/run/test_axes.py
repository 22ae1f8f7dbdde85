"""Several context settings in one run: what each is called, what is measured at each, and what is held against what."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report import csv as csv_report
from bench.report import tables
from bench.report.build import build
from bench.report.compare import kv_size
from bench.report.document import Table, Text
from bench.report.values import Report, Row
from bench.results.migrations import APPLICATION_ID, MIGRATIONS
from bench.results.rows import Run, Stored
from bench.results.store import Store
from bench.run import events, plan
from bench.run.axes import axes, label
from bench.run.config import LatencySettings, RunConfig
from bench.run.estimate import Pace, from_history
from bench.run.execute import Interrupted, execute
from bench.run.judge import verdict
from bench.run.latency import nothing
from bench.run.loading import LoadedModel, open_model
from bench.run.messages import ModelSpec, Reading, Work
from bench.run.plan import Plan
from bench.run.prepare import BUNDLED, Nobody, plan_for
from bench.run.settings import context_grid, context_params, parallel
from bench.run.writer import NewLoad, begin_run, put_item, put_load, put_readings, put_sample, release
from engine.llama.params import KV_TYPES, ContextParams
from engine.memory.cache import row_bytes
from engine.runtime import Limits
from grammars.errors import ToolgaugeError
from tests.bench.scripted import NO_LATENCY, PROVENANCE, fake, plan_of
from tests.bench.stored import RIGHT, WRONG, record
from tests.tiny_gguf import write_tiny_model

NOTHING = Stored({}, frozenset(), frozenset())


def grid(**lists: str) -> dict[str, Any]:
    """The settings of a run with these lists."""
    usual = {"n_ctx": "4096", "n_batch": "2048", "n_ubatch": "512", "kv_type": "f16", "flash_attn": "auto"}
    first, *others = context_grid(**usual | lists)
    return {"context": first, "more_contexts": tuple(others)}


def keys(of: Plan) -> set[str]:
    return {item.key for cell in of.cells for item in cell.items}


# What settings are called


@pytest.mark.parametrize(
    ("lists", "labels"),
    [
        ({}, [""]),
        ({"n_ctx": "8192", "kv_type": "q8_0"}, [""]),
        ({"kv_type": "f16,q8_0"}, ["KV f16", "KV q8_0"]),
        ({"kv_type": "f16,q8_0:q4_0"}, ["KV f16", "KV q8_0:q4_0"]),
        ({"n_ctx": "4096,8192"}, ["-c 4096", "-c 8192"]),
        ({"n_batch": "256,2048"}, ["-b 256", "-b 2048"]),
        ({"n_ubatch": "256,512"}, ["-ub 256", "-ub 512"]),
        ({"n_batch": "256,2048", "n_ubatch": "512,1024"}, ["-b 256, -ub 256", "-b 2048, -ub 512", "-b 2048, -ub 1024"]),
        (
            {"kv_type": "f16, q8_0", "n_ctx": "4096,8192"},
            ["KV f16, -c 4096", "KV f16, -c 8192", "KV q8_0, -c 4096", "KV q8_0, -c 8192"],
        ),
        ({"kv_type": "f16,f16:f16", "n_ctx": "4096,4096"}, [""]),
    ],
    ids=str,
)
def test_a_setting_is_called_by_what_varies_alone(tmp_path: Path, lists: dict[str, str], labels: list[str]) -> None:
    made = plan_of(tmp_path, **grid(**lists))
    assert [model.setting for model in made.models] == labels
    assert made.settings == tuple(label for label in labels if label)
    named = [f"fake:perfect ({label})" if label else "fake:perfect" for label in labels]
    assert [model.label for model in made.models] == named


_CONTEXTS = st.builds(
    ContextParams,
    n_ctx=st.sampled_from((512, 4096)),
    n_batch=st.sampled_from((256, 512, 2048)),
    n_ubatch=st.sampled_from((128, 256)),
    type_k=st.sampled_from(("f16", "q8_0")),
    type_v=st.sampled_from(("f16", "q8_0", "q4_0")),
)


@settings(max_examples=100)
@given(st.lists(_CONTEXTS, min_size=1, max_size=6, unique=True))
def test_no_two_settings_of_a_file_are_called_alike(contexts: list[ContextParams]) -> None:
    varying = axes([contexts])
    assert len({label(context, varying) for context in contexts}) == len(contexts)
    assert (varying == ()) == (len(contexts) == 1)


# The plan


def test_each_file_meets_each_setting(tmp_path: Path) -> None:
    made = plan_of(tmp_path, [fake(quant="Q8_0"), fake(quant="Q4_K_M")], **grid(kv_type="f16,q8_0"))
    found = [(cell.model.quant, cell.context.type_k, cell.context.type_v, cell.mode.id) for cell in made.cells]
    modes = ("native.free", "json.free")
    assert found == [(quant, kv, kv, mode) for quant in ("Q8_0", "Q4_K_M") for kv in ("f16", "q8_0") for mode in modes]
    assert made.n_items == len(keys(made)) == 2 * 2 * 2 * 3
    assert made.n_files == 2


def test_keys_of_runs_with_one_setting_are_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored results stay valid. These may change only with something that an answer can depend on."""
    monkeypatch.setattr(plan, "version_of", lambda distribution: "1")
    one = plan_of(tmp_path, n_cases=1, latency=LatencySettings(n_cases=1, repetitions=1))
    assert [cell.items[0].key for cell in one.cells] == [
        "77570ad4e1727bef23430bf6d4475409",
        "5112b391b8c35a05355a79d940e9cb0d",
    ]
    assert [cell.samples[0].key for cell in one.cells] == [
        "b0bda443f54aa50b260ebfd07f3cfaf8",
        "31c00f41c06ef5cd43e27448b6540af8",
    ]


@pytest.mark.parametrize(
    ("together", "apart"),
    [
        ({"kv_type": "f16,q8_0"}, [{"kv_type": "f16"}, {"kv_type": "q8_0"}]),
        ({"n_ctx": "4096,8192"}, [{"n_ctx": "4096"}, {"n_ctx": "8192"}]),
    ],
)
def test_a_setting_has_the_keys_of_a_run_of_its_own(
    tmp_path: Path, together: dict[str, str], apart: list[dict[str, str]]
) -> None:
    whole = plan_of(tmp_path, **grid(**together))
    single = [keys(plan_of(tmp_path, **grid(**lists))) for lists in apart]
    assert keys(whole) == single[0] | single[1]
    assert not single[0] & single[1]


def test_batch_sizes_are_part_of_a_key_only_where_there_are_several(tmp_path: Path) -> None:
    small, large = (plan_of(tmp_path, **grid(n_batch=size)) for size in ("512", "2048"))
    assert small.key == large.key
    both = plan_of(tmp_path, **grid(n_batch="512,2048"))
    assert both.n_items == len(keys(both)) == 2 * small.n_items
    assert both.key == plan_of(tmp_path, **grid(n_batch="2048,512")).key


def test_contexts_that_come_out_the_same_are_measured_once(tmp_path: Path) -> None:
    short = replace(fake(), n_ctx_train=2048)
    made = plan_of(tmp_path, [short, fake(quant="long")], **grid(n_ctx="0,2048"))
    found = [(model.quant, model.setting) for model in made.models]
    assert found == [("", "-c 2048"), ("long", "-c 8192"), ("long", "-c 2048")]


def test_settings_that_have_no_name_are_refused(tmp_path: Path) -> None:
    more = (ContextParams(flash_attn="on"),)
    with pytest.raises(ToolgaugeError, match="can differ in KV types, context and batch sizes only"):
        plan_of(tmp_path, more_contexts=more)


def test_a_config_with_settings_survives_the_result_file() -> None:
    config = RunConfig(**grid(kv_type="f16,q8_0"))
    assert RunConfig.from_json(config.to_json()) == config
    older = {name: value for name, value in RunConfig().to_json().items() if name != "more_contexts"}
    assert RunConfig.from_json(older) == RunConfig()


# As a person types them


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        ({"kv_type": "f16,q9"}, r"unknown KV-cache type 'q9'; known are: f32, f16"),
        ({"kv_type": "q8_0:"}, None),
        ({"kv_type": ","}, "--kv-type names nothing"),
        ({"kv_type": "f16,q8_0", "flash_attn": "off"}, r"values of type q8_0 .* \(--kv-type q8_0:f16\)"),
        ({"kv_type": "q8_0:f16", "flash_attn": "off"}, None),
        ({"n_ctx": "4k"}, "-c takes whole numbers such as 8192,32768, not '4k'"),
        ({"n_ctx": "-1"}, "-c takes whole numbers"),
        ({"n_ctx": "4294967552"}, r"-c takes whole numbers .* not '4294967552' \(at most 2147483647\)"),
        ({"n_ctx": "2147483648"}, "-c takes whole numbers"),
        ({"n_ctx": "2147483647"}, None),
        ({"n_batch": "0"}, "-b takes whole numbers"),
        ({"n_ubatch": "512,x"}, "-ub takes whole numbers"),
        ({"flash_attn": "maybe"}, "--flash-attn is one of auto, off, on, not 'maybe'"),
    ],
    ids=str,
)
def test_lists_are_checked_before_anything_is_looked_for(lists: dict[str, str], sentence: str | None) -> None:
    if sentence is None:
        assert grid(**lists)["more_contexts"] == ()
        return
    with pytest.raises(ToolgaugeError, match=sentence):
        grid(**lists)


def test_a_number_of_five_thousand_digits_is_a_sentence() -> None:
    with pytest.raises(ToolgaugeError, match="-c takes whole numbers"):
        grid(n_ctx="9" * 5000)
    with pytest.raises(ToolgaugeError, match="--parallel is a number of answers"):
        parallel("9" * 5000)


@pytest.mark.parametrize("text", ["0", "255", "300"])
def test_no_more_answers_at_a_time_than_llama_decodes(text: str) -> None:
    """Two of its 256 sequences keep prefixes; 255 failed when the run was stored already."""
    assert parallel("254") == 254
    with pytest.raises(ToolgaugeError, match=f"from 1 to 254, or auto; not '{text}'"):
        parallel(text)


def test_where_one_type_is_wanted_two_are_written_with_a_colon() -> None:
    found = context_params(kv_type="q8_0:q4_0", flash_attn="auto")
    assert (found.type_k, found.type_v) == ("q8_0", "q4_0")
    with pytest.raises(ToolgaugeError, match=r"takes one type here, not 'q8_0,q4_0'.* q8_0:q4_0"):
        context_params(kv_type="q8_0,q4_0", flash_attn="auto")


def test_what_llama_would_refuse_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    """Heads that are smaller than a block of q8_0."""
    path = write_tiny_model(tmp_path / "small-heads.gguf", width=32)
    config = RunConfig(models=(str(path),), modes=("json.free",), limit=1, **grid(kv_type="f16,q8_0"))
    with pytest.raises(ToolgaugeError, match=r"small-heads.gguf: a KV cache of q8_0 needs heads whose size divides"):
        plan_for(config, Nobody())
    assert plan_for(replace(config, more_contexts=()), Nobody()).n_items == 1


# Running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


def run(store: Store, planned: Plan, **options: Any) -> Run:
    return execute(store, planned, PROVENANCE, **{"opener": open_model, "scorer": verdict, **options})


def answered(store: Store, planned: Plan, *, total_s: float = 1.0) -> Run:
    """A finished run without a worker; with values in four bits every answer is wrong, and twice as slow."""
    run_id = begin_run(store, planned, PROVENANCE)
    rows = {(cell.model.quant, cell.model.setting, cell.mode): cell for cell in store.cells(run_id)}
    for model_id in dict.fromkeys(cell.model.id for cell in rows.values()):
        load_id = put_load(store, run_id, model_id, NewLoad(0.0, 4096, 1, "llama.cpp b1"))
        put_readings(store, load_id, [Reading("peak", "rss", "", 1000 - model_id), Reading("peak", "kv", "CPU", 64)])
    for cell in planned.cells:
        stored = rows[cell.model.quant, cell.model.setting, cell.mode.id]
        is_small = cell.context.type_v == "q4_0"
        for item in cell.items:
            found = record(item.case, WRONG if is_small else RIGHT, constrained=cell.mode.constrained)
            each_s = total_s * (1 + is_small)
            put_item(store, run_id, stored.id, item, found, total_s=each_s, scores=[verdict(item.case, found)])
        for sample in cell.samples:
            times = {"key": sample.key, "case_id": sample.case.id, "repetition": sample.repetition}
            counts = {"error": None, "n_prompt": 100, "n_tokens": 20, "n_first": 1, "prefill_s": 0.1, "decode_s": 0.5}
            put_sample(store, run_id, stored.id, nothing("") | times | counts)
    release(store, run_id, finished=True)
    return store.run(str(run_id))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two files with three types of the KV cache, of which one costs everything."""
    folder = tmp_path_factory.mktemp("axes")
    models = [fake(quant="F16"), replace(fake(quant="Q4_K_M"), gguf_bytes=500)]
    planned = plan_of(
        folder,
        models,
        n_cases=80,
        modes=["native.free"],
        latency=LatencySettings(n_cases=1, repetitions=1, warm_repetitions=0),
        **grid(kv_type="q4_0,q8_0,f16"),
    )
    with Store.open(folder / "results.db") as opened:
        return build(opened, answered(opened, planned))


def row(report: Report, quant: str, setting: str, mode: str) -> Row:
    (section,) = report.sections
    (found,) = [each for each in section.rows if (each.quant, each.setting, each.mode) == (quant, setting, mode)]
    return found


def test_every_setting_has_rows_of_its_own(report: Report) -> None:
    for quant in ("F16", "Q4_K_M"):
        for kv, n_right in (("f16", 80), ("q8_0", 80), ("q4_0", 0)):
            found = row(report, quant, f"KV {kv}", "native.free")
            assert found.accuracy and found.accuracy.hits == n_right
            assert (found.context["type_k"], found.context["type_v"], found.context["n_ctx"]) == (kv, kv, 4096)
            assert found.speed.prefill_tok_per_s and found.speed.prefill_tok_per_s.n == 1
            assert found.memory.rss_peak_bytes


def test_levels_and_constraints_are_compared_at_the_same_setting(report: Report, tmp_path: Path, store: Store) -> None:
    (section,) = report.sections
    assert {(rung.setting, rung.quant, rung.reference, rung.gained, rung.lost) for rung in section.ladder} == {
        (f"KV {kv}", "Q4_K_M", "F16", 0, 0) for kv in ("f16", "q8_0", "q4_0")
    }
    planned = plan_of(tmp_path, modes=["native.free", "native.schema"], **grid(kv_type="f16,q4_0"))
    (section,) = build(store, answered(store, planned)).sections
    assert [(pair.setting, pair.same_right, pair.same_wrong) for pair in section.paired] == [
        ("KV f16", 3, 0),
        ("KV q4_0", 0, 3),
    ]


def test_each_kv_type_is_held_against_f16_in_the_same_file_and_mode(report: Report) -> None:
    (section,) = report.sections
    found = {
        (each.rung.quant, each.rung.mode, each.kv_type): (each.rung.reference, each.rung.lost, each.rung.verdict)
        for each in section.kv_ladder
    }
    assert found == {
        (quant, "native.free", kv): ("f16", *told)
        for quant in ("F16", "Q4_K_M")
        for kv, told in (("q8_0", (0, "not worse")), ("q4_0", (80, "worse")))
    }
    first = section.kv_ladder[0]
    beside = row(report, first.rung.quant, first.rung.setting, first.rung.mode)
    assert first.cost.rss_peak_bytes == beside.memory.rss_peak_bytes
    reference = row(report, first.rung.quant, "KV f16", first.rung.mode)
    assert reference.speed.decode_tok_per_s
    assert first.reference_cost.decode_tok_per_s == reference.speed.decode_tok_per_s.median


def test_a_person_reads_of_settings_only_where_there_are_several(report: Report, tmp_path: Path, store: Store) -> None:
    page = tables.document(report)
    main = next(block for block in page if isinstance(block, Table))
    assert [column.header for column in main.columns][:3] == ["quant", "setting", "mode"]
    (summary,) = [block.text for block in page if isinstance(block, Text) and block.text.startswith("At ")]
    assert summary.startswith("At F16, KV f16 the most accurate mode is")
    assert "Against F16 there: Q4_K_M not worse by 5 points or more." in summary
    assert "Against a KV cache of f16 there: q8_0 not worse by 5 points or more; q4_0 worse." in summary
    (kv_table,) = [b for b in page if isinstance(b, Table) and (b.title or "").startswith("What does a smaller KV")]
    assert len(kv_table.rows) == 4
    alone = tables.document(build(store, answered(store, plan_of(tmp_path, n_cases=1, **grid(kv_type="q8_0")))))
    tables_alone = [block for block in alone if isinstance(block, Table)]
    assert not any(column.header == "setting" for table in tables_alone for column in table.columns)
    assert not any("KV" in (table.title or "") for table in tables_alone)


def test_json_and_csv_carry_the_settings(report: Report) -> None:
    values = report.to_json()["sections"][0]
    assert values["rows"][0]["setting"] == "KV q4_0"
    assert values["rows"][0]["context"]["type_v"] == "q4_0"
    assert values["kv_ladder"][0]["rung"]["reference"] == "f16"
    lines = list(csv.DictReader(io.StringIO(csv_report.render(report))))
    assert [(line["setting"], line["type_k"], line["n_ctx"]) for line in lines[:2]] == [
        ("KV q4_0", "q4_0", "4096"),
        ("KV q8_0", "q8_0", "4096"),
    ]


def test_without_f16_the_most_precise_type_is_the_reference(tmp_path: Path, store: Store) -> None:
    planned = plan_of(tmp_path, modes=["native.free"], **grid(kv_type="q4_0,q8_0"))
    (section,) = build(store, answered(store, planned)).sections
    (each,) = section.kv_ladder
    assert (each.kv_type, each.rung.reference, each.rung.lost, each.rung.n) == ("q4_0", "q8_0", 3, 3)


def test_types_of_other_contexts_are_not_compared(tmp_path: Path, store: Store) -> None:
    planned = plan_of(tmp_path, modes=["native.free"], **grid(kv_type="f16,q4_0", n_ctx="4096,8192"))
    (section,) = build(store, answered(store, planned)).sections
    assert [(each.rung.setting, each.rung.lost) for each in section.kv_ladder] == [
        ("KV q4_0, -c 4096", 3),
        ("KV q4_0, -c 8192", 3),
    ]
    assert section.ladder == ()


@pytest.mark.parametrize("name", [*KV_TYPES, "q8_0:q4_0"])
def test_the_size_of_a_type_is_of_keys_and_values(name: str) -> None:
    type_k, _, type_v = name.partition(":")
    assert kv_size(name) == row_bytes(type_k, 32) + row_bytes(type_v or type_k, 32)


@pytest.mark.usefixtures("workers_here")
def test_a_run_goes_on_at_the_setting_where_it_ended(tmp_path: Path, store: Store) -> None:
    planned = plan_of(tmp_path, n_cases=4, modes=["native.free"], **grid(n_batch="256,512"))
    told: list[events.Event] = []

    def stop_soon(event: events.Event) -> None:
        told.append(event)
        if sum(isinstance(each, events.ItemDone) for each in told) == 6:
            raise Interrupted(1, 6, planned.n_items, "")

    with pytest.raises(Interrupted):
        run(store, planned, listener=stop_soon)
    heard: list[events.Event] = []
    again = plan_of(tmp_path, n_cases=4, modes=["native.free"], **grid(n_batch="512,256"))
    done = run(store, again, listener=heard.append)
    (started,) = [event for event in heard if isinstance(event, events.Started)]
    assert (done.id, started.resumed, started.n_done) == (1, True, 6)
    for cell in store.cells(done.id):
        stored = cell.model.context["context"]
        assert cell.model.setting == f"-b {stored['n_batch']}"
        items = store.items(cell.id)
        (same,) = [each for each in planned.cells if each.model.setting == cell.model.setting]
        assert sorted(item.key for item in items) == sorted(item.key for item in same.items)
    loaded = {load.model_id for load in store.loads(done.id)}
    assert len(loaded) == len(planned.models) == 2


@pytest.mark.usefixtures("workers_here")
def test_what_does_not_fit_at_one_setting_leaves_the_others(tmp_path: Path, store: Store) -> None:
    planned = plan_of(tmp_path, modes=["native.free"], **grid(n_ctx="4096,8192"))
    with pytest.raises(ToolgaugeError, match=r"1 combination of 2 left out: .*does not fit.*toolgauge report 1"):
        run(store, planned, opener=open_short_only)
    counts = {cell.model.setting: len(store.items(cell.id)) for cell in store.cells(1)}
    assert counts == {"-c 4096": 3, "-c 8192": 0}


def open_short_only(spec: ModelSpec, work: Work) -> LoadedModel:
    if spec.context.n_ctx > 4096:
        raise ToolgaugeError("the context does not fit into memory; take a shorter one")
    return open_model(spec, work)


# How long it takes


def item_keys(planned: Plan, place: int) -> list[str]:
    return [item.key for cell in planned.cells_of(planned.models[place]) for item in cell.items]


def test_the_rest_is_estimated_over_all_settings(tmp_path: Path) -> None:
    """A file is as slow at a new setting as at the one before; another file at a known setting as its size says."""
    models = [fake(quant="F16"), replace(fake(quant="Q4_K_M"), gguf_bytes=500)]
    planned = plan_of(tmp_path, models, n_cases=10, modes=["native.free"], **grid(kv_type="f16,q8_0"))
    pace = Pace(planned, NOTHING)
    told = []
    now_s = 0.0
    for place, each_s in ((0, 1.0), (1, 3.0)):
        pace.begin(now_s)
        for key in item_keys(planned, place):
            now_s += each_s
            told.append(pace.done(planned.models[place], "item", key, now_s))
    first, second = (estimate for estimate in told if estimate)
    assert first.remaining_s == pytest.approx(2 * 1.0 + 10 * 1.0 + 2 * 10 * 0.5)
    assert first.basis == "the first 8 items of fake:perfect F16 (KV f16)"
    assert second.remaining_s == pytest.approx(2 * 3.0 + 10 * 0.5 + 10 * 1.5)


def test_history_of_the_same_setting_comes_first(tmp_path: Path, store: Store) -> None:
    def remaining_s(kv_type: str) -> float:
        planned = plan_of(tmp_path, n_cases=2, modes=["native.free"], **grid(kv_type=kv_type))
        estimate = from_history(store, planned, PROVENANCE.host, NOTHING)
        assert estimate
        return estimate.remaining_s

    answered(store, plan_of(tmp_path, n_cases=2, modes=["native.free"], **grid(kv_type="f16,q4_0")), total_s=2.0)
    assert remaining_s("f16") == pytest.approx(2 * 2.0)
    assert remaining_s("q4_0") == pytest.approx(2 * 4.0)
    assert remaining_s("f16,q4_0") == pytest.approx(2 * 2.0 + 2 * 4.0)
    assert remaining_s("f32") == pytest.approx(2 * 3.0), "the mean of what is known"


# Files of before


def test_results_of_before_have_one_setting(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with Store.open(path) as new:
        run_id = begin_run(new, plan_of(tmp_path, latency=NO_LATENCY), PROVENANCE)
        put_load(new, run_id, new.cells(run_id)[0].model.id, NewLoad(0.5))
        release(new, run_id, finished=True)
    before = next(n for n, statements in enumerate(MIGRATIONS) if any("ADD COLUMN setting" in s for s in statements))
    with sqlite3.connect(tmp_path / "older.db") as older:
        _copy_as_of(path, older, before)
    older.close()
    with Store.read(tmp_path / "older.db") as store:
        (section,) = build(store, store.run("last")).sections
        assert {cell.model.setting for cell in store.cells(run_id)} == {""}
    assert {(each.setting, each.context["type_k"]) for each in section.rows} == {("", "f16")}


def _copy_as_of(path: Path, older: sqlite3.Connection, n_migrations: int) -> None:
    """The rows of `run`, `model` and `cell` in a file of an earlier schema."""
    for statements in MIGRATIONS[:n_migrations]:
        for statement in statements:
            older.execute(statement)
    older.execute("ATTACH ? AS new", (str(path),))
    for table in ("run", "model", "cell"):
        names = ", ".join(row[1] for row in older.execute(f"PRAGMA main.table_info({table})"))
        older.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}")
    older.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    older.execute(f"PRAGMA user_version = {n_migrations}")


# A real model


def test_the_bundled_model_with_two_types_of_cache(tmp_path: Path, store: Store) -> None:
    first, *others = context_grid(
        n_ctx="2048", n_batch="512", n_ubatch="256", n_threads=1, kv_type="f16,q8_0", flash_attn="auto"
    )
    config = RunConfig(
        models=(BUNDLED,),
        suites=("nano",),
        modes=("native.free",),
        context=first,
        more_contexts=tuple(others),
        limits=Limits(answer=64, reasoning=0),
        limit=4,
        parallel=2,
        latency=LatencySettings(n_cases=1, repetitions=1, warm_repetitions=0),
    )
    done = run(store, plan_for(config, Nobody()), opener=open_model)
    assert store.n_errors(done.id) == 0
    (section,) = build(store, done).sections
    full, small = section.rows
    assert (full.setting, small.setting) == ("KV f16", "KV q8_0")
    assert full.memory.kv_bytes and small.memory.kv_bytes
    assert small.memory.kv_bytes / full.memory.kv_bytes == pytest.approx(34 / 64, rel=0.01), "llama.cpp rounds"
    (each,) = section.kv_ladder
    assert (each.rung.n, each.rung.reference, each.rung.verdict) == (4, "f16", "cannot tell")
    assert (each.cost.kv_bytes, each.reference_cost.kv_bytes) == (small.memory.kv_bytes, full.memory.kv_bytes)
