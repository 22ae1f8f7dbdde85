from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench.results.records import EpisodeEnd, ErrorKind, ItemError, ItemRecord, StepRecord, from_json, to_json
from engine.types import Call, ConstraintStats, Fragment, Generation, Parsed, StopReason, Timings
from tests.bench.episodes import case_from, play, raw_episode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def test_a_full_record_survives() -> None:
    generation = Generation(
        tokens=(1, 2),
        text="<tool_call>“x”\ud83d",  # half a surrogate pair: a model can write it, UTF-8 cannot
        stop=StopReason.REASONING_LENGTH,
        n_prompt=7,
        n_cached=3,
        n_reasoning=2,
        timings=Timings(prefill_s=0.25, ttft_s=0.5),
        constraint=ConstraintStats(n_masked=4, n_interventions=1, removed_mass=0.125, n_forced=2),
    )
    parsed = Parsed((Call("f", {"a": [1.0, None]}),), (Fragment("{", "not JSON", 3),), "hm", "text", True)
    error = ItemError(ErrorKind.RUNTIME, "the worker died", ("line 1", "line 2"))
    record = ItemRecord("x/1", (StepRecord(generation, parsed, (), "prompt"),), EpisodeEnd.ERROR, error, "hermes", "1")
    assert from_json(to_json(record)) == record
    assert to_json(record).isascii()


def test_an_episode_survives(tmp_path: Path) -> None:
    fault = {"on": "sum", "kind": "malformed", "content": "{"}
    case = case_from(tmp_path, raw_episode(fault=fault))
    record = play(case, [[Call("add", {"a": 1, "b": 2})], "I could not."])
    assert record.steps[0].results[0].fault == "malformed"
    assert from_json(to_json(replace(record, extra={"slots": 4}))) == replace(record, extra={"slots": 4})


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.text())
def test_arguments_survive_with_their_types(arguments: dict[str, object], text: str) -> None:
    parsed = Parsed(calls=(Call("f", arguments),), content=text)
    generation = Generation((), text, StopReason.EOG, 0, 0)
    back = from_json(to_json(ItemRecord("x", (StepRecord(generation, parsed),), EpisodeEnd.SINGLE)))
    assert repr(back.steps[0].parsed) == repr(parsed)
    assert back.steps[0].generation.text == text


def test_no_field_is_forgotten() -> None:
    """A field added to a value has to come back; the readers name them."""
    assert {field.name for field in fields(ItemRecord)} == {
        "case_id",
        "steps",
        "end",
        "error",
        "format_id",
        "format_version",
        "extra",
    }
