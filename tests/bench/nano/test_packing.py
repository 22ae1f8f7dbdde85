"""The packed form of training is exact: a branch has the logits that it has as a document of its own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the `nano` extra")

from bench.nano import attention as attending  # noqa: E402
from bench.nano.attention import Blockwise, attention, blocks_of, segments_of  # noqa: E402
from bench.nano.batches import Batch, Document, blockwise, grouped, rowwise  # noqa: E402
from bench.nano.model import NanoModel, Shape  # noqa: E402
from bench.nano.train import loss_of  # noqa: E402

DOCUMENTS = ((8, (3, 5, 2)), (4, (4,)), (3, (1, 2)))


@pytest.fixture(autouse=True, params=[256, 3], ids=["whole stretches", "cut stretches"])
def longest_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "LONGEST_BLOCK", request.param)


@pytest.fixture(scope="module")
def model() -> NanoModel:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = NanoModel(Shape(n_layers=3)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.1)
    return model


def branch_numbers() -> list[int]:
    return [
        number
        for shared, branches in DOCUMENTS
        for number, length in enumerate((shared, *branches))
        for _ in range(length)
    ]


def test_a_packed_branch_has_the_logits_of_its_conversation_alone(model: NanoModel) -> None:
    tokens = torch.randint(0, 2048, (len(branch_numbers()),))
    together = model(tokens, Blockwise(branch_numbers()), torch.arange(len(tokens)))
    edges = iter(tokens.split([length for shared, branches in DOCUMENTS for length in (shared, *branches)]))
    offset = 0
    for n_shared, branches in DOCUMENTS:
        shared, offset = next(edges), offset + n_shared
        for length in branches:
            alone = torch.cat((shared, next(edges)))
            apart = model(alone, Blockwise([0] * len(alone)), torch.arange(n_shared, len(alone)))
            assert torch.allclose(apart, together[offset : offset + length], rtol=0, atol=1e-10)
            offset += length


def test_logits_at_some_positions_are_those_of_all(model: NanoModel) -> None:
    tokens, sight = torch.randint(0, 2048, (len(branch_numbers()),)), Blockwise(branch_numbers())
    wanted = torch.tensor([0, 7, 9, 17, 25, 31])
    everywhere = model(tokens, sight, torch.arange(len(tokens)))
    assert torch.allclose(model(tokens, sight, wanted), everywhere[wanted], rtol=0, atol=1e-10)


def test_a_branch_is_blind_to_its_siblings(model: NanoModel) -> None:
    tokens, sight = torch.randint(0, 2048, (len(branch_numbers()),)), Blockwise(branch_numbers())
    changed = tokens.clone()
    changed[8:11] = (changed[8:11] + 1) % 2048  # the first branch of the first document
    before, after = (model(each, sight, torch.arange(len(tokens))) for each in (tokens, changed))
    same = (before == after).all(1)
    assert not same[8:11].any()
    assert same[:8].all() and same[11:].all()


@pytest.mark.parametrize("positions", [None, torch.tensor([1, 5, 9, 13, 20, 31])], ids=["all", "some"])
def test_the_gradient_of_attention_is_right(positions: torch.Tensor | None) -> None:
    n_tokens = len(branch_numbers())
    n_queries = n_tokens if positions is None else len(positions)
    blocks = blocks_of(segments_of(branch_numbers()), positions)
    q, k, v = (torch.randn(1, n, 2, dtype=torch.double, requires_grad=True) for n in (n_queries, n_tokens, n_tokens))
    assert torch.autograd.gradcheck(lambda *qkv: attention(*qkv, blocks), (q, k, v))


def test_segments_cover_every_token_once() -> None:
    owned = [range(*segment.own) for segment in segments_of(branch_numbers())]
    assert list(itertools.chain.from_iterable(owned)) == list(range(len(branch_numbers())))


def documents() -> list[Document]:
    """The documents as the corpus stores them, all but the shared stretches learned."""
    rng = np.random.default_rng(0)
    made = []
    for shared, branches in DOCUMENTS:
        branch = np.repeat(np.arange(len(branches) + 1), (shared, *branches)).astype(np.uint8)
        made.append(Document(rng.integers(1, 2048, len(branch)).astype(np.uint16), branch, branch > 0))
    return made


def test_rows_for_a_gpu_train_as_blocks_do_on_a_cpu(model: NanoModel) -> None:
    """The same loss and the same gradient of every weight, whatever the rows are filled up with."""
    first, second, third = documents()
    blocks = blockwise((first, second, third))
    rows = rowwise(((first,), (second, third)), 24, torch.device("cpu"))
    assert blocks.n_tokens == rows.n_tokens == len(branch_numbers())
    for context_weight in (0.0, 0.15):
        losses, gradients = zip(*(trained(model, batch, context_weight) for batch in (blocks, rows)), strict=True)
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert torch.allclose(*gradients, rtol=0, atol=1e-5)
        assert gradients[0].abs().max() > 1e-2


def trained(model: NanoModel, batch: Batch, context_weight: float) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    loss = loss_of(model, batch, context_weight)
    loss.backward()
    return loss.item(), torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_a_group_holds_as_many_documents_as_fit() -> None:
    source = documents()
    groups = list(grouped(iter([*source, *source]), 27))
    assert [[len(document.tokens) for document in group] for group in groups] == [[18, 8], [6, 18], [8, 6]]
