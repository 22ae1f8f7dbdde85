"""A tiny hybrid model for tests: one recurrent and one attention layer (Jamba) around the tiny vocabulary.

Hybrid models cannot forget part of a sequence, which is what makes sharing prefixes delicate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from tests.tiny_gguf import vocabulary

WIDTH, CONV, STATE, RANK = 32, 4, 16, 4


def write_tiny_hybrid(path: Path, seed: int = 0) -> Path:
    writer = GGUFWriter(path, "jamba")
    tokens, kinds, merges = vocabulary()
    writer.add_context_length(1024)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(2)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv([0, 1])  # no head: a recurrent layer
    writer.add_ssm_conv_kernel(CONV)
    writer.add_ssm_inner_size(2 * WIDTH)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    _add_tensors(writer, len(tokens), np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tensors(writer: GGUFWriter, n_vocab: int, rng: np.random.Generator) -> None:
    def noise(name: str, *shape: int) -> None:
        writer.add_tensor(name, rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1])))

    def ones(name: str, *shape: int) -> None:
        writer.add_tensor(name, np.ones(shape, dtype=np.float32))

    inner = 2 * WIDTH
    noise("token_embd.weight", n_vocab, WIDTH)
    ones("output_norm.weight", WIDTH)
    noise("output.weight", n_vocab, WIDTH)
    for layer in range(2):
        ones(f"blk.{layer}.attn_norm.weight", WIDTH)
        ones(f"blk.{layer}.ffn_norm.weight", WIDTH)
        noise(f"blk.{layer}.ffn_gate.weight", inner, WIDTH)
        noise(f"blk.{layer}.ffn_up.weight", inner, WIDTH)
        noise(f"blk.{layer}.ffn_down.weight", WIDTH, inner)
    noise("blk.0.ssm_in.weight", 2 * inner, WIDTH)
    noise("blk.0.ssm_conv1d.weight", inner, CONV)
    noise("blk.0.ssm_conv1d.bias", inner)
    noise("blk.0.ssm_x.weight", RANK + 2 * STATE, inner)
    for name, size in (("dt", RANK), ("b", STATE), ("c", STATE)):
        ones(f"blk.0.ssm_{name}_norm.weight", size)
    noise("blk.0.ssm_dt.weight", inner, RANK)
    noise("blk.0.ssm_dt.bias", inner)
    writer.add_tensor("blk.0.ssm_a", -np.tile(np.arange(1, STATE + 1, dtype=np.float32), (inner, 1)))
    ones("blk.0.ssm_d", inner)
    noise("blk.0.ssm_out.weight", WIDTH, inner)
    noise("blk.1.attn_q.weight", WIDTH, WIDTH)
    noise("blk.1.attn_k.weight", WIDTH // 2, WIDTH)
    noise("blk.1.attn_v.weight", WIDTH // 2, WIDTH)
    noise("blk.1.attn_output.weight", WIDTH, WIDTH)
