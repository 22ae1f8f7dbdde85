from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine import formats
from engine.formats import FORMATS, NATIVE
from engine.formats.table import TEMPLATES, table
from engine.llama import LoadParams, load_model
from tests.engine.formats.walking import BUNDLED

DOCUMENT = Path(__file__).parents[3] / "docs" / "formats.md"
BEGIN, END = "<!-- table: python -m engine.formats.table MODEL.gguf -->\n", "<!-- /table -->"


def test_the_published_table_is_current() -> None:
    published = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    with load_model(BUNDLED, LoadParams(vocab_only=True)) as model:
        assert published == table(model), "write the output of `python -m engine.formats.table` into the page"


def test_every_format_but_one_was_held_against_a_makers_template() -> None:
    assert {template.format_id for template in TEMPLATES.values()} == set(NATIVE) - {"json_list"}
    assert "not checked" in FORMATS["json_list"].title


@pytest.mark.real
def test_every_template_of_the_folder_is_in_the_table(real_data: Path) -> None:
    paths = (real_data / "templates").glob("*.jinja")
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert found == {name: template.sha256 for name, template in TEMPLATES.items()}


def test_a_prompt_style_has_one_format() -> None:
    assert formats.of_style("native", "harmony") is formats.NATIVE["harmony"]
    assert formats.of_style("json", "harmony").frame == formats.envelope(formats.NATIVE["harmony"]).frame
    assert formats.of_style("json", None) is formats.ENVELOPE
    with pytest.raises(formats.UnknownFormat, match="native"):
        formats.of_style("native", None)
    with pytest.raises(formats.UnknownFormat, match="native"):
        formats.of_style("native", formats.ENVELOPE.id)
