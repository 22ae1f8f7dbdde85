"""llguidance: Earley parsing over lexemes, masks in microseconds, and the tokens that a grammar forces."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.constraint.protocol import Mask
from engine.constraint.tokens import TokenKinds, clear_bits, has_bit, set_bits
from engine.errors import ConstraintError
from grammars.lark import to_lark
from grammars.nodes import Node

if TYPE_CHECKING:
    from engine.llama import Model


_SPECIAL = b"\xff"  # what llguidance marks a special token with, as in b"\xff[12]"
# It takes forced tokens back for a longer one that a vocabulary has, but looks at its last four only (toktrie's
# max_token_lookback). A text of four bytes is within them.
_LOOKED_AT = 4


class LlguidanceBackend:
    """Implements `Backend`. Reading the vocabulary takes most of a second at 150,000 tokens; make it once a model."""

    name = "llguidance"

    def __init__(self, model: Model) -> None:
        self.version = version("llguidance")
        self.kinds = TokenKinds(model.vocabulary())
        if not self.kinds.vocabulary.eog:
            raise ConstraintError("the model has no end-of-generation token; llguidance needs one")
        self._model = model  # the tokenizer keeps a pointer into it
        self._tokenizer = self._read_tokenizer(model.vocab_ptr)

    def _read_tokenizer(self, vocab_ptr: int) -> Any:
        """As `llguidance.llamacpp` makes it, from pieces that are read already; it tokenizes as llama.cpp does."""
        from llguidance import LLTokenizer

        from engine.llama.library import address

        pieces, structural = self.kinds.vocabulary.pieces, self.kinds.structural
        return LLTokenizer.from_llamacpp(
            tokens=[_SPECIAL + piece if token in structural else piece for token, piece in enumerate(pieces)],
            vocab_ptr=vocab_ptr,
            tokenize_fptr=address("llama_tokenize"),
            eos_token=self.kinds.end.tolist(),
            slices=None,
        )

    def compile(self, root: Node) -> LlguidanceCompiled:
        from llguidance import LLMatcher

        text = to_lark(root, self.kinds.marker_ids(root))
        matcher = LLMatcher(self._tokenizer, text, log_level=0)
        if matcher.is_error():
            raise ConstraintError(f"llguidance does not accept the grammar: {_first_line(matcher.get_error())}")
        warnings = matcher.get_grammar_warnings()
        if warnings:  # it would go on, enforcing less than was asked
            raise ConstraintError(f"llguidance would not enforce all of the grammar: {_first_line(warnings[0])}")
        return LlguidanceCompiled(text, matcher, self.kinds)


class LlguidanceCompiled:
    """Implements `Compiled`."""

    def __init__(self, text: str, matcher: Any, kinds: TokenKinds) -> None:
        self.text = text
        self._matcher, self._kinds = matcher, kinds

    def start(self) -> LlguidanceConstraint:
        return LlguidanceConstraint(self._matcher.deep_copy(), self._kinds)


class LlguidanceConstraint:
    """Implements `Constraint`.

    Where the next bytes are certain, only the tokens of their canonical segmentation are allowed: so llguidance makes
    its masks, and `allows` and `forced` say the same. Where a longer token could write the end of them and more, any
    segmentation is allowed from its beginning on.
    """

    def __init__(self, matcher: Any, kinds: TokenKinds) -> None:
        self._matcher, self._kinds = matcher, kinds
        self._mask: Mask | None = None
        self._forced: list[int] | None = None
        self._otherwise: list[int] = []  # instead of the token that llguidance would force

    def allows(self, token: int) -> bool:
        if token in self._kinds.vocabulary.eog:
            return self.complete
        if self._mask is not None:
            return has_bit(self._mask, token)
        if forced := self.forced():
            return token == forced[0]
        if self._otherwise:
            return has_bit(self.mask(), token)
        allowed: bool = self._matcher.validate_tokens([token]) == 1
        return allowed

    def mask(self) -> Mask:
        if self._mask is None:
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint32).copy()
            self._check()
            if (forced := self.forced()) and not has_bit(self._mask, forced[0]):
                self._mask[:] = 0
                set_bits(self._mask, np.array(forced[:1]))
            set_bits(self._mask, np.array(self._otherwise, dtype=np.int32))
            (set_bits if self.complete else clear_bits)(self._mask, self._kinds.end)
        return self._mask

    def accept(self, token: int) -> None:
        self._mask = self._forced = None
        self._otherwise = []
        if not self._matcher.consume_token(token):
            raise ConstraintError(
                f"llguidance does not allow token {token} here: {_first_line(self._matcher.get_error())}"
            )

    def forced(self) -> list[int]:
        if self._forced is None:
            self._forced = [] if self.complete else self._certain()
            self._check()
        return self._forced

    def _certain(self) -> list[int]:
        """What llguidance forces, as far as its own grammar takes it.

        Its tokenizer puts a marker in the place of a text that looks like one, and a space in that of a U+2581.
        """
        tokens: list[int] = self._matcher.compute_ff_tokens()
        n_valid = self._matcher.validate_tokens(tokens) if tokens else 0
        if n_valid == len(tokens):
            return self._short_of_longer(tokens)
        return tokens[:n_valid] or self._kinds.spelled(self._certain_bytes().partition(_SPECIAL)[0]) or []

    def _short_of_longer(self, tokens: list[int]) -> list[int]:
        """Those tokens behind which no longer one could write the rest of what is certain, and go on.

        From there on the model may cut the certain text as it likes.
        """
        pieces, structural = self._kinds.vocabulary.pieces, self._kinds.structural
        n_kept = max((index + 1 for index, token in enumerate(tokens) if token in structural), default=0)
        _, marker, rest = self._certain_bytes().rpartition(_SPECIAL)
        if marker:
            rest = rest.partition(b"]")[2] if n_kept else b""  # a text before a marker ends there
        start = self._start_of_longer(tokens[:n_kept], rest)
        if start is None:
            return tokens
        size = 0
        while n_kept < len(tokens) and (size := size + len(pieces[tokens[n_kept]])) <= start:
            n_kept += 1
        if n_kept == 0:
            going_on = [token for token in self._kinds.beyond(rest) if self._takes([token])]
            self._otherwise = self._kinds.within(rest) + going_on
        return tokens[:n_kept]

    def _start_of_longer(self, markers: list[int], rest: bytes) -> int | None:
        """Where in the certain text behind some markers a token may begin that goes beyond it."""
        for start in range(len(rest) - _LOOKED_AT):
            if longer := self._kinds.beyond(rest[start:]):
                before = [*markers, *(self._kinds.spelled(rest[:start]) or ())]
                if any(self._takes([*before, token]) for token in longer):
                    return start
        return None

    def _takes(self, tokens: list[int]) -> bool:
        n_valid: int = self._matcher.validate_tokens(tokens)
        return n_valid == len(tokens)

    def _certain_bytes(self) -> bytes:
        data: bytes = self._matcher.compute_ff_bytes()
        return data

    def copy(self) -> LlguidanceConstraint:
        return LlguidanceConstraint(self._matcher.deep_copy(), self._kinds)

    @property
    def complete(self) -> bool:
        accepting: bool = self._matcher.is_accepting()
        return accepting

    @property
    def finished(self) -> bool:
        stopped: bool = self._matcher.is_stopped()
        return stopped

    def _check(self) -> None:
        """An error is a state here, in which everything is refused; it must not pass for an answer's end."""
        if self._matcher.is_error():
            raise ConstraintError(f"llguidance failed: {_first_line(self._matcher.get_error())}")


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]
