"""The README says what the program does: every command, and no flag that it does not have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.cli.verbs import VERBS, load
from bench.report import comparisons
from bench.report.decide import Level, Verdict, decide
from tests.bench import samples

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = {name: load(name) for name in VERBS}
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def flags_of(words: list[str]) -> set[str]:
    """The flags that a command line may have, after its command and, where there is one, its subcommand."""
    command = COMMANDS[words[0]]
    inner = getattr(command, "commands", {}).get(words[1] if len(words) > 1 else "")
    parameters = [*command.params, *(inner.params if inner else ())]
    found = {flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)}
    return found | {"--help", "-h"}


def command_lines(text: str) -> list[str]:
    """Every `toolgauge ...` in a code block or between backticks, without its comment."""
    found = re.findall(r"`(toolgauge [^`]+)`", text)
    found += [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line.partition("#")[0].strip() for line in found if line.startswith("toolgauge ")]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_readme_has_a_line_for_every_command(command: str) -> None:
    assert f"| `{command}` |" in README


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/your-tools.md"])
def test_every_command_line_in_the_documents_can_be_typed(document: str) -> None:
    lines = command_lines((ROOT / document).read_text(encoding="utf-8"))
    assert lines
    for line in lines:
        words = line.split()[1:]
        assert words[0] in COMMANDS, line
        assert set(FLAG.findall(line.partition(words[0])[2])) <= flags_of(words), line


def test_no_place_says_that_a_certain_loss_of_any_size_is_worse() -> None:
    """Eight of 400 lost, p 0.008 and 3.9 points at most: not worse by the margin, so `--fail-if worse` lets it pass."""
    levels = [Level("F16", 2, dict.fromkeys(range(400), True)), Level("Q4", 1, {n: n >= 8 for n in range(400)})]
    (found,) = decide(levels).comparisons
    assert found.p_value < 0.05 and found.interval.high < 0
    assert found.verdict is Verdict.NOT_WORSE
    (section,) = samples.report().sections
    note = comparisons.ladder(section.ladder, section.rows).notes[0]
    told = "worse: a loss is certain, and may be of 5 points or more;"
    assert told in note and told in README
    (fail_if,) = [each.help for each in COMMANDS["compare"].params if each.name == "fail_if"]
    assert "worse: a loss is certain, and may be of --margin points or more;" in fail_if
    guide = " ".join((ROOT / "docs" / "report.md").read_text(encoding="utf-8").split())
    for text in (note, README, fail_if, guide):
        assert not re.search("of whatever size|however small|worse for certain", text)


def test_make_targets_named_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_links_in_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
