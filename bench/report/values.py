"""The findings of a run as plain values, before anybody formats them. Knows no table, no terminal and no file.

Shares are fractions, times seconds, sizes bytes; `None` means "not measured", never zero. `bench.report.build` makes
these from the result file; JSON and CSV are these values, tables are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.rates import Rate
from bench.report.details.adherence import Adherence
from bench.report.details.batched import Batched
from bench.report.details.bfcl import Bfcl, BfclGroups
from bench.report.details.categories import Category
from bench.report.details.latency import Latency
from bench.report.details.memory import Energy, MemoryAt
from bench.report.details.no_call import Restraint
from bench.report.details.order import Order
from bench.report.details.recovery import Recovery
from bench.report.details.repairs import Repairs
from bench.report.details.truncation import Truncation
from bench.stats import Middle, Spread
from engine.types import Finding

SCHEMA = "toolgauge.report/4"
"""2: categories name what was not scored and why; the closer looks are in each row.

3: `further_s` of a recovery is gone, and `extra_calls` are those of whole episodes; an abstention is a rate over the
answers with a verdict; `n_repairable` is null where a format has no repairs; `mask_s_per_token` of a push is over the
tokens that were chosen under a mask; a choice is the smallest level on all cases of the reference.

4: `honest_stop` is over the answers in which stopping is right; `p` of a rung is adjusted over those that could have
shown a difference, and `n_to_settle` counts such an adjusted test; times of `warm` are over pairs that both have them.
"""

Verdict = Literal["not worse", "worse", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Push:
    """How hard the constraint had to push, over the answers of a row."""

    interventions_per_answer: float
    removed_mass: float | None  # mean probability of what was not allowed, over the tokens where it was measured
    forced_share: float  # of all tokens
    mask_s_per_token: float | None  # over the tokens that were chosen under a mask; None too in older runs


@dataclass(frozen=True, slots=True)
class Speed:
    """From the latency pass alone: one stream, after warm-up."""

    ttfc_s: Spread | None = None  # submission until the first complete, parseable call
    ttft_s: Spread | None = None
    prefill_tok_per_s: Spread | None = None
    decode_tok_per_s: Spread | None = None
    compile_s: Spread | None = None  # building the constraint, once per tool set
    drafted_tok_per_s: Spread | None = None  # decoding with drafts, on samples of its own (--draft)
    drafts_accepted: float | None = None  # of the choices that were drafted there


@dataclass(frozen=True, slots=True)
class Memory:
    """Peaks of the worker that had this model loaded, and the KV cache that is part of them."""

    vram_peak_bytes: int | None = None
    rss_peak_bytes: int | None = None
    kv_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One quant at one setting in one mode, on one suite. `n_scored` and what is in `not_scored` add up to `n_planned`.

    What is None or empty from `no_call` on has nothing to say: the suite asks no such question, or it is not at hand.
    """

    quant: str
    mode: str
    backend: str
    n_planned: int
    n_scored: int
    not_scored: Mapping[str, int]  # cause -> items
    accuracy: Rate | None  # over the scored
    schema_valid: Rate | None  # over the items in which a call was attempted
    truncated: Rate | None  # over the scored
    n_escapes: int  # items of a schema mode in which a call broke its schema: a fault of the grammar
    outcomes: Mapping[str, int]
    categories: tuple[Category, ...]
    speed: Speed = field(default_factory=Speed)
    memory: Memory = field(default_factory=Memory)
    load_s: float | None = None
    n_repeating: int = 0  # of the truncated: those that ended in the same tokens over and over
    latency: Latency | None = None
    push: Push | None = None
    no_call: Restraint | None = None
    bfcl: tuple[Bfcl, ...] = ()
    order: Order | None = None
    recovery: tuple[Recovery, ...] = ()
    replies: Mapping[str, Rate] = field(default_factory=dict)  # proxy -> of the right answers
    repairs: Repairs | None = None
    adherence: Adherence | None = None
    truncation: Truncation | None = None
    setting: str = ""  # what tells the row from others of the same quant and mode; "": the run has one setting
    context: Mapping[str, Any] = field(default_factory=dict)  # n_ctx, n_batch, n_ubatch, type_k, type_v, flash_attn
    footprints: tuple[MemoryAt, ...] = ()  # of the level at this setting, the same in all its modes
    energy: Energy | None = None  # of single answers in this mode
    batched: Batched | None = None  # what was answered in both passes; None too where answers differ by chance


@dataclass(frozen=True, slots=True)
class Paired:
    """The same cases, free and constrained: what the constraint alone changed."""

    quant: str
    free: str
    constrained: str
    backend: str
    n: int
    rescued: int
    broken: int
    same_right: int
    same_wrong: int
    difference: float
    p: float  # exact McNemar
    setting: str = ""
    first_call: Middle | None = None  # how many times as long it takes, over the cases timed with a call in both modes
    rescued_cases: tuple[str, ...] = ()  # a case and its twin under the case's id, as they are counted
    broken_cases: tuple[str, ...] = ()
    # cases that have a verdict when free, with their fault or without, and none when constrained
    n_without_verdict: int = 0


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A constrained row and the free one that it would be held against, where no case has a verdict in both."""

    quant: str
    free: str
    constrained: str
    backend: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """A level against the most precise one with verdicts in the same mode and setting, on the same cases."""

    quant: str
    reference: str
    mode: str
    backend: str
    n: int
    gained: int  # right here, wrong at the reference
    lost: int
    difference: float
    low: float
    high: float
    p: float  # exact McNemar, after Holm over those of the ladder of which enough cases changed
    margin: float
    verdict: Verdict
    n_to_settle: int | None  # cases that would settle "cannot tell", where that can be said
    setting: str = ""
    gained_cases: tuple[str, ...] = ()  # as in `Paired`
    lost_cases: tuple[str, ...] = ()
    n_without_verdict: int = 0  # cases that have a verdict at the reference, with their fault or without, and none here


@dataclass(frozen=True, slots=True)
class Cost:
    """What a row takes of a machine, in short."""

    kv_bytes: int | None
    vram_peak_bytes: int | None
    rss_peak_bytes: int | None
    ttfc_s: float | None  # median, as the next
    decode_tok_per_s: float | None


@dataclass(frozen=True, slots=True)
class KvRung:
    """A type of the KV cache against f16 in the same file, all else being equal.

    `rung` compares the two as levels are compared; its `reference` is a type. Where f16 has no verdicts, it is the most
    precise one that has.
    """

    kv_type: str
    rung: Rung
    cost: Cost
    reference_cost: Cost


@dataclass(frozen=True, slots=True)
class Choice:
    """The smallest level that is shown to be not worse than the most precise one by the margin, on all its cases."""

    mode: str
    backend: str
    reference: str
    smallest: str
    margin: float
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One model on one suite. What is held against each other has one verdict a case, however many trials it had."""

    model: str
    suite: str
    n_cases: int
    rows: tuple[Row, ...]
    paired: tuple[Paired, ...] = ()
    ladder: tuple[Rung, ...] = ()
    choices: tuple[Choice, ...] = ()
    kv_ladder: tuple[KvRung, ...] = ()
    n_trials: int = 1  # answers to each case
    made: tuple[str, ...] = ()  # the levels that toolgauge quantized itself
    unpaired: tuple[Unpaired, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that is not CORRECT, for reading."""

    item: str  # as `toolgauge show` takes it
    quant: str
    mode: str
    outcome: str
    explanation: str
    text: str
    setting: str = ""
    model: str = ""
    suite: str = ""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What the self-check found about a model: its chat template, its format and its vocabulary do not fit together."""

    model: str
    quants: tuple[str, ...]
    name: str
    message: str
    rendered: str  # what the chat template writes; "" where there is nothing to compare
    expected: str


@dataclass(frozen=True, slots=True)
class Report:
    run_id: int
    path: Path  # of the result file, for the commands that the report names
    command: str
    created_utc: str
    finished_utc: str | None
    facts: Mapping[str, str]  # versions and machine, in reading order
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    failures: tuple[Failure, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    bfcl_groups: tuple[BfclGroups, ...] = ()
    findings: tuple[Finding, ...] = ()  # known before the run, of cases and constraints
    comparable_models: tuple[str, ...] = ()  # the first two that `toolgauge compare` can hold against each other

    def to_json(self) -> dict[str, Any]:
        """Everything but the failures' texts, which `toolgauge show --json` has, and where the result file lies."""
        values = asdict(self)
        del values["failures"], values["path"]
        return {"schema": SCHEMA, **values}
