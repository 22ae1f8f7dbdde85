"""The shapes of models: every tensor and every header key that llama.cpp needs, from the sizes in a public config.

    shape = Dense(arch="qwen3", hidden_size=4096, ...)
    tensors(shape, "Q4_K_M")                    # names, dimensions, types and bytes, as a file's header has them
    write(path, shape, "Q4_K_M", tokens)        # a GGUF with random weights
    shape.tiny()                                # the same architecture, a few layers deep, for tests

Speed and memory depend on the shape alone, so that both can be measured of a model that nobody downloaded. Knows no
registry: which model has which shape is `shapes.toml`, read by `bench.models.registry`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from engine.shapes.base import Shape, Weight
from engine.shapes.dense import Dense
from engine.shapes.experts import Qwen3Moe
from engine.shapes.hybrid import DeltaNet, NemotronH
from engine.shapes.latent import Latent
from engine.shapes.window import Gemma4, GptOss

AnyShape = Annotated[Dense | Qwen3Moe | GptOss | Gemma4 | DeltaNet | NemotronH | Latent, Field(discriminator="arch")]
FAMILIES: Final[tuple[type[Shape], ...]] = (Dense, Qwen3Moe, GptOss, Gemma4, DeltaNet, NemotronH, Latent)

__all__ = [
    "FAMILIES",
    "AnyShape",
    "DeltaNet",
    "Dense",
    "Gemma4",
    "GptOss",
    "Latent",
    "NemotronH",
    "Qwen3Moe",
    "Shape",
    "Weight",
]
