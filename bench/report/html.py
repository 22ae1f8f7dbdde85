"""The report as one HTML page that opens from disk: styles inside, no script, no network, dark where the reader is.

Autoescaping is on for everything, and a content security policy forbids the rest: models write hostile text.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import islice, zip_longest
from pathlib import Path

from bench.report.document import Block, Code, Document, Fold, Heading, Table, Text, visible
from bench.report.values import Failure

_TEMPLATE = "report.html.j2"
_MOST_FAILURES = 300  # a page that a browser opens at once


def render(title: str, document: Document, failures: Sequence[Failure] = (), *, elsewhere: str = "") -> str:
    """Return the whole page; `elsewhere` is the command that lists the failures for which it has no room."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, finalize=_harmless
    )
    page = environment.get_template(_TEMPLATE).render(
        title=title,
        blocks=[{"kind": _kind(block), "value": block} for block in document],
        failures=_dealt(failures, _MOST_FAILURES),
        elsewhere=elsewhere,
        n_left_out=max(0, len(failures) - _MOST_FAILURES),
        percent=_percent,
    )
    return page + "\n"


def _dealt(failures: Sequence[Failure], most: int) -> list[Failure]:
    """As many of each level and mode as there is room for, so that none is there alone; their order stays."""
    cells: dict[Hashable, list[int]] = {}
    for place, each in enumerate(failures):
        cells.setdefault((each.model, each.suite, each.quant, each.setting, each.mode), []).append(place)
    in_turn = (place for turn in zip_longest(*cells.values()) for place in turn if place is not None)
    return [failures[place] for place in sorted(islice(in_turn, most))]


def _kind(block: Block) -> str:
    match block:
        case Heading():
            return "Heading"
        case Text():
            return "Text"
        case Code():
            return "Code"
        case Table():
            return "Table"
        case Fold():
            return "Fold"


def _harmless(value: object) -> object:
    """What a macro of the template gives has been through this already, and must not be escaped twice."""
    from markupsafe import Markup

    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _percent(fraction: float) -> str:
    return f"{min(1.0, max(0.0, fraction)) * 100:.1f}%"
