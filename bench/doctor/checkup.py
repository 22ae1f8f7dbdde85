"""What a model's header and vocabulary say before its weights are loaded: template, format, markers, self-check.

    look = look_at("model.gguf")          # the header alone
    look.format_id, look.decided_by, look.detection
    examined = examine(look)              # the vocabulary too, in a process of its own
    examined.tokens, examined.reasons, examined.findings

Fetches nothing and prints nothing. What it finds is what a run of the same model would use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.apart import apart
from bench.models.catalogue import TOOLS
from bench.models.registry import Model, RegistryError, load
from bench.models.resolve import ModelNotFound, at_hand, path_of
from bench.run.prepare import native_format, read_template
from engine import formats
from engine.errors import TemplateError
from engine.formats.detect import Detection, end_texts
from engine.formats.protocol import ToolFormat
from engine.gguf_file import GgufFile, read_gguf
from engine.prompt import PromptBuilder
from engine.selfcheck import check
from engine.template import ChatTemplate
from engine.types import Finding, Message, PromptStyle
from engine.vocabulary import TokenKind, Vocabulary
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from engine.llama import Model as Loaded

NO_FORMAT = (
    "name the format with --format ID (toolgauge formats lists them),"
    " or give another template with --chat-template FILE"
)


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a vocabulary says of special tokens. `kinds`: how it holds each marker of any format, where it does."""

    n_tokens: int
    kinds: Mapping[str, TokenKind]
    bos: Token | None
    adds_bos: bool
    eos: Token | None
    ends: tuple[Token, ...]  # end a generation, or an answer in this format


@dataclass(frozen=True, slots=True)
class Reasons:
    """Where reasoning stands when an answer begins, for one setting of --thinking."""

    thinking: Literal["auto", "on", "off"]
    state: Literal["opened", "possible", "none", "error"]
    error: str = ""  # the template's, if it refuses


@dataclass(frozen=True, slots=True)
class Examined:
    tokens: Tokens
    reasons: tuple[Reasons, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """A model's header, or a chat template alone, and the format that follows."""

    name: str
    file: GgufFile | None  # None: a template without a model
    row: Model | None  # of models.toml
    template: str | None
    template_from: str  # the file, or which template of the model
    detection: Detection | None  # None: there is no template to go by
    format_id: str | None
    decided_by: str  # "--format", "models.toml", "the chat template", or nothing

    @property
    def path(self) -> Path:
        if self.file is None:
            raise ToolgaugeError(f"{self.name} is a chat template; name a model, because its vocabulary is needed")
        return self.file.path

    @property
    def is_own_template(self) -> bool:
        """Whether the template is the file's, not one given in its place."""
        return self.file is not None and self.template in self.file.templates.values()

    @property
    def template_sha256(self) -> str | None:
        return None if self.template is None else ChatTemplate(self.template).sha256

    @property
    def disagreement(self) -> str:
        """What to say where a person or models.toml names another format than the template shows; else nothing."""
        found = self.detection.format if self.detection else None
        if self.format_id is None or self.template is None or (found and found.id == self.format_id):
            return ""
        shows = f"looks like {found.id}" if found else "looks like no format known here"
        return f"{self.decided_by} says {self.format_id}, and the chat template {shows}."

    def line_of(self, text: str) -> int:
        """The line of the template on which a text of it stands first."""
        before, _, _ = (self.template or "").partition(text)
        return before.count("\n") + 1

    def evidence(self, tokens: Tokens | None) -> Detection | None:
        """The detection, with how the vocabulary holds the markers."""
        if self.template is None or tokens is None:
            return self.detection
        return formats.detect(self.template, tokens.kinds.get)

    def needed_format(self) -> str:
        """The native format's id; raises `ToolgaugeError` where there is none."""
        if self.format_id is None:
            raise ToolgaugeError(f"{self.name} writes calls in a format that toolgauge does not recognise; {NO_FORMAT}")
        return self.format_id


def look_at(argument: str, *, format_id: str | None = None, chat_template: Path | None = None) -> Look:
    """A GGUF file, a name of models.toml, or a downloaded repository; raises `ToolgaugeError`."""
    format_id = native_format(format_id)
    try:
        resolved = at_hand(argument)
    except ModelNotFound as error:
        raise _with_what_is_known(argument, error) from error
    file = read_gguf(resolved.path)
    if chat_template is None:
        template, origin = file.template(tools=True), _which(file)
    else:
        template, origin = read_template(chat_template), str(chat_template)
    return _look(resolved.name, file, resolved.row, template, origin, format_id)


def look_at_template(path: Path) -> Look:
    """A chat template in a file of its own."""
    return _look(path.name, None, None, read_template(path), str(path), None)


def is_template(argument: str) -> bool:
    """Whether an argument names a template rather than a model."""
    path = path_of(argument)
    if path.suffix.lower() in (".jinja", ".jinja2", ".j2"):
        return True
    if not path.is_file() or path.suffix.lower() == ".gguf":
        return False
    with path.open("rb") as file:
        return file.read(4) != b"GGUF"


def _look(
    name: str, file: GgufFile | None, row: Model | None, template: str | None, origin: str, format_id: str | None
) -> Look:
    detection = formats.detect(template) if template is not None else None
    if format_id is not None:
        decided, by = format_id, "--format"
    elif row is not None:
        decided, by = row.format, "models.toml"
    elif detection is not None and detection.format is not None:
        decided, by = detection.format.id, "the chat template"
    else:
        decided, by = None, ""
    return Look(name, file, row, template, origin, detection, decided, by)


def _which(file: GgufFile) -> str:
    if "tool_use" in file.templates:
        return "tool_use, one of the file's"
    return "the file's own" if "default" in file.templates else ""


def _with_what_is_known(argument: str, error: ModelNotFound) -> ToolgaugeError:
    """A model of models.toml that is not here has a format all the same."""
    try:
        row = load().find(argument.partition(":")[0])
    except RegistryError:
        row = None
    return ToolgaugeError(f"{error} (models.toml says that {row.name} writes {row.format})") if row else error


def examine(look: Look) -> Examined:
    """Read the vocabulary, and no weights; raises `ToolgaugeError`."""
    return apart(partial(_examine, look.path, look.template, look.format_id), what=look.path.name)


def _examine(path: Path, template: str | None, format_id: str | None, log: Path) -> Examined:
    """In the new process."""
    del log
    from engine.llama import LoadParams, load_model

    with load_model(path, LoadParams(n_gpu_layers=0, vocab_only=True)) as model:
        native = formats.NATIVE.get(format_id or "")
        tokens = _tokens(model.vocabulary(), native or formats.ENVELOPE)
        reasons = tuple(_reasons(model, template, format_id))
        source = None if template is None else ChatTemplate(template)
        return Examined(tokens, reasons, check(source, native, model))


def _tokens(vocabulary: Vocabulary, fmt: ToolFormat) -> Tokens:
    def token(id_: int | None) -> Token | None:
        return None if id_ is None else Token(id_, vocabulary.text([id_]))

    markers = {marker for fmt in formats.NATIVE.values() for marker in fmt.markers}
    return Tokens(
        n_tokens=vocabulary.n_tokens,
        kinds={marker: kind for marker in markers if (kind := vocabulary.kind_of(marker))},
        bos=token(vocabulary.bos),
        adds_bos=vocabulary.add_bos,
        eos=token(vocabulary.eos),
        ends=tuple(Token(id_, text) for id_, text in end_texts(fmt, vocabulary).items()),
    )


def _reasons(model: Loaded, template: str | None, format_id: str | None) -> Iterator[Reasons]:
    if template is None:
        return
    native = formats.NATIVE.get(format_id or "")
    style: PromptStyle = "native" if native else "json"
    fmt = native or formats.ENVELOPE
    settings: Mapping[Literal["auto", "on", "off"], bool | None] = {"auto": None, "on": True, "off": False}
    for name, thinking in settings.items():
        builder = PromptBuilder(model, ChatTemplate(template), fmt, style, thinking)
        try:
            reasoning = builder.build([Message("user", "Hello")], TOOLS).reasoning
        except TemplateError as error:
            yield Reasons(name, "error", str(error))
            continue
        yield Reasons(name, "none" if reasoning is None else "opened" if reasoning.opened else "possible")
