"""How much memory a model needs, from its header alone: weights, caches, recurrent states, scratch, by device.

    Predictor.of(file.metadata, file.tensors).estimate(Settings(n_ctx=8192, n_slots=4))

The rules are those of the installed llama.cpp (`docs/memory.md`); the tests hold them against what it allocates. Loads
nothing and knows no card.
"""

from engine.memory.estimate import Estimate, Place, Predictor, Settings, largest, largest_of_any
from engine.memory.layout import CannotPredict, Layout, read_layout

__all__ = [
    "CannotPredict",
    "Estimate",
    "Layout",
    "Place",
    "Predictor",
    "Settings",
    "largest",
    "largest_of_any",
    "read_layout",
]
