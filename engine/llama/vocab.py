"""Reads a model's tokens into a `Vocabulary`, byte for byte. Knows nothing of weights."""

from __future__ import annotations

import ctypes
from typing import Final

from engine.llama.library import fast, library
from engine.vocabulary import Vocabulary

_UNKNOWN: Final = 1 << 0  # enum llama_token_attr
_CONTROL: Final = 1 << 3
_USER_DEFINED: Final = 1 << 4
_NO_TOKEN: Final = -1


def read_vocabulary(vocab_ptr: int) -> Vocabulary:
    """All tokens, as rendered with special tokens visible. About half a second for 150,000 of them."""
    binding = library()
    n_tokens: int = binding.llama_vocab_n_tokens(vocab_ptr)
    attribute = fast("llama_vocab_get_attr", ctypes.c_int, ctypes.c_void_p, ctypes.c_int32)
    is_eog = fast("llama_vocab_is_eog", ctypes.c_bool, ctypes.c_void_p, ctypes.c_int32)
    attributes = [attribute(vocab_ptr, token) for token in range(n_tokens)]
    add_bos = bool(binding.llama_vocab_get_add_bos(vocab_ptr))
    bos, eos = binding.llama_vocab_bos(vocab_ptr), binding.llama_vocab_eos(vocab_ptr)
    return Vocabulary(
        pieces=_pieces(vocab_ptr, n_tokens),
        control=frozenset(token for token, bits in enumerate(attributes) if bits & (_CONTROL | _UNKNOWN)),
        user_defined=frozenset(token for token, bits in enumerate(attributes) if bits & _USER_DEFINED),
        eog=frozenset(token for token in range(n_tokens) if is_eog(vocab_ptr, token)),
        # For a file that names none llama.cpp has a number of its own, which is any word of the vocabulary.
        bos=bos if bos != _NO_TOKEN and (add_bos or attributes[bos] & _CONTROL) else None,
        eos=None if eos == _NO_TOKEN else eos,
        add_bos=add_bos,
        suppressed=_suppressed(vocab_ptr),
    )


def _pieces(vocab_ptr: int, n_tokens: int) -> tuple[bytes, ...]:
    arguments = (ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_bool)
    to_piece = fast("llama_token_to_piece", ctypes.c_int32, *arguments)
    buffer = ctypes.create_string_buffer(256)
    pieces = []
    for token in range(n_tokens):
        n_bytes = to_piece(vocab_ptr, token, buffer, len(buffer), 0, True)
        if n_bytes < 0:  # too long for the buffer: the answer is the length that it needs
            buffer = ctypes.create_string_buffer(-n_bytes)
            n_bytes = to_piece(vocab_ptr, token, buffer, len(buffer), 0, True)
        pieces.append(buffer.raw[:n_bytes])
    return tuple(pieces)


def _suppressed(vocab_ptr: int) -> frozenset[int]:
    """Tokens that the model's maker forbids in output; llama.cpp's own programs give them a bias of minus infinity."""
    n_tokens = ctypes.c_int32()
    tokens = library().llama_vocab_get_suppress_tokens(vocab_ptr, ctypes.byref(n_tokens))
    return frozenset(tokens[index] for index in range(n_tokens.value))
