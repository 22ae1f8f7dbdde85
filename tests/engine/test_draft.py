"""What is drafted: where a text goes on, in which tokens, under which constraint, and how much of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoding.draft import FIRST_LENGTH, LONGEST, Drafter, Source
from engine.fake import VOCABULARY
from tests.engine.options import Options

USER = b"Send Maria Keller in Zurich the camera; it weighs 2 kg. Mail maria@mail.example."
SCHEMA = b'{"name": "send", "city": {"type": "string"}}\n'


@pytest.mark.parametrize(
    ("text", "guessed", "beginning"),
    [
        (USER + b'"to": "M', b"", b"ail maria@mail"),  # the last word that begins so
        (USER + b'"to": "Ma', b"", b"il maria@mail"),
        (USER + b'"to": "Mar', b"", b"ia Keller in Zurich"),
        (USER + b'"to": "Maria', b"", b" Keller in"),
        (USER + b'"to": "Maria', b" K", b"eller in"),
        (USER + b'"to": "', b"", b""),  # nothing is known of the value yet
        (USER + b'"to": "aria', b"", b""),  # stands within words only
        (USER + b'"to": "X', b"", b""),
        (SCHEMA + USER + b'{"name": "send", "', b"", b'city": {"type"'),
        (SCHEMA + USER + b'{"name": "send", "city": "Zu', b"", b"rich the camera"),
        (b"Oslo or Rome? Oslo, then Rome", b"", b"? Oslo, then"),
        (b"a b c a b c a b", b"", b" c a b"),
        ("in Zürich. Z".encode(), b"", "ürich. Z".encode()),
        ("我想去东京旅行。city: 东".encode(), b"", "京旅行".encode()),
        ("我想去东京旅行。city: 东京".encode()[:-1], b"", "京旅行".encode()[2:]),  # half a character goes on, too
        (b"", b"", b""),
        (b"", b"a", b""),
        (b"a", b"", b""),
        (b"word", b"word", b""),  # nothing follows it
    ],
)
def test_a_text_goes_on_as_it_did_before(text: bytes, guessed: bytes, beginning: bytes) -> None:
    found = Source(text).after(guessed)
    assert found.startswith(beginning) and bool(found) == bool(beginning), found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (USER + b'"to": "Maria', b" Keller in Zurich the camera"),  # as far as the phrase goes
        (USER + b'"mail": "maria', b"@mail.example"),
        (b'{"city": "Zagreb"} ' + USER + b'{"city": "Z', b"urich the camera"),  # not where the same key had a value
        (b'{"city": "Zagreb"} ' + b'{"city": "Z', b"agreb"),
        (USER + b"<city>\nZ", b"urich the camera"),
        (USER + b'"kg": 2', b" kg"),
        (USER + b'{"name": "send", "', b""),
    ],
)
def test_a_value_is_looked_for_without_its_key_and_ends_with_a_phrase(text: bytes, found: bytes) -> None:
    assert Source(text).after(in_value=True) == found


@pytest.mark.parametrize(
    ("text", "in_value"),
    [
        (b"", False),
        (b"word", True),
        (b"some words, " * 9, True),
        (b'{"a": "', False),
        (b'{"a": "b', True),
        (b'{"a": "b c', True),
        (b'{"a": 7', True),
        (b'{"a": "b"', False),
        (b'{"a": "b"}', False),
        (b"<a>\n", False),
        (b"<a>\nb", True),
        (b"<a>\n\xc3\xa9", True),
        (b'"}\n</tool_call', False),
    ],
)
def test_a_value_begins_behind_a_quote_or_a_bracket_or_a_colon(text: bytes, in_value: bool) -> None:
    assert Source(text).in_value is in_value


def test_a_source_grows() -> None:
    source = Source(b"one two")
    for piece in (b" th", b"ree", b" one"):
        source.append(piece)
    assert source.after() == b" two three one"


words = st.lists(st.sampled_from([b"a", b"ab", b" ", b'"', b": ", b"7", "é".encode(), b"\xc3"]), max_size=40)


@given(words, words, st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_is_found_stands_behind_an_ending_of_the_text(
    text: list[bytes], guessed: list[bytes], in_value: bool
) -> None:
    whole, more = b"".join(text), b"".join(guessed)
    found = Source(whole).after(more, in_value=in_value)
    if found:
        ended = whole + more
        assert any(ended[place:] + found in whole for place in range(len(ended)))


def spell(data: bytes) -> list[int]:
    return list(data)


END = frozenset(VOCABULARY.eog)


def drafter(prompt: bytes) -> Drafter:
    return Drafter(prompt, VOCABULARY.pieces, spell, END)


def texts(draft: list[list[int]]) -> list[str]:
    return [VOCABULARY.text(part) for part in draft]


def test_a_free_draft_is_as_long_as_drafts_are_now() -> None:
    assert texts(drafter(USER).propose(list(b"to Mar"), 99, None, use_forced=False)) == ["i", "a", " ", "K"]


def test_a_draft_goes_on_behind_the_window_it_was_read_from() -> None:
    one = drafter(b"".join(b"%04d " % number for number in range(100)))
    written = list(b"0003 0")
    one.propose(written, 99, None, use_forced=False)
    one.learn(LONGEST, LONGEST)
    for _ in range(12):
        draft = one.propose(written, 99, None, use_forced=False)
        assert len(draft) == LONGEST
        written += [token for part in draft for token in part]
    assert VOCABULARY.text(written) == "".join(f"{number:04} " for number in range(3, 100))[: len(written)]


@pytest.mark.parametrize(
    ("options", "written", "draft"),
    [
        (("Maria Keller", "Mark"), "Mar", ["ia Keller"]),  # all of the rest is forced behind the choice
        (("Maria Keller", "Maria Huber", "Mark"), "Mar", ["i", "a", " ", "Keller"]),
        (("Mars", "Marble"), "Mar", []),  # what stands in the prompt is not allowed
        (("Mari", "Mario"), "Mar", ["i"]),  # it may end there, and that is not drafted
    ],
)
def test_a_constraint_ends_a_draft_and_adds_what_it_forces(
    options: tuple[str, ...], written: str, draft: list[str]
) -> None:
    def ahead() -> Options:
        return Options(VOCABULARY, lambda text: list(text.encode()), options)

    state = ahead().start()
    for token in written.encode():
        state.accept(token)
    tokens = list(written.encode())
    assert texts(drafter(USER).propose(tokens, 99, state.copy(), use_forced=True)) == draft
    unforced = texts(drafter(USER).propose(tokens, 99, state.copy(), use_forced=False))
    assert unforced == list("".join(draft))[: FIRST_LENGTH[True]]
    assert bytes(state.accepted).decode() == written, "only the copy has moved"


@pytest.mark.parametrize(("n_tokens", "draft"), [(-1, []), (0, []), (1, ["i"]), (3, ["i", "a", " "])])
def test_a_draft_keeps_to_its_room(n_tokens: int, draft: list[str]) -> None:
    assert texts(drafter(USER).propose(list(b"Mar"), n_tokens, None, use_forced=False)) == draft


def test_a_forced_part_without_room_is_not_drafted_in_half() -> None:
    options = Options(VOCABULARY, lambda text: list(text.encode()), ("Maria Keller", "Mark"))
    for n_tokens, draft in ((8, []), (9, ["ia Keller"])):
        state = options.start()
        for token in b"Mar":
            state.accept(token)
        assert texts(drafter(USER).propose(list(b"Mar"), n_tokens, state, use_forced=True)) == draft


def test_the_end_of_an_answer_is_never_drafted() -> None:
    end = VOCABULARY.eos
    assert end is not None
    one = Drafter(b"said so<|im_end|> and ", VOCABULARY.pieces, lambda data: [101, end, 102], END)
    assert one.propose(list(b"sai"), 99, None, use_forced=False) == [[101]]


def test_drafts_grow_with_success_and_shrink_without() -> None:
    one = drafter(b"ab " * 100)
    lengths = [len(one.propose(list(b"ab"), 99, None, use_forced=False))]
    for n_accepted in (4, 8, 16, 16, 9, 7, 2, 0, 0, 0, 0):
        one.learn(lengths[-1], min(n_accepted, lengths[-1]))
        lengths.append(len(one.propose(list(b"ab"), 99, None, use_forced=False)))
    assert lengths == [4, 8, 16, 16, 16, 16, 8, 4, 2, 1, 1, 1]
    one.learn(1, 1)
    assert len(one.propose(list(b"ab"), 99, None, use_forced=False)) == 2
    assert (one.n_drafted, one.n_accepted) == (sum(lengths[:-1]) + 1, 4 + 8 + 16 + 16 + 9 + 7 + 2 + 1)


def test_a_short_draft_that_was_right_does_not_shorten_the_next() -> None:
    one = drafter(USER)
    assert len(one.propose(list(b"to Mar"), 1, None, use_forced=False)) == 1
    one.learn(1, 1)
    assert len(one.propose(list(b"to Mar"), 99, None, use_forced=False)) == FIRST_LENGTH[True]


def test_what_stands_between_values_has_a_length_of_its_own() -> None:
    """The same call again: its structure is drafted in pieces that grow, and values in between tell nothing of it."""
    call = b'{"name": "send", "city": "Rome"} '
    one = drafter(call * 3)
    written, drafts = list(call + b'{"name"'), []
    while len(written) < 2 * len(call) - 2:
        draft = one.propose(written, 99, None, use_forced=False)
        one.learn(len(draft), len(draft))
        drafts.append("".join(texts(draft)))
        # what is not drafted is written one by one
        written += [token for part in draft for token in part] or [call[len(written) - len(call)]]
    assert drafts == [": ", '"sen', "d", "", ', "city"', ': "Rome"} {"name']
