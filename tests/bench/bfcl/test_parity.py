"""Our verdicts are the official checker's, one by one, on BFCL's own cases."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from bench.score.bfcl import Checker
from bench.score.bfcl.verdict import UNDEFINED
from engine.types import Call
from tests.bench.bfcl.corpus import AST_CATEGORIES, RELEVANCE_CATEGORIES, Calls, Entry, answers, entries, invented
from tests.bench.bfcl.oracle import RAISES, Oracle

pytestmark = pytest.mark.bfcl

AT_LEAST = 35_000


def ours(checker: Checker, calls: Calls | None) -> tuple[bool, str]:
    verdict = checker.verdict(calls)
    return verdict.valid, RAISES if verdict.error_type == UNDEFINED else verdict.error_type


def checker_for(entry: Entry, *, dots: bool = False) -> Checker:
    return Checker(entry.category, entry.functions, entry.ground_truth, entry.language, dots_to_underscores=dots)


def theirs(oracle: Oracle, entry: Entry, calls: Calls | None, *, dots: bool = False) -> tuple[bool, str]:
    return oracle.verdict(
        entry.category, entry.functions, calls, entry.ground_truth, entry.language, dots_to_underscores=dots
    )


def ast_entries(package: Path) -> Iterator[Entry]:
    for category in AST_CATEGORIES:
        yield from entries(package, category)


def test_every_verdict_on_calls_is_the_official_one(
    oracle: Oracle, bfcl_package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    differing = []
    cases = list(ast_entries(bfcl_package))
    spent = 0.0
    for entry in cases:
        given = list(answers(entry))
        begun = time.process_time()
        checker = checker_for(entry)
        found = [ours(checker, calls) for _, calls in given]
        spent += time.process_time() - begun
        for (what, calls), mine in zip(given, found, strict=True):
            right = theirs(oracle, entry, calls)
            verdicts[right[1] or "valid"] += 1
            languages[entry.language] += 1
            if mine != right:
                differing.append((entry.id, what, calls, right, mine))
    total = verdicts.total()
    with capsys.disabled():
        print(f"\n{total - len(differing)}/{total} verdicts equal to the official checker's, of {len(cases)} cases")
        print(f"{total / spent:,.0f} verdicts a second")
        print(", ".join(f"{count} {name}" for name, count in [*languages.most_common(), *verdicts.most_common()]))
    assert differing == []
    assert total >= AT_LEAST
    assert total / spent >= 20_000
    assert len(cases) == 2501
    assert verdicts["valid"] > 10_000
    assert len(verdicts) >= 16


def test_every_verdict_on_relevance_is_the_official_one(
    oracle: Oracle, bfcl_package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Call("f", {})
    given: list[Calls | None] = [None, [], [call], [call, call], [Call("", {"x": None})]]
    n_equal = total = 0
    for category in RELEVANCE_CATEGORIES:
        for entry in entries(bfcl_package, category):
            checker = checker_for(entry)
            for calls in given:
                total += 1
                n_equal += ours(checker, calls) == theirs(oracle, entry, calls)
    with capsys.disabled():
        print(f"\n{n_equal}/{total} verdicts on relevance and irrelevance equal to the official ones")
    assert n_equal == total == 5 * (240 + 884 + 16)


def test_an_answer_that_cannot_be_read_has_the_official_verdict(oracle: Oracle, bfcl_package: Path) -> None:
    for entry in ast_entries(bfcl_package):
        assert ours(checker_for(entry), None) == theirs(oracle, entry, None)


def test_names_with_dots_are_compared_as_the_official_checker_does_for_models_without_dots(
    oracle: Oracle, bfcl_package: Path
) -> None:
    n_dotted = 0
    for entry in ast_entries(bfcl_package):
        checker = checker_for(entry, dots=True)
        for _, calls in islice(answers(entry), 3):
            n_dotted += any("." in call.name for call in calls)
            renamed = [Call(call.name.replace(".", "_"), call.arguments) for call in calls]
            for given in (calls, renamed):
                assert ours(checker, given) == theirs(oracle, entry, given, dots=True)
    assert n_dotted > 2000


def test_the_rules_hold_beyond_the_data(oracle: Oracle) -> None:
    rng = random.Random(4)
    seen: Counter[str] = Counter()
    for _ in range(20_000):
        entry, calls = invented(rng)
        right = theirs(oracle, entry, calls)
        seen[right[1]] += 1
        assert ours(checker_for(entry), calls) == right, (entry.functions, entry.ground_truth, calls)
    assert (
        min(seen[name] for name in ("", "type_error:nested", "value_error:list_dict_count", "dict_checker:unclear"))
        > 20
    )


JAVA = [
    *["new ", "new\n", "ArrayList<", "ArrayList<>()", "Integer", ">", "<", "(", "Arrays.asList(", ")", "))", "{{", "{"],
    *["}", "}}", " ", "\n", "\t", "add(", 'put("', '",', "1", "2L", "2.5f", "1e3", "-", "'a'", '"b"', "true", "null"],
    *[
        ",",
        "int[]",
        "[]",
        "HashMap<",
        "HashMap<>()",
        "()",
        "String[]{",
        "::",
        "x",
        ";",
        "new HashMap<>() {",
        "new int[] {",
    ],
    *[
        'new HashMap<String, Object>() {{ put("k", 1); }}',
        "new ArrayList<>(Arrays.asList(1, 2))",
        "new ArrayList<>() {{ ",
    ],
]
JAVASCRIPT = [
    *[
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ",",
        ":",
        "'",
        '"',
        "1",
        "2.5",
        "3n",
        "true",
        "null",
        "a",
        "b",
        " ",
        "\n",
        "\t",
        "-",
    ],
    *["new Array(", "new  Array", "[[1,2],[3]]", "{a: 1, b: [2], 'c': 'x'}", "key: ", ", ", "`", "=>", "[[", "], ["],
]
JAVA_KINDS = [
    *[
        "byte",
        "integer",
        "float",
        "double",
        "long",
        "boolean",
        "char",
        "Array",
        "ArrayList",
        "HashMap",
        "String",
        "any",
    ],
    *["Set", "Hashtable", "Queue"],
]
JAVASCRIPT_KINDS = ["String", "integer", "float", "Bigint", "Boolean", "dict", "array", "any"]


@pytest.mark.parametrize(
    ("language", "pieces", "kinds"), [("java", JAVA, JAVA_KINDS), ("javascript", JAVASCRIPT, JAVASCRIPT_KINDS)]
)
def test_source_text_is_read_as_the_official_converters_read_it(
    oracle: Oracle, language: str, pieces: list[str], kinds: list[str]
) -> None:
    from bench.score.bfcl import java, javascript
    from bench.score.bfcl.verdict import Undefined

    rng = random.Random(language)
    read = java.read if language == "java" else javascript.read
    for _ in range(20_000):
        source = "".join(rng.choices(pieces, k=rng.randint(0, 12)))
        kind, item_kind = rng.choice(kinds), rng.choice([None, *kinds])
        try:
            value = read(source, kind, item_kind)
        except Undefined:
            value = RAISES
        # of the same type too: 1 is not 1.0 here
        assert repr(value) == repr(oracle.read(language, source, kind, item_kind)), (source, kind, item_kind)
