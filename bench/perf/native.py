"""llama.cpp's own speed tools, run once each time they are asked, and what they print. Knows none of our loops.

`llama-bench` decodes random tokens one by one behind a context of a given depth, `llama-batched-bench` one token of
each of several sequences at a time. Neither samples, so what they say is the most that a loop over llama.cpp can reach.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.perf.native_tools import NativeTool
from engine.errors import ToolgaugeError
from engine.llama import Context

_LIMIT_S: Final = 600.0


class ToolError(ToolgaugeError):
    """A tool did not run, or printed something else than we know how to read."""


@dataclass(frozen=True, slots=True)
class NativeRun:
    """Tokens that were decoded, of all sequences, and how long it took; `says`: what else the tool prints."""

    n_tokens: int
    seconds: float
    says: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Like:
    """Settings of ours that a tool is to have as well."""

    model: Path
    n_batch: int
    n_ubatch: int
    n_threads: int
    n_gpu_layers: int
    flash_attention: bool
    type_k: str
    type_v: str

    @property
    def arguments(self) -> list[str]:
        """Those that both tools call alike."""
        return [
            *("-m", str(self.model)),
            *("-b", str(self.n_batch)),
            *("-ub", str(self.n_ubatch)),
            *("-t", str(self.n_threads)),
            *("-ngl", str(self.n_gpu_layers)),
            *("-fa", "on" if self.flash_attention else "off"),
            *("-ctk", self.type_k),
            *("-ctv", self.type_v),
        ]


def like(context: Context) -> Like:
    params = context.params
    return Like(
        model=context.model.path,
        n_batch=context.n_batch,
        n_ubatch=min(params.n_ubatch, context.n_batch),
        n_threads=params.n_threads,
        n_gpu_layers=context.model.params.n_gpu_layers,
        flash_attention=context.flash_attention,
        type_k=params.type_k,
        type_v=params.type_v,
    )


def llama_bench(tool: NativeTool, like: Like, *, depth: int, n_tokens: int) -> NativeRun:
    """Decode so many tokens in one sequence that holds `depth` already."""
    command = [*like.arguments, "-p", "0", "-n", str(n_tokens), "-d", str(depth), "-r", "1", "-o", "json"]
    return read_llama_bench(_output(tool, command), depth=depth, n_tokens=n_tokens, n_threads=like.n_threads)


def llama_batched_bench(
    tool: NativeTool,
    like: Like,
    *,
    n_sequences: int,
    n_prompt: int,
    n_tokens: int,
    unified: bool = False,
    shared: bool = False,
) -> NativeRun:
    """Decode so many tokens of each sequence, behind prompts of their own or, if `shared`, behind one.

    By default each sequence has a cache of its own. `unified`: one cache for all, as ours, which can share prompts and
    lets each sequence have the room that it needs, but in which each row of attention meets the cells of all.
    """
    command = [
        *like.arguments,
        *("-tb", str(like.n_threads)),
        *("-c", str(n_sequences * (n_prompt + n_tokens))),
        *("-npp", str(n_prompt)),
        *("-ntg", str(n_tokens)),
        *("-npl", str(n_sequences)),
        *("--output-format", "jsonl"),
        *(["-kvu"] if unified else []),
        *(["-pps"] if shared else []),
    ]
    wanted = {"pp": n_prompt, "tg": n_tokens, "pl": n_sequences, "n_threads": like.n_threads}
    return read_llama_batched_bench(_output(tool, command), wanted)


def read_llama_bench(text: str, *, depth: int, n_tokens: int, n_threads: int) -> NativeRun:
    """From the JSON that `llama-bench -o json` prints: an array with one test, of one repetition."""
    name = "llama-bench"
    try:
        tests = json.loads(text)
    except ValueError as error:
        raise ToolError(f"{name} printed no JSON: {_shown(text)}") from error
    if not isinstance(tests, list) or len(tests) != 1 or not isinstance(tests[0], dict):
        raise ToolError(f"{name} printed no single test: {_shown(text)}")
    says = tests[0]
    _require(name, says, {"n_prompt": 0, "n_gen": n_tokens, "n_depth": depth, "n_threads": n_threads})
    samples = says.get("samples_ns")
    if not isinstance(samples, list) or len(samples) != 1:
        raise ToolError(f"{name} printed no time of its single repetition (samples_ns): {samples!r}")
    return NativeRun(n_tokens, _positive(name, "samples_ns", samples[0]) / 1e9, says)


def read_llama_batched_bench(text: str, wanted: Mapping[str, int]) -> NativeRun:
    """From the JSON lines of `llama-batched-bench`, among which other lines may stand: one with the times."""
    name = "llama-batched-bench"
    found = [line for line in text.splitlines() if line.lstrip().startswith("{")]
    if len(found) != 1:  # it leaves a test out when its context is too small for it
        raise ToolError(f"{name} printed {len(found)} results in place of one: {_shown(text)}")
    try:
        says = json.loads(found[0])
    except ValueError as error:
        raise ToolError(f"{name} printed no JSON: {_shown(found[0])}") from error
    _require(name, says, wanted)
    return NativeRun(wanted["tg"] * wanted["pl"], _positive(name, "t_tg", says.get("t_tg")), says)


def _require(name: str, says: Mapping[str, Any], wanted: Mapping[str, int]) -> None:
    """A tool of another version may understand an option otherwise: it must say that it did what was asked."""
    for key, value in wanted.items():
        if says.get(key) != value:
            raise ToolError(
                f"{name} says {key} = {says.get(key)!r} where {value} was asked for; is it another version?"
            )


def _positive(name: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ToolError(f"{name} printed no time ({key} = {value!r})")
    return float(value)


def _output(tool: NativeTool, arguments: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            [str(tool.path), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{tool.name} took longer than {_LIMIT_S / 60:.0f} minutes") from error
    except OSError as error:
        raise ToolError(f"{tool.path} cannot be run: {(error.strerror or str(error)).lower()}") from error
    if done.returncode:
        why = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise ToolError(f"{tool.name} failed ({why}): {_shown(done.stderr or done.stdout, last=True)}")
    return done.stdout


def _shown(text: str, *, last: bool = False) -> str:
    """One line of a text, as much as an error message can hold."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1 if last else 0] if lines else "nothing")[:200]
