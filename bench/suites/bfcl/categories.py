"""BFCL's categories that can be run here, under their official names. Knows no file's content.

What is left out, and why: `memory_*` and `web_search_*` need services of others, and `format_sensitivity` asks for
prompts in styles of its own; so nothing here is ever an overall score.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bench.suites.case import SuiteError

PREFIX: Final = "bfcl:"


class Group(StrEnum):
    """As the official package groups its result files."""

    NON_LIVE = "non_live"
    LIVE = "live"
    MULTI_TURN = "multi_turn"


class Language(StrEnum):
    """In which arguments are written."""

    PYTHON = "python"
    JAVA = "java"
    JAVASCRIPT = "javascript"


@dataclass(frozen=True, slots=True)
class Category:
    """`n_cases`: in the pinned version. `has_answers`: false where every call, or none, is right."""

    name: str
    group: Group
    n_cases: int
    language: Language = Language.PYTHON
    has_answers: bool = True

    @property
    def is_multi_turn(self) -> bool:
        return self.group is Group.MULTI_TURN

    @property
    def file(self) -> str:
        return f"BFCL_v4_{self.name}.json"


_ALL = (
    Category("simple_python", Group.NON_LIVE, 400),
    Category("simple_java", Group.NON_LIVE, 100, Language.JAVA),
    Category("simple_javascript", Group.NON_LIVE, 50, Language.JAVASCRIPT),
    Category("multiple", Group.NON_LIVE, 200),
    Category("parallel", Group.NON_LIVE, 200),
    Category("parallel_multiple", Group.NON_LIVE, 200),
    Category("irrelevance", Group.NON_LIVE, 240, has_answers=False),
    Category("live_simple", Group.LIVE, 258),
    Category("live_multiple", Group.LIVE, 1053),
    Category("live_parallel", Group.LIVE, 16),
    Category("live_parallel_multiple", Group.LIVE, 24),
    Category("live_irrelevance", Group.LIVE, 884, has_answers=False),
    Category("live_relevance", Group.LIVE, 16, has_answers=False),
    Category("multi_turn_base", Group.MULTI_TURN, 200),
    Category("multi_turn_miss_func", Group.MULTI_TURN, 200),
    Category("multi_turn_miss_param", Group.MULTI_TURN, 200),
    Category("multi_turn_long_context", Group.MULTI_TURN, 200),
)
CATEGORIES: Final[Mapping[str, Category]] = {category.name: category for category in _ALL}
GROUPS: Final[Mapping[str, tuple[Category, ...]]] = {
    **{group.value: tuple(c for c in _ALL if c.group is group) for group in Group},
    "single_turn": tuple(c for c in _ALL if not c.is_multi_turn),
}


def select(name: str) -> tuple[Category, ...]:
    """What `bfcl:NAME` stands for: a category, or a group of them."""
    wanted = name.removeprefix(PREFIX)
    if wanted in CATEGORIES:
        return (CATEGORIES[wanted],)
    if wanted in GROUPS:
        return GROUPS[wanted]
    known = (*GROUPS, *CATEGORIES)
    close = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean {PREFIX}{close[0]}?" if close else f"known are {', '.join(known)}"
    raise SuiteError(f"BFCL has no category '{wanted}' that can be run here; {hint}")
