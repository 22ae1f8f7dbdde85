"""The packed form of training is exact: a branch has the logits that it has as a document of its own."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the `nano` extra")

from bench.nano.attention import attention, blocks_of, segments_of  # noqa: E402
from bench.nano.model import NanoModel, Shape  # noqa: E402

DOCUMENTS = ((8, (3, 5, 2)), (4, (4,)), (3, (1, 2)))


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
    together = model(tokens, segments_of(branch_numbers()), torch.arange(len(tokens)))
    edges = iter(tokens.split([length for shared, branches in DOCUMENTS for length in (shared, *branches)]))
    offset = 0
    for n_shared, branches in DOCUMENTS:
        shared, offset = next(edges), offset + n_shared
        for length in branches:
            alone = torch.cat((shared, next(edges)))
            apart = model(alone, segments_of([0] * len(alone)), torch.arange(n_shared, len(alone)))
            assert torch.allclose(apart, together[offset : offset + length], rtol=0, atol=1e-10)
            offset += length


def test_logits_at_some_positions_are_those_of_all(model: NanoModel) -> None:
    tokens, segments = torch.randint(0, 2048, (len(branch_numbers()),)), segments_of(branch_numbers())
    wanted = torch.tensor([0, 7, 9, 17, 25, 31])
    everywhere = model(tokens, segments, torch.arange(len(tokens)))
    assert torch.allclose(model(tokens, segments, wanted), everywhere[wanted], rtol=0, atol=1e-10)


def test_a_branch_is_blind_to_its_siblings(model: NanoModel) -> None:
    tokens, segments = torch.randint(0, 2048, (len(branch_numbers()),)), segments_of(branch_numbers())
    changed = tokens.clone()
    changed[8:11] = (changed[8:11] + 1) % 2048  # the first branch of the first document
    before, after = (model(each, segments, torch.arange(len(tokens))) for each in (tokens, changed))
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
