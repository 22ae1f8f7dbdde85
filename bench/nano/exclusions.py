"""What the bundled model must never have seen: the tool names and request sentences of the suites it is measured on.

The committed list (`exclusions.json`) holds the names of `quick` and of BFCL v4 as they are, and the sentences as the
first 16 hexadecimal digits of the SHA-256 of their normalised text, so that nobody's questions are copied here.

    python -m bench.nano.exclusions --bfcl FOLDER   # rebuilds it; FOLDER holds BFCL's data files
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("exclusions.json")
QUICK = Path(__file__).parents[1] / "suites"


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Excluded tool names, and hashes of excluded sentences."""

    names: frozenset[str]
    sentences: frozenset[str]

    def has_sentence(self, text: str) -> bool:
        """Whether this sentence, whatever its case, spacing and punctuation, is excluded."""
        return sentence_hash(text) in self.sentences


def sentence_hash(text: str) -> str:
    """Sixteen hexadecimal digits that name a sentence up to case, white space and punctuation."""
    words = re.sub(r"[\W_]+", " ", text.casefold()).strip()
    return hashlib.sha256(words.encode()).hexdigest()[:16]


@functools.cache
def load() -> Exclusions:
    """The committed list."""
    stored = json.loads(LIST.read_text())
    return Exclusions(frozenset(stored["names"]), frozenset(stored["sentences"]))


def _quick() -> Iterator[tuple[str, str]]:
    for tool in json.loads((QUICK / "quick_tools.json").read_text()):
        yield "name", tool["name"]
    for line in (QUICK / "quick.jsonl").read_text().splitlines():
        for message in json.loads(line).get("messages", ()):
            if message["role"] == "user":
                yield "sentence", message["content"]


def _user_texts(question: Any) -> Iterator[str]:
    if isinstance(question, dict):
        if question.get("role") == "user":
            yield question["content"]
    elif isinstance(question, list):
        for part in question:
            yield from _user_texts(part)


def _bfcl(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(
        (
            *(f for f in folder.glob("BFCL_v4_*.json") if "format_sensitivity" not in f.name),
            *folder.glob("multi_turn_func_doc/*.json"),
        )
    ):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            functions = entry.get("function", [entry] if "parameters" in entry else [])
            yield from (("name", function["name"]) for function in functions)
            yield from (("sentence", text) for text in _user_texts(entry.get("question")))


def build(entries: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The list's content, sorted."""
    names, sentences = set(), set()
    for kind, text in entries:
        if kind == "name":
            names.add(text)
        else:
            sentences.add(sentence_hash(text))
    return {"names": sorted(names), "sentences": sorted(sentences)}


def main() -> None:
    """Rebuild the committed list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bfcl", type=Path, required=True, help="folder with BFCL's data files")
    entries = [*_quick(), *_bfcl(parser.parse_args().bfcl)]
    LIST.write_text(json.dumps(build(entries), indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
