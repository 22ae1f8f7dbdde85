"""What a chat template does with the model's own past turns, asked of the template itself, and turns to suit it.

    habits = Habits(render)
    turns = habits.suited(turns, write)

Some makers' templates show no calls (Hammer 2.1), leave out what was said before a call (Llama 3.1) or put it behind
the result and end the turn there (Gemma 4), refuse a turn in which nothing was said (Ministral 3), forget the system
message once a tool has answered (Mistral Nemo), know no turn of a tool (Gemma 4's first) or write a result that is text
as a quoted string (gpt-oss). A conversation that a model was in must not break on any of that. Each question is asked
once, when it first matters. Knows no format; calls are written by whoever knows one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, Final

from engine.errors import TemplateError
from engine.formats.strict import Value, read, skip
from engine.turns import Turn, native_messages, with_joined_results, with_system_beside_user
from engine.types import Call, Message, Tool

_SOUGHT: Final = "Reykjavik"  # stands in the arguments of a call and nowhere else
_PLACE: Final = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOL: Final = Tool("look_up", "Looks something up.", _PLACE)
_CALL: Final = Call(TOOL.name, {"place": _SOUGHT})
_RULE: Final = Message("system", "Speak like a lighthouse keeper.")
_ASK: Final = Message("user", "Is it warm there?")
_WORDS: Final = "Let me see."
_ANSWER: Final = Message("tool", '{"warm": true}', name=TOOL.name)
_TOLD: Final = "Tromso"  # stands in a result and nowhere else
_NOBODY: Final = "stranger"  # a role that no template knows
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
        """Whether words before a call are shown, and call and result are followed by the same as without them."""
        prompt, with_words = self._after_a_call(), self._after_a_call(_WORDS) or ""
        return prompt is None or (_WORDS in with_words and _behind_call(prompt) == _behind_call(with_words))

    @cached_property
    def takes_silence(self) -> bool:
        """Whether a turn may be empty; true, too, where a space in it would not help."""
        return self._after_saying("") is not None or self._after_saying(_SILENCE) is None

    @cached_property
    def forgets_system(self) -> bool:
        """Whether the system message is shown at first, not behind a result, and there with the user's words."""
        answered = list(native_messages((_RULE, _ASK, Message("assistant", calls=(_CALL,)), _ANSWER)))
        shown = (self._after(_RULE, _ASK), self._asked(answered), self._asked(with_system_beside_user(answered)))
        return [prompt is not None and _RULE.content in prompt for prompt in shown] == [True, False, True]

    @cached_property
    def joins_results(self) -> bool:
        """Whether a `tool` is a stranger to the template, which reads results from the turn that made the calls."""
        turns = list(native_messages((_ASK, Message("assistant", calls=(_CALL,)), _ANSWER)))
        turns[-1]["content"] = _TOLD
        if _TOLD not in (self._asked(with_joined_results(turns)) or ""):
            return False
        stranger = self._asked([*turns[:-1], turns[-1] | {"role": _NOBODY}])
        return stranger is not None and stranger.replace(_NOBODY, "tool") == self._asked(turns)

    @cached_property
    def reads_objects(self) -> bool:
        """Whether a result had better be an object: text is quoted like the texts within one, JSON or not."""
        return _between_the_same_quotes(self._after_result(_TOLD), self._after_result({"place": _TOLD}))

    @cached_property
    def reads_lists(self) -> bool:
        """Whether a result had better be a list, if it is one."""
        return _between_the_same_quotes(self._after_result(_TOLD), self._after_result([_TOLD]))

    def with_values(self, turns: Sequence[Turn]) -> list[Turn]:
        """The conversation with results as the objects and lists that they are, where their text would be quoted."""
        return [self._with_value(turn) if turn["role"] == "tool" else turn for turn in turns]

    def _with_value(self, turn: Turn) -> Turn:
        text = turn["content"]
        match read(text, 0):
            case Value(dict() | list() as value, end) if skip(text, end) == len(text):
                is_read = self.reads_objects if isinstance(value, dict) else self.reads_lists
                return turn | {"content": value} if is_read else turn
        return turn

    def suited(self, turns: Sequence[Turn], write: Callable[[Sequence[Call]], str]) -> list[Turn]:
        """The conversation as the template can show it; `write` makes text of calls where it cannot."""
        answered = any(turn["role"] == "tool" for turn in turns)
        if answered and turns[0]["role"] == "system" and turns[-1]["role"] != "user" and self.forgets_system:
            turns = with_system_beside_user(turns)
        suited = list(self._suited(turns, write))
        return with_joined_results(suited) if answered and self.joins_results else suited

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
        return self._after(_ASK, Message("assistant", words, (_CALL,)), _ANSWER)

    def _after_result(self, content: Any) -> str:
        turns = list(native_messages((_ASK, Message("assistant", calls=(_CALL,)), _ANSWER)))
        turns[-1]["content"] = content
        return self._asked(with_joined_results(turns) if self.joins_results else turns) or ""

    def _after_saying(self, words: str) -> str | None:
        return self._after(_ASK, Message("assistant", words), _ASK)

    def _after(self, *messages: Message) -> str | None:
        return self._asked(list(native_messages(messages)))

    def _asked(self, turns: Sequence[Turn]) -> str | None:
        """The prompt; None: the template refuses the conversation, which is for the real one to report."""
        try:
            return self.render(turns)
        except TemplateError:
            return None


def _behind_call(prompt: str) -> str:
    return prompt[prompt.rfind(_SOUGHT) :]


def _between_the_same_quotes(prompt: str, other: str) -> bool:
    """Whether what was told stands in both between quotes, and between the same."""
    (before, _, after), (before_too, _, after_too) = prompt.rpartition(_TOLD), other.rpartition(_TOLD)
    return '"' in _shared(before[::-1], before_too[::-1]) and '"' in _shared(after, after_too)


def _shared(text: str, other: str) -> str:
    """What both begin with."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(text, other, strict=False))
    return "".join(character for character, _ in pairs)


def _in_words(turn: Turn, write: Callable[[Sequence[Call]], str]) -> Turn:
    functions = [call["function"] for call in turn["tool_calls"]]
    text = write([Call(function["name"], function["arguments"]) for function in functions])
    rest = {key: value for key, value in turn.items() if key != "tool_calls"}
    return rest | {"content": f"{turn['content']}\n{text}" if turn["content"] else text}
