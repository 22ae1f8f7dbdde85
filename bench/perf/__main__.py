"""`python -m bench.perf`: measure, print the tables, and one JSON document as the last line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import typer

from bench.cli.shell import Exit, emit, emit_text, say
from bench.numbers import plural
from bench.perf.measure import Measured, measure, open_session
from bench.perf.random_model import default_model
from bench.perf.replay import CLAIMS, open_replay
from bench.perf.results import Results, summarise
from bench.perf.tables import document
from bench.perf.workload import Size, load_workload
from bench.run.host import host
from engine.errors import ToolgaugeError
from engine.llama import Model, build_info

_BUSY: Final = 0.5  # processes that wanted to run in the minute before; a shell and an editor need far less
_LIBRARIES: Final = ("toolgauge", "llguidance", "outlines_core", "numpy")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _run(options)
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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON document there too, indented")
    parser.add_argument(
        "--replay",
        nargs="?",
        const="quick",
        metavar="SUITE",
        help="let the model say the right calls of a suite (default: quick), with and without drafts",
    )
    parser.add_argument("-ngl", type=int, default=-1, metavar="N", help="layers on the GPU (default: all)")
    parser.add_argument("-t", type=int, default=0, metavar="N", help="threads (default: the physical cores)")
    return parser


def _run(options: argparse.Namespace) -> None:
    load = os.getloadavg()[0]  # before anything of ours runs
    if options.json and not options.json.parent.is_dir():
        raise ToolgaugeError(f"there is no folder {options.json.parent} to write {options.json.name} to")
    size: Size = "quick" if options.quick else "full"
    path = options.model or default_model(lambda: say("writing a model of random weights, once"))
    started = time.perf_counter()
    done = (_replay if options.replay else _workload)(path, options, size)
    facts = {"benchmark": "toolgauge perf", **done.of, **done.model, **_place(load)}
    facts["seconds"] = time.perf_counter() - started
    model, machine, settings = facts["model"], facts["machine"], done.measured.settings
    about = (
        f"{model['file']} ({model['description']}, {model['n_vocab']:,} tokens), {machine['cpu']}, "
        f"{plural(settings.n_threads, 'thread')}, {machine['gpu'] or 'no GPU'}; "
        f"{done.what}, {size}, {settings.prompts} prompts"
    )
    emit(document(done.results, done.measured, about, [*_warnings(size, load)]))
    whole = facts | _figures(done.results, done.measured)
    emit_text("\n" + json.dumps(whole, allow_nan=False) + "\n")
    if options.json:
        options.json.write_text(json.dumps(whole, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Done:
    """What was measured, with what, of which model."""

    measured: Measured
    results: Results
    what: str
    of: dict[str, Any]
    model: dict[str, Any]


def _workload(path: Path, options: argparse.Namespace, size: Size) -> _Done:
    workload = load_workload()
    with open_session(path, workload, n_gpu_layers=options.ngl, n_threads=options.t) as session:
        measured = measure(session, workload, size, _progress)
        results = summarise(measured, [method.name for method in session.methods])
        of = {"workload": {"version": workload.version, "sha256": workload.sha256, "size": size}}
        return _Done(measured, results, f"workload {workload.version}", of, _model(session.model))


def _replay(path: Path, options: argparse.Namespace, size: Size) -> _Done:
    with open_replay(path, options.replay, n_gpu_layers=options.ngl, n_threads=options.t) as replay:
        measured = replay.measure(size, _progress)
        results = summarise(measured, replay.names, CLAIMS)
        of = {"replay": {"suite": replay.suite.name, "sha256": replay.suite.content_hash, "size": size}}
        return _Done(measured, results, f"replay of the suite {replay.suite.name}", of, _model(replay.model))


def _warnings(size: Size, load: float) -> Iterator[str]:
    if size == "quick":
        yield "Quick: this only shows that it works; the answers are too short for figures."
    if load > _BUSY:
        yield f"The machine was busy with something else (load {load:.1f}): repeat this when it is idle."


def _progress(done: int, total: int) -> None:
    say(f"round {done} of {total}", "dim")


def _model(model: Model) -> dict[str, Any]:
    return {
        "model": {
            "file": model.path.name,
            "description": model.description,
            "n_params": model.n_params,
            "n_vocab": model.n_vocab,
            "size_bytes": model.size_bytes,
        }
    }


def _place(load: float) -> dict[str, Any]:
    return {
        "machine": {**host(), "load_before": load, "busy": load > _BUSY},
        "versions": {
            "python": platform.python_version(),
            "llama": build_info(),
            **{library: _version(library) for library in _LIBRARIES},
        },
    }


def _version(library: str) -> str | None:
    """None where the code runs from its folder without being installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _figures(results: Results, measured: Measured) -> dict[str, Any]:
    methods = results.methods
    return {
        "settings": asdict(measured.settings),
        "counts": {
            "passed": sum(method.n_timed for method in methods),
            "skipped": sum(method.n_skipped for method in methods),
            "excluded": sum(method.n_excluded for method in methods),
        },
        "claims": [{**asdict(claim), "met": claim.met} for claim in results.claims],
        "methods": [asdict(method) for method in methods],
        "texts": [{"first": text.first, "second": text.second, "n": text.n, **text.counts} for text in results.texts],
        "n_unrepeatable": results.n_unrepeatable,
        "samples": [
            {"method": sample.method, "case": sample.case, "repetition": sample.repetition, **_raw(sample.run)}
            for sample in measured.samples
        ],
        "missing": [asdict(each) for each in measured.missing],
        "comparisons": [asdict(each) for each in measured.texts],
    }


def _raw(run: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(run).items() if key != "tokens"}


if __name__ == "__main__":
    sys.exit(main())
