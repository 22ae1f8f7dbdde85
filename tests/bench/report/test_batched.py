"""Answers that both passes gave: how many read otherwise in a batch, and where nobody can say."""

from __future__ import annotations

from pathlib import Path

from bench.report import csv, markdown, tables
from bench.report.build import build
from bench.report.details.batched import Batched
from bench.report.values import Report
from bench.results.store import Store
from engine.types import Sampling
from tests.bench.stored import RIGHT, stored_run

ANSWERS = {("F16", "native.free"): [RIGHT] * 4, ("F16", "native.schema"): [RIGHT] * 4}


def answered_twice(folder: Path, n_differ: int, **settings: object) -> Report:
    """Two cases of each mode were timed; so many of their four samples read otherwise than what was judged."""
    path = stored_run(folder, ANSWERS, **settings)
    with Store.open(path) as store:
        with store.transaction() as sql:
            sql.execute("UPDATE item SET n_slots = 4")
            sql.execute(
                "UPDATE latency_sample SET text = (SELECT text FROM step), n_prompt = (SELECT n_prompt FROM step)"
            )
            sql.execute("UPDATE latency_sample SET text = 'no' WHERE id <= ?", (n_differ,))
        return build(store, store.run())


def note(report: Report) -> list[str]:
    return [line for line in markdown.render(tables.document(report)).splitlines() if "timed alone" in line]


def test_answers_that_read_otherwise_in_a_batch_are_counted_and_told(tmp_path: Path) -> None:
    report = answered_twice(tmp_path, 1)
    assert [row.batched for row in report.sections[0].rows] == [Batched(2, 1, 4), Batched(2, 0, 4)]
    (line,) = note(report)
    assert line.startswith("- of 4 answers that were also timed alone, 1 read otherwise among 4 at a time: ")
    assert report.to_json()["sections"][0]["rows"][1]["batched"] == {"n": 2, "n_differ": 0, "n_slots": 4}
    assert "batched.n_differ" in csv.render(report).splitlines()[0]


def test_nothing_is_told_where_all_are_the_same(tmp_path: Path) -> None:
    report = answered_twice(tmp_path, 0)
    assert [row.batched for row in report.sections[0].rows] == [Batched(2, 0, 4)] * 2
    assert not note(report)


def test_where_answers_differ_by_chance_nothing_is_counted(tmp_path: Path) -> None:
    report = answered_twice(tmp_path, 1, sampling=Sampling(temperature=0.7))
    assert [row.batched for row in report.sections[0].rows] == [None, None]


def test_prompts_that_differ_are_no_pair(tmp_path: Path) -> None:
    path = stored_run(tmp_path, ANSWERS)
    with Store.read(path) as store:
        assert [row.batched for row in build(store, store.run()).sections[0].rows] == [None, None]
