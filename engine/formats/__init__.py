"""The tool-call formats that toolgauge reads and constrains natively, and the ones it knows by name only.

A model whose format is only known by name can still be measured in the json.* modes, which need no native format.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.errors import ToolgaugeError
from engine.formats import detect as _detect
from engine.formats.detect import Detection, KindOf
from engine.formats.envelope import EnvelopeFormat
from engine.formats.gemma4 import Gemma4Format
from engine.formats.harmony import HarmonyFormat
from engine.formats.hermes import HermesFormat
from engine.formats.protocol import ToolFormat

__all__ = ["ENVELOPE", "FORMATS", "NATIVE", "NOT_YET", "UnknownFormat", "detect", "envelope", "get"]

ENVELOPE = EnvelopeFormat()  # for models that reason between <think> marks, or not at all
_NATIVE: tuple[ToolFormat, ...] = (
    HermesFormat(),
    HarmonyFormat(),
    Gemma4Format(),
)
NATIVE: Mapping[str, ToolFormat] = MappingProxyType({fmt.id: fmt for fmt in _NATIVE})
FORMATS: Mapping[str, ToolFormat] = MappingProxyType({**NATIVE, ENVELOPE.id: ENVELOPE})

NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "qwen_xml": "one XML-like block for each parameter (Qwen3-Coder, Qwen3.5, Qwen3.6, Nemotron 3)",
        "glm_xml": "pairs of <arg_key> and <arg_value> (GLM-4.5 and later)",
        "mistral_json": "a JSON list after [TOOL_CALLS] (Mistral Nemo)",
        "mistral_args_id": "[TOOL_CALLS]name[CALL_ID]id[ARGS]{...} (Mistral Small 3.2)",
        "mistral_args": "[TOOL_CALLS]name[ARGS]{...} (Ministral 3)",
        "llama3_json": 'a bare object with "name" and "parameters" (Llama 3.1)',
        "json_list": "a bare JSON list of calls (xLAM, Hammer)",
        "nemotron_json": "a JSON list between <TOOLCALL> markers (Nemotron Nano)",
    }
)


class UnknownFormat(ToolgaugeError):
    """No format has this id, or it is not yet supported natively."""


def get(format_id: str) -> ToolFormat:
    """The format with this id."""
    if format_id in FORMATS:
        return FORMATS[format_id]
    supported = ", ".join(sorted(FORMATS))
    if format_id in NOT_YET:
        raise UnknownFormat(
            f"the format '{format_id}' is not yet supported natively; use the json.* modes, or one of: {supported}"
        )
    raise UnknownFormat(f"there is no format '{format_id}'; choose one of: {supported}")


def envelope(native: ToolFormat | None) -> EnvelopeFormat:
    """The format of the json.* modes for a model whose own format is `native`: it still reasons in its own marks."""
    return ENVELOPE if native is None else EnvelopeFormat(native.frame)


def detect(template: str, kind_of: KindOf = lambda text: None) -> Detection:
    """Which native format a model writes, from its chat template; `kind_of` is its vocabulary's, as evidence."""
    return _detect.detect(NATIVE, template, kind_of)
