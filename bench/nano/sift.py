"""What a model does not know yet: of every family of a corpus, the conversations whose calls it would get wrong.

Most of a corpus is learned soon, and to compute it again teaches little. To sift it costs a forward pass, once:

    python -m bench.nano.sift --data FOLDER --out FOLDER --model bench/nano/nano-f16.gguf

A conversation stays when a token that decides is less likely than `--known`, and a few of the others do, so that what
is known is not forgotten. Several at once: `--part 1/2` and `--part 2/2`. Needs the `nano` extra.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from bench.nano.batches import Document, blockwise, grouped, stored
from bench.nano.corpus import save, stored_tokenizer
from bench.nano.export import weights_of
from bench.nano.model import NanoModel, Shape

CALLS = ("<tool_call>", '{"calls": [{"name": "')  # tokens that begin calls, in the one prompt style and the other
N_TOKENS = 4_800  # computed at a time


def doubts(model: NanoModel, group: Sequence[Document], calls: np.ndarray) -> list[np.ndarray]:
    """For each document each branch's largest cross-entropy of a token that decides, in nats: float (n_branches + 1,).

    Every token of a call decides. Of words only the first does, and only by being none of `calls`: they are one way of
    saying it among several.
    """
    batch = blockwise(group)
    positions = torch.nonzero(batch.learned).squeeze(1)
    with torch.no_grad():
        logits = model(batch.tokens, batch.sight, positions).float()
        losses = F.cross_entropy(logits, batch.targets[positions], reduction="none").numpy()
        calling = logits.softmax(-1)[:, calls].sum(-1).double().numpy()
    where = positions.numpy()
    begins = np.diff(where, prepend=-2) != 1
    is_call = np.isin(batch.targets[positions].numpy()[begins], calls)
    decisive = np.where(is_call[np.cumsum(begins) - 1], losses, 0.0)
    words = np.flatnonzero(begins)[~is_call]
    decisive[words] = -np.log1p(-np.minimum(calling[words], 1 - 1e-6))
    document = np.repeat(np.arange(len(group)), [len(each.tokens) for each in group])[where]
    branch = np.concatenate([each.branch for each in group])[where]
    largest = [np.zeros(int(each.branch.max()) + 1) for each in group]
    for number, worst in enumerate(largest):
        its_own = document == number
        np.maximum.at(worst, branch[its_own], decisive[its_own])
    return largest


def kept(document: Document, branches: np.ndarray) -> Document:
    """The document with these of its branches only, ascending, numbered anew behind what they share."""
    chosen = np.concatenate(([0], branches))
    there = np.isin(document.branch, chosen)
    numbers = np.searchsorted(chosen, document.branch[there]).astype(np.uint8)
    return Document(document.tokens[there], numbers, document.learned[there])


def sifted(
    model: NanoModel, documents: Iterable[Document], calls: np.ndarray, known: float, easy: float, seed: int
) -> Iterator[Document]:
    """What stays of each document of which something stays; `easy` is the share of what is known that does."""
    rng = np.random.default_rng(seed)
    for group in grouped(documents, N_TOKENS):
        for document, worst in zip(group, doubts(model, group, calls), strict=True):
            hard = worst[1:] > -math.log(known)
            # What is known stays with its whole family or beside something hard: alone it is not worth its prompt.
            stays = hard | (rng.random(len(hard)) < easy) if hard.any() else np.full(len(hard), rng.random() < easy)
            if stays.any():
                yield kept(document, np.flatnonzero(stays) + 1)


def main() -> None:
    """Sift every shard that has not been."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that bench.nano.corpus has written")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF whose weaknesses are looked for")
    parser.add_argument("--known", type=float, default=0.6, help="a token at least so likely is known")
    parser.add_argument("--easy", type=float, default=0.03, help="share of what is known that stays")
    parser.add_argument("--part", default="1/1", help="which of how many parts of the shards, e.g. 1/2")
    args = parser.parse_args()
    number, n_parts = map(int, args.part.split("/"))
    vocabulary = stored_tokenizer(args.data / "tokenizer.json").tokens
    calls = np.array([vocabulary.index(text) for text in CALLS])
    torch.set_num_threads(1)
    model = NanoModel(Shape()).to(torch.bfloat16)
    weights = weights_of(args.model, model.shape)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    model.compile_layers()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed, path in list(enumerate(sorted(args.data.glob("shard-*.npz"))))[number - 1 :: n_parts]:
        target = args.out / path.name
        if target.exists():
            continue
        documents = list(sifted(model, stored(path), calls, args.known, args.easy, seed))
        tokens, branch, learned = (np.concatenate(parts) for parts in zip(*documents, strict=True))
        ends = np.cumsum([len(document.tokens) for document in documents])
        save(target, {"tokens": tokens, "branch": branch, "learned": learned, "ends": ends})
        print(f"{path.name}: {len(documents)} documents, {len(tokens)} tokens", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
