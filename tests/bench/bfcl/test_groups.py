from __future__ import annotations

import pytest

from bench.score.bfcl.groups import Group, Tally, groups

FULL = {
    "simple_python": Tally(400, 400, 400),
    "simple_java": Tally(100, 50, 100),
    "simple_javascript": Tally(50, 0, 50),
    "multiple": Tally(200, 100, 200),
    "parallel": Tally(200, 50, 200),
    "parallel_multiple": Tally(200, 0, 200),
    "live_simple": Tally(258, 258, 258),
    "live_multiple": Tally(1053, 0, 1053),
    "live_parallel": Tally(16, 16, 16),
    "live_parallel_multiple": Tally(24, 0, 24),
    "irrelevance": Tally(240, 240, 240),
    "live_irrelevance": Tally(884, 0, 884),
    "live_relevance": Tally(16, 16, 16),
    **{f"multi_turn_{kind}": Tally(200, 100, 200) for kind in ("base", "miss_func", "miss_param", "long_context")},
}


def by_name(tallies: dict[str, Tally]) -> dict[str, Group]:
    return {group.name: group for group in groups(tallies)}


def test_each_group_is_averaged_by_its_own_rule() -> None:
    found = by_name(FULL)
    assert found["non-live"].accuracy == pytest.approx((0.5 + 0.5 + 0.25 + 0) / 4)
    assert found["live"].accuracy == pytest.approx(274 / 1351)
    assert found["irrelevance"].accuracy == pytest.approx(0.5)
    assert found["multi-turn"].accuracy == pytest.approx(0.5)
    assert [group.n for group in found.values()] == [1150, 1351, 1124, 800]  # live_relevance is in none


def test_nothing_is_called_overall() -> None:
    assert set(by_name(FULL)) == {"non-live", "live", "irrelevance", "multi-turn"}
    assert all("overall" not in f"{group.to_json()}".lower() for group in groups(FULL))


def test_an_incomplete_group_has_no_value() -> None:
    without = {name: tally for name, tally in FULL.items() if name != "simple_java"}
    group = by_name(without)["non-live"]
    assert (group.accuracy, group.missing, group.n) == (None, ("simple_java",), 1050)
    part = by_name(FULL | {"live_simple": Tally(10, 10, 258)})["live"]
    assert (part.accuracy, part.missing) == (None, ("live_simple",))
    assert [group.name for group in groups({"irrelevance": Tally(240, 1, 240)})] == ["irrelevance"]
    assert groups({"live_relevance": Tally(16, 16, 16)}) == ()
