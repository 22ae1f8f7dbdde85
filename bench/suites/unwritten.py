"""Cases of a person's own suite that are still to be written: they say TODO, and nobody measures a model with them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.suites.case import Suite, SuiteError, is_own, load, path_of
from bench.suites.read import look_through

TODO = "TODO"
"""Stands in a case of which something is still to be written; `toolgauge suite new` puts it there."""

_TODO = re.compile(rf"\b{TODO}\b")
_AS_BEGUN = re.compile(rf"\A{TODO}(:|$)")  # as it is put there; further on in a text, a request may be about a TODO


def load_to_measure(name_or_path: str | Path, tools: Sequence[Mapping[str, Any]] = ()) -> Suite:
    """As `bench.suites.case.load`; raises `SuiteError` too where a person's own suite has cases still to be written.

    A model would be asked "TODO: a request", and be right for calling nothing where no call is expected.
    """
    if not is_own(name_or_path):
        return load(name_or_path, tools)
    reading = look_through(path_of(name_or_path), tools)
    suite = reading.suite()
    begun = [
        each for each in reading.found if not each.case.twin_of and any(still_to_write(each.written, what=_AS_BEGUN))
    ]
    if begun:
        first = begun[0]
        more = f", the first of {len(begun)} such cases" if len(begun) > 1 else ""
        raise SuiteError(
            f"{first.path}:{first.line}: {first.case.id} is not written yet{more}; "
            f"`toolgauge suite check {shlex.quote(str(reading.path))}` names every {TODO} that is left"
        )
    return suite


def still_to_write(value: Any, place: str = "", what: re.Pattern[str] = _TODO) -> Iterator[str]:
    """The places of texts that say so; definitions of tools may speak of it."""
    if isinstance(value, str) and what.search(value):
        yield place or "line"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if place or key != "tools":
                yield from still_to_write(inner, f"{place}.{key}" if place else key, what)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from still_to_write(inner, f"{place}.{number}", what)
