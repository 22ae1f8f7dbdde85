"""What a chat template does with the model's own past turns, asked of the template itself, and turns to suit it.

    habits = Habits(render)
    turns = habits.suited(turns, write)

Some makers' templates show no calls (Hammer 2.1), put what was said before a call behind its result and end the turn
there (Gemma 4), or refuse a turn in which nothing was said (Ministral 3). A conversation that a model was in must not
break on any of that. Each question is asked once, when it first matters. Knows no format; calls are written by whoever
knows one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from engine.errors import TemplateError
from engine.turns import Turn, native_messages
from engine.types import Call, Message, Tool

_SOUGHT: Final = "Reykjavik"  # stands in the arguments of a call and nowhere else
_PLACE: Final = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOL: Final = Tool("look_up", "Looks something up.", _PLACE)
_ASK: Final = Message("user", "Is it warm there?")
_ANSWER: Final = Message("tool", '{"warm": true}', name=TOOL.name)
_SILENCE: Final = " "


@dataclass(frozen=True)
class Habits:
    """Those of one template. `render` gives the prompt after some turns, with `TOOL` on offer."""

    render: Callable[[Sequence[Turn]], str]

    @cached_property
    def shows_calls(self) -> bool:
        """Whether the model is shown the calls that it made."""
        prompt = self._after_a_call()
        return prompt is None or _SOUGHT in prompt

    @cached_property
    def keeps_words(self) -> bool:
        """Whether words before a call can be shown: with them, call and result are followed by the same as without."""
        prompt, with_words = self._after_a_call(), self._after_a_call("Let me see.")
        return prompt is None or (with_words is not None and _behind_call(prompt) == _behind_call(with_words))

    @cached_property
    def takes_silence(self) -> bool:
        """Whether a turn may be empty; true, too, where a space in it would not help."""
        return self._after_saying("") is not None or self._after_saying(_SILENCE) is None

    def suited(self, turns: Sequence[Turn], write: Callable[[Sequence[Call]], str]) -> list[Turn]:
        """The conversation as the template can show it; `write` makes text of calls where it cannot."""
        return list(self._suited(turns, write))

    def _suited(self, turns: Sequence[Turn], write: Callable[[Sequence[Call]], str]) -> Iterator[Turn]:
        for turn in turns:
            if turn.get("tool_calls"):
                if not self.shows_calls:
                    yield _in_words(turn, write)
                    continue
                if turn["content"] and not self.keeps_words:
                    turn = turn | {"content": ""}
            elif turn["role"] == "assistant" and not turn["content"] and not self.takes_silence:
                turn = turn | {"content": _SILENCE}
            yield turn

    def _after_a_call(self, words: str = "") -> str | None:
        return self._after(_ASK, Message("assistant", words, (Call(TOOL.name, {"place": _SOUGHT}),)), _ANSWER)

    def _after_saying(self, words: str) -> str | None:
        return self._after(_ASK, Message("assistant", words), _ASK)

    def _after(self, *messages: Message) -> str | None:
        """The prompt; None: the template refuses the conversation, which is for the real one to report."""
        try:
            return self.render(list(native_messages(messages)))
        except TemplateError:
            return None


def _behind_call(prompt: str) -> str:
    return prompt[prompt.rfind(_SOUGHT) :]


def _in_words(turn: Turn, write: Callable[[Sequence[Call]], str]) -> Turn:
    functions = [call["function"] for call in turn["tool_calls"]]
    text = write([Call(function["name"], function["arguments"]) for function in functions])
    rest = {key: value for key, value in turn.items() if key != "tool_calls"}
    return rest | {"content": f"{turn['content']}\n{text}" if turn["content"] else text}
