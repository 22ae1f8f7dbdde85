from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.constraint.matrix import GROUPS, outcome, table
from engine.llama import Model

DOCUMENT = Path(__file__).parents[3] / "docs" / "grammars.md"


def test_the_published_matrix_is_current(vocabulary_model: Model) -> None:
    published = DOCUMENT.read_text(encoding="utf-8").partition("<!-- matrix -->\n")[2].partition("<!-- /matrix -->")[0]
    assert published == table(vocabulary_model), (
        "write the output of `python -m engine.constraint.matrix` into the page"
    )


@pytest.mark.parametrize("group", GROUPS)
def test_no_keyword_is_enforced_in_part(engine: Any, group: str) -> None:
    assert [probe.keyword for probe in GROUPS[group] if outcome(engine, probe) == "WRONG"] == []
