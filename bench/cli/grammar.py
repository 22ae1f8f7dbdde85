"""`toolgauge grammar`: the constraint that a model would answer under, as text; and whether it lets an answer pass."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.shell import WHAT, Exit, Json, call_line, comma_list, emit, emit_json, emit_text, examples, say
from grammars.errors import ToolgaugeError

if TYPE_CHECKING:
    from bench.audit.trial import Tried, Verdict
    from bench.report.document import Block, Document
    from engine.types import Parsed

EXAMPLES = examples(
    "toolgauge grammar nano --tools my_tools.json > my_tools.lark",
    'toolgauge grammar model.gguf --mode json.schema --answer \'{"calls": [], "reply": "Hello"}\'',
    "toolgauge grammar nano --backend gbnf --required --answer-file answer.txt",
    "toolgauge grammar --audit my_suite.jsonl --format qwen_xml",
)
STDIN = Path("-")
_DEFAULT_BACKEND = "llguidance"
_N_BEFORE, _N_AFTER = 60, 20  # characters of the answer shown around the place where it was refused


def grammar(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A GGUF file, a name of models.toml, or org/repo:QUANT that is downloaded already."
            " With --audit it may be left out.",
        ),
    ] = None,
    tools: options.Tools = None,
    mode: Annotated[
        str, typer.Option(help="native.schema, json.schema or json.syntax.", rich_help_panel=WHAT)
    ] = "native.schema",
    backend: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Who computes the masks: llguidance, gbnf, outlines.",
            show_default="llguidance; with --audit all",
            rich_help_panel=WHAT,
        ),
    ] = "",
    required: Annotated[
        bool, typer.Option("--required", help="As where an application requires a call.", rich_help_panel=WHAT)
    ] = False,
    format_id: options.FormatId = None,
    chat_template: options.ChatTemplate = None,
    answer: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Try this answer, as a model would write it.", rich_help_panel=WHAT),
    ] = None,
    answer_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Try what is in this file, line breaks at its end left out; -: standard input.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--audit",
            metavar="SUITE",
            help="Try every case of this suite: what no constraint can express, which right answers it would forbid.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a constraint's grammar, say whether it accepts an answer, or audit a suite.

    Without an answer the grammar is printed, for the model's own vocabulary.

    With one, the verdict: accepted (exit code 0) or not (exit code 1), where it
    stopped, what might have come there, and what the parser reads.

    With --audit every case of a suite is tried with every backend. Without a
    model: over the bundled vocabulary, for --format or else hermes.
    """
    if suite is not None:
        _check_audit(tools, answer, answer_file, required=required)
        from bench.cli.audit import print_audit

        backends = _backends(backend)
        print_audit(suite, model, backends, format_id=format_id, chat_template=chat_template, as_json=as_json)
        return
    if model is None:
        raise ToolgaugeError("name a model whose grammar is wanted, or a suite to audit with --audit SUITE")
    from bench.attempt import DEFAULT_TOOLS
    from bench.audit.trial import Trial, tried
    from bench.doctor.checkup import look_at
    from bench.modes import check_backend
    from bench.suites.sources.tools import tools_from

    text = _answer(answer, answer_file)
    _check_mode(mode)
    backend = check_backend(backend or _DEFAULT_BACKEND)
    offered = tools_from(tools or DEFAULT_TOOLS)
    found = look_at(model, format_id=format_id, chat_template=chat_template)
    native = found.needed_format() if mode.startswith("native.") else found.format_id
    outcome = tried(Trial(found.path, native, offered, mode, backend, required, text))
    if as_json:
        emit_json({"mode": mode, **asdict(outcome), "violations": [sorted(names) for names in outcome.violations]})
    else:
        say(_about(outcome, mode), "dim")
        if text is None:
            emit_text(outcome.grammar if outcome.grammar.endswith("\n") else outcome.grammar + "\n")
        else:
            emit(document(outcome, text))
    if outcome.verdict and not outcome.verdict.accepted:
        raise typer.Exit(Exit.ERRORED_ITEMS)


def _backends(names: str) -> tuple[str, ...]:
    """The backends to audit: those that are named, or all."""
    from bench.modes import check_backend
    from engine.constraint import BACKENDS

    return tuple(dict.fromkeys(check_backend(name) for name in comma_list(names))) or BACKENDS


def _check_audit(tools: str | None, answer: str | None, answer_file: Path | None, *, required: bool) -> None:
    given = {"--tools": tools, "--answer": answer, "--answer-file": answer_file, "--required": required or None}
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ToolgaugeError(f"--audit takes tools and answers from the suite; leave {extra[0]} out")


def _answer(answer: str | None, path: Path | None) -> str | None:
    if path is None:
        return answer
    if answer is not None:
        raise ToolgaugeError("--answer and --answer-file both give the answer; give one of them")
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except OSError as error:
        raise ToolgaugeError(f"cannot read the answer {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ToolgaugeError(f"{path} is not UTF-8 text; save it as such") from error
    return text.rstrip("\r\n")


def _check_mode(mode: str) -> None:
    from bench.modes import MODES

    constrained = [id_ for id_, each in MODES.items() if each.constrained]
    if mode in MODES and mode not in constrained:
        raise ToolgaugeError(f"{mode} has no grammar, its answers are free; choose one of: {', '.join(constrained)}")
    if mode not in MODES:
        raise ToolgaugeError(f"unknown mode {mode!r}; choose one of: {', '.join(constrained)}")


def _about(outcome: Tried, mode: str) -> str:
    """One line about the grammar that is printed."""
    where = " at an answer's start" if outcome.at_start else ""
    triggers = " or ".join(map(repr, outcome.triggers))
    begins = f"begins with {triggers}{where}" if triggers else "holds from the start"
    tokens = [f"{text} is token {token}" for text, token in outcome.markers.items() if token is not None]
    markers = f"; {', '.join(tokens)}" if tokens and mode.startswith("native.") else ""
    return (
        f"{mode} in the format {outcome.format_id}, for {outcome.backend} {outcome.backend_version}: {begins}{markers}"
    )


def document(outcome: Tried, answer: str) -> Document:
    """Build the page about an answer: the grammar's verdict, and what the parser makes of it."""
    from bench.report.document import Code, Text

    verdict, reading = outcome.verdict, outcome.reading
    assert verdict is not None
    assert reading is not None
    blocks: list[Block] = [*_verdict(verdict, answer)]
    blocks.append(Code("\n".join(_reading_lines(outcome, reading)), "The parser reads"))
    is_valid = bool(reading.calls) and not any(outcome.violations) and not reading.fragments
    if is_valid and outcome.stopped_among_calls:
        blocks.append(
            Text(
                "Valid all the same: of each value, and of what stands between, a grammar allows one spelling only.",
                "dim",
            )
        )
    return blocks


def _verdict(verdict: Verdict, answer: str) -> Iterator[Block]:
    from bench.report.document import Code, Text

    if verdict.begins is None:
        yield Text("Accepted as free text: nothing in it begins a call, so the grammar never begins.", "good")
        return
    if verdict.accepted:
        after = f", from character {verdict.begins} on" if verdict.begins else ""
        yield Text(f"Accepted{after}.", "good")
        return
    assert verdict.stopped is not None
    if verdict.stopped == len(answer):
        yield Text(f"Not accepted: the answer ends too early, after {len(answer)} characters.", "bad")
    elif verdict.may_end and not verdict.allowed:
        yield Text(f"Not accepted: it should have ended before character {verdict.stopped}.", "bad")
    else:
        yield Text(f"Not accepted: it stopped at character {verdict.stopped}.", "bad")
    yield Code(_place(answer, verdict.stopped))
    if verdict.allowed:
        yield Code(*_allowed(verdict))


def _place(answer: str, at: int) -> str:
    """The line in question, and a mark below the character."""
    from bench.report.document import visible

    line = answer.rfind("\n", 0, at) + 1
    start, rest = max(line, at - _N_BEFORE), answer[at : at + _N_AFTER]
    before = ("…" if start > line else "") + visible(answer[start:at]).replace("\t", " ")
    after = visible(rest.partition("\n")[0]) + ("↵" if "\n" in rest else "")
    return f"{before}{after}\n{' ' * len(before)}^"


def _allowed(verdict: Verdict) -> tuple[str, str]:
    """The tokens, and the title above them."""
    shown = [json.dumps(text, ensure_ascii=False) for text in verdict.allowed]
    shown += ["the end of the answer"] if verdict.may_end else []
    such_as = f": {verdict.n_allowed:,} tokens, such as" if verdict.is_excerpt else ""
    return ", ".join(shown), f"What might have come there{such_as}"


def _reading_lines(outcome: Tried, reading: Parsed) -> Iterator[str]:
    if reading.reasoning:
        yield f"reasoning of {len(reading.reasoning)} characters"
    for call, wrong in zip(reading.calls, outcome.violations, strict=True):
        kinds = {"breaks its schema" if name == "other" else name.replace("_", " ") for name in wrong}
        verdict = ", ".join(sorted(kinds)) or "valid"
        yield f"call {call_line(call)}: {verdict}"
    for fragment in reading.fragments:
        yield f"not a call at character {fragment.position}: {fragment.reason}"
    if reading.open_block:
        yield "a call was opened and never closed"
    if reading.open_reasoning:
        yield "it ended while still reasoning"
    if reading.content:
        yield f"text {reading.content!r}"
    if reading == type(reading)():
        yield "nothing"
