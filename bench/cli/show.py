"""`toolgauge show RUN CASE`: one case in every cell: prompt, raw output, parse and verdict, step by step.

Cells that answered alike are shown once. Reads the result file only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.shell import OUTPUT, WHAT, Database, Json, call_line, emit, emit_json, examples

if TYPE_CHECKING:
    from bench.records import ItemRecord, StepRecord
    from bench.report.document import Block, Document
    from bench.results.rows import Cell, Item, Run, Score
    from bench.results.store import Store

EXAMPLES = examples(
    "toolgauge show last quick/selection-3",
    "toolgauge show 4 selection-3 --mode native.free --quant Q4_K_M --prompt",
)
_MOST_NAMED = 3  # cases, in an error


@dataclass(frozen=True, slots=True)
class Answer:
    """One item with everything that was stored about it."""

    cell: Cell
    item: Item
    record: ItemRecord
    score: Score | None

    @property
    def outcome(self) -> str:
        if self.score:
            return f"{self.score.outcome} (stale)" if self.score.stale else self.score.outcome
        return f"{self.item.error.kind} error" if self.item.error else "not judged yet"

    @property
    def name(self) -> str:
        trial = f" trial {self.item.trial + 1}" if self.item.trial else ""
        backend = f" ({self.cell.backend})" if self.cell.backend not in ("none", "llguidance") else ""
        model = self.cell.model
        setting = f" ({model.setting})" if model.setting else ""
        return f"{model.quant or model.name}{setting} {self.cell.mode}{backend}{trial}"

    @property
    def looks(self) -> tuple[object, ...]:
        """What makes two answers worth showing apart."""
        said = tuple((step.generation.text, step.generation.stop) for step in self.record.steps)
        return (self.outcome, said, self.item.error)


def show(
    run: Annotated[str, typer.Argument(help="The run's number, or `last`.")],
    case: Annotated[str, typer.Argument(help="The case's id, whole or its end: quick/selection-3 or selection-3.")],
    quant: Annotated[str | None, typer.Option("--quant", help="Only this level.", rich_help_panel=WHAT)] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="Only this mode.", rich_help_panel=WHAT)] = None,
    prompt: Annotated[
        bool,
        typer.Option(
            "--prompt/--no-prompt",
            help="Print prompts as the model got them; of a later step what is new in it.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Print one case of a run: prompt, raw output, parse, verdict."""
    from bench.results.store import Store

    with Store.read(db) as store:
        found = store.run(run)
        answers = _answers(store, found, case, quant, mode)
    if as_json:
        emit_json([_values(answer) for answer in answers])
    else:
        emit(document(found, answers, prompt=prompt))


def _answers(store: Store, run: Run, case: str, quant: str | None, mode: str | None) -> list[Answer]:
    from grammars.errors import ToolgaugeError

    cells = [
        cell
        for cell in store.cells(run.id)
        if (quant is None or cell.model.quant.lower() == quant.lower()) and (mode is None or cell.mode == mode)
    ]
    items = [(cell, item) for cell in cells for item in store.items(cell.id)]
    known = sorted({item.case_id for _, item in items})
    case_id = _match(case, known)
    if case_id is None:
        where = " with this quant and mode" if quant or mode else ""
        hint = _hint(store, run, case, known, cells)
        raise ToolgaugeError(f"run {run.id} has no answer to a case {case!r}{where}; {hint}")
    return [
        Answer(cell, item, store.record(item), next(iter(store.scores(item.id)), None))
        for cell, item in items
        if item.case_id == case_id
    ]


def _match(wanted: str, known: Sequence[str]) -> str | None:
    """The case itself, or the only one that ends so; raises `ToolgaugeError` where several do."""
    from grammars.errors import ToolgaugeError

    if wanted in known:
        return wanted
    ends = [case_id for case_id in known if case_id.endswith(f"/{wanted}")]
    if len(ends) > 1:
        raise ToolgaugeError(f"{', '.join(ends[:-1])} and {ends[-1]} end in {wanted!r}; write the whole id")
    return ends[0] if ends else None


def _hint(store: Store, run: Run, wanted: str, known: Sequence[str], cells: Sequence[Cell]) -> str:
    """Why it has none, or what might have been meant, or else what there is."""
    from bench.results.place import command

    left_out = _left_out(run, wanted, cells)
    if left_out:
        return f"{left_out} is in the suite; --limit {run.config['limit']} left it out"
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    if not known:
        return f"`{command(store.path, 'report', str(run.id))}` says what was measured"
    shown = ", ".join(known[:_MOST_NAMED]) + (", ..." if len(known) > _MOST_NAMED else "")
    lists_all = command(store.path, "export", str(run.id), "--csv", "-")
    return f"its cases are {shown} ({len(known)}); `{lists_all}` lists all"


def _left_out(run: Run, wanted: str, cells: Sequence[Cell]) -> str | None:
    """The case that was meant, if only the run's limit kept it from being asked."""
    from bench.report.judged import suites_of
    from bench.run.plan import spread

    hashes = {cell.suite_sha256 for cell in cells}
    suites = [suite for suite in suites_of(run).values() if suite.content_hash in hashes]
    asked = {case.id for suite in suites for case in spread(suite.cases, run.config.get("limit"))}
    return _match(wanted, sorted({case.id for suite in suites for case in suite.cases} - asked))


def document(run: Run, answers: Sequence[Answer], *, prompt: bool) -> Document:
    """Build the page: a prompt once for everybody who got it, alike answers once."""
    from bench.report.document import Heading, Text

    first = answers[0].item
    blocks: list[Block] = [
        Heading(f"{first.case_id} ({first.category}) in run {run.id}"),
        Text(f"{sum(answer.outcome == 'correct' for answer in answers)} of {len(answers)} answers are correct", "dim"),
    ]
    shown: set[str] = set()
    groups: dict[tuple[object, ...], list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.looks, []).append(answer)
    for group in groups.values():
        blocks += _group(group, shown if prompt else None)
    return blocks


def _group(group: Sequence[Answer], shown: set[str] | None) -> Iterable[Block]:
    from bench.report.document import Code, Heading, Text

    answer = group[0]
    yield Heading(", ".join(member.name for member in group), 2)
    yield Text(f"verdict: {answer.outcome}{_explanation(answer)}", "good" if answer.outcome == "correct" else "bad")
    before: StepRecord | None = None
    for number, step in enumerate(answer.record.steps, start=1):
        title = f"step {number}: " if len(answer.record.steps) > 1 else ""
        if shown is not None and step.prompt not in shown:
            shown.add(step.prompt)
            yield _prompt(step, before, title)
        stop = "" if step.generation.stop == "eog" else f", stopped by {step.generation.stop}"
        yield Code(step.generation.text or "(nothing)", f"{title}output, {len(step.generation.tokens)} tokens{stop}")
        yield Code("\n".join(_parse_lines(step)), f"{title}read as")
        before = step
    if answer.item.error:
        yield Code("\n".join([answer.item.error.message, *answer.item.error.log]), "error")


def _prompt(step: StepRecord, before: StepRecord | None, title: str) -> Block:
    """What is new since the step before: most templates begin with its prompt and its answer as written."""
    from bench.report.document import Code

    n_tokens = f"{step.generation.n_prompt} tokens"
    for known in (before.prompt + before.generation.text, before.prompt) if before else ():
        if step.prompt.startswith(known):
            return Code(step.prompt[len(known) :], f"{title}new in the prompt, now {n_tokens}", "dim")
    return Code(step.prompt, f"{title}prompt, {n_tokens}", "dim")


def _parse_lines(step: StepRecord) -> Iterable[str]:
    results = iter(step.results)
    for call in step.parsed.calls:
        yield f"call {call_line(call)}"
        result = next(results, None)
        if result:
            yield f"  -> {result.content}" + (f"   [injected fault: {result.fault}]" if result.fault else "")
    for fragment in step.parsed.fragments:
        yield f"not a call at {fragment.position}: {fragment.reason}"
    if step.parsed.open_block:
        yield "a call was opened and never closed"
    if step.parsed.open_reasoning:
        yield "it ended while still reasoning"
    if step.parsed.content:
        yield f"text {step.parsed.content!r}"
    parsed = step.parsed
    if not (parsed.calls or parsed.fragments or parsed.content or parsed.open_block or parsed.open_reasoning):
        yield "nothing"


def _explanation(answer: Answer) -> str:
    text = answer.score.details.get("explanation") if answer.score else None
    return f": {text}" if text else ""


def _values(answer: Answer) -> dict[str, Any]:
    from bench.run.axes import stored

    return {
        "model": answer.cell.model.name,
        "quant": answer.cell.model.quant,
        "setting": answer.cell.model.setting,
        "context": stored(answer.cell.model.context),
        "mode": answer.cell.mode,
        "backend": answer.cell.backend,
        "suite": answer.cell.suite,
        "case": answer.item.case_id,
        "category": answer.item.category,
        "trial": answer.item.trial,
        "outcome": answer.outcome,
        "score": asdict(answer.score) if answer.score else None,
        "record": asdict(answer.record),
    }
