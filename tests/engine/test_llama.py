from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConstraintError, ModelFileError, ToolgaugeError
from engine.llama import (
    Context,
    ContextParams,
    GrammarSampler,
    LoadParams,
    Model,
    build_info,
    devices,
    last_log_lines,
    load_model,
    supports_gpu,
    system_info,
)
from engine.llama import model as llama_model
from engine.llama.context import DecodeError
from engine.llama.library import binding
from engine.llama.params import default_threads
from engine.quantize import size_estimate
from tests.tiny_gguf import CHAT_TEMPLATE, CONTROL, USER_DEFINED, vocabulary, write_tiny_model, write_tiny_vocab

SMALL = ContextParams(n_ctx=256, n_batch=64, n_threads=1)


def decode(context: Context, tokens: list[int], position: int = 0, sequence: int = 0) -> np.ndarray:
    batch = context.batch()
    row = batch.add(tokens, position=position, sequence=sequence, n_outputs=1)
    context.decode(batch)
    context.synchronize()
    return context.logits(row).copy()


# Loading


@pytest.mark.parametrize(("before", "after"), [(None, "PCI_BUS_ID"), ("FASTEST_FIRST", "FASTEST_FIRST")])
def test_cuda_is_asked_for_nvmls_order_of_cards_before_the_binding_is_imported(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)  # importing it fails, and nothing behind that is done
    monkeypatch.setenv("CUDA_DEVICE_ORDER", before or "")
    if before is None:
        monkeypatch.delenv("CUDA_DEVICE_ORDER")
    with pytest.raises(ToolgaugeError, match="llama-cpp-python cannot be loaded"):
        binding.__wrapped__()
    assert os.environ["CUDA_DEVICE_ORDER"] == after


@pytest.mark.parametrize("has_amx", [False, True])
def test_weights_are_not_rearranged_for_amx_whose_kernels_may_crash(
    has_amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nano at Q8_0 on a Sapphire Rapids: the first prompt ended the process."""
    monkeypatch.setattr(llama_model, "has_amx", lambda: has_amx)
    native, _kept = llama_model._native_params(LoadParams(), None, [])
    assert native.use_extra_bufts is not has_amx


def test_a_models_facts_are_read(tiny_model: Model, tiny_path: Path) -> None:
    n_vocab = len(vocabulary()[0])
    assert (tiny_model.n_vocab, tiny_model.n_ctx_train, tiny_model.n_layer) == (n_vocab, 2048, 2)
    assert "qwen3" in tiny_model.description
    assert tiny_model.quantization == "F16"
    assert not tiny_model.is_recurrent and not tiny_model.is_hybrid
    assert 0 < tiny_model.size_bytes < tiny_path.stat().st_size
    assert tiny_model.size_bytes > tiny_model.n_params  # two bytes for most of them
    assert tiny_model.metadata["general.architecture"] == "qwen3"
    assert tiny_model.metadata["tokenizer.chat_template"] == CHAT_TEMPLATE  # longer than any fixed buffer
    assert tiny_model.chat_template() == CHAT_TEMPLATE
    assert tiny_model.chat_template("tool_use") is None
    assert tiny_model.load_s > 0


def test_buffers_are_reported_for_model_and_context(tiny_model: Model) -> None:
    sizes = {buffer.kind: buffer.n_bytes for buffer in tiny_model.buffers}
    assert sizes["model"] == pytest.approx(tiny_model.size_bytes, rel=0.05)
    with tiny_model.context(SMALL) as context:
        cache = {buffer.kind: buffer.n_bytes for buffer in context.buffers}
    assert set(cache) == {"kv", "compute", "output"}
    n_kv = 2 * 2 * 256 * 32 * 2  # layers, K and V, cells, width of the one KV head, bytes of a half
    assert cache["kv"] == pytest.approx(n_kv, abs=0.01 * 1024 * 1024)  # printed with two decimals


@pytest.mark.parametrize("n_bytes", [0, 3, 100, 20_000, -10_000])
def test_a_truncated_model_is_one_clear_error(tiny_path: Path, tmp_path: Path, n_bytes: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_path.read_bytes()[:n_bytes])
    with pytest.raises(ModelFileError) as error:
        load_model(cut, LoadParams(n_gpu_layers=0))
    assert str(cut) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_header_is_one_clear_error(tiny_path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    data = tiny_path.read_bytes()
    broken.write_bytes(data[:8] + b"\xff" * 16 + data[24:])
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        load_model(broken)


def test_what_is_no_model_file_is_said_plainly(tmp_path: Path) -> None:
    text = tmp_path / "notes.gguf"
    text.write_text("no model at all")
    for path, words in (
        (tmp_path / "nowhere.gguf", "there is no model file"),
        (text, "is not a GGUF file"),
        (tmp_path, "is not a file"),
        (tmp_path / ("x" * 300), r"cannot be read \(File name too long\)"),
    ):
        with pytest.raises(ModelFileError, match=words):
            load_model(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_file_name_need_not_be_utf_8(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"mod\xe9l.gguf")
    path.write_bytes(tiny_path.read_bytes())
    with load_model(path, LoadParams(vocab_only=True)) as model:
        assert model.n_vocab == len(vocabulary()[0])
    assert size_estimate(path, "Q8_0") == size_estimate(tiny_path, "Q8_0")


@pytest.mark.parametrize(("physical", "expected"), [(4, 4), (None, 16)])
def test_threads_are_the_physical_cores_or_all_where_those_are_not_known(
    physical: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda logical=True: 16 if logical else physical)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    assert default_threads.__wrapped__() == expected


def test_an_architecture_that_llama_cpp_does_not_know_is_named(tmp_path: Path) -> None:
    path = write_tiny_vocab(tmp_path / "vocab.gguf")
    path.write_bytes(path.read_bytes().replace(b"qwen3", b"qwenX"))
    with pytest.raises(ModelFileError, match="unknown model architecture: 'qwenX'"):
        load_model(path, LoadParams(vocab_only=True))


def test_loading_reports_its_progress(tiny_path: Path) -> None:
    fractions: list[float] = []
    load_model(tiny_path, LoadParams(n_gpu_layers=0), fractions.append).close()
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_an_exception_in_the_progress_stops_loading_and_arrives(tiny_path: Path) -> None:
    def interrupt(_fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(tiny_path, LoadParams(n_gpu_layers=0), interrupt)


def test_too_many_devices_are_refused(tiny_path: Path) -> None:
    with pytest.raises(ToolgaugeError, match="names 100 devices"):
        load_model(tiny_path, LoadParams(tensor_split=(1.0,) * 100))


def test_closing_a_model_closes_its_contexts(tiny_path: Path) -> None:
    model = load_model(tiny_path, LoadParams(n_gpu_layers=0, use_mmap=False))
    context = model.context(SMALL)
    model.close()
    model.close()
    context.close()


# Tokens


def test_the_vocabulary_is_read_byte_for_byte(tiny_model: Model) -> None:
    tokens = tiny_model.vocabulary()
    assert tokens.n_tokens == len(vocabulary()[0])
    assert {tokens.pieces[token].decode() for token in tokens.control} == set(CONTROL)
    assert {tokens.pieces[token].decode() for token in tokens.user_defined} == set(USER_DEFINED)
    assert {tokens.pieces[token].decode() for token in tokens.eog} >= {"<|im_end|>", "<|endoftext|>"}
    assert {bytes((byte,)) for byte in range(256)} <= set(tokens.pieces)
    assert tokens.eos in tokens.eog and not tokens.add_bos and not tokens.suppressed


@pytest.mark.parametrize("text", ["", "Hello", "Grüße 你好 🙂", "a\x00b", "\n\n  x", '{"name": "get_weather"}'])
def test_text_survives_tokenization(tiny_model: Model, text: str) -> None:
    assert tiny_model.vocabulary().text(tiny_model.tokenize(text)) == text


def test_markers_are_tokens_unless_told_otherwise(tiny_model: Model) -> None:
    control = tiny_model.vocabulary().token_of("<|im_end|>")
    assert tiny_model.tokenize("<|im_end|>") == [control]
    assert control not in tiny_model.tokenize("<|im_end|>", parse_special=False)


def test_a_lone_surrogate_does_not_stop_anything(tiny_model: Model) -> None:
    assert tiny_model.vocabulary().text(tiny_model.tokenize("a\ud800b")) == "a?b"


def test_pieces_longer_than_the_buffer_are_whole(tmp_path: Path) -> None:
    path = write_tiny_vocab(tmp_path / "vocab.gguf")
    with load_model(path, LoadParams(vocab_only=True)) as model:
        from engine.llama import vocab

        whole = vocab.read_vocabulary(model.vocab_ptr).pieces
        create = vocab.ctypes.create_string_buffer
        vocab.ctypes.create_string_buffer = lambda size: create(min(size, 2) if size == 256 else size)
        try:
            assert vocab.read_vocabulary(model.vocab_ptr).pieces == whole
        finally:
            vocab.ctypes.create_string_buffer = create


def test_a_file_that_names_no_beginning_has_none(tiny_model: Model) -> None:
    """llama.cpp answers 11 for it, which is any token at all, and would be what a template writes as `bos_token`."""
    assert tiny_model.vocabulary().bos is None


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_tokens", "bos", "ends"),
    [
        ("qwen2", 151_936, 151_643, {"<|im_end|>", "<|endoftext|>"}),
        ("llama-bpe", 128_256, 128_000, {"<|eot_id|>", "<|end_of_text|>"}),
        ("gemma-4", 262_144, 2, {"<turn|>", "<eos>"}),
    ],
)
def test_real_vocabularies(real_data: Path, name: str, n_tokens: int, bos: int, ends: set[str]) -> None:
    with load_model(real_data / "vocab" / f"ggml-vocab-{name}.gguf", LoadParams(vocab_only=True)) as model:
        tokens = model.vocabulary()
        assert (tokens.n_tokens, tokens.bos) == (n_tokens, bos)
        assert ends <= {tokens.pieces[token].decode() for token in tokens.eog}
        assert max(len(piece) for piece in tokens.pieces) > 32  # the binding's own detokenizer loses these
        text = 'Grüße an 你好: { "a" : [1,  2] }\n\t🙂'
        assert tokens.text(model.tokenize(text)).lstrip() == text


# Contexts


def test_sequences_do_not_disturb_each_other(tiny_model: Model) -> None:
    tokens = tiny_model.tokenize("What is the weather")
    with tiny_model.context(ContextParams(n_ctx=256, n_batch=64, n_threads=1, n_seq_max=3)) as context:
        alone = decode(context, tokens, sequence=2)
        context.clear()
        decode(context, tiny_model.tokenize("something else entirely"), sequence=0)
        beside = decode(context, tokens, sequence=1)
        context.copy_sequence(0, 2)
        context.remove_sequence(0)
        copied = decode(context, tokens[:1], position=len(tiny_model.tokenize("something else entirely")), sequence=2)
    np.testing.assert_allclose(beside, alone, atol=1e-4)
    assert not np.allclose(copied, alone, atol=1e-2)


def test_a_copied_sequence_goes_on_where_the_other_stood(tiny_model: Model) -> None:
    tokens = tiny_model.tokenize("What is the weather in Paris today?")
    with tiny_model.context(ContextParams(n_ctx=256, n_batch=64, n_threads=1, n_seq_max=2)) as context:
        whole = decode(context, tokens)
        context.clear()
        decode(context, tokens[:4])
        context.copy_sequence(0, 1)
        context.remove_sequence(0)
        branched = decode(context, tokens[4:], position=4, sequence=1)
    np.testing.assert_allclose(branched, whole, atol=1e-4)


def test_rows_of_one_batch_are_those_of_single_steps(tiny_model: Model) -> None:
    tokens = tiny_model.tokenize("What is the weather in Paris today?")
    with tiny_model.context(ContextParams(n_ctx=256, n_batch=64, n_threads=1, n_outputs_max=64)) as context:
        batch = context.batch()
        last = batch.add(tokens, position=0, sequence=0, n_outputs=len(tokens))
        context.decode(batch)
        rows = [context.logits(row).copy() for row in range(last + 1)]
        context.clear()
        for position, token in enumerate(tokens):
            np.testing.assert_allclose(rows[position], decode(context, [token], position), atol=1e-4)


def test_logits_are_a_view_of_the_same_memory(tiny_model: Model) -> None:
    with tiny_model.context(SMALL) as context:
        batch = context.batch()
        row = batch.add([1], position=0, sequence=0, n_outputs=1)
        context.decode(batch)
        view = context.logits(row)
        assert view.dtype == np.float32 and view.shape == (tiny_model.n_vocab,)
        assert context.logits(row) is view
        view[5] = 1234.0
        assert context.logits(row)[5] == 1234.0


def test_what_would_abort_llama_cpp_is_refused_before(tiny_model: Model) -> None:
    with tiny_model.context(SMALL) as context:
        batch = context.batch()
        with pytest.raises(ValueError, match="empty batch"):
            context.decode(batch)
        with pytest.raises(ValueError, match="do not fit"):
            batch.add([1] * 65, position=0, sequence=0)
        with pytest.raises(ValueError, match="do not fit"):
            batch.add([1, 2], position=0, sequence=0, n_outputs=2)
        batch.add([1, 2], position=0, sequence=0)
        context.decode(batch)
        with pytest.raises(ValueError, match="no logits"):
            context.logits(0)


def test_a_full_cache_is_an_error_and_the_context_lives(tiny_model: Model) -> None:
    with tiny_model.context(SMALL) as context:
        for start in range(0, 256, 64):
            decode(context, [1] * 64, position=start)
        with pytest.raises(DecodeError, match="code 1"):
            decode(context, [1], position=256)
        context.clear()
        assert np.isfinite(decode(context, [1])).all()


def test_a_room_of_zero_is_what_the_model_was_trained_with(tiny_model: Model) -> None:
    with tiny_model.context(ContextParams(n_threads=1)) as context:
        assert (context.n_ctx, context.n_cells) == (2048, 2048)
    with tiny_model.context(ContextParams(n_ctx=300, n_seq_max=3, n_threads=1)) as context:
        assert context.n_cells >= 900


@pytest.mark.parametrize(
    "params",
    [
        ContextParams(n_ctx=256, n_threads=1, type_k="q8_0", type_v="q8_0"),
        ContextParams(n_ctx=256, n_threads=1, flash_attn="on"),
        ContextParams(n_ctx=256, n_threads=1, flash_attn="off", offload_kqv=False, op_offload=False, swa_full=False),
    ],
)
def test_settings_change_little_in_what_comes_out(tiny_model: Model, params: ContextParams) -> None:
    tokens = tiny_model.tokenize("What is the weather")
    with tiny_model.context(SMALL) as plain, tiny_model.context(params) as other:
        np.testing.assert_allclose(decode(other, tokens), decode(plain, tokens), atol=0.5)


def test_impossible_settings_are_refused_with_a_reason(tiny_model: Model) -> None:
    with pytest.raises(ToolgaugeError, match="no KV cache type 'q3'; known: f32, f16"):
        tiny_model.context(ContextParams(n_ctx=256, type_k="q3"))
    with pytest.raises(ToolgaugeError, match="at most 256 sequences"):
        tiny_model.context(ContextParams(n_ctx=256, n_seq_max=257))
    for params in (ContextParams(n_ctx=2**32 + 256), ContextParams(n_ctx=2**31 - 1, n_seq_max=2)):
        with pytest.raises(ToolgaugeError, match="caches at most 2147483647 tokens, not 4294967"):
            tiny_model.context(params)
    with pytest.raises(ToolgaugeError, match="requires flash_attn"):
        tiny_model.context(ContextParams(n_ctx=256, flash_attn="off", type_v="q8_0"))


# Grammars


def test_a_grammar_allows_exactly_what_it_says(tiny_model: Model) -> None:
    tokens = tiny_model.vocabulary()
    grammar = GrammarSampler(tiny_model, 'root ::= "Q" ("X" | "Z") "Q"?')
    single = {piece: token for token, piece in enumerate(tokens.pieces)}
    everything = np.arange(tokens.n_tokens, dtype=np.int32)
    assert np.flatnonzero(grammar.check(everything)).tolist() == [single[b"Q"]]
    grammar.accept(single[b"Q"])
    assert set(np.flatnonzero(grammar.check(everything))) == {single[b"X"], single[b"Z"]}
    copy = grammar.clone()
    copy.accept(single[b"Z"])
    assert grammar.allows(single[b"X"]) and not copy.allows(single[b"X"])
    assert set(np.flatnonzero(copy.check(everything))) == {single[b"Q"], *tokens.eog}


def test_refused_tokens_are_an_error_and_not_the_end_of_python(tiny_model: Model) -> None:
    grammar = GrammarSampler(tiny_model, 'root ::= "Q"')
    end = next(iter(tiny_model.vocabulary().eog))
    for token in (tiny_model.tokenize("Z")[0], end):
        with pytest.raises(ConstraintError, match=f"does not allow token {token}"):
            grammar.accept(token)
    grammar.accept(tiny_model.tokenize("Q")[0])


@pytest.mark.parametrize(
    ("gbnf", "root", "reason"),
    [
        ('root ::= "a" under_score', "root", "expecting newline or end"),
        ('root ::= "unclosed', "root", "unexpected end of input"),
        ("root ::= missing", "root", "Undefined rule identifier 'missing'"),
        ('other ::= "a"', "root", "does not contain a 'root' symbol"),
        ('root ::= root "a"', "root", "left recursion"),
        ("", "root", "empty"),
        ('root ::= "a\0b"', "root", "NUL"),
    ],
)
def test_a_grammar_that_cannot_be_parsed_says_why(tiny_model: Model, gbnf: str, root: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        GrammarSampler(tiny_model, gbnf, root)


def test_parsing_a_grammar_leaves_the_error_stream_alone(tiny_model: Model, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConstraintError):
        GrammarSampler(tiny_model, "root ::= missing")
    print("still here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\n"


# The library


def test_the_library_says_what_it_is() -> None:
    assert "CPU" in system_info()
    assert build_info().startswith("llama-cpp-python ")
    assert isinstance(supports_gpu(), bool)
    cpu = next(device for device in devices() if device.kind == "cpu")
    assert cpu.total_bytes > 0


def test_loading_is_silent_and_remembered(tiny_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(tiny_path, LoadParams(n_gpu_layers=0)).close()
    assert capfd.readouterr() == ("", "")
    assert any("print_info" in line for line in last_log_lines(400))


def test_importing_the_engine_does_not_load_llama_cpp() -> None:
    code = "import sys, engine.llama, engine.decoder, engine.quantize; sys.exit('llama_cpp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_reason_of_a_native_abort_can_be_read_by_the_parent(tiny_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "llama.log"
    code = textwrap.dedent(f"""
        from pathlib import Path
        from engine.llama import ContextParams, LoadParams, load_model, log_to_file
        from engine.llama.context import Batch
        log_to_file(Path({str(log)!r}))
        model = load_model(Path({str(tiny_path)!r}), LoadParams(n_gpu_layers=0))
        context = model.context(ContextParams(n_ctx=256, n_batch=64, n_threads=1))
        batch = Batch(128, 1)  # larger than the context's own
        batch.add([1] * 128, position=0, sequence=0)
        context.decode(batch)
    """)
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert child.returncode == -signal.SIGABRT
    assert "GGML_ASSERT(n_tokens_all <= cparams.n_batch) failed" in log.read_text()
    assert "n_tokens_all" in child.stderr
    assert "print_info" in log.read_text()


def test_an_abort_starts_no_debugger() -> None:
    """ggml would fork one for its backtrace, beside a worker that holds the whole model."""
    code = textwrap.dedent("""
        import os
        from engine.llama.library import binding
        binding()
        print(os.environ["GGML_NO_BACKTRACE"])
    """)
    environment = {name: value for name, value in os.environ.items() if name != "GGML_NO_BACKTRACE"}
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert (child.returncode, child.stdout) == (0, "1\n"), child.stderr


@pytest.mark.parametrize("pre", ["tekken", "gpt-4o", "deepseek-v3"])
def test_a_long_run_of_one_kind_of_character_does_not_end_the_process(pre: str, tmp_path: Path) -> None:
    """A table's rule, a pasted key, blank lines: from some 30,000 characters on, 8 MiB of stack are too few."""
    path = write_tiny_vocab(tmp_path / "vocab.gguf", pre=pre)
    code = textwrap.dedent(f"""
        from pathlib import Path
        from engine.llama import LoadParams, load_model
        model = load_model(Path({str(path)!r}), LoadParams(vocab_only=True))
        for character in ("-", "a", " ", "\\n", "漢"):
            tokens = model.tokenize(character * 100_000)
            assert model.vocabulary().text(tokens) == character * 100_000
    """)
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_a_text_that_is_too_long_for_any_stack_is_a_sentence(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.llama.model._STACK_PER_CHARACTER", 1 << 40)
    with pytest.raises(ToolgaugeError, match="shorten the text"):
        tiny_model.tokenize("-" * 10_001)
    assert threading.stack_size() == 0


def test_too_little_memory_for_a_context_is_an_error_and_not_the_end(tiny_path: Path) -> None:
    code = textwrap.dedent(f"""
        import resource
        from pathlib import Path
        from engine.errors import OutOfMemory
        from engine.llama import ContextParams, LoadParams, load_model
        model = load_model(Path({str(tiny_path)!r}), LoadParams(n_gpu_layers=0))
        model.context(ContextParams(n_ctx=256, n_threads=1)).close()
        n_used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (n_used + 700_000_000,) * 2)
        try:
            model.context(ContextParams(n_ctx=4_000_000, n_threads=1))
        except OutOfMemory as error:
            print(error)
        model.context(ContextParams(n_ctx=256, n_threads=1)).close()
    """)
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("the KV cache does not fit into memory: 977 MiB were asked for")
    assert "use a shorter context (-c)" in child.stdout


def test_a_model_of_another_seed_writes_other_logits(tiny_model: Model, tmp_path: Path) -> None:
    tokens = tiny_model.tokenize("What is the weather")
    with (
        load_model(write_tiny_model(tmp_path / "other.gguf", seed=8), LoadParams(n_gpu_layers=0)) as other,
        tiny_model.context(SMALL) as ours,
        other.context(SMALL) as theirs,
    ):
        assert not np.allclose(decode(ours, tokens), decode(theirs, tokens), atol=1e-2)
