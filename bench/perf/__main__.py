"""`python -m bench.perf`: measure, print the tables, and one JSON document as the last line."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from bench.numbers import plural
from bench.perf.batch import N_PROMPT, N_SHARED, N_SLOTS
from bench.perf.measure import Measured, measure, open_session
from bench.perf.native_tools import TOOLS, NativeTool, ToolName, find
from bench.perf.random_model import default_model
from bench.perf.record import BUSY, built_otherwise, figures, keep, model_facts, place, tool_facts
from bench.perf.replay import CLAIMS, open_replay
from bench.perf.results import Results, summarise
from bench.perf.tables import document
from bench.perf.whole_command import play
from bench.perf.workload import Size, load_workload
from bench.report.document import Document
from bench.shell import Exit, emit, emit_text, say
from engine.errors import ToolgaugeError

_KEPT: Final = Path("docs") / "measurements"
_Tools = Mapping[ToolName, NativeTool]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    try:
        _run(options, arguments)
    except ToolgaugeError as error:
        say(f"error: {error}", "bold red")
        return Exit.USAGE
    except OSError as error:
        say(f"error: {error.filename or 'the file'}: {(error.strerror or str(error)).lower()}", "bold red")
        return Exit.USAGE
    except typer.Exit as stop:  # nobody reads standard output any more
        return stop.exit_code
    except KeyboardInterrupt:
        say("interrupted", "yellow")
        return Exit.INTERRUPTED
    return Exit.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.perf", description=__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF; default: random weights, from the cache")
    parser.add_argument("--quick", action="store_true", help="a few tokens each, to see that it works; no figures")
    parser.add_argument(
        "--replay",
        nargs="?",
        const="quick",
        metavar="SUITE",
        help="let the model say the right calls of a suite (default: quick), with and without drafts",
    )
    parser.add_argument(
        "--suite",
        nargs="?",
        const="quick",
        metavar="SUITE",
        help="play a whole suite (default: quick) and do the same with the binding's create_chat_completion; "
        "default model: the bundled one",
    )
    for name in TOOLS:
        shown = "default: the one that `make perf-tools` built, else the one on the PATH"
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"llama.cpp's tool; {shown}")
    parser.add_argument("-ngl", type=int, default=-1, metavar="N", help="layers on the GPU (default: all)")
    parser.add_argument("-t", type=int, default=0, metavar="N", help="threads (default: the physical cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON document there too, indented")
    parser.add_argument(
        "--keep",
        type=Path,
        nargs="?",
        const=_KEPT,
        metavar="FOLDER",
        help=f"keep tables and JSON document as files named by day and machine (default: {_KEPT})",
    )
    return parser


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    load = os.getloadavg()[0]  # before anything of ours runs
    for folder, file in ((options.json and options.json.parent, options.json), (options.keep, "the results")):
        if folder and not folder.is_dir():
            raise ToolgaugeError(f"there is no folder {folder} to write {getattr(file, 'name', file)} to")
    size: Size = "quick" if options.quick else "full"
    if options.suite:
        played = play(
            options.model, options.suite, size, options.ngl, options.t, load, [*_warnings(size, load, {})], _progress
        )
        _hand_out(options, arguments, played.name, played.tables, played.facts)
        return
    tools = _tools(options)
    path = options.model or default_model(lambda: say("writing a model of random weights, once"))
    started = time.perf_counter()
    done = (_replay if options.replay else _workload)(path, options, size, tools)
    facts = {"benchmark": "toolgauge perf", **done.of, **done.model, **place(load), **tool_facts(tools, done.measured)}
    facts["seconds"] = time.perf_counter() - started
    model, machine, settings = facts["model"], facts["machine"], done.measured.settings
    about = (
        f"{model['file']} ({model['description']}, {model['n_vocab']:,} tokens), {machine['cpu']}, "
        f"{plural(settings.n_threads, 'thread')}, {machine['gpu'] or 'no GPU'}; "
        f"{done.what}, {size}, {settings.prompts} prompts"
    )
    tables = document(done.results, done.measured, about, [*_warnings(size, load, tools)])
    _hand_out(options, arguments, done.name, tables, facts | figures(done.results, done.measured))


def _hand_out(
    options: argparse.Namespace, arguments: Sequence[str], name: str, tables: Document, whole: dict[str, Any]
) -> None:
    """Print tables and JSON document, and keep them where that was asked for; files are named after `name`."""
    emit(tables)
    emit_text("\n" + json.dumps(whole, allow_nan=False) + "\n")
    if options.json:
        options.json.write_text(json.dumps(whole, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if options.keep:
        for file in keep(options.keep, name, tables, whole, arguments):
            say(f"kept as {file}", "dim")


def _tools(options: argparse.Namespace) -> _Tools:
    """llama.cpp's tools that are here."""
    found = {name: find(name, getattr(options, name.replace("-", "_"))) for name in TOOLS}
    return {name: tool for name, tool in found.items() if tool}


@dataclass(frozen=True, slots=True)
class _Done:
    """What was measured, with what, of which model. `name`: as files are named after it."""

    name: str
    measured: Measured
    results: Results
    what: str
    of: dict[str, Any]
    model: dict[str, Any]


def _workload(path: Path, options: argparse.Namespace, size: Size, tools: _Tools) -> _Done:
    workload = load_workload()
    with open_session(path, workload, tools, n_gpu_layers=options.ngl, n_threads=options.t) as session:
        measured = measure(session, workload, size, _progress)
        results = summarise(measured, [method.name for method in session.methods])
        of: dict[str, Any] = {"workload": {"version": workload.version, "sha256": workload.sha256, "size": size}}
        of["batches"] = {"n_prompt": N_PROMPT, "n_shared": N_SHARED, "n_slots": N_SLOTS}
        return _Done("decoding", measured, results, f"workload {workload.version}", of, model_facts(session.model))


def _replay(path: Path, options: argparse.Namespace, size: Size, tools: _Tools) -> _Done:
    tool = tools.get("llama-bench")
    with open_replay(path, options.replay, tool, n_gpu_layers=options.ngl, n_threads=options.t) as replay:
        measured = replay.measure(size, _progress)
        results = summarise(measured, replay.names, CLAIMS)
        of = {"replay": {"suite": replay.suite.name, "sha256": replay.suite.content_hash, "size": size}}
        what = f"replay of the suite {replay.suite.name}"
        return _Done("replay", measured, results, what, of, model_facts(replay.model))


def _warnings(size: Size, load: float, tools: _Tools) -> Iterator[str]:
    if size == "quick":
        yield "Quick: this only shows that it works; the answers are too short for figures."
    if tools and (warning := built_otherwise(tools)):
        yield warning
    if load > BUSY:
        yield f"The machine was busy with something else (load {load:.1f}): repeat this when it is idle."


def _progress(done: int, total: int) -> None:
    say(f"round {done} of {total}", "dim")


if __name__ == "__main__":
    sys.exit(main())
