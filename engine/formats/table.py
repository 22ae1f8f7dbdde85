"""The table of docs/formats.md: what each format looks like, who constrains it, and against what it was held.

    python -m engine.formats.table MODEL.gguf

The calls are written by the formats themselves, and the engines are found by trying them on a vocabulary; only which
makers' templates a format was held against is written down here, with their hashes, because those files are not ours to
ship. The tests read them where they lie (`TOOLGAUGE_REAL_DATA`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from engine.constraint import BACKENDS, backend
from engine.constraint.protocol import Backend
from engine.errors import UnsupportedSchema
from engine.formats import FORMATS
from engine.formats.protocol import ToolFormat
from engine.types import Call, Tool

if TYPE_CHECKING:
    from engine.llama import Model


@dataclass(frozen=True, slots=True)
class MakersTemplate:
    """A chat template as its maker published it."""

    format_id: str
    sha256: str


TEMPLATES: Final[Mapping[str, MakersTemplate]] = MappingProxyType(
    {
        "Qwen-Qwen3-0.6B": MakersTemplate("hermes", "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5"),
        "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": MakersTemplate(
            "qwen_xml", "ab7813c3abdd9cb655905a410728b26c7884eca45ddfab8d9f931553485a7862"
        ),
        "Qwen3-Coder": MakersTemplate("qwen_xml", "d287fb2edf144207f868ae1b282755dc19db2a3f1c5b3a3d57e9e5abffa98392"),
        "Qwen3.5-4B": MakersTemplate("qwen_xml", "a4aee8afcf2e0711942cf848899be66016f8d14a889ff9ede07bca099c28f715"),
        "GLM-4.7-Flash": MakersTemplate("glm_xml", "d63ad536c3c81880043e22ec7fd08db42b4d8fb7c89c7138bc562bfa25281375"),
        "deepseek-ai-DeepSeek-V3.2": MakersTemplate(
            "deepseek_dsml", "8e5a13fcc4bdd4d943311fc59064b805770fdeddfccbd7f1c252cc16e8acaf3d"
        ),
        "openai-gpt-oss-120b": MakersTemplate(
            "harmony", "a4c9919cbbd4acdd51ccffe22da049264b1b73e59055fa58811a99efbd7c8146"
        ),
        "google-gemma-4-31B-it": MakersTemplate(
            "gemma4", "85a08664d16d8f3be4416c92427b3ac10df1024ac566cc0b4bc3bab409393f98"
        ),
        "mistralai-Mistral-Nemo-Instruct-2407": MakersTemplate(
            "mistral_json", "e4676cb56dffea7782fd3e2b577cfaf1e123537e6ef49b3ec7caa6c095c62272"
        ),
        "Mistral-Small-3.2-24B-Instruct-2506": MakersTemplate(
            "mistral_args_id", "5b8f31f11198696548d544dbe424a3c1ef244d00a475f4e1bffb351fda085608"
        ),
        "mistralai-Ministral-3-14B-Reasoning-2512": MakersTemplate(
            "mistral_args", "39f03c383413f531fd302c06c7e982ad98c83f0657a8339ae25478ccb81fdcda"
        ),
        "NVIDIA-Nemotron-Nano-v2": MakersTemplate(
            "nemotron_json", "52ae8e50fa083e63a0a5726eeffc85502089b82064aceb1bddf0366f7317b3f8"
        ),
        "deepseek-ai-DeepSeek-V3.1": MakersTemplate(
            "deepseek_v31", "d9f5f351b276cf9e81d009db08830db7d38e94927aecd09a7beb43e2aafee94e"
        ),
        "meta-llama-Llama-3.1-8B-Instruct": MakersTemplate(
            "llama3_json", "e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65"
        ),
    }
)
_UNVERIFIED: Final = "Hammer 2.1, as BFCL's handler quotes it; no file of a maker's"

_WEATHER: Final = Tool(
    "get_weather",
    "The weather.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
_ADD: Final = Tool(
    "add",
    "A sum.",
    {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]},
)
_ANYTHING: Final = Tool("store", "Any value.", {"type": "object", "properties": {"value": {"type": "array"}}})
_CALLS: Final = (Call("get_weather", {"city": "Paris", "days": 2}), Call("add", {"a": 1, "b": 2.5}))


def table(model: Model) -> str:
    """The table, the details of each format, and the templates, in Markdown."""
    engines = [backend(name, model) for name in BACKENDS]
    lines = [
        "| format | models | one call | two calls | constrained by | held against the template of |",
        "|---|---|---|---|---|---|",
        *(_row(fmt, engines) for fmt in FORMATS.values()),
        "",
        "⏎ is a line break; \\*: but not values that may nest without limit.",
        "",
        *(line for fmt in FORMATS.values() for line in _details(fmt)),
        "### The templates",
        "",
        "| template | format | SHA-256 |",
        "|---|---|---|",
        *(f"| {name} | `{each.format_id}` | `{each.sha256}` |" for name, each in TEMPLATES.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(fmt: ToolFormat, engines: list[Backend]) -> str:
    two = "one call in an answer" if fmt.max_calls == 1 else _code(fmt.write(_CALLS, (_WEATHER, _ADD)))
    one = _code(fmt.write(_CALLS[:1], (_WEATHER, _ADD)))
    constrained = ", ".join(filter(None, (_support(fmt, engine) for engine in engines)))
    return f"| `{fmt.id}` | {fmt.title} | {one} | {two} | {constrained} | {_templates(fmt)} |"


def _support(fmt: ToolFormat, engine: Backend) -> str:
    """The engine's name if it can have the format's calls, marked if not with all arguments."""
    can = [_compiles(fmt, engine, tool) for tool in (_WEATHER, _ANYTHING)]
    return "" if not can[0] else engine.name if can[1] else f"{engine.name}\\*"


def _compiles(fmt: ToolFormat, engine: Backend, tool: Tool) -> bool:
    try:
        engine.compile(fmt.constraint([tool], required=True).root)
    except UnsupportedSchema:
        return False
    return True


def _templates(fmt: ToolFormat) -> str:
    if not fmt.signature.all_of and not fmt.signature.any_of:
        return "none: the prompt asks for it"
    names = [name for name, each in TEMPLATES.items() if each.format_id == fmt.id]
    return ", ".join(names) or _UNVERIFIED


def _details(fmt: ToolFormat) -> Iterator[str]:
    yield from (f"### {fmt.id}", "")
    frame = fmt.frame
    reasoning = f"Reasoning stands between `{frame.open.strip()}` and `{frame.close}`"
    yield f"- {reasoning}; the answer goes on after `{frame.resume}`." if frame.resume else f"- {reasoning}."
    if frame.calls:
        yield f"- Where it is not closed, a call ends it that begins with {_codes(frame.calls)}."
    for what, texts in (("Its markers are", fmt.markers), ("An answer also ends at", fmt.stop_texts)):
        if texts:
            yield f"- {what} {_codes(texts)}."
    yield from (f"- {_plain(limit)}" for limit in fmt.limits)
    yield ""


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`".replace("\n", "⏎") for text in texts)


def _code(text: str) -> str:
    """As code within a table."""
    shown = text.strip().replace("\n", "⏎").replace("|", "\\|")
    return f"`{shown}`"


def _plain(text: str) -> str:
    """As words, in which nothing is Markdown or HTML."""
    return re.sub(r"[\\`*<]", r"\\\g<0>", text)


if __name__ == "__main__":
    from engine.llama import LoadParams, load_model

    sys.stdout.write(table(load_model(Path(sys.argv[1]), LoadParams(vocab_only=True))))
