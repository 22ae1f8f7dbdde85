"""Opens a model in this process for all that a worker does with it: llama.cpp for a file, a script for `fake:NAME`.

model = open_model(spec, work)
with model.runtime(single=True) as opened:
opened.runtime.submit(...)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.modes import MODES
from bench.run.messages import ModelSpec, Work
from bench.suites.reference import reference_steps
from engine import formats
from engine.card import DeviceGrowth
from engine.constraint.protocol import Backend, Constraint
from engine.formats.detect import stop_tokens
from engine.formats.hermes import HermesFormat
from engine.formats.protocol import ToolFormat
from engine.llama.log import BufferSize
from engine.prompt import Prompt, PromptBuilder, Tokenizer, envelope
from engine.runtime import Request, Runtime
from engine.selfcheck import check
from engine.template import ChatTemplate
from engine.types import Finding, Message, PromptStyle, Tool
from grammars.nodes import Node


@dataclass(frozen=True, slots=True)
class Opened:
    """A runtime, and the buffers that llama.cpp made for weights and context."""

    runtime: Runtime
    buffers: tuple[BufferSize, ...] = ()


_CANNOT_DRAFT = Finding(
    "no-drafts",
    "--draft has no effect: what this model has read cannot be taken back, for it keeps a recurrent state or the cache "
    "of a sliding window only",
)
HERMES = HermesFormat()  # what the scripted models write
OpenRuntime = Callable[[bool], AbstractContextManager[Opened]]


class LoadedModel:
    """One model; prompts, constraints and runtimes of it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        spec: ModelSpec,
        open_runtime: OpenRuntime,
        make_backend: Callable[[str], Backend],
        build: str,
        *,
        can_rewind: bool = True,
        growth: DeviceGrowth | None = None,
    ) -> None:
        """`growth`: of the devices' memory since before the model was loaded."""
        self.build, self.growth = build, growth
        self.drafts = spec.draft and can_rewind
        self.native = formats.NATIVE.get(spec.format_id or "")
        self._tokenizer, self._spec = tokenizer, spec
        self._open_runtime, self._make_backend = open_runtime, make_backend
        self._template = None if spec.template is None else ChatTemplate(spec.template)
        self._builders: dict[PromptStyle, PromptBuilder] = {}
        self._backends: dict[str, Backend] = {}

    def runtime(self, *, single: bool) -> AbstractContextManager[Opened]:
        """What decodes: `single` for one answer at a time, measured as a user meets it, else for several."""
        return self._open_runtime(single)

    def format_of(self, style: PromptStyle) -> ToolFormat:
        return formats.of_style(style, self._spec.format_id)

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool], style: PromptStyle) -> Prompt:
        """Raises `TemplateError` where the template refuses the conversation, or there is none."""
        if style not in self._builders:
            fmt, spec = self.format_of(style), self._spec
            self._builders[style] = PromptBuilder(
                self._tokenizer, self._template, fmt, style, spec.thinking, spec.reasoning_effort
            )
        return self._builders[style].build(messages, tools)

    def findings(self) -> tuple[Finding, ...]:
        """Where template, vocabulary and native format disagree, and what of the settings the template ignores."""
        spec = self._spec
        found = check(
            self._template,
            self.native,
            self._tokenizer,
            thinking=spec.thinking,
            reasoning_effort=spec.reasoning_effort,
        )
        return (*found, _CANNOT_DRAFT) if spec.draft and not self.drafts else found

    def backend(self, name: str) -> Backend:
        """Made once a model; raises `ConstraintError` if the vocabulary is not one that it can work with."""
        if name not in self._backends:
            self._backends[name] = self._make_backend(name)
        return self._backends[name]

    def stop_tokens(self, fmt: ToolFormat) -> frozenset[int]:
        return stop_tokens(fmt, self._tokenizer.vocabulary())


def open_model(spec: ModelSpec, work: Work) -> LoadedModel:
    """Load what `spec` names; `work` is what it will be asked, which only a script may know."""
    from engine.fake import PREFIX

    return _open_fake(spec, work) if spec.path.startswith(PREFIX) else _open_llama(spec)


def _open_llama(spec: ModelSpec) -> LoadedModel:
    from engine.constraint import backend
    from engine.decoder import LlamaRuntime
    from engine.llama import build_info, devices, has_amx, load_model, log_to_file

    log_to_file(spec.log_path)
    growth = DeviceGrowth(devices)
    model = load_model(Path(spec.path), spec.load)
    can_rewind = model.can_rewind(spec.context)

    @contextmanager
    def open_runtime(single: bool) -> Iterator[Opened]:
        n_slots = 1 if single else spec.n_slots
        context = replace(spec.context, n_cells=0) if single else spec.context
        with LlamaRuntime(
            model, context, n_slots, measure_constraint=not single, drafts=spec.draft and can_rewind
        ) as runtime:
            yield Opened(runtime, model.buffers + runtime.context.buffers)

    kinds = sorted({device.name.rstrip("0123456789") for device in devices()})
    kinds += ["AMX not used"] * has_amx()
    build = f"{build_info()} ({', '.join(kinds)})"
    return LoadedModel(
        model, spec, open_runtime, lambda name: backend(name, model), build, can_rewind=can_rewind, growth=growth
    )


def _open_fake(spec: ModelSpec, work: Work) -> LoadedModel:
    from engine.fake import FakeRuntime, fake_model

    perfect = _Perfect(work)
    model = fake_model(spec.path, perfect=perfect)

    @contextmanager
    def open_runtime(single: bool) -> Iterator[Opened]:
        yield Opened(FakeRuntime(model, n_ctx=spec.context.n_ctx, n_slots=1 if single else spec.n_slots))

    return LoadedModel(model, spec, open_runtime, _Unapplied, "scripted")


@dataclass(slots=True)
class _Unapplied:
    """The constraints of a script, which says what it says."""

    name: str
    version: str = "scripted"
    text: str = ""

    def compile(self, root: Node) -> _Unapplied:
        del root
        return self

    def start(self) -> Constraint:
        raise AssertionError("the scripted runtime applies no constraint")


class _Perfect:
    """The script of `fake:perfect`: in every step the answer that the case's author had in mind."""

    def __init__(self, work: Work) -> None:
        self._items = {job.key: job for job in work.items}
        self._samples = {job.key: job for job in work.samples}
        self._n_asked: Counter[str] = Counter()

    def __call__(self, request: Request, prompt: str) -> str:
        del prompt
        key = str(request.key)
        job = self._items.get(key) or self._samples[key]
        step = self._n_asked[key] if key in self._items else 0
        self._n_asked[key] += 1
        steps = reference_steps(job.case)
        calls = steps[step] if step < len(steps) else ()
        reply = "" if calls else "Done."
        return envelope(calls, reply) if MODES[job.mode].style == "json" else HERMES.write(calls, ()) or reply
