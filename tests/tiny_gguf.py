"""Tiny GGUF files for tests: a vocabulary of its own making, and a model with random weights around it.

The vocabulary is a byte-level BPE with every byte, a few hundred merges learned from the text below, and the special
tokens of the Qwen family: control, user-defined markers, and a user-defined piece of ordinary JSON. The model is a
Qwen3 of two layers; it loads in milliseconds, decodes noise, and always the same noise for the same seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "[TOOL_CALLS]")
USER_DEFINED = ("<tool_call>", "</tool_call>", "<think>", "</think>", '", "arguments": {"')
N_MERGES = 300

CHAT_TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}
{%- for tool in tools %}{{ tool.function | tojson + '\\n' }}{% endfor %}{{ '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' and message.tool_calls %}{{ '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls %}{{ '\\n' if not loop.first }}{{ '<tool_call>\\n{"name": "' + call.function.name
 + '", "arguments": ' + call.function.arguments | tojson + '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}{{ '<|im_start|>user\\n<tool_response>\\n' + message.content
 + '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role != 'system' %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

_CORPUS = """\
What is the weather in Paris today? Please call a tool when you need one, and answer in one short sentence otherwise.
{"name": "get_weather", "arguments": {"city": "Paris", "days": 2, "unit": "celsius"}}
{"name": "send_email", "arguments": {"to": "ann@example.org", "subject": "Meeting", "body": "See you on Monday."}}
{"name": "create_event", "arguments": {"title": "Lunch", "date": "2025-03-14", "time": "12:30", "guests": ["Bo"]}}
{"calls": [{"name": "convert_currency", "arguments": {"amount": 12.5, "from": "EUR", "to": "USD"}}], "reply": ""}
{"calls": [], "reply": "I cannot help with that; which city do you mean?"}
{"type": "object", "properties": {"city": {"type": "string", "description": "The name of the city."}}}
{"type": "integer", "minimum": 0, "maximum": 100, "enum": ["red", "green", "blue"], "required": ["city"], "items": {}}
The result of the tool is true, false or null; the function was called with the value 1234567890 and the answer is no.
"""


def write_tiny_vocab(path: Path, more: Mapping[str, TokenType] = MappingProxyType({}), pre: str = "qwen2") -> Path:
    """A GGUF that holds only the vocabulary (load it with `vocab_only=True`), with `more` tokens at its end.

    `pre`: llama.cpp's name of the way in which texts are split into words.
    """
    writer = GGUFWriter(path, "qwen3")
    _add_header(writer, context=2048, width=64, chat_template=CHAT_TEMPLATE, more=more, pre=pre)
    _finish(writer)
    return path


def write_tiny_model(
    path: Path,
    seed: int = 0,
    context: int = 2048,
    chat_template: str | None = CHAT_TEMPLATE,
    width: int = 64,
    more: Mapping[str, TokenType] = MappingProxyType({}),
    name: str = "tiny",
) -> Path:
    """A whole F16 model with random weights. With `width` 256 every matrix can be quantized to every level."""
    writer = GGUFWriter(path, "qwen3")
    _add_header(writer, context=context, width=width, chat_template=chat_template, more=more, name=name)
    writer.add_file_type(1)  # mostly F16
    rng = np.random.default_rng(seed)
    head, n_vocab = width // 2, len(vocabulary()[0]) + len(more)

    def matrix(name: str, rows: int, columns: int) -> None:
        weights = rng.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns)
        writer.add_tensor(f"{name}.weight", weights.astype(np.float16))

    def norm(name: str, size: int) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(size, dtype=np.float32), raw_dtype=GGMLQuantizationType.F32)

    matrix("token_embd", n_vocab, width)
    norm("output_norm", width)
    matrix("output", n_vocab, width)
    for layer in range(2):
        block = f"blk.{layer}"
        for name, size in (("attn_norm", width), ("ffn_norm", width), ("attn_q_norm", head), ("attn_k_norm", head)):
            norm(f"{block}.{name}", size)
        matrix(f"{block}.attn_q", 2 * head, width)
        matrix(f"{block}.attn_k", head, width)
        matrix(f"{block}.attn_v", head, width)
        matrix(f"{block}.attn_output", width, 2 * head)
        matrix(f"{block}.ffn_gate", 2 * width, width)
        matrix(f"{block}.ffn_up", 2 * width, width)
        matrix(f"{block}.ffn_down", width, 2 * width)
    _finish(writer)
    return path


def _add_header(
    writer: Any,
    *,
    context: int,
    width: int,
    chat_template: str | None,
    more: Mapping[str, TokenType] = MappingProxyType({}),
    pre: str = "qwen2",
    name: str = "tiny",
) -> None:
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(width // 2)
    writer.add_value_length(width // 2)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    tokens, kinds, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*tokens, *more])
    writer.add_token_types([*kinds, *more.values()])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@cache
def vocabulary() -> tuple[list[str], list[int], list[str]]:
    """Tokens in GPT-2's byte alphabet, their types, and the merges in order."""
    letters = _byte_letters()
    found = re.findall(r" ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s+", _CORPUS)
    words = Counter(tuple(letters[byte] for byte in word.encode()) for word in found)
    tokens = [letters[byte] for byte in range(256)]
    merges = []
    for _ in range(N_MERGES):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if pairs.total() == len(pairs):
            break  # nothing occurs twice any more
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(" ".join(best))
        if "".join(best) not in tokens:
            tokens.append("".join(best))
        words = Counter({_merge(word, best): count for word, count in words.items()})
    kinds = [TokenType.NORMAL] * len(tokens)
    kinds += [TokenType.CONTROL] * len(CONTROL) + [TokenType.USER_DEFINED] * len(USER_DEFINED)
    return [*tokens, *CONTROL, *USER_DEFINED], kinds, merges


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for letter in word:
        if merged and (merged[-1], letter) == pair:
            merged[-1] += letter
        else:
            merged.append(letter)
    return tuple(merged)


def _byte_letters() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]
