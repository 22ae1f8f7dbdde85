"""llama.cpp's own grammar engine, with the steps that would kill Python checked beforehand."""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConstraintError
from engine.llama.library import LOG, fast, library, stderr_text
from engine.llama.log import complaints

if TYPE_CHECKING:
    from engine.llama.model import Model

_TOKEN_DATA: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
# Up to here a check takes microseconds and keeps the GIL; beyond, it lets other threads run.
_FAST_CHECK: Final = 64


class GrammarSampler:
    """The state of one sequence under a GBNF grammar."""

    def __init__(self, model: Model, gbnf: str, root: str = "root") -> None:
        """Raises `ConstraintError` with the parser's complaint when the grammar is not accepted."""
        if not gbnf.strip() or "\0" in gbnf:  # C would read no grammar, or half of one, and constrain nothing
            raise ConstraintError("the grammar is empty, or holds a NUL character")
        initialise = library().llama_sampler_init_grammar
        with stderr_text() as said, LOG.collect() as lines:
            pointer = initialise(model.vocab_ptr, gbnf.encode(), root.encode())
            printed = said().partition("\n")[0]
        if not pointer:  # used all the same, a NULL sampler is a segmentation fault
            complaint = printed or complaints(lines) or "it gave no reason"
            raise ConstraintError(f"llama.cpp does not accept the grammar: {complaint}")
        self._own(model, pointer)

    def _own(self, model: Model, pointer: Any) -> None:
        self._model, self._pointer = model, pointer
        self._free = weakref.finalize(self, library().llama_sampler_free, pointer)
        self._free.atexit = False
        self._apply = fast("llama_sampler_apply", None, ctypes.c_void_p, ctypes.c_void_p)
        self._accept = fast("llama_sampler_accept", None, ctypes.c_void_p, ctypes.c_int32)
        self._one = np.zeros(1, dtype=np.int32)

    def check(self, candidates: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the candidate tokens may come next."""
        rows = np.zeros(len(candidates), dtype=_TOKEN_DATA)
        rows["id"] = candidates
        binding = library()
        array = binding.llama_token_data_array(
            data=rows.ctypes.data_as(ctypes.POINTER(binding.llama_token_data)), size=len(rows), selected=-1
        )
        if len(rows) <= _FAST_CHECK:
            self._apply(self._pointer, ctypes.addressof(array))
        else:
            binding.llama_sampler_apply(self._pointer, ctypes.byref(array))
        allowed: NDArray[np.bool_] = rows["logit"] == 0.0  # the others were set to minus infinity
        return allowed

    def allows(self, token: int) -> bool:
        self._one[0] = token
        return bool(self.check(self._one)[0])

    def accept(self, token: int) -> None:
        """Advance by one token; raises `ConstraintError` where llama.cpp would end the process."""
        if not self.allows(token):
            raise ConstraintError(f"the grammar does not allow token {token} here")
        self._accept(self._pointer, token)

    def clone(self) -> GrammarSampler:
        """An independent copy of the state."""
        copy = object.__new__(GrammarSampler)
        copy._own(self._model, library().llama_sampler_clone(self._pointer))
        return copy
