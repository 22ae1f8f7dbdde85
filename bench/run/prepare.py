"""From what a person named to a plan: models found, headers read, missing levels made, suites loaded, provenance noted.

    plan = plan_for(config, person)

Loads no weights. Downloads and quantization happen here, before anything is measured. What a person should hear or
decide goes through `Person`, which the command line implements.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bench import numbers
from bench.models.resolve import Hub, Resolved, path_of, resolve
from bench.run.config import RunConfig
from bench.run.host import host
from bench.run.ladders import MEASURED_APART, Found, called_apart, in_ladders
from bench.run.plan import Plan, PlannedModel, make_plan, versions
from bench.run.writer import Provenance
from bench.suites.unwritten import load_to_measure
from engine import formats
from engine.fake import PREFIX
from engine.gguf_file import GgufFile, read_gguf, sha256_of
from engine.memory import CannotPredict, read_layout
from engine.memory.cache import check_types
from engine.quantize import SOURCES, find_level, quantize
from engine.types import Finding
from grammars.errors import ToolgaugeError

BUNDLED = "nano"  # its name in models.toml
BUNDLED_QUANTS = ("F16", "Q8_0", "Q4_K_M", "Q2_K")
BUNDLED_SUITES = ("quick", "nano")
HUB_PREFIX = "hf:"  # marks what was given with -hf
_USUAL_KV = ("f16", "f16")  # every model can have it


class Person(Protocol):
    """Whoever started this: told things, shown progress, asked before gigabytes are fetched."""

    def say(self, text: str) -> None: ...

    def progress(self, label: str) -> AbstractContextManager[Callable[[float], None]]: ...

    def may_download(self, what: str) -> bool: ...


class Nobody:
    """Says nothing, and lets everything be downloaded."""

    def say(self, text: str) -> None: ...

    def progress(self, label: str) -> AbstractContextManager[Callable[[float], None]]:
        return nullcontext(lambda fraction: None)

    def may_download(self, what: str) -> bool:
        return True


class NotWanted(ToolgaugeError):
    """A download was refused."""


@dataclass(frozen=True)
class AskingHub(Hub):
    """The Hub, with a question before each file that is not in its cache."""

    person: Person = field(default_factory=Nobody)

    def fetch(self, repo: str, name: str, revision: str) -> Path:
        """Raises `NotWanted` where the person says no."""
        from huggingface_hub import try_to_load_from_cache

        if not isinstance(try_to_load_from_cache(repo, name, cache_dir=self.cache, revision=revision), str):
            what = f"{name} ({numbers.size(self._n_bytes(repo, name, revision))}) from {repo}"
            if not self.person.may_download(what):
                raise NotWanted(f"{what} is not on this machine; download it with --yes, or name a local file")
        return super().fetch(repo, name, revision)

    def _n_bytes(self, repo: str, name: str, revision: str) -> int | None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        try:
            url = hf_hub_url(repo, name, revision=revision, endpoint=self.endpoint)
            return get_hf_file_metadata(url).size
        except (HfHubHTTPError, OfflineModeIsEnabled):
            return None  # fetching says what is wrong


def plan_for(config: RunConfig, person: Person) -> Plan:
    """Find everything that the settings name; whatever is missing or unusable is one error that says what to do."""
    suites = tuple(load_to_measure(suite, config.tools) for suite in config.suites)
    return make_plan(config, models_for(config, person), suites)


def provenance(argv: Sequence[str], findings: Sequence[Finding] = ()) -> Provenance:
    """`findings`: what is known of cases and constraints before anything runs."""
    return Provenance(tuple(argv), versions(), host(), tuple(findings))


def models_for(config: RunConfig, person: Person, then: str = MEASURED_APART) -> tuple[PlannedModel, ...]:
    """Find, fetch and quantize; the models in the order in which they were named, each once.

    `then`: what the person is told to follow where files are taken for different models.
    """
    hub = AskingHub(person=person)
    template = read_template(Path(config.chat_template)) if config.chat_template else None
    format_id = native_format(config.format)
    scripted = [
        (place, _scripted(name, format_id)) for place, name in enumerate(config.models) if name.startswith(PREFIX)
    ]
    found = [
        (place, _found(each))
        for place, name in enumerate(config.models)
        if not name.startswith(PREFIX)
        for each in _resolve(name, config.quants, hub)
    ]
    if template is None:
        for _, each in found:
            _check_template(each.file)
    ladder = in_ladders([each for _, each in found], person.say, then)
    files: dict[Path, tuple[int, Found]] = {}
    for (place, _), each in zip(found, ladder, strict=True):
        at_level = _at_level(each, ladder, person)
        files.setdefault(at_level.file.path, (place, at_level))
    for _, each in files.values():
        _check_kv_types(each, config)
    planned = [(place, _planned(each, template, format_id, person)) for place, each in files.values()]
    in_order = sorted([*scripted, *planned], key=lambda entry: entry[0])
    return _labelled_apart([model for _, model in in_order])


def _resolve(name: str, quants: Sequence[str], hub: Hub) -> tuple[Resolved, ...]:
    is_repository = name.startswith(HUB_PREFIX)
    return resolve(name.removeprefix(HUB_PREFIX), quants, hub=hub, from_hub=is_repository)


def _found(resolved: Resolved) -> Found:
    try:
        str(resolved.path).encode()
    except UnicodeEncodeError as error:  # neither llama.cpp nor a result file takes such a path
        raise ToolgaugeError(f"the path {resolved.path} is not UTF-8 text; rename the file or its folder") from error
    return Found(resolved.name, read_gguf(resolved.path), resolved.quant, resolved.row, resolved.repo is not None)


def _at_level(found: Found, ladder: Sequence[Found], person: Person) -> Found:
    """Find the file of the level that was asked for: another that was named, or one made from the best source."""
    if found.quant is None:
        return replace(found, quant=found.file.quant)
    if found.is_from_hub:
        return found
    level = find_level(found.quant).name
    # Its own file comes first: two files may have one level where their names spell it otherwise.
    mates = [found, *(mate for mate in ladder if mate.name == found.name and not mate.is_from_hub)]
    there = next((mate for mate in mates if mate.file.quant == level), None)
    if there is None:
        sources = [mate for mate in mates if mate.file.quant in SOURCES]
        there = min(sources, key=lambda mate: SOURCES.index(mate.file.quant), default=found)
        with person.progress(f"Making {found.name} {level}") as progress:
            there = replace(there, file=read_gguf(quantize(there.file.path, level, progress=progress)))
    return replace(found, file=there.file, quant=level, doubt=there.doubt)


def _check_template(file: GgufFile) -> None:
    """Raises `ToolgaugeError` for a file whose every prompt would be an error, native or not."""
    if not (file.template(tools=True) or "").strip():
        raise ToolgaugeError(f"{file.path.name} has no chat template; give one with --chat-template FILE")


def _check_kv_types(found: Found, config: RunConfig) -> None:
    """Raises `ToolgaugeError` for a KV cache that llama.cpp would refuse, after its weights were read."""
    own_choice = [context for context in config.contexts if (context.type_k, context.type_v) != _USUAL_KV]
    if not own_choice:
        return
    try:
        layout = read_layout(found.file.metadata, found.file.tensors)
    except CannotPredict:  # an architecture that is not known here; loading it tells
        return
    for context in own_choice:
        try:
            check_types(layout, context.type_k, context.type_v, flash_attn=context.flash_attn != "off")
        except CannotPredict as error:
            raise ToolgaugeError(f"{found.file.path.name}: {error}") from error


def read_template(path: Path) -> str:
    """A chat template that a person gives in place of a model's own."""
    try:
        template = path_of(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ToolgaugeError(f"cannot read the chat template {path}: {reason}") from error
    except UnicodeDecodeError as error:
        raise ToolgaugeError(f"the chat template {path} is not UTF-8 text; save it as such") from error
    if not template.strip():
        raise ToolgaugeError(f"the chat template {path} is empty; name another file, or leave it out")
    return template


def native_format(format_id: str | None) -> str | None:
    """The id of a native format, as a person gives it; None: they give none."""
    if format_id == formats.ENVELOPE.id:
        raise ToolgaugeError(
            f"'{format_id}' is not a model's own format: the json.* modes ask every model for it; name another format"
        )
    return formats.get(format_id).id if format_id else None


def _planned(found: Found, template: str | None, format_id: str | None, person: Person) -> PlannedModel:
    file = found.file
    template = file.template(tools=True) if template is None else template
    return PlannedModel(
        name=found.name,
        quant=found.quant or file.quant,
        path=str(file.path),
        gguf_sha256=_digest(file, person),
        gguf_bytes=file.n_bytes,
        template=template,
        architecture=file.arch,
        format_id=format_id or (found.row.format if found.row else _detected(template)),
        n_ctx_train=file.n_ctx_train or 0,
        doubt=found.doubt,
    )


def _detected(template: str | None) -> str | None:
    found = formats.detect(template).format if template else None
    return found.id if found else None


def _digest(file: GgufFile, person: Person) -> str:
    n_read = 0

    def told(n_bytes: int) -> None:
        nonlocal n_read
        n_read += n_bytes
        progress(n_read / max(1, file.n_bytes))

    with person.progress(f"Reading {file.path.name}") as progress:
        return sha256_of(file, on_progress=told)


def _labelled_apart(models: Sequence[PlannedModel]) -> tuple[PlannedModel, ...]:
    """Give files that are called alike the rest of their names, and the names of their folders where that is alike."""
    alike: dict[tuple[str, str], list[Path]] = {}
    for model in models:
        alike.setdefault((model.name, model.quant), []).append(Path(model.path))
    rests = {
        (*label, str(path)): f" ({rest})"
        for label, paths in alike.items()
        if len(paths) > 1
        for path, rest in zip(paths, called_apart([(path, path.stem) for path in paths]), strict=True)
    }
    return tuple(
        replace(model, quant=model.quant + rests.get((model.name, model.quant, model.path), "")) for model in models
    )


def _scripted(name: str, format_id: str | None) -> PlannedModel:
    from engine.fake import TEMPLATE

    return PlannedModel(
        name=name,
        quant="",
        path=name,
        gguf_sha256=hashlib.sha256(name.encode()).hexdigest(),
        gguf_bytes=0,
        template=TEMPLATE.source,
        architecture="scripted",
        format_id=format_id or "hermes",
        n_ctx_train=8192,
    )
