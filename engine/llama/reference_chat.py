"""The reference loop for whole suites: the binding's `create_chat_completion`, as its documentation shows.

Nothing but `bench.perf` uses it. The template is the model's own, rendered by the binding, and like any of its users
this keeps what the binding keeps: the cache of the last prompt and answer, of which the next prompt's common beginning
is not decoded again. Answers are read from that cache, because the binding leaves control tokens out of its texts, and
in some formats those mark the calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import ToolgaugeError
from engine.llama.context import Context
from engine.llama.grammar import GrammarSampler
from engine.llama.model import Model
from engine.llama.reference import open_binding


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """`text` keeps special tokens; where the answer is cut, it lacks the last one, which the binding never decodes."""

    text: str
    is_cut: bool  # by the limit of tokens, or by the context
    n_tokens: int  # without the one that ended it
    prompt: str
    n_prompt: int
    n_cached: int  # prompt tokens that were not decoded again


class ChatLoop:
    """`llama_cpp.Llama.create_chat_completion`, greedy."""

    def __init__(self, model: Model, context: Context) -> None:
        """Loads the file of `model` again, with the settings of `context`."""
        self._model, self._llama = model, open_binding(model, context)

    def close(self) -> None:
        self._llama.close()

    def forget(self) -> None:
        """Keep nothing of the last prompt."""
        self._llama.reset()

    def schema_grammar(self, schema: Mapping[str, Any]) -> Any:
        """What the binding's own converter makes of a schema, as `response_format` has it made for each call.

        Raises `ToolgaugeError` where it makes none, or one that llama.cpp does not accept: `response_format` would
        quietly fall back to any JSON at the one, and the other would be a segmentation fault.
        """
        from llama_cpp import LlamaGrammar

        try:
            grammar = LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
        except (AssertionError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ToolgaugeError(f"the binding's converter makes no grammar of the schema ({reason})") from error
        return self._checked(grammar)

    def text_grammar(self, gbnf: str) -> Any:
        """A grammar that a user of the binding would have written; `ConstraintError` where it is not accepted."""
        from llama_cpp import LlamaGrammar

        return self._checked(LlamaGrammar.from_string(gbnf, verbose=False))

    def _checked(self, grammar: Any) -> Any:
        GrammarSampler(self._model, grammar._grammar)
        return grammar

    def answer(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        n_tokens: int,
        grammar: Any = None,
    ) -> ChatAnswer:
        """Answer once, with at most `n_tokens`; raises `ToolgaugeError` when the binding does not."""
        llama = self._llama
        before = llama.input_ids[: llama.n_tokens].copy()
        try:
            completion = llama.create_chat_completion(
                list(messages), tools=tools, max_tokens=n_tokens, temperature=0.0, grammar=grammar
            )
        except (ValueError, RuntimeError) as error:  # too long a prompt; a template's own words
            raise ToolgaugeError(f"the binding gives no answer: {error}") from error
        usage = completion["usage"]
        n_prompt = int(usage["prompt_tokens"])
        known, text = llama.input_ids[: llama.n_tokens], self._model.vocabulary().text
        return ChatAnswer(
            text=text(known[n_prompt:].tolist()),
            is_cut=completion["choices"][0]["finish_reason"] == "length",
            n_tokens=int(usage["completion_tokens"]),
            prompt=text(known[:n_prompt].tolist()),
            n_prompt=n_prompt,
            n_cached=min(_n_common(before, known[:n_prompt]), n_prompt - 1),
        )


def _n_common(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> int:
    n = min(len(first), len(second))
    differs = np.flatnonzero(first[:n] != second[:n])
    return int(differs[0]) if len(differs) else n
