"""Many random walks for every format and engine, on the bundled vocabulary and on real ones: `make walks`.

    TOOLGAUGE_WALKS=500 python -m tests.engine.formats.full_walks [--jobs N] [--again] [FORMAT ...]

Prints one line a pair and a table of good walks at the end. What is done is kept in the cache folder until the code of
formats, grammars or engines changes, so that an interrupted run goes on where it stopped. Real vocabularies are walked
where TOOLGAUGE_REAL_DATA names a folder that has them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from engine.cache import cache_path
from engine.constraint import BACKENDS, backend
from engine.formats import FORMATS
from engine.llama import LoadParams, load_model
from tests.engine.formats.drawing import marker_texts
from tests.engine.formats.walking import BUNDLED, TOOLS, VOCABULARIES, walk_all, write_with_markers

ROOT = Path(__file__).parents[3]
_COUNTED = ("n_good", "n_walks", "n_anew")
N_REAL_SHARE = 30 / 500  # of the walks on the bundled vocabulary


@dataclass(frozen=True)
class Pair:
    vocabulary: str
    fmt: str
    engine: str
    n_walks: int


@dataclass(frozen=True)
class Done:
    """One pair's walks."""

    n_walks: int
    n_good: int
    n_anew: int
    complaints: list[str]
    refused: dict[str, str]
    seconds: float


def main() -> int:
    """0 where every walk was good."""
    parser = argparse.ArgumentParser(description="Random walks for every format and engine.")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (%(default)s)")
    parser.add_argument("--again", action="store_true", help="walk again what has been walked")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help="only these")
    options = parser.parse_args()
    pairs = list(all_pairs(options.formats or list(FORMATS)))
    path = cache_path(f"walks-{code_hash()}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.again:
        path.unlink(missing_ok=True)
    done = read_done(path)
    by_load = {key: [pair for pair in pairs if pair not in done and (pair.vocabulary, pair.engine) == key]
               for key in product(["bundled", *VOCABULARIES], BACKENDS)}  # fmt: skip
    # What is slow comes last, so that most is known soon.
    groups = sorted((group for group in by_load.values() if group), key=lambda group: group[0].engine == "outlines")
    # An executor and no pool: it notices when an engine has ended its process.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as executor:
        for _ in executor.map(partial(walk_group, path), groups):
            pass  # each process tells and keeps what it has done
    done = read_done(path)
    print(table(pairs, done))
    return 0 if all(done[pair].n_good == done[pair].n_walks for pair in pairs) else 1


def all_pairs(format_ids: Iterable[str]) -> Iterator[Pair]:
    n_walks = int(os.environ.get("TOOLGAUGE_WALKS", "500"))
    for vocabulary, fmt, engine in product(["bundled", *VOCABULARIES], format_ids, BACKENDS):
        if vocabulary == "bundled":
            yield Pair(vocabulary, fmt, engine, n_walks)
        elif real_path(vocabulary).exists():
            yield Pair(vocabulary, fmt, engine, max(1, round(n_walks * N_REAL_SHARE)))


def real_path(vocabulary: str) -> Path:
    return Path(os.environ.get("TOOLGAUGE_REAL_DATA", "")) / "vocab" / f"ggml-vocab-{vocabulary}.gguf"


def walk_group(path: Path, pairs: list[Pair]) -> None:
    """All formats of one vocabulary and engine, in a process of the pool."""
    engine = loaded(pairs[0].vocabulary, pairs[0].engine)
    for pair in pairs:
        started = time.perf_counter()
        # An automaton over a large vocabulary takes long to build, and the longer the more there is to choose from.
        tools = TOOLS[:3] if pair.engine == "outlines" and pair.vocabulary != "bundled" else TOOLS
        tally = walk_all(FORMATS[pair.fmt], engine, pair.n_walks, pair.vocabulary, tools)
        seconds = time.perf_counter() - started
        done = Done(tally.n_walks, tally.n_good, tally.n_anew, tally.complaints[:3], tally.refused, seconds)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([asdict(pair), asdict(done)]) + "\n")
        tell(pair, done)


@cache
def loaded(vocabulary: str, engine: str) -> Any:
    if vocabulary == "bundled":
        return backend(engine, load_model(BUNDLED, LoadParams(vocab_only=True)))
    with tempfile.TemporaryDirectory() as folder:
        path = write_with_markers(real_path(vocabulary), Path(folder) / "vocabulary.gguf", marker_texts())
        return backend(engine, load_model(path, LoadParams(vocab_only=True, use_mmap=False)))


def code_hash() -> str:
    """Of what a walk depends on."""
    folders = [ROOT / "grammars", ROOT / "engine" / "formats", ROOT / "engine" / "constraint"]
    files = [
        *(path for folder in folders for path in sorted(folder.rglob("*.py"))),
        Path(__file__).with_name("walking.py"),
    ]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def read_done(path: Path) -> dict[Pair, Done]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {Pair(**pair): Done(**result) for pair, result in map(json.loads, lines)}


def tell(pair: Pair, result: Done) -> None:
    print(
        f"{pair.vocabulary:10} {pair.fmt:16} {pair.engine:10} {result.n_good}/{result.n_walks} {result.seconds:6.1f} s",
        flush=True,
    )
    for text in result.complaints:
        print(f"    {text}", flush=True)


def table(pairs: list[Pair], done: dict[Pair, Done]) -> str:
    """Good walks of all walks, a line a format; `-` where an engine cannot have the format."""
    vocabularies = list(dict.fromkeys(pair.vocabulary for pair in pairs))
    columns = list(product(vocabularies, BACKENDS))
    lines = [f"| format | {' | '.join(f'{vocabulary}, {engine}' for vocabulary, engine in columns)} |"]
    lines.append("|---|" + "---|" * len(columns))
    cells = {(pair.fmt, pair.vocabulary, pair.engine): done[pair] for pair in pairs}
    for fmt in dict.fromkeys(pair.fmt for pair in pairs):
        found = [cells[fmt, *column] for column in columns]
        texts = [f"{one.n_good}/{one.n_walks}" if one.n_walks else "-" for one in found]
        lines.append(f"| {fmt} | {' | '.join(texts)} |")
    good, total, anew = (sum(getattr(one, key) for one in cells.values()) for key in _COUNTED)
    more = f"{anew} more met what no grammar holds and were taken anew"
    return "\n".join([*lines, "", f"{good} of {total} walks are good; {more}."])


if __name__ == "__main__":
    sys.exit(main())
