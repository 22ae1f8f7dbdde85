"""Training tokens on disk: conversations, rendered in one of the two prompt styles and tokenised by llama.cpp.

A shard is one `.npz`: `tokens` uint16 (n,), `learned` bool (n,), `branch` uint8 (n,), `ends` int64 (n_documents,),
where document i is `tokens[ends[i - 1]:ends[i]]` and `learned` marks the tokens that the model is to predict. A
document is a family packed: its system message once (branch 0), then each conversation about it (branches 1, 2, ...),
which see the system message and themselves.

    python -m bench.nano.corpus --out FOLDER --shards 20   # also writes FOLDER/vocabulary.gguf and tokenizer.json
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.nano import exclusions, render
from bench.nano.conversation import Conversation, Generator
from bench.nano.families import Families
from bench.nano.tokenizer import Tokenizer, train, write_vocabulary
from bench.nano.words import TRAIN, Lexicon, held_out_words
from engine.llama import LoadParams, load_model

VOCABULARY_SIZE = 2048
LONGEST = 1900  # tokens of a conversation with its tools; the context is 2,048
LONGEST_PACKED = 1150  # tokens of a document's conversations together, from the second one on
N_BRANCHES = 8
JSON_SHARE = 0.35
EASY_SEEDS = (90_001, 90_002, 90_003, 90_004)
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
Tokenize = Callable[[str], list[int]]
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, slots=True)
class Packed:
    """Tokens, which of them are learned, and each one's branch."""

    tokens: list[int]
    learned: list[bool]
    branch: list[int]

    def add(self, tokens: list[int], learned: bool, branch: int) -> None:
        self.tokens.extend(tokens)
        self.learned.extend([learned] * len(tokens))
        self.branch.extend([branch] * len(tokens))

    def extend(self, other: Packed) -> None:
        self.tokens.extend(other.tokens)
        self.learned.extend(other.learned)
        self.branch.extend(other.branch)


def rendered(conversation: Conversation, *, as_json: bool) -> list[render.Piece]:
    """In the JSON style, or as the chat template has it."""
    return list(render.enveloped(conversation) if as_json else render.native(conversation))


def make_tokenizer(n_documents: int = 20_000) -> Tokenizer:
    """Learn the vocabulary from training conversations; the seed is one that no shard uses."""
    rng = random.Random(0)
    # Few invented words: merges are for words that occur again.
    stream = Generator(0, TRAIN, exclusions.load(), made_up_share=0.1)
    texts = (
        piece.text
        for doc in itertools.islice(stream, n_documents)
        for piece in rendered(doc, as_json=rng.random() < JSON_SHARE)
    )
    return train(texts, VOCABULARY_SIZE)


def stored_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer written by an earlier run; `tokenizer.json` beside this file is the bundled model's."""
    return Tokenizer(**{key: tuple(value) for key, value in json.loads(path.read_text()).items()})


def packed(family: Sequence[Conversation], tokenize: Tokenize, *, as_json: bool) -> Packed | None:
    """A family as one document: as many of its conversations as fit, after what they share; None if none does."""
    document = Packed([], [], [])
    for conversation in family:
        first, *rest = ((tokenize(piece.text), piece.learned) for piece in rendered(conversation, as_json=as_json))
        if not document.tokens:
            document.add(*first, 0)
            n_shared = len(document.tokens)
        n_branches, length = document.branch[-1], sum(len(ids) for ids, _ in rest)
        if n_shared + length > LONGEST or (n_branches and len(document.tokens) - n_shared + length > LONGEST_PACKED):
            continue
        for ids, is_learned in rest:
            document.add(ids, is_learned, n_branches + 1)
    return document if document.branch[-1] else None


def with_pieces(lexicon: Lexicon, tokenizer: Tokenizer) -> Lexicon:
    """The lexicon whose invented words are made of the vocabulary's runs of letters."""
    pieces = {token.lower() for token in tokenizer.tokens if token.isascii() and token.isalpha() and len(token) > 1}
    return dataclasses.replace(lexicon, pieces=tuple(sorted(pieces - held_out_words())))


def shard(
    seed: int, n_documents: int, tokenize: Tokenize, n_branches: int, *, lexicon: Lexicon = TRAIN, easy: bool = False
) -> Arrays:
    """`n_documents` families of one seed as arrays; the few that are too long for the context are left out.

    Easy ones are short, with one tool, for the first minutes of training.
    """
    rng = random.Random(seed)
    source = Families(seed, lexicon, exclusions.load(), n_branches=n_branches, easy=easy)
    whole, ends = Packed([], [], []), []
    for family in itertools.islice(source.families(), n_documents):
        document = packed(family, tokenize, as_json=rng.random() < JSON_SHARE)
        if document is None:
            continue
        whole.extend(document)
        ends.append(len(whole.tokens))
    return {
        "tokens": np.array(whole.tokens, np.uint16),
        "learned": np.array(whole.learned, bool),
        "branch": np.array(whole.branch, np.uint8),
        "ends": np.array(ends, np.int64),
    }


def save(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write a shard that is whole or not there."""
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.rename(path)


def main() -> None:
    """Write the vocabulary, if it is not there yet, and the shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="number of the first shard, which is its seed")
    parser.add_argument("--documents", type=int, default=4_000, help="families in a shard")
    parser.add_argument("--branches", type=int, default=N_BRANCHES, help="conversations in a family, at most")
    parser.add_argument("--tokenizer", type=Path, help="use this one instead of learning one, e.g. for a warm start")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    vocabulary = args.out / "vocabulary.gguf"
    if not vocabulary.exists():
        tokenizer = stored_tokenizer(args.tokenizer) if args.tokenizer else make_tokenizer()
        (args.out / "tokenizer.json").write_text(json.dumps(dataclasses.asdict(tokenizer)))
        write_vocabulary(vocabulary, tokenizer, TEMPLATE.read_text())
    lexicon = with_pieces(TRAIN, stored_tokenizer(args.out / "tokenizer.json"))
    model = load_model(vocabulary, LoadParams(vocab_only=True))
    names = [(f"shard-{n:04d}", n, False) for n in range(args.first, args.first + args.shards)]
    for name, seed, easy in [*((f"easy-{n}", n, True) for n in EASY_SEEDS), *names]:
        path = args.out / f"{name}.npz"
        if not path.exists():
            arrays: dict[str, Any] = shard(
                seed, args.documents, model.tokenize, args.branches, lexicon=lexicon, easy=easy
            )
            save(path, arrays)
            print(f"{path.name}: {len(arrays['ends'])} documents, {len(arrays['tokens'])} tokens")  # noqa: T201


if __name__ == "__main__":
    main()
