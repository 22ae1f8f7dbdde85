"""Sifting keeps what a model would get wrong, and judges words by whether they are words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the `nano` extra")

from bench.nano.batches import Document, documents, stored  # noqa: E402
from bench.nano.sift import doubts, kept, sifted  # noqa: E402

CALL, WORD = 3, 7
CALLS = np.array([CALL])


def document(*answers: tuple[int, int]) -> Document:
    """Two shared tokens, then a prompt of one token and an answer of two for each branch."""
    tokens, branch, learned = [1, 2], [0, 0], [False, False]
    for number, answer in enumerate(answers, start=1):
        tokens += [5, *answer]
        branch += [number] * 3
        learned += [False, True, True]
    return Document(np.array(tokens, np.uint16), np.array(branch, np.uint8), np.array(learned))


class Model:
    """Gives every learned token, in order, the probability it is told, and the rest to one other token."""

    def __init__(self, probabilities: list[float], other: int) -> None:
        self.probabilities, self.other = iter(probabilities), other

    def __call__(self, tokens: torch.Tensor, sight: object, positions: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(positions), 10), -100.0)
        for row, position in enumerate(positions.tolist()):
            right = next(self.probabilities)
            logits[row, self.other] = math.log(max(1 - right, 1e-9))
            logits[row, tokens[position + 1]] = math.log(right)
        return logits


@pytest.mark.parametrize(
    ("answer", "probabilities", "other", "doubt"),
    [
        ((CALL, 9), [0.9, 0.2], WORD, -math.log(0.2)),  # the second token of a call decides as the first does
        ((CALL, 9), [0.25, 0.9], WORD, -math.log(0.25)),
        ((WORD, 9), [0.2, 0.01], 8, 0.0),  # said otherwise is not wrong
        ((WORD, 9), [0.4, 1.0], CALL, -math.log(0.4)),  # called where nothing is to be called
    ],
)
def test_what_decides(answer: tuple[int, int], probabilities: list[float], other: int, doubt: float) -> None:
    ((shared, branch),) = doubts(Model(probabilities, other), [document(answer)], CALLS)  # type: ignore[arg-type]
    assert shared == 0
    assert branch == pytest.approx(doubt, abs=1e-4)


def test_each_branch_of_each_document_is_judged_apart() -> None:
    model = Model([1.0, 0.5, 0.25, 1.0, 1.0, 0.125], WORD)
    first, second = doubts(model, [document((CALL, 8), (CALL, 9)), document((CALL, 6))], CALLS)  # type: ignore[arg-type]
    assert first == pytest.approx([0, math.log(2), math.log(4)], abs=1e-4)
    assert second == pytest.approx([0, math.log(8)], abs=1e-4)


def test_what_is_kept_stands_behind_what_is_shared() -> None:
    left = kept(document((CALL, 8), (CALL, 9), (WORD, 6)), np.array([1, 3]))
    assert left.tokens.tolist() == [1, 2, 5, CALL, 8, 5, WORD, 6]
    assert left.branch.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert left.learned.tolist() == [False, False, False, True, True, False, True, True]


def test_the_hard_stay_and_the_known_go() -> None:
    source = [document((CALL, 8), (CALL, 9)), document((CALL, 6))]
    model = Model([0.9, 0.9, 0.9, 0.1, 0.9, 0.9], WORD)
    (left,) = sifted(model, source, CALLS, 0.6, 0.0, 1)  # type: ignore[arg-type]
    assert left.tokens.tolist() == [1, 2, 5, CALL, 9]
    model = Model([0.9] * 6, WORD)
    assert len(list(sifted(model, source, CALLS, 0.6, 1.0, 1))) == 2  # type: ignore[arg-type]


def test_training_reads_the_shards_of_several_folders(tmp_path: Path) -> None:
    for name, answers in (("a", [(CALL, 8)]), ("b", [(CALL, 9), (WORD, 9)])):
        made = [document(answer) for answer in answers]
        (tmp_path / name).mkdir()
        tokens, branch, learned = (np.concatenate(parts) for parts in zip(*made, strict=True))
        ends = np.cumsum([len(each.tokens) for each in made])
        np.savez(tmp_path / name / "shard-1.npz", tokens=tokens, branch=branch, learned=learned, ends=ends)
    assert [each.tokens.tolist() for each in stored(tmp_path / "b" / "shard-1.npz")] == [
        [1, 2, 5, CALL, 9],
        [1, 2, 5, WORD, 9],
    ]
    source = documents([tmp_path / "a", tmp_path / "b"], "shard-*.npz", 0, 1, seed=1)
    drawn = [next(source).tokens.tolist()[-2:] for _ in range(6)]
    assert all(sorted(drawn[i : i + 3]) == [[CALL, 8], [CALL, 9], [WORD, 9]] for i in (0, 3))
    with pytest.raises(FileNotFoundError, match="no shard"):
        next(documents([tmp_path], "shard-*.npz", 0, 1, seed=1))
