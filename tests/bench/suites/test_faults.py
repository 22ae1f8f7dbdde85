"""The wordings of failures: drawn by seed, each kind's own, and naming what a service would name."""

from __future__ import annotations

import json

import pytest

from bench.suites.case import FaultKind
from bench.suites.faults import WORDINGS, wording


@pytest.mark.parametrize("kind", FaultKind)
def test_seeds_draw_different_texts_and_always_the_same(kind: FaultKind) -> None:
    texts = [wording(kind, seed, tool="book_room", field="room") for seed in range(len(WORDINGS[kind]))]
    assert len(set(texts)) == len(texts) >= 5
    assert texts == [wording(kind, seed + len(texts), tool="book_room", field="room") for seed in range(len(texts))]
    assert not any("%" in text for text in texts)


def test_a_validation_error_names_its_field() -> None:
    for seed in range(len(WORDINGS[FaultKind.VALIDATION])):
        assert "room_id" in wording(FaultKind.VALIDATION, seed, tool="book", field="room_id")


def test_no_two_kinds_say_the_same() -> None:
    texts = [
        wording(kind, seed, tool="book", field="room") for kind in FaultKind for seed in range(len(WORDINGS[kind]))
    ]
    assert len(set(texts)) == len(texts)


def test_what_is_malformed_is_no_json() -> None:
    for seed in range(len(WORDINGS[FaultKind.MALFORMED])):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra data"):
            json.loads(wording(FaultKind.MALFORMED, seed, tool="book"))
