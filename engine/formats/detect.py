"""Which native format a model writes, decided by the source of its chat template, and why.

    found = detect(FORMATS, template, vocabulary.kind_of)
    found.format, found.texts, found.markers, found.others

Only the template decides: it is what the model will be shown, and community files differ in whether a family's markers
are tokens of their own. The vocabulary adds evidence for a person to read. Templates of different families share texts
(`<tool_call>` stands in four), so the order in which families are asked is part of the decision, and explicit here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.formats.protocol import ToolFormat
from engine.vocabulary import TokenKind, Vocabulary

KindOf = Callable[[str], TokenKind | None]  # how a vocabulary holds a text as one special token, if it does

# From the family whose texts nobody else writes to the one that is told by what its template does not contain.
ORDER: tuple[str, ...] = (
    "harmony",
    "deepseek_dsml",
    "deepseek_v31",
    "gemma4",
    "glm_xml",
    "qwen_xml",
    "mistral_args_id",
    "mistral_args",
    "mistral_json",
    "nemotron_json",
    "hermes",
    "json_list",
    "llama3_json",
)


@dataclass(frozen=True, slots=True)
class MarkerToken:
    """A marker, and how the vocabulary holds it; `kind` None: it takes several tokens, or nobody could look."""

    text: str
    kind: TokenKind | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A format held against a template: which texts of its signature are there, are missing, or speak against it."""

    format: ToolFormat
    found: tuple[str, ...]
    missing: tuple[str, ...]
    against: tuple[str, ...]

    @property
    def matches(self) -> bool:
        return bool(self.found) and not self.missing and not self.against

    @property
    def is_near(self) -> bool:
        """Whether one thing alone speaks against it, and more speaks for it."""
        return len(self.missing) + len(self.against) == 1 < len(self.found)


@dataclass(frozen=True, slots=True)
class Detection:
    """The decision and its evidence. `format` None: no family's template looks like this."""

    format: ToolFormat | None
    texts: tuple[str, ...] = ()  # of the format's signature, all found in the template
    markers: tuple[MarkerToken, ...] = ()
    others: tuple[Candidate, ...] = ()  # that match too, or would but for one thing


def detect(formats: Mapping[str, ToolFormat], template: str, kind_of: KindOf) -> Detection:
    """The first of `ORDER` whose signature matches."""
    known = [formats[format_id] for format_id in ORDER if format_id in formats]
    candidates = [Candidate(fmt, *fmt.signature.evidence(template)) for fmt in known]
    chosen = next((candidate for candidate in candidates if candidate.matches), None)
    others = tuple(each for each in candidates if each is not chosen and (each.matches or each.is_near))
    if chosen is None:
        return Detection(None, others=others)
    return Detection(chosen.format, chosen.found, marker_tokens(chosen.format, kind_of), others)


def stop_tokens(fmt: ToolFormat, vocabulary: Vocabulary) -> frozenset[int]:
    """The tokens at which an answer in this format ends, whether or not the vocabulary says that they end one."""
    return frozenset(token for text in fmt.stop_texts if (token := vocabulary.token_of(text)) is not None)


def end_texts(fmt: ToolFormat, vocabulary: Vocabulary) -> dict[int, str]:
    """Every token at which an answer in this format ends, the vocabulary's own among them, by its id."""
    return {token: vocabulary.text([token]) for token in sorted(vocabulary.eog | stop_tokens(fmt, vocabulary))}


def marker_tokens(fmt: ToolFormat, kind_of: KindOf) -> tuple[MarkerToken, ...]:
    """The format's markers as a vocabulary holds them."""
    return tuple(MarkerToken(text, kind_of(text) or None) for text in fmt.markers)
