"""The list of verbs, each with the place of its code, which is imported when that verb is typed and not before.

So `toolgauge --help` reads no verb's options, and a verb reads no other's. Knows no argument of any verb.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
import typer.core
import typer.main

from bench.shell import FORMATS, MACHINE, MEASURE, READ


@dataclass(frozen=True, slots=True)
class Verb:
    """`summary` is what the list of verbs says, and the first line of the verb's own help."""

    name: str
    panel: str
    summary: str
    module: str = ""  # in bench.cli, where it is not the name


VERBS: Final = {
    verb.name: verb
    for verb in (
        Verb("run", MEASURE, "Measure models: accuracy, constraint, speed and memory for each level and mode."),
        Verb("try", MEASURE, "Answer one sentence in every mode, side by side.", "try_"),
        Verb("drift", MEASURE, "Say how far each level drifts from the most precise one on right calls, and where."),
        Verb("truncation", MEASURE, "Say how many answers each token budget would cut, where and why."),
        Verb("quantize", MEASURE, "Make a ladder of quantization levels; those in the cache are not made again."),
        Verb("pull", MEASURE, "Get a suite that is not bundled into the cache, checked against pinned checksums."),
        Verb("suite", MEASURE, "Write, check and read suites of cases."),
        Verb("report", READ, "Print what a run found: accuracy, constraint, speed and memory for each level and mode."),
        Verb("compare", READ, "Say what changed between two runs, on the same cases, and whether it can be told."),
        Verb("show", READ, "Print one case of a run: prompt, raw output, parse, verdict."),
        Verb("ls", READ, "List runs, models, suites or formats."),
        Verb("score", READ, "Judge a run's stored answers with this version's scorer; old verdicts are kept."),
        Verb(
            "export",
            READ,
            "Write a run's answers for other programs: JSON Lines, CSV, Parquet, BFCL result files.",
        ),
        Verb("formats", FORMATS, "List the tool-call formats, with a call in each; or say which one a model writes."),
        Verb("grammar", FORMATS, "Print a constraint's grammar, say whether it accepts an answer, or audit a suite."),
        Verb("fit", MACHINE, "Predict a model's memory by quant, context and slots, and say what fits."),
        Verb("profile", MACHINE, "Measure speed and memory of a model that you have not downloaded."),
        Verb("doctor", MACHINE, "Check this machine, or whether a model's template, format and vocabulary fit."),
    )
}


def load(name: str) -> Any:
    """A verb with its options. A module has an application of its own, where the verb has verbs, or a function."""
    verb = VERBS[name]
    module_name = verb.module or name
    module = import_module(f"bench.cli.{module_name}")
    host = typer.Typer(rich_markup_mode="rich")
    if hasattr(module, "app"):
        host.add_typer(module.app, name=name, rich_help_panel=verb.panel)
    else:
        host.command(name, rich_help_panel=verb.panel, epilog=module.EXAMPLES)(getattr(module, module_name))
    return typer.main.get_group(host).commands[name]


class Verbs(typer.core.TyperGroup):
    """All verbs by name and summary; the one that is typed is loaded."""

    def __init__(self, **settings: Any) -> None:
        summaries = {
            verb.name: typer.core.TyperCommand(verb.name, help=verb.summary, rich_help_panel=verb.panel)
            for verb in VERBS.values()
        }
        super().__init__(**settings | {"commands": summaries})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that a command line names, and what is left of the line."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and command else None, rest
