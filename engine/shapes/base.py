"""What a shape is: the sizes of a model under the names of its public config.json, and what a GGUF makes of them.

Each family (`dense`, `experts`, `window`, `hybrid`, `latent`) is a subclass that knows which metadata and tensors
llama.cpp asks for. No weights, no tokens, no quantization here: `mix` chooses the types, `writer` writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

Fill = Literal["random", "embedding", "ones", "zeros", "decay"]
_BLOCK = re.compile(r"blk\.([0-9]{1,4})\.")  # names come from files, too, and those may be hostile
Value = str | int | float | bool | list[int] | list[bool] | list[float]


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor. `dims` as GGUF stores them: the row's length first. `fill` says what random weights put there."""

    name: str
    dims: tuple[int, ...]
    fill: Fill = "random"

    @property
    def n_values(self) -> int:
        return prod(self.dims)

    @property
    def layer(self) -> int:
        """The block that it belongs to; -1: none."""
        block = _BLOCK.match(self.name)
        return int(block[1]) if block else -1


class Shape(BaseModel):
    """The sizes that all families have, named as in config.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str  # as llama.cpp names it
    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    rope_theta: PositiveFloat = 10_000.0
    rms_norm_eps: PositiveFloat = 1e-6
    tie_word_embeddings: bool = False

    @property
    def n_params(self) -> int:
        return sum(weight.n_values for weight in self.weights())

    def metadata(self) -> dict[str, Value]:
        """The keys of the architecture, prefix and all; nothing general and nothing of the tokenizer."""
        return {f"{self.arch}.{key}": value for key, value in self._keys().items()}

    def weights(self) -> Iterator[Weight]:
        """Every tensor, in the order of the file."""
        yield Weight("token_embd.weight", (self.hidden_size, self.vocab_size), "embedding")
        yield Weight("output_norm.weight", (self.hidden_size,), "ones")
        if not self.tie_word_embeddings:
            yield Weight("output.weight", (self.hidden_size, self.vocab_size))
        yield from self._extra()
        for layer in range(self.num_hidden_layers):
            for weight in self._block(layer):
                yield Weight(f"blk.{layer}.{weight.name}", weight.dims, weight.fill)

    def tiny(self) -> Self:
        """The same architecture a few layers deep and a few heads wide, for tests; vocabulary and context are kept."""
        return self.changed(self._tiny())

    def first(self, n_layers: int) -> Self:
        """Only the first layers; raises `ValueError` where llama.cpp cannot run so few."""
        if not 1 <= n_layers <= self.num_hidden_layers:
            raise ValueError(f"the model has {self.num_hidden_layers} layers")
        least, why = self._least_layers()
        if n_layers < least:
            raise ValueError(f"{why}; take at least {least}")
        return self.changed(self._cut(n_layers))

    def with_vocabulary(self, n_tokens: int) -> Self:
        return self.changed({"vocab_size": n_tokens})

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same with other sizes, checked again."""
        return type(self).model_validate(self.model_dump() | dict(changes))

    # What the families say

    def _keys(self) -> dict[str, Value]:
        return {
            "context_length": self.max_position_embeddings,
            "embedding_length": self.hidden_size,
            "block_count": self.num_hidden_layers,
            "attention.head_count": self.num_attention_heads,
            "rope.freq_base": self.rope_theta,
            "attention.layer_norm_rms_epsilon": self.rms_norm_eps,
        }

    def _extra(self) -> Iterator[Weight]:
        """Tensors of no block."""
        return iter(())

    def _block(self, layer: int) -> Iterator[Weight]:
        """The tensors of one block, without its prefix."""
        raise NotImplementedError

    def _least_layers(self) -> tuple[int, str]:
        """So many of the first ones are a model that llama.cpp runs, and why fewer are not."""
        return 1, ""

    def _cut(self, n_layers: int) -> dict[str, Any]:
        """What changes where only the first layers are left."""
        return {"num_hidden_layers": n_layers}

    def _tiny(self) -> dict[str, Any]:
        return {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        }


class Grouped(Shape):
    """Attention with heads of one size, several of which share their keys and values."""

    num_key_value_heads: PositiveInt
    head_dim: PositiveInt

    def _keys(self) -> dict[str, Value]:
        return super()._keys() | {
            "attention.head_count_kv": self.num_key_value_heads,
            "attention.key_length": self.head_dim,
            "attention.value_length": self.head_dim,
        }

    def _tiny(self) -> dict[str, Any]:
        return super()._tiny() | {"num_key_value_heads": 2, "head_dim": 32}


def matrix(name: str, columns: int, rows: int, *more: int) -> Weight:
    return Weight(f"{name}.weight", (columns, rows, *more))


def norm(name: str, size: int, *more: int) -> Weight:
    return Weight(f"{name}.weight", (size, *more), "ones")


def bias(name: str, size: int, *more: int) -> Weight:
    return Weight(f"{name}.bias", (size, *more), "zeros")


def feed_forward(hidden: int, inner: int, suffix: str = "", *n_experts: int) -> Iterator[Weight]:
    """Gate, up and down; with a number of experts, as many of them in one tensor."""
    yield matrix(f"ffn_gate{suffix}", hidden, inner, *n_experts)
    yield matrix(f"ffn_up{suffix}", hidden, inner, *n_experts)
    yield matrix(f"ffn_down{suffix}", inner, hidden, *n_experts)
