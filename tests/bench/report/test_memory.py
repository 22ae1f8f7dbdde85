"""The report's section about memory and energy, over readings that were written down by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import csv, html, markdown, tables
from bench.report.build import build
from bench.report.details.memory import Energy, energy_of, joules
from bench.report.document import Fold, Table
from bench.report.values import Report
from bench.results.rows import LatencySample
from bench.results.store import Store
from bench.run import writer
from bench.run.messages import Energy as Spent
from bench.run.messages import Reading
from bench.run.writer import NewLoad
from engine.gguf_file import read_gguf
from tests.bench.stored import RIGHT, WRONG, stored_run
from tests.tiny_gguf import write_tiny_model

MIB = 1 << 20


def readings(moment: str, *, vram: int | None, rss: int, scope: str = "process") -> tuple[Reading, ...]:
    return Reading(moment, "rss", "", rss * MIB), Reading(
        moment, "vram", scope if vram is not None else "", None if vram is None else vram * MIB
    )


def buffers(moment: str, device: str, **mib: int) -> tuple[Reading, ...]:
    return tuple(Reading(moment, kind, device, n * MIB) for kind, n in mib.items())


ON_A_CARD = (
    *readings("before", vram=None, rss=50),
    *readings("loaded", vram=5000, rss=700),
    *readings("peak", vram=5600, rss=800),
    *buffers("peak", "CUDA0", model=4300, kv=512, compute=300),
    *buffers("peak", "CPU_Mapped", model=400),
    *buffers("peak", "CUDA_Host", compute=12),
    *readings("parallel", vram=7000, rss=900),
    *buffers("parallel", "CUDA0", model=4300, kv=2048, compute=310),
)


def put(path: Path, measured: Sequence[Reading], *, energy: Sequence[Spent] = (), n_slots: int = 8) -> None:
    """In the place of what the made-up run has of its first model."""
    with Store.open(path) as store:
        model_id = store.cells(1)[0].model.id
        with store.transaction() as sql:
            sql.execute("DELETE FROM model_load WHERE model_id = ?", (model_id,))
        load_id = writer.put_load(store, 1, model_id, NewLoad(0.5, 512, n_slots, "llama.cpp b1"))
        writer.put_readings(store, load_id, measured, energy)


def report_of(path: Path) -> Report:
    with Store.read(path) as store:
        return build(store, store.run("1"))


def section(report: Report) -> dict[str, list[dict[str, str]]]:
    """The tables of the section by title, as lines of texts by header."""
    folds = [block for block in tables.document(report, {"memory"}) if isinstance(block, Fold)]
    found = [table for fold in folds if fold.title == "Memory and energy" for table in fold.tables]
    return {table.title: lines(table) for table in found}


def lines(table: Table) -> list[dict[str, str]]:
    headers = [column.header.replace("\n", " ") for column in table.columns]
    return [dict(zip(headers, (cell.text for cell in row), strict=True)) for row in table.rows]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return stored_run(tmp_path, {("Q4_K_M", "native.free"): [RIGHT, WRONG], ("Q4_K_M", "json.schema"): [RIGHT, RIGHT]})


def test_every_buffer_stands_at_its_device_and_what_is_not_there_is_a_dash(db: Path) -> None:
    put(db, ON_A_CARD)
    found = section(report_of(db))["Buffers by device"]
    assert [(line["answers at a time"], line["device"]) for line in found] == [
        ("1", "CUDA0"),
        ("1", "CPU_Mapped"),
        ("1", "CUDA_Host"),
        ("8", "CUDA0"),
    ]
    assert (found[0]["model"], found[0]["KV cache"], found[0]["compute"]) == ("4.20 GiB", "512 MiB", "300 MiB")
    assert (found[1]["KV cache"], found[1]["together"]) == ("-", "400 MiB")
    assert "recurrent state" not in found[0], "a column of what no model here has"


def test_the_process_is_told_before_loading_after_it_and_at_its_peak(db: Path) -> None:
    put(db, ON_A_CARD)
    single, several = section(report_of(db))["The process"]
    assert (single["VRAM before"], single["VRAM loaded"], single["VRAM peak"]) == ("-", "4.88 GiB", "5.47 GiB")
    assert (single["buffers on cards"], single["not explained"]) == ("4.99 GiB", "488 MiB")
    assert (several["VRAM peak"], several["buffers on cards"], several["not explained"]) == (
        "6.84 GiB",
        "6.50 GiB",
        "342 MiB",
    )
    assert (single["RSS before"], single["RSS loaded"], single["RSS peak"]) == ("50.0 MiB", "700 MiB", "800 MiB")
    assert single["predicted"] == "-", "the file is not there"


def test_without_a_card_there_are_no_columns_of_cards(db: Path) -> None:
    (line,) = section(report_of(db))["The process"]
    assert "VRAM peak" not in line
    assert line["RSS loaded"] == "-"


def test_one_card_is_no_table_of_cards_and_two_are(db: Path) -> None:
    one = (*ON_A_CARD, Reading("peak", "card", "0 Card", 5600 * MIB))
    put(db, one)
    assert "Cards" not in section(report_of(db))
    two = (*one, Reading("loaded", "card", "1 Card", 100 * MIB), Reading("peak", "card", "1 Card", None))
    put(db, two)
    first, second = section(report_of(db))["Cards"]
    assert (first["card"], first["loaded"], first["peak"]) == ("0 Card", "-", "5.47 GiB")
    assert (second["card"], second["loaded"], second["peak"]) == ("1 Card", "100 MiB", "-")


def test_a_driver_that_names_no_process_is_told(db: Path) -> None:
    measured = [replace(each, device="device") if each.device == "process" else each for each in ON_A_CARD]
    put(db, measured)
    text = markdown.render(tables.document(report_of(db), {"memory"}))
    assert "growth of the whole card" in text


def test_the_load_that_took_most_counts(db: Path) -> None:
    put(db, ON_A_CARD)
    with Store.open(db) as store:
        load_id = writer.put_load(store, 1, store.cells(1)[0].model.id, NewLoad(0.5, 512, 8, "llama.cpp b1"))
        writer.put_readings(store, load_id, readings("peak", vram=5100, rss=750))
    single, _ = section(report_of(db))["The process"]
    assert single["VRAM peak"] == "5.47 GiB"


def test_a_prediction_stands_beside_where_the_file_is_still_there(db: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf")
    put(db, buffers("peak", "CPU", model=3, kv=4) + readings("peak", vram=None, rss=9))
    assert [line["device"] for line in section(report_of(db))["Buffers by device"]] == ["CPU"]
    with Store.open(db) as store, store.transaction() as sql:
        sql.execute("UPDATE model SET path = ?, gguf_bytes = ?", (str(model), read_gguf(model).n_bytes))
    measured, predicted = section(report_of(db))["Buffers by device"]
    assert (measured["device"], predicted["device"]) == ("CPU", "memory, predicted")
    assert predicted["KV cache"].endswith("iB")
    with Store.open(db) as store, store.transaction() as sql:
        sql.execute("UPDATE model SET gguf_bytes = 1")
    assert len(section(report_of(db))["Buffers by device"]) == 1, "another file has taken the place of the measured one"


# Energy


def with_energy(path: Path, *joules: float | None) -> None:
    """Give the stored samples these energies, in turn."""
    with Store.open(path) as store, store.transaction() as sql:
        ids = [row["id"] for row in sql.execute("SELECT id FROM latency_sample ORDER BY id")]
        for place, sample in enumerate(ids):
            sql.execute("UPDATE latency_sample SET energy_j = ? WHERE id = ?", (joules[place % len(joules)], sample))


def test_joules_are_told_by_answer_and_token_in_both_passes(db: Path) -> None:
    with_energy(db, 3.0, 5.0)
    put(
        db,
        ON_A_CARD,
        energy=[Spent("parallel", "", 50.0, 40, 800, 9.0), Spent("parallel", "0 Card", 50.0, 40, 800, 9.0)],
    )
    free, schema = section(report_of(db))["Energy"]
    assert free["mode"] == "native.free"
    assert (free["alone: per answer"], free["alone: per token"]) == ("4.00 J", "200 mJ")
    assert (free["several: per answer"], free["several: per token"]) == ("1.25 J", "62.5 mJ")
    assert schema["several: per answer"] == free["several: per answer"], "one pass for all modes"


def test_without_a_counter_there_is_no_table_of_energy(db: Path) -> None:
    put(db, ON_A_CARD)
    assert "Energy" not in section(report_of(db))


@pytest.mark.parametrize(
    ("energies", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([1.0, None], None),  # a part of them would be taken for all
        ([0.0, 0.0], None),  # the counter stands still
        ([1.0, 2.0], Energy(3.0, 2, 14)),
    ],
)
def test_energy_of_samples(energies: list[float | None], expected: Energy | None) -> None:
    assert energy_of([sample(joules) for joules in energies]) == expected


def sample(energy_j: float | None) -> LatencySample:
    numbers = dict.fromkeys((field for field in LatencySample.__dataclass_fields__), 0)
    return LatencySample(**numbers | {"energy_j": energy_j, "n_tokens": 7})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, "-"), (0.0, "0 J"), (0.0042, "4.20 mJ"), (0.999, "999 mJ"), (1.0, "1.00 J"), (1234.5, "1,234 J")],
)
def test_joules_in_words(amount: float | None, text: str) -> None:
    assert joules(amount) == text


# Every form of the report


def test_json_and_csv_have_the_bytes(db: Path) -> None:
    with_energy(db, 3.0)
    put(db, ON_A_CARD, energy=[Spent("parallel", "", 50.0, 40, 800, 9.0)])
    report = report_of(db)
    row = json.loads(json.dumps(report.to_json()))["sections"][0]["rows"][0]
    assert [at["name"] for at in row["footprints"]] == ["single", "parallel"]
    assert row["footprints"][0]["buffers"][0] == {
        "name": "CUDA0",
        "model": 4300 * MIB,
        "kv": 512 * MIB,
        "rs": None,
        "compute": 300 * MIB,
        "output": None,
    }
    assert row["footprints"][1]["energy"] == {"joules": 50.0, "n_answers": 40, "n_tokens": 800}
    header = csv.render(report).partition("\n")[0].split(",")
    assert {"footprints.single.buffers.CUDA0.kv", "footprints.parallel.energy.joules", "energy.joules"} <= set(header)


def test_a_page_has_the_section(db: Path) -> None:
    put(db, ON_A_CARD)
    report = report_of(db)
    document = tables.document(report, {"memory"})
    for text in (html.render("Run 1", document), markdown.render(document)):
        assert "Buffers by device" in text
        assert "CPU_Mapped" in text
