"""BFCL's files as suites: `load("bfcl:simple_python")`, or a group such as `load("bfcl:live")`.

Ids and categories are the official ones; a case's hash is made of the official data, so that a stored answer always
belongs to the words it was given for. Knows no model and no verdict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.suites.bfcl import multi_turn, package
from bench.suites.bfcl.categories import PREFIX, Category, select
from bench.suites.bfcl.expected import expected_call
from bench.suites.bfcl.rows import rows_of
from bench.suites.bfcl.tools import offered_name, offered_tool
from bench.suites.case import SINGLE_STEP, Case, Official, Suite, SuiteError
from engine.types import Message

READER: Final = "1"
"""Changes when a case could be offered differently from the same data; part of every case's hash."""

Row = Mapping[str, Any]


def load(name: str) -> Suite:
    """The suite `bfcl:NAME`; `SuiteError` where there is none, or no data on this machine."""
    categories = select(name)
    folder = package.needed_folder()
    try:
        cases = tuple(case for category in categories for case in _cases(category, folder))
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise SuiteError(f"{folder} is not in BFCL's form ({type(error).__name__}: {error})") from error
    version = package.version(folder)
    whole = _digest([name, version, *(case.content_hash for case in cases)])
    return Suite(name, version, _description(name, categories), cases, whole, folder)


def _description(name: str, categories: Sequence[Category]) -> str:
    wanted = name.removeprefix(PREFIX)
    if len(categories) == 1:
        return f"Berkeley Function Calling Leaderboard v4, {wanted}"
    return f"Berkeley Function Calling Leaderboard v4, {wanted}: {len(categories)} categories"


def _cases(category: Category, folder: Path) -> Iterator[Case]:
    rows = rows_of(folder / "data" / category.file)
    if not category.has_answers:
        for row in rows:
            yield _single_turn(category, row, [])
        return
    truths = rows_of(folder / "data" / "possible_answer" / category.file)
    if [row["id"] for row in rows] != [truth["id"] for truth in truths]:
        raise SuiteError(f"{category.file}: questions and answers do not belong together")
    documents = multi_turn.Documents(folder) if category.is_multi_turn else None
    for row, truth in zip(rows, truths, strict=True):
        if documents is not None:
            content_hash = _digest([READER, category.name, row, truth, documents.sha256])
            yield multi_turn.case(category, row, truth["ground_truth"], documents, content_hash)
        else:
            yield _single_turn(category, row, truth["ground_truth"])


def _single_turn(category: Category, row: Row, truth: Sequence[Mapping[str, Mapping[str, Any]]]) -> Case:
    documents = {document["name"]: document for document in row["function"]}
    turn = row["question"][0]
    calls = [next(iter(call.items())) for call in truth]
    return Case(
        id=row["id"],
        category=category.name,
        tools=tuple(offered_tool(document, category.language) for document in row["function"]),
        messages=tuple(Message(message["role"], message["content"]) for message in turn),
        tool_choice="auto",
        expected=tuple(
            expected_call(f"call-{number}", offered_name(name), alternatives, documents[name], category.language)
            for number, (name, alternatives) in enumerate(calls, start=1)
        ),
        reply={},
        fault=None,
        results=(),
        max_steps=SINGLE_STEP,
        content_hash=_digest([READER, category.name, row, truth]),
        any_call=category.name == "live_relevance",
        official=Official(
            "bfcl",
            {
                "category": category.name,
                "language": category.language.value,
                "functions": row["function"],
                "ground_truth": truth,
                "names": {offered_name(name): name for name in documents if offered_name(name) != name},
            },
        ),
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
