"""The tool-call formats that toolgauge reads and constrains: the families' native ones, and the JSON envelope.

A model of another family can still be measured in the json.* modes, which need no native format.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.errors import ToolgaugeError
from engine.formats import detect as _detect
from engine.formats.deepseek_dsml import DeepseekDsmlFormat
from engine.formats.deepseek_v31 import DeepseekV31Format
from engine.formats.detect import Detection, KindOf
from engine.formats.envelope import EnvelopeFormat
from engine.formats.gemma4 import Gemma4Format
from engine.formats.glm_xml import GlmXmlFormat
from engine.formats.harmony import HarmonyFormat
from engine.formats.hermes import HermesFormat
from engine.formats.json_list import JsonListFormat
from engine.formats.llama3_json import Llama3JsonFormat
from engine.formats.mistral_args import MistralArgsFormat
from engine.formats.mistral_args_id import MistralArgsIdFormat
from engine.formats.mistral_json import MistralJsonFormat
from engine.formats.nemotron_json import NemotronJsonFormat
from engine.formats.protocol import ToolFormat
from engine.formats.qwen_xml import QwenXmlFormat
from engine.types import PromptStyle

__all__ = ["ENVELOPE", "FORMATS", "NATIVE", "UnknownFormat", "detect", "envelope", "get", "of_style"]

ENVELOPE = EnvelopeFormat()  # for models that reason between <think> marks, or not at all
_NATIVE: tuple[ToolFormat, ...] = (
    HermesFormat(),
    QwenXmlFormat(),
    GlmXmlFormat(),
    DeepseekDsmlFormat(),
    HarmonyFormat(),
    Gemma4Format(),
    MistralJsonFormat(),
    MistralArgsIdFormat(),
    MistralArgsFormat(),
    NemotronJsonFormat(),
    DeepseekV31Format(),
    Llama3JsonFormat(),
    JsonListFormat(),
)
NATIVE: Mapping[str, ToolFormat] = MappingProxyType({fmt.id: fmt for fmt in _NATIVE})
FORMATS: Mapping[str, ToolFormat] = MappingProxyType({**NATIVE, ENVELOPE.id: ENVELOPE})


class UnknownFormat(ToolgaugeError):
    """No format has this id."""


def get(format_id: str) -> ToolFormat:
    """The format with this id."""
    if format_id not in FORMATS:
        raise UnknownFormat(f"there is no format '{format_id}'; choose one of: {', '.join(sorted(FORMATS))}")
    return FORMATS[format_id]


def envelope(native: ToolFormat | None) -> EnvelopeFormat:
    """The format of the json.* modes for a model whose own format is `native`: it still reasons in its own marks."""
    return ENVELOPE if native is None else EnvelopeFormat(native.frame)


def of_style(style: PromptStyle, format_id: str | None) -> ToolFormat:
    """The format of a model's answers in one prompt style; `format_id` names its own, None where it has none.

    Raises `UnknownFormat` where the style is the native one and no native format has this id.
    """
    native = NATIVE.get(format_id or "")
    if style == "json":
        return envelope(native)
    if native is None:
        raise UnknownFormat("a native prompt needs a native format, and none is known for this model")
    return native


def detect(template: str, kind_of: KindOf = lambda text: None) -> Detection:
    """Which native format a model writes, from its chat template; `kind_of` is its vocabulary's, as evidence."""
    return _detect.detect(NATIVE, template, kind_of)
