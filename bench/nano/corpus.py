"""Training tokens on disk: conversations, rendered in one of the two prompt styles and tokenised by llama.cpp.

A shard is one `.npz`: `tokens` uint16 (n,), `learned` bool (n,), `ends` int64 (n_documents,), where document i is
`tokens[ends[i - 1]:ends[i]]` and `learned` marks the tokens that the model is to predict.

    python -m bench.nano.corpus --out FOLDER --shards 20   # also writes FOLDER/vocabulary.gguf and tokenizer.json
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.nano import exclusions, render
from bench.nano.conversation import Conversation, Generator
from bench.nano.tokenizer import Tokenizer, train, write_vocabulary
from bench.nano.words import TRAIN
from engine.llama import LoadParams, load_model

VOCABULARY_SIZE = 2048
LONGEST = 1900  # tokens; the context is 2,048
JSON_SHARE = 0.35
EASY_SEEDS = (90_001, 90_002, 90_003, 90_004)
EASY_MIX = {"single": 0.55, "parallel": 0.1, "abstain": 0.22, "ask": 0.13}
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
Tokenize = Callable[[str], list[int]]


def documents(seed: int, *, easy: bool = False) -> Iterator[Conversation]:
    """The training stream of one seed; `easy` ones are short, with one tool, for the first minutes of training."""
    return iter(Generator(seed, TRAIN, exclusions.load(), mix=EASY_MIX if easy else None, alone=easy))


def rendered(conversation: Conversation, rng: random.Random) -> list[render.Piece]:
    """In the JSON style for `JSON_SHARE` of the conversations, else as the chat template has it."""
    return list(render.enveloped(conversation) if rng.random() < JSON_SHARE else render.native(conversation))


def make_tokenizer(n_documents: int = 20_000) -> Tokenizer:
    """Learn the vocabulary from training conversations; the seed is one that no shard uses."""
    rng = random.Random(0)
    # Few invented words: merges are for words that occur again.
    stream = Generator(0, TRAIN, exclusions.load(), made_up_share=0.1)
    texts = (piece.text for doc in itertools.islice(stream, n_documents) for piece in rendered(doc, rng))
    return train(texts, VOCABULARY_SIZE)


def stored_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer written by an earlier run; `tokenizer.json` beside this file is the bundled model's."""
    return Tokenizer(**{key: tuple(value) for key, value in json.loads(path.read_text()).items()})


def shard(seed: int, n_documents: int, tokenize: Tokenize, *, easy: bool = False) -> dict[str, np.ndarray]:
    """`n_documents` conversations of one seed as arrays; the few that are too long for the context are left out."""
    rng = random.Random(seed)
    tokens: list[int] = []
    learned: list[bool] = []
    ends: list[int] = []
    for document in itertools.islice(documents(seed, easy=easy), n_documents):
        encoded = [(tokenize(piece.text), piece.learned) for piece in rendered(document, rng)]
        if sum(len(ids) for ids, _ in encoded) > LONGEST:
            continue
        for ids, is_learned in encoded:
            tokens += ids
            learned += [is_learned] * len(ids)
        ends.append(len(tokens))
    return {"tokens": np.array(tokens, np.uint16), "learned": np.array(learned, bool), "ends": np.array(ends, np.int64)}


def main() -> None:
    """Write the vocabulary, if it is not there yet, and the shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="number of the first shard, which is its seed")
    parser.add_argument("--documents", type=int, default=10_000, help="conversations in a shard")
    parser.add_argument("--tokenizer", type=Path, help="use this one instead of learning one, e.g. for a warm start")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    vocabulary = args.out / "vocabulary.gguf"
    if not vocabulary.exists():
        tokenizer = stored_tokenizer(args.tokenizer) if args.tokenizer else make_tokenizer()
        (args.out / "tokenizer.json").write_text(json.dumps(dataclasses.asdict(tokenizer)))
        write_vocabulary(vocabulary, tokenizer, TEMPLATE.read_text())
    model = load_model(vocabulary, LoadParams(vocab_only=True))
    names = [(f"shard-{n:04d}", n, False) for n in range(args.first, args.first + args.shards)]
    for name, seed, easy in [*((f"easy-{n}", n, True) for n in EASY_SEEDS), *names]:
        path = args.out / f"{name}.npz"
        if not path.exists():
            arrays: dict[str, Any] = shard(seed, args.documents, model.tokenize, easy=easy)
            np.savez(path.with_suffix(".part.npz"), **arrays)
            path.with_suffix(".part.npz").rename(path)
            print(f"{path.name}: {len(arrays['ends'])} documents, {len(arrays['tokens'])} tokens")  # noqa: T201


if __name__ == "__main__":
    main()
