"""Training of the bundled model: one pass over the shards, as many steps as fit a wall-clock budget.

Muon for the matrices, Adam for embedding and norms; compute in bfloat16 with float32 masters; the learning rate falls
to zero over the budget's last three fifths, or sooner. Stop it at any moment and start it again with the same command:
it goes on from the last checkpoint with the time that is left.

    python -m bench.nano.train --data FOLDER --out FOLDER --minutes 120 --ranks 2
    python -m bench.nano.train --data FOLDER --out FOLDER --minutes 9 --device cuda --tokens 196608
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from bench.nano.batches import BATCH_STEP, Batch, batches, documents
from bench.nano.export import weights_of
from bench.nano.model import NanoModel, Shape

MUON_LR, EMBEDDING_LR, NORM_LR, WEIGHT_DECAY = 0.02, 3e-3, 2e-3, 0.01
WARM_UP_STEPS = 60
FUSED = {"qkv": 3, "gate_up": 2}
CONTEXT_WEIGHT = 0.15
EASY_UNTIL = 0.3  # of the run; by then the easy documents have faded to their last share of the batches


def orthogonalised(gradient: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, by the quintic Newton-Schulz iteration of Muon (Jordan et al., 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.bfloat16()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.T).float() * max(1.0, gradient.shape[0] / gradient.shape[1]) ** 0.5


class Optimiser:
    """Float32 masters of bfloat16 parameters, with Muon and Adam state, on the model's device."""

    def __init__(self, model: NanoModel, rank: int = 0, n_ranks: int = 1) -> None:
        self.rank, self.n_ranks = rank, n_ranks
        self.names = [name for name, _ in model.named_parameters()]
        self.live = [parameter for _, parameter in model.named_parameters()]
        self.master = [parameter.detach().float().clone() for parameter in self.live]
        self.first = [torch.zeros_like(master) for master in self.master]
        self.second = [None if self._is_matrix(i) else torch.zeros_like(master) for i, master in enumerate(self.master)]
        self.n_steps = 0

    def _is_matrix(self, index: int) -> bool:
        return self.live[index].ndim == 2 and "embedding" not in self.names[index]

    def step(self, scale: float) -> None:
        """One update with all learning rates times `scale`; gradients are read from the live parameters and cleared.

        Making a matrix orthogonal is the dear part, so every rank does its share of them.
        """
        self.n_steps += 1
        gradients = [live.grad.float() for live in self.live]  # type: ignore[union-attr]
        matrices = [index for index in range(len(self.live)) if self._is_matrix(index)]
        by_size = sorted(matrices, key=lambda index: self.master[index].numel())
        mine = set(by_size[self.rank :: self.n_ranks])
        updates = self.live[0].new_zeros(sum(self.master[index].numel() for index in matrices), dtype=torch.float32)
        offset = 0
        for index in matrices:
            self.first[index].mul_(0.95).add_(gradients[index])
            if index in mine:
                update = self._orthogonal_update(index, gradients[index])
                updates[offset : offset + update.numel()] = update.flatten()
            offset += self.master[index].numel()
        if self.n_ranks > 1:
            dist.all_reduce(updates)
        shares = updates.split([self.master[index].numel() for index in matrices])
        for index, update in zip(matrices, shares, strict=True):
            master = self.master[index]
            master.mul_(1 - MUON_LR * scale * WEIGHT_DECAY).sub_(MUON_LR * scale * update.view_as(master))
        for index, live in enumerate(self.live):
            if not self._is_matrix(index):
                self._adam(index, gradients[index], scale)
            live.data.copy_(self.master[index])
            live.grad = None

    def _orthogonal_update(self, index: int, gradient: Tensor) -> Tensor:
        # Fused matrices are several in one: each is made orthogonal by itself.
        parts = (gradient + 0.95 * self.first[index]).chunk(FUSED.get(self.names[index].split(".")[-2], 1))
        return torch.cat([orthogonalised(part) for part in parts])

    def _adam(self, index: int, gradient: Tensor, scale: float) -> None:
        first, second = self.first[index], self.second[index]
        assert second is not None
        first.mul_(0.9).add_(gradient, alpha=0.1)
        second.mul_(0.95).addcmul_(gradient, gradient, value=0.05)
        rate = (EMBEDDING_LR if self.live[index].ndim == 2 else NORM_LR) * scale
        corrected = (second / (1 - 0.95**self.n_steps)).sqrt().add_(1e-8)
        self.master[index].sub_(rate * (first / (1 - 0.9**self.n_steps)) / corrected)

    def start_from(self, weights: dict[str, np.ndarray]) -> None:
        """Take over the weights of an earlier model, by name; the moments start at zero, and so do layers it lacks."""
        for name, live, master in zip(self.names, self.live, self.master, strict=True):
            if name in weights:
                master.copy_(torch.from_numpy(weights[name]))
                live.data.copy_(master)

    def state(self) -> dict[str, object]:
        return {"master": self.master, "first": self.first, "second": self.second, "n_steps": self.n_steps}

    def restore(self, state: dict[str, object]) -> None:
        self.master, self.first, self.second, self.n_steps = (
            state["master"],
            state["first"],
            state["second"],
            state["n_steps"],
        )  # type: ignore[assignment]
        for live, master in zip(self.live, self.master, strict=True):
            live.data.copy_(master)


def loss_of(model: NanoModel, batch: Batch, context_weight: float) -> Tensor:
    """Cross-entropy of the learned tokens; with `context_weight`, of the prompt's tokens too, at that weight each.

    Prompts repeat themselves (names in schemas, values in results), which is where copying is learned first.
    """
    positions = torch.nonzero(batch.targets >= 0 if context_weight else batch.learned).squeeze(1)
    n_more = -len(positions) % BATCH_STEP  # the last one again: shapes of products are to be few
    logits = model(batch.tokens, batch.sight, F.pad(positions, (0, n_more), value=int(positions[-1])))
    logits = logits[: len(positions)].float()
    losses = F.cross_entropy(logits, batch.targets[positions], reduction="none")
    weights = torch.where(batch.learned[positions], 1.0, context_weight)
    return (losses * weights).sum() / weights.sum()


def rate_at(share: float, step: int, constant_until: float) -> float:
    """The learning rate's factor: warm-up, a constant stretch up to that share of the run, then linear to zero."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * (1.0 if share < constant_until else max(0.0, (1 - share) / (1 - constant_until)))


def averaged(parameters: list[Tensor], numbers: list[float]) -> list[float]:
    """Replace every gradient by its mean over the ranks; returns the means of `numbers` too."""
    if not dist.is_initialized():
        return numbers
    gradients = [parameter.grad.flatten() for parameter in parameters]  # type: ignore[union-attr]
    shared = torch.cat((torch.cat(gradients).float(), torch.tensor(numbers)))
    dist.all_reduce(shared)
    shared /= dist.get_world_size()
    offset = 0
    for parameter in parameters:
        mean = shared[offset : offset + parameter.numel()]
        parameter.grad = mean.view_as(parameter).to(parameter.dtype)
        offset += parameter.numel()
    means: list[float] = shared[offset:].tolist()
    return means


def run(rank: int, args: argparse.Namespace) -> None:
    """One rank's training loop; all ranks hold the same parameters and average their gradients."""
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if args.ranks > 1:
        dist.init_process_group("gloo", rank=rank, world_size=args.ranks)
    device = torch.device(args.device)
    model = NanoModel(Shape(n_layers=args.layers)).to(device, torch.bfloat16)
    optimiser, spent, seen, n_learned = Optimiser(model, rank, args.ranks), 0.0, 0, 0
    checkpoint = args.out / "checkpoint.pt"
    if args.warm and not checkpoint.exists():
        optimiser.start_from(weights_of(args.warm, model.shape))
    if checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=True, map_location=device)
        optimiser.restore(stored["optimiser"])
        spent, seen, n_learned = stored["spent_s"], stored["n_tokens"], stored["n_learned"]
    budget = args.minutes * 60
    share = spent / budget
    model.compile_layers()
    per_rank, seed = args.tokens // args.ranks, args.seed + optimiser.n_steps
    easy, stream = (
        batches(documents(args.data, pattern, rank, args.ranks, seed), per_rank, device)
        for pattern in ("easy-*.npz", "shard-*.npz")
    )
    together = np.random.default_rng(seed)  # the same on every rank, so that none waits for a longer batch
    started, last_saved, losses = time.monotonic(), time.monotonic(), []
    while share < 1:
        is_easy = args.easy and together.random() < max(args.easy, 1 - share / EASY_UNTIL)
        batch = next(easy if is_easy else stream)
        loss = loss_of(model, batch, CONTEXT_WEIGHT if share < args.context_until else 0.0)
        loss.backward()
        counts = [float(batch.n_tokens), float(batch.learned.sum())]
        mean = averaged(optimiser.live, [loss.item(), *counts, time.monotonic() - started])
        optimiser.step(args.rate * rate_at(share, optimiser.n_steps, args.constant_until))
        seen += int(mean[1] * args.ranks)
        losses.append(mean[0])
        n_learned += int(mean[2] * args.ranks)
        share = (spent + mean[3]) / budget
        finished = share >= 1
        if rank == 0 and (finished or optimiser.n_steps % 100 == 0):
            _log(args.out, optimiser.n_steps, share * budget, seen, n_learned, losses[-100:])
        if rank == 0 and (finished or time.monotonic() - last_saved > 120):
            last_saved = time.monotonic()
            state = {
                "optimiser": optimiser.state(),
                "spent_s": share * budget,
                "n_tokens": seen,
                "n_learned": n_learned,
                "names": optimiser.names,
                "shape": asdict(model.shape),
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
    if args.ranks > 1:
        dist.destroy_process_group()


def _log(out: Path, step: int, spent_s: float, n_tokens: int, n_learned: int, losses: list[float]) -> None:
    counts = {"step": step, "spent_s": round(spent_s, 1), "n_tokens": n_tokens, "n_learned": n_learned}
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(counts | {"loss": round(sum(losses) / len(losses), 4)}) + "\n")


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, nargs="+", help="folders of shards, by bench.nano.corpus or bench.nano.sift"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument(
        "--device", default="cpu", help="cpu, or cuda for one GPU; there a step wants some 100,000 tokens"
    )
    parser.add_argument("--ranks", type=int, help="processes, one core each: 2, or 1 on a GPU")
    parser.add_argument("--tokens", type=int, default=6_400, help="tokens in a step, at most, over all ranks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=Shape().n_layers)
    parser.add_argument("--warm", type=Path, help="start from this GGUF (nano-f16.gguf); it may be shallower")
    parser.add_argument("--rate", type=float, default=1.0, help="factor of all learning rates; less for a warm start")
    parser.add_argument(
        "--constant-until", type=float, default=0.4, help="share of the run before the learning rates begin to fall"
    )
    parser.add_argument(
        "--easy", type=float, default=0.3, help="last share of easy batches; 0: none, not even at first"
    )
    parser.add_argument("--context-until", type=float, default=0.4, help="share of the run that learns prompts too")
    args = parser.parse_args()
    args.ranks = args.ranks or (2 if args.device == "cpu" else 1)
    if args.ranks > 1 and args.device != "cpu":
        parser.error("several ranks are for CPU cores: leave --ranks out with --device cuda")
    args.out.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(run, (args,), nprocs=args.ranks)


if __name__ == "__main__":
    main()
