"""Multi-turn conversations held through our loop: ideal answers pass, and the official checker agrees on every other.

Run with `-s` to see how many conversations were compared.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.records import EpisodeEnd, ItemRecord, StepRecord
from bench.score.bfcl.multi_turn import verdict
from bench.suites.bfcl import package
from bench.suites.bfcl.calls import write_call
from bench.suites.bfcl.dialogue import turns_of
from bench.suites.bfcl.multi_turn import MOST_STEPS, is_multi_turn, reference_calls
from bench.suites.case import Case, load
from bench.suites.reference import played, reference_steps
from engine.types import Call, Generation, Parsed, StopReason

pytestmark = pytest.mark.bfcl

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
ORACLE = Path(__file__).with_name("official_multi_turn.py")
Steps = list[tuple[Call, ...]]
OVER = ()  # an answer without a call, which ends the turn


@pytest.fixture(scope="module", params=CATEGORIES)
def cases(request: pytest.FixtureRequest, bfcl_package: Path) -> Iterator[tuple[Case, ...]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(package.ENVIRONMENT, str(bfcl_package))  # the simulators of the conversations are from there, too
        yield load(f"bfcl:{request.param}").cases


def answers(steps: Sequence[tuple[Call, ...]]) -> list[Parsed]:
    return [Parsed(calls=step, content="" if step else "Done.") for step in steps]


def official(package_folder: Path, records: Sequence[tuple[Case, ItemRecord]]) -> list[tuple[bool, str]]:
    """The official verdicts on the same calls, in Python's syntax, which is what official decoders give."""
    lines = []
    for case, record in records:
        assert case.official is not None
        scenario = case.official.data["scenario"]
        entry = {"id": case.id, "initial_config": scenario["config"], "involved_classes": list(scenario["classes"])}
        turns = [[[write_call(call) for call in step] for step in turn] for turn in turns_of(record)]
        lines.append(json.dumps({"entry": entry, "turns": turns, "ground_truth": case.official.data["ground_truth"]}))
    mpmath = package.mpmath_folder(package_folder)
    command = [sys.executable, str(ORACLE), str(package_folder.parent), *([str(mpmath)] if mpmath else [])]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(one["valid"], one["error_type"]) for one in found]


def test_every_ideal_conversation_passes(cases: tuple[Case, ...]) -> None:
    passed = 0
    for case in cases:
        assert is_multi_turn(case)
        record = played(case, answers(reference_steps(case)))
        assert record.end is EpisodeEnd.REPLY
        found = verdict(case, record)
        assert found.valid, f"{case.id}: {found.error_type}: {found.error}"
        passed += 1
    print(f"{cases[0].category}: {passed}/{len(cases)} ideal conversations pass")
    assert passed == len(cases) == 200


def test_the_official_checker_agrees_on_changed_conversations(cases: tuple[Case, ...], bfcl_package: Path) -> None:
    records = [(case, answered(case, steps)) for number, case in enumerate(cases) for steps in changed(case, number)]
    ours = [verdict(case, record) for case, record in records]
    theirs = official(bfcl_package, records)
    wrong = [
        (case.id, (mine.valid, mine.error_type), other)
        for (case, _), mine, other in zip(records, ours, theirs, strict=True)
        if (mine.valid, mine.error_type) != other
    ]
    n_valid = sum(valid for valid, _ in theirs)
    print(f"{cases[0].category}: {len(records) - len(wrong)}/{len(records)} verdicts agree, {n_valid} valid")
    assert not wrong, wrong[:5]
    assert 0 < n_valid < len(records)


def changed(case: Case, number: int) -> Iterator[Steps]:
    """A few conversations in which a model answers differently; some of them are right all the same."""
    chance = random.Random(number)
    turns = reference_calls(case)
    for change in chance.sample(CHANGES, 3):
        copy = [list(turn) for turn in turns]
        change(copy, chance)
        yield as_steps(copy)
    if number % 20 == 0:
        yield restless(turns, chance)
    else:
        yield one_by_one(turns) if number % 4 == 0 else with_an_early_end(turns, chance)


def answered(case: Case, steps: Steps) -> ItemRecord:
    """The record of these answers, up to where the loop breaks a turn off; the verdict needs no results."""
    n_turns_left, n_steps, taken = len(reference_calls(case)), 0, []
    for step in steps:
        taken.append(step)
        n_steps = n_steps + 1 if step else 0
        n_turns_left -= not step
        if n_steps > MOST_STEPS or not n_turns_left:
            break
    nothing = Generation(tokens=(), text="", stop=StopReason.EOG, n_prompt=0, n_cached=0)
    end = EpisodeEnd.STEP_LIMIT if n_steps else EpisodeEnd.REPLY
    return ItemRecord(case.id, tuple(StepRecord(nothing, parsed) for parsed in answers(taken)), end)


def as_steps(turns: Sequence[Sequence[Call]]) -> Steps:
    return [step for turn in turns for step in ([tuple(turn), OVER] if turn else [OVER])]


def one_by_one(turns: Sequence[Sequence[Call]]) -> Steps:
    return [step for turn in turns for step in [*((call,) for call in turn), OVER]]


def with_an_early_end(turns: Sequence[Sequence[Call]], chance: random.Random) -> Steps:
    """A turn ends after its first call, so that the rest of it falls into the next one."""
    steps = one_by_one(turns)
    place = chance.choice([n for n, step in enumerate(steps) if step])
    ends = [n for n, step in enumerate(steps) if not step]
    last = next(n for n in ends if n > place)
    del steps[last]
    steps.insert(place, OVER)
    return steps


def restless(turns: Sequence[Sequence[Call]], chance: random.Random) -> Steps:
    """A turn that never ends."""
    calls = [call for turn in turns for call in turn]
    place = chance.randrange(len(turns))
    return [*as_steps(turns[:place]), *[(calls[0],)] * 25]


def drop(turns: list[list[Call]], chance: random.Random) -> None:
    turn = chance.choice([turn for turn in turns if turn])
    del turn[chance.randrange(len(turn))]


def empty(turns: list[list[Call]], chance: random.Random) -> None:
    chance.choice([turn for turn in turns if turn]).clear()


def repeat(turns: list[list[Call]], chance: random.Random) -> None:
    turn = chance.choice([turn for turn in turns if turn])
    turn.append(chance.choice(turn))


def reorder(turns: list[list[Call]], chance: random.Random) -> None:
    chance.shuffle(chance.choice([turn for turn in turns if turn]))


def change_value(turns: list[list[Call]], chance: random.Random) -> None:
    turn = chance.choice([turn for turn in turns if turn])
    place = chance.randrange(len(turn))
    call = turn[place]
    if not call.arguments:
        turn[place] = Call(call.name, {"surplus": 1})
        return
    name = chance.choice(list(call.arguments))
    turn[place] = Call(call.name, {**call.arguments, name: another(call.arguments[name], chance)})


def change_name(turns: list[list[Call]], chance: random.Random) -> None:
    turn = chance.choice([turn for turn in turns if turn])
    place = chance.randrange(len(turn))
    turn[place] = Call(chance.choice(["ls", "no_such_function", "list_users", "logout"]), turn[place].arguments)


def leave_out(turns: list[list[Call]], chance: random.Random) -> None:
    calls = [(turn, place) for turn in turns for place, call in enumerate(turn) if call.arguments]
    if calls:
        turn, place = chance.choice(calls)
        gone = chance.choice(list(turn[place].arguments))
        turn[place] = Call(turn[place].name, {k: v for k, v in turn[place].arguments.items() if k != gone})


def look_around(turns: list[list[Call]], chance: random.Random) -> None:
    """Calls that change nothing, or that nobody asked for, in turns where nothing may be done as well."""
    surplus = [
        Call("ls", {"a": True}),
        Call("pwd", {}),
        Call("list_users", {}),
        Call("cat", {"file_name": '"it\'s"\n'}),
    ]
    chance.choice(turns).insert(0, chance.choice(surplus))


def another(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return chance.choice([value + 1, float(value), str(value), -value])
    if isinstance(value, str):
        return chance.choice([value + "x", value.upper(), "", 'it\'s "quoted" \\ and (odd)\nté', 5, None])
    if isinstance(value, list):
        return chance.choice([value[:-1], list(reversed(value)), [], str(value)])
    return None


CHANGES: tuple[Callable[[list[list[Call]], random.Random], None], ...] = (
    drop,
    empty,
    repeat,
    reorder,
    change_value,
    change_value,
    change_name,
    leave_out,
    look_around,
)
